"""VGG16 with attention gates: the article's listing in numbers, and the gate by hand."""

import math

import pytest
import torch
import torchvision

from attnlab.attention import record_attention
from attnlab.attention._gates import GridGate
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model


def vgg(width: int = 8, classes: int = 2, side: tuple[int, int] = (64, 64), **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = ModelConfig(backbone="attention_vgg16", width=width, options=options)
    return build_model(config, ImageShape(3, *side), classes)


def test_size_with_two_classes() -> None:
    assert sum(weight.numel() for weight in vgg(width=64).parameters()) == 15_184_964


@torch.no_grad()
def test_without_gates_it_is_the_mean_of_torchvisions_features() -> None:
    model = vgg(width=64, depths=0).eval()
    features = torchvision.models.vgg16_bn(weights=None).features
    features.load_state_dict(dict(zip(features.state_dict(), model.blocks.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 96)
    expected = model.head.classifier(features.eval()(images).mean(dim=(2, 3)))
    torch.testing.assert_close(model(images), expected)


def test_gates_see_pool_3_and_pool_4() -> None:
    model = vgg(side=(64, 96))
    with record_attention(model) as maps:
        model(torch.randn(2, 3, 64, 96))
    assert [(one.name, one.grid) for one in maps] == [
        ("head.gates.pool3.readout.tap", (8, 12)),
        ("head.gates.pool4.readout.tap", (4, 6)),
    ]


@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
@torch.no_grad()
def test_gate_by_hand(normalize: str) -> None:
    """One channel, two positions of 1 and 3, a guide of one position: scores 2 relu(l - g) + 1 with g = 2."""
    gate = GridGate(1, 1, 1, normalize=normalize)
    for parameter, value in (
        (gate.local.weight, 1.0),
        (gate.guide.weight, -1.0),
        (gate.score.weight, 2.0),
        (gate.score.bias, 1.0),
    ):
        parameter.fill_(value)
    reading = gate(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2), torch.tensor(2.0).view(1, 1, 1, 1)).item()
    low, high = 1.0, 3.0  # the scores
    if normalize == "softmax":
        a = math.exp(low) / (math.exp(low) + math.exp(high))
        expected = a * 1 + (1 - a) * 3
    else:
        expected = (1 / (1 + math.exp(-low)) * 1 + 1 / (1 + math.exp(-high)) * 3) / 2
    assert reading == pytest.approx(expected, rel=1e-6)


def test_initial_weights_are_the_articles() -> None:
    head = vgg(width=64).head
    assert head.classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)
    for name, fan_in in (("pool3", 256), ("pool4", 512)):
        assert head.gates[name].local.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
    assert not head.classifier.bias.any()
    assert not head.gates["pool3"].score.bias.any()


def test_dropout_acts_in_training_only() -> None:
    model, images = vgg(dropout=0.5), torch.randn(4, 3, 64, 64)
    model(images)
    model.eval()
    assert torch.equal(model(images), model(images))
    for module in model.modules():
        module.training = isinstance(module, torch.nn.Dropout)
    assert not torch.equal(model(images), model(images))


def test_single_output_is_for_two_classes() -> None:
    assert vgg(output="single")(torch.randn(2, 3, 64, 64)).shape == (2, 1)
    with pytest.raises(ValueError, match="'single' needs two classes"):
        vgg(classes=3, output="single")
