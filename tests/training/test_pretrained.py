"""A run that asks for pretrained features starts from them; one that cannot have them does not start."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg16_bn

from attnlab.config import RunConfig
from attnlab.interop import WeightsUnavailable
from attnlab.training import train
from attnlab.training.events import CheckpointEvent
from tests.training.colours import make_dataset

CONFIG = RunConfig.model_validate(
    {
        "model": {"backbone": "attention_vgg16"},
        "training": {"epochs": 1, "batch_size": 8, "lr": 1e-12, "optimizer": "sgd", "device": "cpu"},
    }
)


@pytest.mark.slow
def test_training_starts_from_a_weights_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    features = {f"features.{name}": value for name, value in vgg16_bn().features.state_dict().items()}
    save_file(features, tmp_path / "vgg16_bn.safetensors")
    states = []

    def keep(event: object) -> None:
        if isinstance(event, CheckpointEvent):
            states.append(event.state)

    config = CONFIG.changed(model__options={"pretrained": str(tmp_path / "vgg16_bn.safetensors")})
    train(config, on_event=keep, dataset=make_dataset(classes=2, train_images=8, side=32))
    assert torch.allclose(states[-1].model["blocks.0.0.weight"], features["features.0.weight"], atol=1e-6)


def test_a_missing_weights_file_stops_the_run_with_its_name(tmp_path: Path) -> None:
    config = CONFIG.changed(model__options={"pretrained": str(tmp_path / "absent.safetensors")})
    with pytest.raises((WeightsUnavailable, ValueError), match=r"absent\.safetensors"):
        train(config, on_event=lambda event: None, dataset=make_dataset(classes=2, train_images=8, side=32))
