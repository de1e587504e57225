"""A mask painted by hand on the features of a network without attention."""

import numpy as np
import pytest
import torch

from attnlab.attention import build_attention
from attnlab.config import ModelConfig
from attnlab.explain.by_hand import gate_by_hand
from attnlab.explain.open_run import OpenRun
from attnlab.models import ImageShape, build_model
from tests.explain.examples import CONFIG, opened

SHAPE = ImageShape(3, 14, 12)


@pytest.fixture(scope="module")
def run() -> OpenRun:
    torch.manual_seed(0)
    model = ModelConfig(width=8, options={"blocks": 1, "hidden": 64})
    return opened(build_model(model, SHAPE, 2), SHAPE, CONFIG.changed(model=model.model_dump()))


def test_the_mask_multiplies_the_features_and_nothing_stays_behind(run: OpenRun) -> None:
    gate = gate_by_hand(run)
    assert gate is not None and gate.cells is not None
    image = torch.randint(0, 256, SHAPE, dtype=torch.uint8)
    plain = run.inspect(image[None]).probabilities[0]
    strength = gate.strength(image)
    assert strength.shape == (14, 12) and strength.max() == 1 and strength.min() >= 0
    assert np.allclose(gate.probabilities(image, np.ones((14, 12), np.float32)), plain, atol=1e-6)
    nothing = gate.probabilities(image, np.zeros((14, 12), np.float32))
    assert not np.allclose(nothing, plain, atol=1e-4)
    other = torch.randint(0, 256, SHAPE, dtype=torch.uint8)
    assert np.allclose(gate.probabilities(other, np.zeros((14, 12), np.float32)), nothing, atol=1e-6), "nothing passes"
    assert np.array_equal(run.inspect(image[None]).probabilities[0], plain)


def test_a_network_whose_places_are_taken_has_none_for_a_hand(run: OpenRun) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), build_attention("eca", 4, (12, 10)))
    assert gate_by_hand(OpenRun(**{name: getattr(run, name) for name in run.__dataclass_fields__} | {"model": model})) is None
