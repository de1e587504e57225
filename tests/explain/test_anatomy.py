"""Every registered variant taken apart: the numbers of its formula, the data path and its drawing, and what it costs."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from attnlab import paths
from attnlab.attention import AttentionTap, Combine, MapKind, Symbol, Variant, list_attention
from attnlab.explain.anatomy import block_cost, find_specimen, network_path, shown_symbols
from attnlab.explain.data_path import Path, follow
from attnlab.models import ImageShape, build_model, list_models
from attnlab.runs.folder import run_folders
from attnlab.viz.mathml import formula, occurs
from attnlab.viz.step_diagram import Box, shape_words, step_diagram
from attnlab.viz.step_tensors import axes, pane_count, panes

VARIANTS = list_attention()
FEATURES = (16, 5, 4)


@cache
def taken_apart(name: str) -> tuple[nn.Module, Tensor, Path]:
    """A block with every parameter away from a value such as gamma = 0, its input, and its data path."""
    variant = VARIANTS[name]
    torch.manual_seed(0)
    widths = (16, 16) if variant.mixer else (16,)
    few = {"heads": 1} if "heads" in variant.options else {}
    block = variant.block(*widths, FEATURES[1:], **{**variant.new_runs, **few}).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    x = torch.randn(1, *FEATURES)
    return block, x, follow(block, x)


def numbers(name: str) -> dict[str, Tensor]:
    """LaTeX of each symbol -> its numbers."""
    path = taken_apart(name)[2]
    return {symbol.latex: path.values[symbol.source] for symbol in shown_symbols(VARIANTS[name], path)}


def gathered(weights: Tensor, value: Tensor) -> Tensor:
    """A v for weights (N, N) and values (C, H, W), in the shape of the values."""
    return (value.flatten(1) @ weights.squeeze(0).T).view_as(value)


Numbers = dict[str, Tensor]
DIRECT: dict[str, Callable[[nn.Module, Numbers], tuple[Tensor, Tensor]]] = {
    "bam": lambda b, n: (n["y"], n["x"] * (1 + (n["c(x)"][:, None, None] * n["s(x)"]).sigmoid())),
    "bottleneck": lambda b, n: (n["y"], gathered(n["A"], n["v"])),
    "cbam": lambda b, n: (n["y"], n["s(x')"] * n["c(x)"] * n["x"]),
    "cbam_channel": lambda b, n: (
        n["c"].flatten(),
        (b.mlp(n["x"].mean(dim=(1, 2))) + b.mlp(n["x"].amax(dim=(1, 2)))).sigmoid(),
    ),
    "cbam_spatial": lambda b, n: (
        n["s"],
        b.bn(b.conv(torch.stack([n["x"].amax(0), n["x"].mean(0)])[None])).sigmoid()[0],
    ),
    "conv_autoencoder": lambda b, n: (n["y"], n["D(E(x))"][:, : FEATURES[1], : FEATURES[2]].sigmoid() * n["x"]),
    "coordinate": lambda b, n: (n["y"], n[r"\sigma(F_h f_h)"] * n[r"\sigma(F_w f_w)"] * n["x"]),
    "double_attention": lambda b, n: (
        n["g_k"],
        n["A"].flatten(1) @ b.gather_scores(n["x"]).flatten(1).softmax(1).T,
    ),
    "dual": lambda b, n: (
        n["y"],
        2 * n["x"]  # once in each part's own sum
        - n["x"]
        + n[r"\gamma_p"] * gathered(n[r"\mathrm{softmax}(q^\top k)"], n["v"])
        + n[r"\gamma_c"] * (n[r"\mathrm{softmax}(\max E - E)"].flatten(1).T @ n["x"].flatten(1)).view_as(n["x"]),
    ),
    "eca": lambda b, n: (
        n["a"].flatten(),
        F.conv1d(n["x"].mean(dim=(1, 2))[None, None], b.conv.weight, padding=b.conv.padding).sigmoid().flatten(),
    ),
    "external": lambda b, n: (
        n["a"].flatten(1),
        b.key_memory(n["W_1 x"].flatten(1)).softmax(dim=1),
    ),
    "fca": lambda b, n: (n["a"].flatten(), b.mlp(n[r"\mathrm{DCT}\,x"]).sigmoid()),
    "gather_excite": lambda b, n: (
        n["y"],
        F.interpolate(n[r"\mathrm{MLP}(\mathrm{gather}_e\,x)"][None], size=FEATURES[1:]).sigmoid()[0] * n["x"],
    ),
    "gct": lambda b, n: (
        n["a"].flatten(),
        1 + (n[r"\gamma"].flatten() * n["e"].flatten() / (n["e"].square().mean() + 1e-5).sqrt() + n[r"\beta"].flatten()).tanh(),
    ),
    "global_context": lambda b, n: (
        n[r"\sum_{hw} a\,x"].flatten(),
        (n["x"] * n[r"w\,x"].flatten().softmax(0).view(FEATURES[1:])).sum(dim=(1, 2)),
    ),
    "halo": lambda b, n: (n["A"].sum(dim=-1), torch.ones(n["A"].shape[:-1])),
    "large_kernel": lambda b, n: (n["a"], b.mix(b.far(b.near(n["x"][None])))[0]),
    "linear_autoencoder": lambda b, n: (n["a"], n[r"D(E(x_{\mathrm{row}}))"].sigmoid().view(FEATURES)),
    "non_local": lambda b, n: (n["y"], n["x"] + n[r"\mathrm{BN}(W_z A g)"]),
    "scse": lambda b, n: (n["y"], n["c(x)"] * n["x"] + n["s(x)"] * n["x"]),
    "selective_kernel": lambda b, n: (n["y"], (n["a"] * n["U_m"]).sum(dim=0)),
    "self_attention": lambda b, n: (
        n["y"],
        n["x"] + n[r"\gamma"] * gathered((n["q"].flatten(1).T @ n["k"].flatten(1)).softmax(dim=1), n["v"]),
    ),
    "simam": lambda b, n: (n["y"], ((n["x"] - n[r"\mu"]).square() / (4 * (n["v"] + b.e_lambda)) + 0.5).sigmoid() * n["x"]),
    "split_attention": lambda b, n: (
        n["a"].flatten(1),
        b.fc2(b.bn1(b.fc1(n[r"\mathrm{mean}_{hw} \sum_m U_m"][None])).relu()).view(2, 16).softmax(dim=0),
    ),
    "squeeze_excite": lambda b, n: (n["s"].flatten(), b.mlp(n["x"].mean(dim=(1, 2))).sigmoid()),
    "srm": lambda b, n: (
        torch.stack([n[r"\mu"], n[r"\sigma_{hw}"]]),
        torch.stack([n["x"].mean(dim=(1, 2)), (n["x"].flatten(1).var(dim=1) + 1e-5).sqrt()]),
    ),
    "triplet": lambda b, n: (n["y"], (n["g_{cw}"] + n["g_{hc}"] + n["g_{hw}"]) / 3 * n["x"]),
}
"""What the formula says, computed from its symbols: (shown, direct)."""


@pytest.mark.parametrize("name", VARIANTS)
def test_the_numbers_of_the_formula_are_those_of_a_direct_computation(name: str) -> None:
    block, x, path = taken_apart(name)
    with torch.no_grad():
        torch.testing.assert_close(path.values["y"], block(x)[0], rtol=1e-4, atol=1e-5)
        if name in DIRECT:
            shown, direct = DIRECT[name](block, numbers(name))
            torch.testing.assert_close(shown.float(), direct, rtol=1e-4, atol=1e-5)
        weights = [path.values[step.path] for step in path.steps if step.kind == "weights"]
        if VARIANTS[name].combine is Combine.PRODUCT:
            product = x[0]
            for each in weights:
                product = product * each
            torch.testing.assert_close(product, path.values["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_symbol_stands_in_the_formula_and_has_numbers(name: str) -> None:
    variant, path = VARIANTS[name], taken_apart(name)[2]
    assert variant.strength.count(".") >= 1 and variant.symbols
    for symbol in variant.symbols:
        assert occurs(variant.formula, symbol.latex), symbol
        assert symbol.source in path.values, symbol
    ET.fromstring(formula(variant.formula, [symbol.latex for symbol in variant.symbols]))
    taps = {path_ for path_, module in taken_apart(name)[0].named_modules() if isinstance(module, AttentionTap)}
    assert taps <= {symbol.source for symbol in shown_symbols(variant, path)}, "all weights are shown"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_shapes_drawn_are_those_recorded(name: str) -> None:
    block, x, path = taken_apart(name)
    recorded: dict[str, tuple[int, ...]] = {}
    hooks = [
        module.register_forward_hook(lambda _, taken, given, at=at: recorded.update({at: tuple(given.shape[1:])}))
        for at, module in block.named_modules()
        if at and isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        block(x)
    for hook in hooks:
        hook.remove()
    for step in path.steps:
        if step.kind == "module" and step.path in recorded:
            assert tuple(step.value.shape) == recorded[step.path]
    boxes = [
        Box(step.kind, step.label, tuple(step.value.shape), tuple((arrow.source, arrow.shape) for arrow in step.arrows))
        for step in path.steps
    ]
    drawing = ET.fromstring(step_diagram(boxes, name))
    arrows = [each for each in drawing.iter("text") if each.get("data-from")]
    drawn = sorted((each.get("data-from"), each.get("data-to"), each.text) for each in arrows)
    told = sorted(
        (str(arrow.source), str(at), shape_words(arrow.shape)) for at, step in enumerate(path.steps) for arrow in step.arrows
    )
    assert drawn == told
    assert all(arrow.source < at for at, step in enumerate(path.steps) for arrow in step.arrows)
    groups = [each for each in drawing.iter("g") if each.get("data-step")]
    assert [each.get("data-step") for each in groups] == [str(at) for at in range(len(boxes))]
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in groups)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_and_operations_are_those_counted(name: str) -> None:
    variant = VARIANTS[name]
    chosen = {**variant.new_runs, **({"heads": 4} if "heads" in variant.options else {})}
    cost = block_cost(variant, 32, 8, chosen)
    widths = (32, 32) if variant.mixer else (32,)
    block = variant.block(*widths, (8, 8), **chosen).eval()
    assert cost.parameters == sum(each.numel() for each in block.parameters())
    if MapKind.PAIRWISE not in variant.kinds:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            block(torch.randn(1, 32, 8, 8))
        assert cost.flops == counter.get_total_flops()
        counted = []

        def count(module: nn.Conv2d, taken: tuple[Tensor, ...], given: Tensor) -> None:
            inner = module.weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else module.weight[:, 0].numel()
            places = taken[0] if isinstance(module, nn.ConvTranspose2d) else given
            whole = places.numel() if not isinstance(module, nn.ConvTranspose2d) else places[0, 0].numel() * module.out_channels
            counted.append(2 * whole * inner)

        for module in block.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                module.register_forward_hook(count)
        with torch.no_grad():
            block(torch.randn(1, 32, 8, 8))
        if variant.combine is not Combine.READOUT:  # those gather by matrix products as well
            assert cost.flops == sum(counted)
    assert set(cost.sizes) == set(variant.sizes)
    assert cost.pairs == (getattr(block, "heads", 1) * 64**2 if MapKind.PAIRWISE in variant.kinds else 0)


def test_the_adaptive_kernel_of_eca_follows_its_rule_and_cbam_its_reduction() -> None:
    sizes = {c: block_cost(VARIANTS["eca"], c, 8, {"kernel_size": "adaptive"}).parameters for c in (16, 64, 128, 512)}
    assert sizes == {16: 3, 64: 3, 128: 5, 512: 5}
    hidden = {r: block_cost(VARIANTS["cbam"], 64, 8, {"reduction": r}).sizes["hidden units"] for r in (4, 8, 16)}
    assert hidden == {4: 16, 8: 8, 16: 4}
    assert block_cost(VARIANTS["linear_autoencoder"], 16, 8, {"bottleneck": 24}).sizes["numbers of the bottleneck"] == 24


@pytest.mark.parametrize("name", ["eca", "squeeze_excite"])
def test_a_block_is_trained_where_a_shipped_run_has_it_and_otherwise_in_a_trained_network(name: str) -> None:
    if not any(True for _ in run_folders(paths.DEMO_RUNS)):
        pytest.skip("there are no shipped runs")
    specimen = find_specimen(VARIANTS[name], paths.DEMO_RUNS)
    assert specimen.trained is (name == "eca")
    told = specimen.dissect(torch.full((3, 32, 32), 128, dtype=torch.uint8))
    assert told.features == (32, 15, 15) and specimen.cells is not None
    assert (
        find_specimen(VARIANTS[name], paths.DEMO_RUNS)
        .dissect(torch.full((3, 32, 32), 128, dtype=torch.uint8))
        .path.values["y"]
        .equal(told.path.values["y"])
    ), "the seed is fixed"


def test_a_variant_that_registers_nothing_of_this_still_shows_input_output_and_weights() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tap = AttentionTap(MapKind.SPATIAL)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.tap(x.mean(dim=1, keepdim=True).sigmoid())

    plug_in = Variant("halves", "Halves", "", "One weight.", r"y = \unknown{z} a x", (MapKind.SPATIAL,), Halves)
    told = follow(Halves(), torch.randn(1, 3, 4, 5))
    assert [(each.latex, each.source) for each in shown_symbols(plug_in, told)] == [("x", "x"), ("", "tap"), ("y", "y")]
    assert [step.label for step in told.steps] == [
        *("input", "mean over channels", "sigmoid", "weights: spatial, gate", "multiply", "output")
    ]
    assert "unknown" in formula(plug_in.formula)


@pytest.mark.parametrize("name", list_models())
def test_a_network_is_followed_by_its_parts(name: str) -> None:
    network = list_models()[name]
    side = max(32, -(-network.min_size // network.multiple) * network.multiple)
    torch.manual_seed(0)
    from attnlab.config import ModelConfig

    model = build_model(ModelConfig(backbone=name, width=max(network.width // 4, 8)), ImageShape(3, side, side), 10).eval()
    x = torch.randn(1, 3, side, side)
    path = network_path(model, x)
    with torch.no_grad():
        torch.testing.assert_close(path.values["y"], model(x)[0], rtol=1e-3, atol=1e-4)
    assert 5 <= len(path.steps) <= 80
    assert path.steps[-1].value.shape == (10,)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((16, 5, 4), ["channel", "row", "column"]),
        ((16, 1, 1), ["channel", "row", "column"]),
        ((1, 5, 4), ["other", "row", "column"]),
        ((3, 2, 2), ["other", "row", "column"]),
        ((5, 4), ["row", "column"]),
        ((16,), ["channel"]),
        ((1, 16), ["other", "channel"]),
        ((20, 20), ["position", "key"]),
        ((2, 20, 20), ["other", "position", "key"]),
        ((2, 20, 21), ["other", "position", "key"]),
        ((16, 20), ["channel", "position"]),
        ((80, 12), ["channel-row", "other"]),
        ((80, 4), ["channel-row", "column"]),
        ((2, 16, 1, 1), ["other", "channel", "row", "column"]),
        ((1,), ["other"]),
    ],
)
def test_the_sides_of_a_tensor_are_told_by_their_lengths(shape: tuple[int, ...], expected: list[str]) -> None:
    assert axes(shape, FEATURES) == expected


def test_a_tensor_is_shown_as_small_pictures() -> None:
    values = np.arange(20 * 3 * 2, dtype=np.float32).reshape(20, 3, 2)
    assert np.array_equal(panes(values), values[:16]) and pane_count(values.shape) == 20
    assert panes(np.ones((16, 1, 1), np.float32)).shape == (1, 1, 16) and pane_count((16, 1, 1)) == 1
    assert panes(np.ones((2, 4, 3, 2), np.float32)).shape == (8, 3, 2)


def test_a_formula_marks_its_parts_also_inside_one_another() -> None:
    text = formula(r"a = \sigma(\mathrm{f}(x)),\quad y = a_k \odot x'", [r"\mathrm{f}(x)", "x", "a", "x'"])
    found = re.findall(r'data-symbol="(\d)"', text)
    assert found == ["2", "0", "1", "2", "3", "1"]
    ET.fromstring(text)
    assert occurs("x' + y", "x'") and not occurs("x' + y", "z")


def test_symbols_are_read_from_the_registration() -> None:
    assert Symbol("a", "gate of the channel", "tap") in VARIANTS["eca"].symbols
