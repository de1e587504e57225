"""A mask painted by hand on the features of a network without attention."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attnlab.attention import build_attention
from attnlab.config import ModelConfig
from attnlab.explain.by_hand import with_hand_gate
from attnlab.explain.in_browser import kept_export
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import operate
from attnlab.explain.surgery.operations import Intervention
from attnlab.models import ImageShape, build_model
from tests.explain.examples import CONFIG, opened
from tests.explain.test_in_browser import Case, computed, far

SHAPE = ImageShape(3, 14, 12)


@pytest.fixture(scope="module")
def run() -> OpenRun:
    torch.manual_seed(0)
    model = ModelConfig(width=8, options={"blocks": 1, "hidden": 64})
    return opened(build_model(model, SHAPE, 2), SHAPE, CONFIG.changed(model=model.model_dump()))


def masked(gate: OpenRun, image: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    tap = next(each.name for each in gate.inspect(image[None]).maps if each.name.endswith("gate"))
    painted = Intervention("paint", target=mask, taps=(tap,))
    return operate(gate.model, image[None], gate.mean, gate.std, painted, probabilities=gate.probabilities).probabilities[0]


def test_the_mask_multiplies_the_features_and_the_network_itself_stays(run: OpenRun) -> None:
    gate = with_hand_gate(run)
    assert gate is not None
    image, other = torch.randint(0, 256, (2, *SHAPE), dtype=torch.uint8)
    plain = run.inspect(image[None])
    seen = gate.inspect(image[None])
    strength, ones = seen.maps
    assert plain.maps == () and np.allclose(seen.probabilities, plain.probabilities, atol=1e-6)
    assert strength.values.shape == (1, 1, 14, 12) and strength.values.max() == 1 and strength.values.min() >= 0
    assert ones.values.eq(1).all() and ones.cells is not None
    nothing = masked(gate, image, torch.zeros(14, 12))
    assert not np.allclose(nothing, plain.probabilities[0], atol=1e-4)
    assert np.allclose(masked(gate, other, torch.zeros(14, 12)), nothing, atol=1e-6), "nothing passes"
    assert np.array_equal(run.inspect(image[None]).probabilities, plain.probabilities)


def test_it_runs_in_the_browser_under_a_name_of_its_own(run: OpenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path))
    gate = with_hand_gate(run)
    assert gate is not None and kept_export(gate) != kept_export(run)
    mask = torch.full((14, 12), torch.nan)
    mask[3:9] = 0.0
    tap = gate.inspect(torch.zeros(1, *SHAPE, dtype=torch.uint8)).maps[1].name
    case = Case(gate, {"as it is": None, "paint": Intervention("paint", 1.0, (tap,), target=mask)})
    assert far(computed({"hand": case}, tmp_path), "hand") == []


def test_a_network_whose_places_are_taken_has_none_for_a_hand(run: OpenRun) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), build_attention("eca", 4, (12, 10)))
    assert with_hand_gate(replace(run, model=model)) is None
