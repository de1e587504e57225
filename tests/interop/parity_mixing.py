"""Blocks that mix positions, branches or channels beside independent evaluations; see `tests.interop.parity_cases`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from timm.layers.bottleneck_attn import BottleneckAttn
from timm.layers.halo_attn import HaloAttn
from timm.layers.non_local_attn import NonLocalAttn
from timm.layers.selective_kernel import SelectiveKernel
from timm.layers.split_attn import SplitAttn
from torch import nn

from attnlab.attention import build_mixer
from attnlab.interop import mixing
from tests.interop import independent_mixing
from tests.interop.parity import Case, Reference, Size, block, functional, module

SIZES: tuple[Size, ...] = ((8, 8), (9, 7), (1, 1))


def cases() -> Iterator[Case]:
    """All cases, in the order of the table."""
    yield from _branches()
    yield from _positions()
    yield from _restated()


def _branches() -> Iterator[Case]:
    for options, theirs in (
        ({}, {}),
        (
            {"branches": 3, "split_input": False, "reduction": 4},
            {"kernel_size": [3, 5, 7], "split_input": False, "rd_ratio": 0.25},
        ),
        ({"dilated": False}, {"keep_3x3": False}),
    ):
        yield Case(
            _called("selective_kernel", options),
            "timm.layers.SelectiveKernel",
            24,
            SIZES,
            _mixer("selective_kernel", options),
            _timm(partial(SelectiveKernel, 24, 40, **theirs), "selective_kernel", mixing.selective_kernel_name),
        )
    for options, theirs in (
        ({}, {}),
        ({"radix": 4, "groups": 2, "batch_norm": True}, {"radix": 4, "groups": 2, "norm_layer": nn.BatchNorm2d}),
    ):
        yield Case(
            _called("split_attention", options),
            "timm.layers.SplitAttn" + (" with BatchNorm2d" if options else ""),
            24,
            SIZES,
            _mixer("split_attention", options),
            _timm(partial(SplitAttn, 24, 40, **theirs), "split_attention", mixing.split_attention_name),
        )


def _positions() -> Iterator[Case]:
    for options, theirs in (({}, {}), ({"heads": 2, "scaled_positions": True}, {"num_heads": 2, "scale_pos_embed": True})):
        yield Case(
            _called("bottleneck", options),
            "timm.layers.BottleneckAttn",
            24,
            SIZES,
            _mixer("bottleneck", options),
            lambda ours, theirs=theirs: _timm(
                partial(BottleneckAttn, 24, 40, feat_size=ours.get_submodule("bottleneck").size, **theirs),
                "bottleneck",
                mixing.relative_position_name,
            )(ours),
        )
    small = {"heads": 2, "block": 4, "halo": 2, "scaled_positions": True}
    for options, theirs in (({}, {}), (small, {"num_heads": 2, "block_size": 4, "halo_size": 2, "scale_pos_embed": True})):
        yield Case(
            _called("halo", options),
            "timm.layers.HaloAttn, which takes multiples of the block only",
            24,
            ((8, 8), (16, 8)),
            _mixer("halo", options),
            _timm(partial(HaloAttn, 24, 40, **theirs), "halo", mixing.relative_position_name),
        )
    yield Case(
        "halo, heads 2, block 4, halo 1, other sizes",
        "restated from the description of timm.layers.HaloAttn, query by query, with zeros beyond the map",
        4,
        ((5, 6), (1, 1)),
        lambda size: build_mixer("halo", 4, 6, size, {"halo": {"heads": 2, "block": 4, "halo": 1}}),
        functional(partial(independent_mixing.halo, heads=2, block=4, halo=1), mixing.relative_position_name, "halo."),
    )
    half: dict[str, Any] = {"rd_ratio": 0.5, "use_scale": False}
    for options, theirs in (({}, {}), ({"reduction": 2, "scaled": False}, half)):
        yield Case(
            _called("non_local", options),
            "timm.layers.NonLocalAttn",
            24,
            SIZES,
            block("non_local", channels=24, **options),
            _timm(partial(NonLocalAttn, 24, **theirs), "non_local", mixing.non_local_name),
        )


def _restated() -> Iterator[Case]:
    sizes: tuple[Size, ...] = ((4, 4), (5, 3), (1, 1))
    yield Case(
        "external, slots 8",
        "restated from the paper and the description of MenghaoGuo/EANet, position by position",
        6,
        sizes,
        block("external", channels=6, slots=8),
        functional(independent_mixing.external, mixing.external_name, "external."),
    )
    for distribution in ("descriptors", "positions"):
        descriptors = distribution == "descriptors"
        yield Case(
            f"double_attention, over {distribution}" + ("" if descriptors else ", residual False"),
            "restated from the paper, position by position"
            if descriptors
            else "restated from the description of public ports, position by position",
            6,
            sizes,
            block("double_attention", channels=6, reduction=2, distribution=distribution, residual=descriptors),
            functional(
                partial(independent_mixing.double_attention, over_descriptors=descriptors, residual=descriptors),
                mixing.double_attention_name,
                "double_attention.",
            ),
        )
    for scores in ("reversed", "plain"):
        yield Case(
            f"dual, channel_scores {scores}",
            "restated from "
            + ("the description of DANet's code" if scores == "reversed" else "the paper")
            + ", position by position, without the convolutions around it",
            6,
            sizes,
            block("dual", channels=6, reduction=2, channel_scores=scores),
            functional(partial(independent_mixing.dual, reversed_scores=scores == "reversed"), mixing.dual_name, "dual."),
        )


def _called(name: str, options: dict[str, Any]) -> str:
    return ", ".join([name, *(f"{option} {value}" for option, value in options.items())])


def _mixer(name: str, options: dict[str, Any]) -> Callable[[Size], nn.Module]:
    """A mixer from 24 to 40 channels."""
    return lambda size: build_mixer(name, 24, 40, size, {name: options})


def _timm(make: Callable[[], nn.Module], name: str, rename: Callable[[Any, str], str]) -> Callable[[nn.Module], Reference]:
    return module(lambda ours: make(), lambda ours: rename(None, ours.removeprefix(f"{name}.")))
