"""The report's backbone: its layout, any image, and where attention sits in it."""

import pytest
import torch
from torch import nn

from attnlab.attention import attention_taps
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model
from attnlab.models.small_cnn import SmallCnn

CIFAR = ImageShape(3, 32, 32)


class Seen(nn.Module):
    """Stands where attention would and keeps the shape it was promised and the input it got."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.promised = (channels, *size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert tuple(x.shape[1:]) == self.promised
        self.given = x
        return x


def run(placement: str, shape: ImageShape = CIFAR, **options: object) -> tuple[SmallCnn, list[Seen]]:
    torch.manual_seed(0)
    model = SmallCnn(shape, 10, Seen, placement=placement, width=8, **options)  # type: ignore[arg-type]
    model(torch.randn(2, *shape))
    return model, [part for part in model.modules() if isinstance(part, Seen)]


@pytest.mark.parametrize(
    ("placement", "shapes"),
    [
        ("every_conv", [(8, 32, 32), (8, 30, 30), (16, 15, 15), (16, 13, 13)]),
        ("block_first", [(8, 32, 32), (16, 15, 15)]),
        ("block_end", [(8, 15, 15), (16, 6, 6)]),
    ],
)
def test_attention_gets_the_maps_of_its_placement(placement: str, shapes: list[tuple[int, ...]]) -> None:
    assert [seen.promised for seen in run(placement)[1]] == shapes


def test_one_stage_can_have_the_attention_alone() -> None:
    assert [seen.promised for seen in run("block_end", blocks=3, stages="2")[1]] == [(16, 6, 6)]
    with pytest.raises(ValueError, match="stages must be one of 'all', '1', '2'; got '3'"):
        run("block_end", blocks=2, stages="3")


def test_attention_sits_directly_after_the_convolution() -> None:
    """Before ReLU, so it sees what the convolution gave: negative values and all."""
    model, (first, *_) = run("every_conv")
    images = torch.randn(2, 3, 32, 32)
    model(images)
    assert torch.equal(first.given, model.blocks[0].conv1(images))
    assert (first.given < 0).any()


def test_features_of_the_report_end_at_128_by_6_by_6() -> None:
    model = build_model(ModelConfig(), ImageShape(3, 32, 32), classes=10)
    x = torch.randn(2, 3, 32, 32)
    for block in model.get_submodule("blocks").children():
        x = block(x)
    assert x.shape == (2, 128, 6, 6)


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_each_block_doubles_the_channels_and_halves_the_map(blocks: int) -> None:
    _, seen = run("block_end", ImageShape(3, 64, 48), blocks=blocks)
    assert [part.promised[0] for part in seen] == [8 * 2**i for i in range(blocks)]
    sides = [(31, 23), (14, 10), (6, 4), (2, 1)]
    assert [part.promised[1:] for part in seen] == sides[:blocks]


def test_a_dead_block_is_counted_and_computes_nothing() -> None:
    plain, alive = run("every_conv")
    padded, _ = run("every_conv", dead_block=True)
    assert sum(p.numel() for p in padded.parameters()) > sum(p.numel() for p in plain.parameters())
    assert sum(hasattr(part, "given") for part in padded.modules() if isinstance(part, Seen)) == len(alive)
    padded.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain.eval()(x), padded.eval()(x))


@pytest.mark.parametrize("shape", [ImageShape(1, 28, 28), ImageShape(3, 32, 48), ImageShape(4, 64, 30)], ids=str)
@pytest.mark.parametrize("placement", ["every_conv", "block_first", "block_end"])
def test_any_image_size_and_channel_count(shape: ImageShape, placement: str) -> None:
    config = ModelConfig(attention="eca+conv_autoencoder", placement=placement, width=4, options={"hidden": 64})
    network = build_model(config, shape, classes=7)
    assert network(torch.randn(2, *shape)).shape == (2, 7)
    taps = {"every_conv": 8, "block_first": 4, "block_end": 4}
    assert len(attention_taps(network)) == taps[placement]


def test_too_small_an_image_says_what_is_needed() -> None:
    with pytest.raises(ValueError, match="use at most 2 blocks, or images of at least 22 pixels"):
        build_model(ModelConfig(options={"blocks": 3}), ImageShape(3, 21, 21), classes=2)
    with pytest.raises(ValueError, match="use at most 2 blocks, or images of at least 22 pixels for one block more"):
        build_model(ModelConfig(options={"blocks": 99}), ImageShape(3, 21, 21), classes=2)
    assert build_model(ModelConfig(width=2, options={"blocks": 3}), ImageShape(3, 22, 22), 2)(
        torch.randn(2, 3, 22, 22)
    ).shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 0}, "at least one block"),
        ({"hidden": 0}, "one hidden unit"),
        ({"blocks": "two"}, r"blocks takes values such as 1, 2, 3, 4; got 'two'"),
        ({"dead_block": 1}, r"dead_block takes values such as False, True; got 1"),
        ({"layers": 3}, "small_cnn has no option layers; its options: blocks, stages, dead_block"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(ModelConfig(options=options), ImageShape(3, 32, 32), classes=2)
