"""The public blocks whose state dicts are recognised, and our block of the same size for each.

Their parameter names are told in `blocks`, `gates` and `mixing`; here is how a file is told from others, and how its shapes
become the arguments of our block. Options that no shape tells keep their published values, or are a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from attnlab.attention import get_attention
from attnlab.attention._layers import rounded_width
from attnlab.attention.fca import FREQUENCIES, cosine_filters
from attnlab.interop._reference import Choices, Reference, Weights, shape_of

TIMM = "https://github.com/huggingface/pytorch-image-models"
Size = tuple[int, int]
_ANY: Size = (1, 1)  # the size of the map says nothing about the weights
_HEADS = (1, 2, 4, 8, 16)

BLOCKS = (
    Reference(
        "cbam",
        "CBAM",
        "https://github.com/Jongchan/attention-module",
        ("ChannelGate.mlp.1.weight", "SpatialGate.spatial.conv.weight"),
        network=False,
    ),
    Reference(
        "sagan",
        "Self-attention of SAGAN",
        "https://github.com/heykeetae/Self-Attention-GAN",
        ("gamma", "query_conv.weight", "key_conv.weight", "value_conv.weight"),
        network=False,
    ),
    Reference("eca", "ECA", "https://github.com/BangguWu/ECANet", ("conv.weight",), network=False),
    Reference(
        "coordinate",
        "Coordinate attention",
        "https://github.com/houqb/CoordAttention",
        ("conv_h.weight", "conv_w.weight", "conv1.weight", "bn1.weight"),
        network=False,
    ),
    Reference(
        "bam",
        "BAM",
        "https://github.com/Jongchan/attention-module",
        ("channel_att.gate_c.gate_c_fc_0.weight", "spatial_att.gate_s.gate_s_conv_final.weight"),
        network=False,
    ),
    Reference(
        "triplet",
        "Triplet attention",
        "https://github.com/landskape-ai/triplet-attention",
        ("cw.conv.conv.weight", "hc.conv.conv.weight"),
        network=False,
        optional=("hw",),
    ),
    Reference(
        "srm",
        "Style-based recalibration",
        "https://github.com/hyunjaelee410/style-based-recalibration-module",
        ("cfc", "bn.weight"),
        network=False,
    ),
    Reference(
        "fca",
        "Frequency channel attention",
        "https://github.com/cfzd/FcaNet",
        ("fc.0.weight", "fc.2.weight"),
        network=False,
        choices={"frequencies": ("top16", *(f"{table}{n}" for table in FREQUENCIES for n in (1, 2, 4, 8, 16, 32)))},
        optional=("dct_layer",),
    ),
    Reference(
        "gct",
        "Gated channel transformation",
        "https://github.com/z-x-yang/GCT",
        ("alpha", "gamma", "beta"),
        network=False,
        choices={"norm": ("l2", "l1")},
    ),
    Reference(
        "global_context",
        "Global context",
        "https://github.com/xvjiarui/GCNet",
        ("channel_add_conv.0.weight", "channel_add_conv.3.weight"),
        network=False,
        optional=("conv_mask", "channel_mul_conv"),
    ),
    Reference(
        "global_context",
        "Global context",
        "https://github.com/xvjiarui/GCNet",
        ("channel_mul_conv.0.weight", "channel_mul_conv.3.weight"),
        network=False,
        optional=("conv_mask",),
    ),
    Reference(
        "scse",
        "scSE",
        "https://github.com/qubvel-org/segmentation_models.pytorch",
        ("cSE.1.weight", "cSE.3.weight", "sSE.0.weight"),
        network=False,
    ),
    Reference(
        "large_kernel",
        "Large kernel attention",
        "https://github.com/Visual-Attention-Network/VAN-Classification",
        ("conv_spatial.weight", "conv0.weight", "conv1.weight"),
        network=False,
    ),
    Reference(
        "gather_excite",
        "Gather-Excite",
        TIMM,
        ("mlp.fc1.weight", "mlp.fc2.weight"),
        network=False,
        choices={"extent": ("0", "2", "4", "8")},
        optional=("gather",),
    ),
    Reference(
        "selective_kernel",
        "Selective kernel",
        TIMM,
        ("attn.fc_select.weight", "attn.fc_reduce.weight", "paths.0.conv.weight"),
        network=False,
        choices={"split_input": ("yes", "no")},
    ),
    Reference(
        "split_attention",
        "Split attention",
        TIMM,
        ("fc2.weight", "fc1.weight", "conv.weight"),
        network=False,
        optional=("bn0", "bn1"),
    ),
    Reference(
        "bottleneck",
        "Bottleneck self-attention",
        TIMM,
        ("pos_embed.height_rel", "pos_embed.width_rel", "qkv.weight"),
        network=False,
    ),
    Reference(
        "halo",
        "Halo attention",
        TIMM,
        ("pos_embed.height_rel", "pos_embed.width_rel", "q.weight", "kv.weight"),
        network=False,
        choices={"block": ("8", "4", "2")},
    ),
    Reference(
        "non_local",
        "Non-local block",
        TIMM,
        ("t.weight", "p.weight", "g.weight", "z.weight", "norm.weight"),
        network=False,
    ),
    Reference(
        "external",
        "External attention",
        "https://github.com/MenghaoGuo/EANet",
        ("linear_0.weight", "linear_1.weight", "conv1.weight", "conv2.0.weight"),
        network=False,
    ),
    Reference(
        "double_attention",
        "Double attention",
        "https://github.com/xmu-xiaoma666/External-Attention-pytorch",
        ("convA.weight", "convB.weight", "convV.weight", "conv_reconstruct.weight"),
        network=False,
        choices={"distribution": ("positions", "descriptors"), "residual": ("no", "yes")},
    ),
    Reference(
        "dual",
        "Dual attention",
        "https://github.com/junfu1115/DANet",
        ("sa.query_conv.weight", "sa.value_conv.weight", "sc.gamma"),
        network=False,
        choices={"channel_scores": ("reversed", "plain")},
    ),
)


def build_block(reference: Reference, weights: Weights, choices: Choices) -> nn.Module:
    """Our block of the size of a public one.

    Raises:
        ValueError: for shapes that no such block has.
    """
    variant, arguments, options = _ARGUMENTS[reference.name](weights, choices)
    return get_attention(variant).block(*arguments, **options)


_Built = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Our variant, the arguments of its class, and its options."""


def _hidden(units: int, channels: int) -> dict[str, int]:
    """The options with which a bottleneck of ``channels // reduction`` units has exactly so many."""
    return {"reduction": channels, "min_hidden": units}


def _eca(weights: Weights, choices: Choices) -> _Built:
    *_, kernel = shape_of(weights, "conv.weight", 3)
    return "eca", (1, _ANY), {"kernel_size": kernel}


def _cbam(weights: Weights, choices: Choices) -> _Built:
    hidden, channels = shape_of(weights, "ChannelGate.mlp.1.weight", 2)
    *_, kernel = shape_of(weights, "SpatialGate.spatial.conv.weight", 4)
    return "cbam", (channels, _ANY), {**_hidden(hidden, channels), "kernel_size": kernel}


def _sagan(weights: Weights, choices: Choices) -> _Built:
    narrow, channels, *_ = shape_of(weights, "query_conv.weight", 4)
    return "self_attention", (channels, _ANY), _hidden(narrow, channels)


def _coordinate(weights: Weights, choices: Choices) -> _Built:
    hidden, channels, *_ = shape_of(weights, "conv1.weight", 4)
    return (
        "coordinate",
        (channels, _ANY),
        {**_hidden(hidden, channels), "bias": any(name.startswith("conv") and name.endswith(".bias") for name in weights)},
    )


def _bam(weights: Weights, choices: Choices) -> _Built:
    hidden, channels = shape_of(weights, "channel_att.gate_c.gate_c_fc_0.weight", 2)
    return "bam", (channels, _ANY), _hidden(hidden, channels)


def _triplet(weights: Weights, choices: Choices) -> _Built:
    *_, kernel = shape_of(weights, "cw.conv.conv.weight", 4)
    return "triplet", (1, _ANY), {"kernel_size": kernel, "spatial": any(name.startswith("hw.") for name in weights)}


def _srm(weights: Weights, choices: Choices) -> _Built:
    channels, _ = shape_of(weights, "cfc", 2)
    return "srm", (channels, _ANY), {}


def _fca(weights: Weights, choices: Choices) -> _Built:
    hidden, channels = shape_of(weights, "fc.0.weight", 2)
    options = {**_hidden(hidden, channels), "frequencies": choices["frequencies"], "dct_size": 7}
    if "dct_layer.weight" in weights:  # the file holds its filters: they tell the frequencies
        _, height, width = shape_of(weights, "dct_layer.weight", 3)
        stored = weights["dct_layer.weight"].double()
        if stored.shape[0] != channels or height != width:
            raise ValueError(f"dct_layer.weight has shape {tuple(stored.shape)}; ({channels}, side, side) is expected")
        names = [f"{table}{n}" for table in FREQUENCIES for n in (1, 2, 4, 8, 16, 32) if n <= channels]
        same = [n for n in names if torch.allclose(cosine_filters(n, channels, (height, width)).double(), stored, atol=1e-5)]
        options |= {"frequencies": same[0] if same else choices["frequencies"], "dct_size": height}
    return "fca", (channels, _ANY), options


def _gct(weights: Weights, choices: Choices) -> _Built:
    _, channels, *_ = shape_of(weights, "alpha", 4)
    return "gct", (channels, _ANY), {"norm": choices["norm"]}


def _global_context(weights: Weights, choices: Choices) -> _Built:
    adds, scales = ("channel_add_conv.0.weight" in weights, "channel_mul_conv.0.weight" in weights)
    hidden, channels, *_ = shape_of(weights, "channel_add_conv.0.weight" if adds else "channel_mul_conv.0.weight", 4)
    fusion = "both" if adds and scales else "add" if adds else "scale"
    pooling = "attention" if any(name.startswith("conv_mask.") for name in weights) else "mean"
    return "global_context", (channels, _ANY), {**_hidden(hidden, channels), "fusion": fusion, "pooling": pooling}


def _scse(weights: Weights, choices: Choices) -> _Built:
    hidden, channels, *_ = shape_of(weights, "cSE.1.weight", 4)
    return "scse", (channels, _ANY), _hidden(hidden, channels)


def _large_kernel(weights: Weights, choices: Choices) -> _Built:
    channels, _, side, _ = shape_of(weights, "conv_spatial.weight", 4)
    return "large_kernel", (channels, _ANY), {"kernel_size": 3 * side}


def _gather_excite(weights: Weights, choices: Choices) -> _Built:
    hidden, channels, *_ = shape_of(weights, "mlp.fc1.weight", 4)
    options = {**_hidden(hidden, channels), "extent": int(choices["extent"])}
    if "gather.conv1.weight" not in weights:
        return "gather_excite", (channels, _ANY), options
    *_, height, width = shape_of(weights, "gather.conv1.weight", 4)
    layers = sum(name.startswith("gather.conv") and name.endswith(".weight") for name in weights)
    whole = (height, width) != (3, 3)
    return "gather_excite", (channels, (height, width)), {**options, "learned": True, "extent": 0 if whole else 2**layers}


def _selective_kernel(weights: Weights, choices: Choices) -> _Built:
    branches = sum(name.startswith("paths.") and name.endswith(".conv.weight") for name in weights)
    shares = [shape_of(weights, f"paths.{number}.conv.weight", 4) for number in range(branches)]
    hidden, channels_out, *_ = shape_of(weights, "attn.fc_reduce.weight", 4)
    split = choices["split_input"] == "yes"
    fitting = (number for number in range(1, channels_out + 1) if rounded_width(channels_out / number) == hidden)
    options = {"branches": branches, "split_input": split, "dilated": shares[-1][2] == 3, "reduction": next(fitting, 16)}
    channels_in = sum(share[1] for share in shares) if split else shares[0][1]
    return "selective_kernel", (channels_in, channels_out, _ANY), options


def _split_attention(weights: Weights, choices: Choices) -> _Built:
    hidden, group_out, *_ = shape_of(weights, "fc1.weight", 4)
    _, group_hidden, *_ = shape_of(weights, "fc2.weight", 4)
    splits, group_in, *_ = shape_of(weights, "conv.weight", 4)
    groups = max(1, hidden // group_hidden)
    channels_out = group_out * groups
    radix = max(1, splits // channels_out)
    options = {"radix": radix, "groups": groups, "batch_norm": "bn0.weight" in weights}
    return "split_attention", (group_in * groups * radix, channels_out, _ANY), options


def _bottleneck(weights: Weights, choices: Choices) -> _Built:
    rows, width = shape_of(weights, "pos_embed.height_rel", 2)
    columns, _ = shape_of(weights, "pos_embed.width_rel", 2)
    total, channels_in, *_ = shape_of(weights, "qkv.weight", 4)
    for heads in _HEADS:
        channels_out = total - 2 * width * heads
        if channels_out > 0 and channels_out % heads == 0 and rounded_width(channels_out) // heads == width:
            return "bottleneck", (channels_in, channels_out, ((rows + 1) // 2, (columns + 1) // 2)), {"heads": heads}
    raise ValueError(f"no number of heads ({', '.join(map(str, _HEADS))}) fits qkv.weight and pos_embed.height_rel")


def _halo(weights: Weights, choices: Choices) -> _Built:
    table, width = shape_of(weights, "pos_embed.height_rel", 2)
    queries, channels_in, *_ = shape_of(weights, "q.weight", 4)
    total, *_ = shape_of(weights, "kv.weight", 4)
    window, block = (table + 1) // 2, int(choices["block"])
    if window < block or (window - block) % 2:
        raise ValueError(f"pos_embed.height_rel belongs to windows of {window}, which a block of {block} cannot have")
    options = {"heads": max(1, queries // width), "block": block, "halo": (window - block) // 2}
    return "halo", (channels_in, total - queries, _ANY), options


def _non_local(weights: Weights, choices: Choices) -> _Built:
    hidden, channels, *_ = shape_of(weights, "t.weight", 4)
    fitting = (number for number in range(1, channels + 1) if rounded_width(channels / number) == hidden)
    return "non_local", (channels, _ANY), {"reduction": next(fitting, 8)}


def _external(weights: Weights, choices: Choices) -> _Built:
    slots, channels, *_ = shape_of(weights, "linear_0.weight", 3)
    return "external", (channels, _ANY), {"slots": slots}


def _double_attention(weights: Weights, choices: Choices) -> _Built:
    width, channels, *_ = shape_of(weights, "convA.weight", 4)
    options = {"reduction": max(1, channels // width), "distribution": choices["distribution"]}
    return "double_attention", (channels, _ANY), {**options, "residual": choices["residual"] == "yes"}


def _dual(weights: Weights, choices: Choices) -> _Built:
    narrow, channels, *_ = shape_of(weights, "sa.query_conv.weight", 4)
    options = {"reduction": max(1, channels // narrow), "channel_scores": choices["channel_scores"]}
    return "dual", (channels, _ANY), options


_ARGUMENTS: Mapping[str, Callable[[Weights, Choices], _Built]] = {
    "eca": _eca,
    "cbam": _cbam,
    "sagan": _sagan,
    "coordinate": _coordinate,
    "bam": _bam,
    "triplet": _triplet,
    "srm": _srm,
    "fca": _fca,
    "gct": _gct,
    "global_context": _global_context,
    "scse": _scse,
    "large_kernel": _large_kernel,
    "gather_excite": _gather_excite,
    "selective_kernel": _selective_kernel,
    "split_attention": _split_attention,
    "bottleneck": _bottleneck,
    "halo": _halo,
    "non_local": _non_local,
    "external": _external,
    "double_attention": _double_attention,
    "dual": _dual,
}
