"""Maps that no tap makes: what the weights of a block make together, and what a block adds. Over the registry."""

import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import (
    AttentionMap,
    AttentionTap,
    Combine,
    MapKind,
    MapScale,
    build_attention,
    list_attention,
    locate_maps,
    record_attention,
    record_derived,
)
from attnlab.attention import _registry as registry
from attnlab.maps import derived, tap_behind, tap_titles

READOUTS = [name for name, variant in list_attention().items() if variant.combine is Combine.READOUT]


def run(model: nn.Module, x: Tensor) -> tuple[Tensor, list[AttentionMap], list[AttentionMap]]:
    with torch.no_grad(), record_attention(model) as maps, record_derived(model, maps) as made:
        return model(x), maps, made


def block(name: str, **options: object) -> nn.Module:
    """With every parameter away from a value such as gamma = 0."""
    torch.manual_seed(0)
    model = build_attention(name, 8, (6, 5), {name: options} if options else None).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 8, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "word"), [("coordinate", "product"), ("triplet", "mean"), ("scse", "sum")])
def test_what_gates_make_together_is_what_the_features_are_multiplied_by(x: Tensor, name: str, word: str) -> None:
    y, _, (made,) = run(block(name), x)
    assert (made.name, made.kind, made.neutral) == (f"{name}.{word}", MapKind.ELEMENT, 1.0)
    torch.testing.assert_close(x * made.values, y)
    assert (made.scale is MapScale.GATE) == (word != "sum")  # the sum of two gates may be above 1


@pytest.mark.parametrize("name", READOUTS)
def test_what_a_readout_adds_is_the_difference_it_makes(x: Tensor, name: str) -> None:
    y, _, (made,) = run(block(name), x)
    added, size = y - x, x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    by_position = added.square().mean(dim=1, keepdim=True).sqrt() / size
    assert (made.name, made.scale, made.neutral) == (f"{name}.added", MapScale.FACTOR, 0.0)
    if made.kind is MapKind.CHANNEL:  # one vector for all positions, with its signs
        torch.testing.assert_close((made.values * size).expand_as(added), added, check_dtype=False, atol=1e-6, rtol=1e-5)
    else:
        torch.testing.assert_close(made.values, by_position, check_dtype=False, atol=1e-6, rtol=1e-5)
    assert (made.kind is MapKind.CHANNEL) == (name == "global_context")


def test_a_block_that_adds_nothing_says_0(x: Tensor) -> None:
    for name in ("self_attention", "non_local", "dual", "global_context"):
        _, _, (made,) = run(build_attention(name, 8, (6, 5)).double().eval(), x)
        assert not made.values.any(), name


@pytest.mark.parametrize("name", ["bottleneck", "halo"])
def test_what_a_mixer_gathers_is_told_beside_its_average(x: Tensor, name: str) -> None:
    y, _, (made,) = run(block(name, heads=2), x)
    sizes = y.square().mean(dim=1, keepdim=True)
    expected = (sizes / sizes.mean(dim=(2, 3), keepdim=True)).sqrt()
    torch.testing.assert_close(made.values, expected, check_dtype=False, atol=1e-6, rtol=1e-5)
    assert (made.name, made.neutral) == (f"{name}.gathered", 1.0)


def test_one_gate_alone_makes_nothing_more_and_a_composition_makes_that_of_each_block(x: Tensor) -> None:
    for name in ("eca", "cbam", "bam", "simam", "gct", "large_kernel", "selective_kernel"):
        assert run(block(name), x)[2] == [], name
    model = nn.Sequential(build_attention("coordinate+self_attention+coordinate", 8, (6, 5)).double().eval())
    assert [each.name for each in run(model, x)[2]] == [
        "0.coordinate.product",
        "0.self_attention.added",
        "0.coordinate2.product",
    ]


def test_a_block_inside_another_one_is_not_told_twice(x: Tensor) -> None:
    assert [each.name for each in run(block("dual"), x)[2]] == ["dual.added"]


def test_a_variant_of_a_plug_in_gets_its_product_from_its_registration(x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strips(nn.Module):
        def __init__(self, channels: int, size: tuple[int, int]) -> None:
            super().__init__()
            self.down, self.across = AttentionTap(MapKind.ELEMENT), AttentionTap(MapKind.ELEMENT)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.down(x.mean(3, keepdim=True).sigmoid()) * self.across(x.mean(2, keepdim=True).sigmoid())

    monkeypatch.setattr(registry._VARIANTS, "_specs", dict(registry._VARIANTS._specs))
    about = {"title": "Strips", "paper": "", "summary": "", "formula": "", "kinds": [MapKind.ELEMENT] * 2}
    registry.register_attention("strips", **about)(Strips)  # type: ignore[arg-type]
    model = nn.Sequential(build_attention("strips", 8, (6, 5)))
    y, _, (made,) = run(model, x)
    assert made.name == "0.strips.product"
    torch.testing.assert_close(x * made.values, y)
    assert tap_behind(made.name, ["0.strips.down", "0.strips.across"]) == "0.strips.down"


def test_derived_maps_lie_where_the_features_lie_and_have_words() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), build_attention("coordinate", 8, (30, 30)))
    located = locate_maps(model, (3, 32, 32))
    product, rows = located["1.coordinate.product"], located["1.coordinate.rows.tap"]
    assert product.rows == rows.rows and product.columns != rows.columns  # a margin has one cell along a side
    titles = tap_titles(list(located))
    assert titles["1.coordinate.product"].endswith("product")
    told = derived("1.coordinate.product")
    assert told is not None and told.weights and told.note
    assert derived("1.coordinate.rows.tap") is None
