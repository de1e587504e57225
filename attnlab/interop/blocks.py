"""Parameter names in the reference code of the blocks: ECA (BangguWu/ECANet), CBAM (Jongchan/attention-module) and
self-attention (heykeetae/Self-Attention-GAN).
"""

from __future__ import annotations

from attnlab.attention.cbam import Cbam
from attnlab.attention.eca import Eca
from attnlab.attention.self_attention import SelfAttention
from attnlab.interop._names import reference_names

_CBAM = {
    "channel.mlp.0.": "ChannelGate.mlp.1.",  # in the reference the MLP begins with a flatten layer
    "channel.mlp.2.": "ChannelGate.mlp.3.",
    "spatial.conv.": "SpatialGate.spatial.conv.",
    "spatial.bn.": "SpatialGate.spatial.bn.",
}


@reference_names(Eca)
def eca_name(module: Eca, name: str) -> str:
    """The names are the same."""
    return name


@reference_names(Cbam)
def cbam_name(module: Cbam, name: str) -> str:
    """``channel.mlp.0.weight`` -> ``ChannelGate.mlp.1.weight``, and so on."""
    prefix = next(prefix for prefix in _CBAM if name.startswith(prefix))
    return _CBAM[prefix] + name.removeprefix(prefix)


@reference_names(SelfAttention)
def self_attention_name(module: SelfAttention, name: str) -> str:
    """``query.weight`` -> ``query_conv.weight``; gamma keeps its name."""
    layer, dot, rest = name.partition(".")
    return f"{layer}_conv.{rest}" if dot else name
