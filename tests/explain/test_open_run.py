"""Opening a run folder and looking into its network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from attnlab.attention import MapKind
from attnlab.config import ModelConfig
from attnlab.explain import OpenError, inspect_images, open_run
from attnlab.models import ImageShape, build_model
from attnlab.runs import checkpoints
from attnlab.training import CheckpointEvent, Event, train
from tests.explain.examples import CONFIG, DATA

IMAGES = DATA.test.images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run as the worker leaves it."""
    run = tmp_path / CONFIG.run_id
    run.mkdir()
    (run / "config.json").write_text(CONFIG.to_json())
    (run / "dataset.json").write_text(json.dumps(DATA.summary()))
    events: list[Event] = []
    train(CONFIG, on_event=events.append, dataset=DATA, checkpoint_every=5)
    for event in events:
        if isinstance(event, CheckpointEvent):
            if event.best and event.state.best is not None:
                save_file(event.state.best.weights, run / checkpoints.BEST)
            best = run / checkpoints.BEST
            checkpoints.save(run / "checkpoints", event.state, best if best.is_file() else None)
    return run


def test_a_run_opens_with_what_it_needs_to_predict(folder: Path) -> None:
    before = torch.get_rng_state()
    opened = open_run(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not opened.model.training
    assert (opened.class_names, opened.mean, opened.std, opened.shape) == (DATA.class_names, DATA.mean, DATA.std, (3, 14, 12))
    inspection = opened.inspect(IMAGES)
    assert inspection.probabilities.shape == (11, 2)
    np.testing.assert_allclose(inspection.probabilities.sum(axis=1), 1, atol=1e-6)
    assert [seen.kind for seen in inspection.maps] == [MapKind.CHANNEL, MapKind.SPATIAL] * 2
    assert all(len(seen.values) == 11 and seen.values.device.type == "cpu" for seen in inspection.maps)


def test_best_last_and_a_step_are_different_weights(folder: Path) -> None:
    newest = checkpoints.find(folder / "checkpoints").path
    assert newest is not None
    last = int(newest.name.split("-")[0])
    kept = sorted(int(path.name.split("-")[0]) for path in (folder / "checkpoints").iterdir())
    weights = {which: open_run(folder, which).model.state_dict() for which in ("last", *kept)}  # type: ignore[arg-type]
    assert all(torch.equal(weights["last"][name], weights[last][name]) for name in weights["last"])
    assert any(not torch.equal(weights["last"][name], weights[kept[0]][name]) for name in weights["last"])


def test_the_loss_head_of_the_run_gives_its_probabilities(folder: Path) -> None:
    published = CONFIG.changed(protocol__loss_head="relu_softmax")
    (folder / "config.json").write_text(published.to_json())
    opened = open_run(folder)
    with torch.inference_mode():
        logits = opened.model(DATA.normalise(IMAGES))
    np.testing.assert_allclose(opened.inspect(IMAGES).probabilities, logits.relu().softmax(1), atol=1e-6)


def test_what_cannot_be_opened_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OpenError, match=r"no config\.json"):
        open_run(tmp_path / "nothing")
    with pytest.raises(OpenError, match="no checkpoint of step 12345"):
        open_run(folder, 12345)
    weights = {name: value.clone() for name, value in load_file(folder / checkpoints.BEST).items()}
    (folder / checkpoints.BEST).write_bytes(b"torn")
    with pytest.raises(OpenError, match="cannot be read"):
        open_run(folder)
    save_file({"weight": torch.zeros(1)}, folder / checkpoints.BEST)
    with pytest.raises(OpenError, match=r"do not fit its config: .* is missing"):
        open_run(folder)
    save_file({name: value * torch.nan for name, value in weights.items()}, folder / checkpoints.BEST)
    with pytest.raises(OpenError, match="not finite, as after a training that diverged"):
        open_run(folder)
    (folder / checkpoints.BEST).unlink()
    with pytest.raises(OpenError, match="no best epoch yet"):
        open_run(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(OpenError, match="has not started"):
        open_run(folder)


def small_network(attention: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig(attention=attention, width=4, options={"blocks": 1}), ImageShape(3, 14, 12), 2)


def test_inspection_leaves_every_module_in_its_mode() -> None:
    model = small_network("cbam")
    model.train()
    frozen = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    frozen.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    inspect_images(model, IMAGES, DATA.mean, DATA.std)
    assert model.training and not frozen.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
