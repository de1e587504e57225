"""Parameter names in the published networks of Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", 2023."""

from __future__ import annotations

import re

from attnlab.attention.cbam import Cbam
from attnlab.interop._names import reference_names
from attnlab.interop.blocks import cbam_name
from attnlab.models.small_cnn import SmallCnn


@reference_names(SmallCnn)
def small_cnn_name(module: SmallCnn, name: str) -> str:
    """``blocks.0.attention1.eca.conv.weight`` -> ``layer1.eca1.conv.weight``, and so on.

    Where ECA precedes the spatial part of CBAM, the two are called ``att.ChannelGate`` and ``att.SpatialGate.spatial``.
    """
    if name.startswith("classifier."):
        _, index, leaf = name.split(".")
        return f"{'fc1' if index == '1' else 'fc2'}.{leaf}"
    if name.startswith("dead_block."):
        layer, inside = len(module.blocks) + 1, name.removeprefix("dead_block.")
    else:
        _, number, inside = name.split(".", 2)
        layer = int(number) + 1
    return f"layer{layer}.{_inside(module, inside)}"


def _inside(module: SmallCnn, name: str) -> str:
    match = re.fullmatch(r"attention(\d)\.(\w+)\.(.+)", name)
    if match is None:
        return name
    place, variant, rest = match.groups()
    if variant == "cbam":
        block = next(part for part in module.modules() if isinstance(part, Cbam))
        return f"att.{cbam_name(block, rest)}"
    if variant == "cbam_spatial":
        return f"att.SpatialGate.spatial.{rest}"
    if variant == "eca":
        hybrid = any("cbam_spatial" in path for path, _ in module.named_modules())
        return f"att.ChannelGate.{rest}" if hybrid else f"eca{place}.{rest}"
    return f"ae{place}.{rest}"
