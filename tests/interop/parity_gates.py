"""Gates of the zoo beside independent evaluations of their references; see `tests.interop.parity_cases`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from timm.layers.coord_attn import CoordAttn
from timm.layers.gather_excite import GatherExcite
from timm.layers.global_context import GlobalContext
from timm.layers.mlp import ConvMlp
from torch import Tensor, nn

from attnlab.interop import gates
from tests.interop import independent_gates
from tests.interop.parity import Case, Reference, Size, block, functional, module

SIZES: tuple[Size, ...] = ((8, 8), (9, 7), (1, 1))
RESTATED = "restated from the paper and the description of {}"


def cases() -> Iterator[Case]:
    """All cases, in the order of the table."""
    yield from _moded()
    yield from _plain()
    yield from _of_timm()


def _case(
    name: str, source: str, run: Callable[..., Tensor], *, words: str = "", sizes: tuple[Size, ...] = SIZES, **options: object
) -> Case:
    """A variant with options beside a function of (x, state, train)."""
    rename = getattr(gates, f"{name}_name")
    return Case(
        f"{name}{words}", RESTATED.format(source), 64, sizes, block(name, **options), functional(run, rename, f"{name}.")
    )


def _moded() -> Iterator[Case]:
    """Those with batch norm."""
    yield _case("coordinate", "houqb/CoordAttention", independent_gates.coordinate)
    yield _case("bam", "Jongchan/attention-module", independent_gates.bam)
    as_paper = {"merge": "sum", "last_norm": True}
    words = ", merge sum, last_norm"
    yield _case(
        "bam",
        "Jongchan/attention-module, with the paper's two differences",
        partial(independent_gates.bam, **as_paper),
        words=words,
        **as_paper,
    )
    yield _case("triplet", "landskape-ai/triplet-attention", independent_gates.triplet)
    yield _case("triplet", "landskape-ai/triplet-attention", independent_gates.triplet, words=", spatial False", spatial=False)
    yield _case(
        "srm",
        "hyunjaelee410/style-based-recalibration-module; at 1 x 1 the standard deviation is that of no spread",
        independent_gates.srm,
    )
    for extent in (0, 4):
        yield _case(
            "gather_excite",
            "timm's module" if extent else "timm's module, but with one convolution as large as the map, as in the paper",
            partial(independent_gates.gather_excite, extent=extent),
            words=f", extent {extent}, learned",
            extent=extent,
            learned=True,
        )


def _plain() -> Iterator[Case]:
    """Those that do the same in both modes."""

    def case(name: str, source: str, run: Callable[..., Tensor], **more: object) -> Case:
        return _case(name, source, lambda x, state, train: run(x, state), **more)  # type: ignore[arg-type]

    for frequency_size in (7, 14):
        run = partial(independent_gates.fca, size=(frequency_size, frequency_size))
        sizes: tuple[Size, ...] = ((14, 14), (16, 10), (1, 1)) if frequency_size == 7 else ((14, 14),)
        words = f", dct_size {frequency_size}"
        yield case("fca", "cfzd/FcaNet", run, words=words, sizes=sizes, dct_size=frequency_size)
    for e_lambda in (1e-4, 1e-1):
        run = partial(lambda x, state, e_lambda: independent_gates.simam(x, e_lambda), e_lambda=e_lambda)
        yield case(
            "simam", "ZjjConan/SimAM; at 1 x 1 there is no spread", run, words=f", e_lambda {e_lambda:g}", e_lambda=e_lambda
        )
    for fusion, pooling in (("add", "attention"), ("scale", "attention"), ("both", "attention"), ("add", "mean")):
        words = f", fusion {fusion}, pooling {pooling}"
        yield case(
            "global_context", "xvjiarui/GCNet", independent_gates.global_context, words=words, fusion=fusion, pooling=pooling
        )
    yield case("scse", "segmentation_models.pytorch's SCSEModule", independent_gates.scse)
    for norm, options in {"l2": {}, "l1": {"norm": "l1"}, "l1 after relu": {"norm": "l1", "after_relu": True}}.items():
        yield case("gct", "z-x-yang/GCT", partial(independent_gates.gct, norm=norm), words=f", {norm}", **options)
    yield case("large_kernel", "Visual-Attention-Network/VAN-Classification", independent_gates.large_kernel)


def _of_timm() -> Iterator[Case]:
    yield Case(
        "coordinate, reduction 8, no bias",
        "timm's CoordAttn with rd_channels = 8, which by itself has 8 hidden units here, and no biases",
        64,
        SIZES,
        block("coordinate", reduction=8, bias=False),
        module(lambda ours: CoordAttn(64, rd_channels=8), _named("coordinate")),
    )
    for fusion, add, scale in (("add", True, False), ("scale", False, True), ("both", True, True)):
        yield Case(
            f"global_context, fusion {fusion}, reduction 8",
            "timm's GlobalContext with 1e-5 in its layer norm, where it has 1e-6",
            64,
            SIZES,
            block("global_context", fusion=fusion, reduction=8),
            partial(_global_context_of_timm, add=add, scale=scale),
        )
    for extent in (0, 2, 4):
        yield Case(
            f"gather_excite, extent {extent}",
            "timm's GatherExcite and its ConvMlp, put together here: its constructor fails with an MLP",
            64,
            SIZES,
            block("gather_excite", extent=extent),
            module(partial(_gather_excite_of_timm, extent=extent), _named("gather_excite")),
        )


def _named(name: str) -> Callable[[str], str]:
    """The public names of a variant, which timm shares."""
    rename = getattr(gates, f"{name}_name")
    return lambda ours: rename(None, ours.removeprefix(f"{name}."))


def _gather_excite_of_timm(ours: nn.Module, extent: int) -> nn.Module:
    theirs = GatherExcite(64, extent=extent, use_mlp=False)
    theirs.mlp = ConvMlp(64, 4)
    return theirs


def _global_context_of_timm(ours: nn.Module, *, add: bool, scale: bool) -> Reference:
    theirs = GlobalContext(64, fuse_add=add, fuse_scale=scale)
    for norm in (each for each in theirs.modules() if isinstance(each, nn.LayerNorm)):
        norm.eps = 1e-5
    parts = {"mask": "conv_attn", "add.0": "mlp_add.fc1", "add.1": "mlp_add.norm", "add.3": "mlp_add.fc2"}
    parts |= {
        f"scale.transform.{layer[4:]}": theirs.replace("add", "scale") for layer, theirs in parts.items() if "add" in layer
    }

    def name(our_name: str) -> str:
        layer, _, leaf = our_name.removeprefix("global_context.").rpartition(".")
        return f"{parts[layer]}.{leaf}"

    def change(name: str, value: Tensor) -> Tensor:
        return value.flatten() if ".1." in name else value  # of the layer norm

    return module(lambda ours: theirs, name, change)(ours)
