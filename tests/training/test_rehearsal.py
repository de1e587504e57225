"""A training that no network could do is refused before its first step, with what to change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnlab.config import ModelConfig, ProtocolConfig, RunConfig, TrainingConfig
from attnlab.models import ImageShape, build_model
from attnlab.training.rehearsal import rehearse


def rehearsed(backbone: str, batch: int, images: int, size: int, *, drop_last: bool = False) -> None:
    config = RunConfig(
        model=ModelConfig(backbone=backbone, width=8),
        training=TrainingConfig(batch_size=batch),
        protocol=ProtocolConfig(drop_last=drop_last),
    )
    shape = ImageShape(3, size, size)
    rehearse(config, build_model(config.model, shape, 10), shape, images)


@pytest.mark.parametrize(("batch", "images"), [(1, 40), (8, 1)])
def test_batches_of_one_on_maps_of_one_position_are_refused_with_what_to_change(batch: int, images: int) -> None:
    with pytest.raises(ValueError, match=r"batches of 1 at 32 x 32 pixels.*training\.batch_size to 2 or more.*image_size"):
        rehearsed("resnet18", batch, images, 32)


@pytest.mark.parametrize("attention", ["srm", "bam", "eca+srm"])
def test_a_variant_that_normalises_one_number_per_channel_is_named(attention: str) -> None:
    config = RunConfig(model=ModelConfig(attention=attention, width=8), training=TrainingConfig(batch_size=1))
    shape = ImageShape(3, 16, 16)
    named = attention.rpartition("+")[2]
    with pytest.raises(ValueError, match=rf"^{named} cannot train on batches of 1 in small_cnn.*training\.batch_size to 2"):
        rehearse(config, build_model(config.model, shape, 3), shape, 40)


def test_what_can_be_trained_passes_and_the_model_is_as_before() -> None:
    rehearsed("resnet18", 2, 40, 32)
    rehearsed("resnet18", 8, 9, 32)  # the last batch of one is left out
    rehearsed("resnet18", 1, 40, 64)
    config = RunConfig(training=TrainingConfig(batch_size=4))
    shape = ImageShape(3, 16, 16)
    model = build_model(config.model, shape, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    rehearse(config, model, shape, 10)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


class Narrow(nn.Module):
    """A plug-in's network whose pooling leaves nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.max_pool2d(x, 64).flatten(1)


class Peeks(nn.Module):
    """A plug-in's network that looks at its numbers, which a rehearsal without numbers cannot."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) if x.sum().item() < 1 else x.amax((2, 3))


def test_any_error_of_a_network_names_the_config_and_what_to_change() -> None:
    config, shape = RunConfig(), ImageShape(3, 16, 16)
    with pytest.raises(ValueError, match=r"small_cnn cannot work on images of 16 x 16 pixels.*Enlarge dataset\.image_size"):
        rehearse(config, Narrow(), shape, 200)
    rehearse(config, Peeks(), shape, 200)
