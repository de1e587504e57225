"""Seeds, devices, processes and presets."""

import subprocess
import sys

import pytest
import torch

from attnlab.attention import NONE, list_attention
from attnlab.config import RunConfig
from attnlab.models import ImageShape, build_model
from attnlab.training.device import choose_device, usable_cores
from attnlab.training.presets import ONE_MINUTE_VARIANT, one_minute
from attnlab.training.seeding import epoch_order, mix


def test_seeds_of_neighbouring_steps_are_unrelated_in_the_bits_that_generators_use() -> None:
    """torch's CPU generator reads the low 32 bits only, so they alone must differ between steps, purposes and runs."""
    low = {mix(seed, purpose, step) & 0xFFFFFFFF for seed in range(20) for purpose in ("step", "order") for step in range(200)}
    assert len(low) == 20 * 2 * 200
    assert mix(3, "step", 7) == mix(3, "step", 7) < 2**63


def test_each_epoch_has_an_order_of_its_own_that_repeats() -> None:
    first, again, second = epoch_order(5, 0, 100), epoch_order(5, 0, 100), epoch_order(5, 1, 100)
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert first.sort().values.tolist() == list(range(100))


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


@pytest.mark.slow
def test_a_training_process_is_set_up_once_and_computes_on() -> None:
    code = (
        "import torch; from attnlab.training.device import prepare_process, keep_freed_memory;"
        "prepare_process(1); assert torch.get_num_threads() == 1; assert isinstance(keep_freed_memory(), bool);"
        "prepare_process(); assert 1 <= torch.get_num_threads(); print(float(torch.ones(3000, 3000).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "9000000.0"
    assert usable_cores() >= 1


@pytest.mark.parametrize("attention", [NONE, ONE_MINUTE_VARIANT, *list_attention()])
def test_the_preset_builds_with_every_variant(attention: str) -> None:
    config = one_minute(attention, seed=3)
    assert RunConfig.from_json(config.to_json()) == config
    assert (config.model.attention, config.seed, config.dataset.name) == (attention, 3, "digits")
    model = build_model(config.model, ImageShape(3, 32, 32), 10)
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
