"""Residual networks: the sizes of the paper, torchvision's weights, and where attention sits."""

import pytest
import torch
import torchvision

from attnlab.attention import record_attention
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model


def resnet(name: str, classes: int = 10, side: int = 32, **changes: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig(backbone=name, **changes), ImageShape(3, side, side), classes)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_cifar_form_has_the_papers_sizes(depth: int, millions: float) -> None:
    model = resnet("resnet_cifar", options={"depth": depth})
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6, 2) == millions
    layers = [path for path, weight in model.named_parameters() if weight.dim() > 1]
    assert len(layers) == depth


@torch.no_grad()
def test_resnet18_is_torchvisions() -> None:
    theirs = torchvision.models.resnet18(weights=None, num_classes=7)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    ours = resnet("resnet18", classes=7, side=80)
    stem = ("conv1.", "bn1.")
    ours.load_state_dict({f"stem.{name}" if name.startswith(stem) else name: v for name, v in theirs.state_dict().items()})
    images = torch.randn(2, 3, 80, 72)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@torch.no_grad()
def test_shortcut_without_parameters_keeps_every_second_pixel_and_pads_channels_with_zeros() -> None:
    block = resnet("resnet_cifar", width=2).get_submodule("layer2.0")
    block.bn2.weight.zero_()  # silences the residual branch
    x = torch.rand(1, 2, 4, 6)
    y = block.eval()(x)
    assert torch.equal(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2:].any()


@pytest.mark.parametrize("name", ["resnet_cifar", "resnet18"])
@pytest.mark.parametrize(
    ("placement", "places"),
    [
        ("every_conv", ["attention1", "attention2"]),
        ("block_first", ["attention1"]),
        ("block_end", ["attention"]),
    ],
)
def test_attention_sits_where_it_was_put(name: str, placement: str, places: list[str]) -> None:
    model = resnet(name, width=4, side=40, attention="eca", placement=placement, options={"stages": "2"})
    with record_attention(model) as maps:
        model(torch.randn(2, 3, 40, 40))
    blocks = len(model.get_submodule("layer2"))
    assert [one.name for one in maps] == [f"layer2.{i}.{place}.eca.tap" for i in range(blocks) for place in places]


@torch.no_grad()
def test_attention_at_the_end_of_a_block_leaves_the_shortcut_alone() -> None:
    model = resnet("resnet_cifar", width=4, attention="eca", placement="block_end").eval()
    block = model.get_submodule("layer1.0")
    x = torch.rand(1, 4, 8, 8)
    branch = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    torch.testing.assert_close(block(x), (block.attention(branch) + x).relu())


@pytest.mark.parametrize(("name", "stages"), [("resnet_cifar", ["layer1", "layer2"]), ("resnet18", ["layer2", "layer3"])])
def test_gates_read_the_two_stages_before_the_last(name: str, stages: list[str]) -> None:
    model = resnet(name, width=4, side=64, options={"gates": "sigmoid"})
    with record_attention(model) as maps:
        model(torch.randn(2, 3, 64, 64))
    assert [one.name for one in maps] == [f"fc.gates.{stage}.readout.tap" for stage in stages]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 21}, "6n \\+ 2"), ({"stages": "4"}, "stages must be one of"), ({"gates": "max"}, "gates must be one of")],
)
def test_a_value_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resnet("resnet_cifar", options=options)
