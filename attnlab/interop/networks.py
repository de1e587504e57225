"""Parameter names in the reference networks with guided attention: SaoYan/LearnToPayAttention and, for VGG16 with two
gates, the article "Image Classification with Attention", which follows SaoYan/IPMI2019-AttnMel.
"""

from __future__ import annotations

from attnlab.interop._names import reference_names
from attnlab.models.attention_vgg16 import GATES, AttentionVgg16
from attnlab.models.pay_attention_vgg import DEPTHS, PayAttentionVgg

_GATE_LAYERS = {"local": "W_l", "guide": "W_g", "score": "phi"}


@reference_names(PayAttentionVgg)
def pay_attention_name(module: PayAttentionVgg, name: str) -> str:
    """``block3.4.weight`` -> ``conv_block3.op.4.weight``, ``attend.layer10.score.weight`` -> ``attn2.op.weight``."""
    part, _, rest = name.partition(".")
    if part.startswith("block"):
        return f"conv_{part}.op.{rest}"
    if part == "attend":
        depth, layer, leaf = rest.split(".")
        return f"projector.op.{leaf}" if layer == "projector" else f"attn{DEPTHS.index(depth) + 1}.op.{leaf}"
    if part == "classifiers":
        return f"classify.{rest.removeprefix('0.')}"
    return name


@reference_names(AttentionVgg16)
def attention_vgg16_name(module: AttentionVgg16, name: str) -> str:
    """``blocks.0.3.bias`` -> ``conv_block1.3.bias``, ``head.gates.pool4.guide.weight`` -> ``attn2.W_g.weight``."""
    part, *rest = name.split(".")
    if part == "blocks":
        return f"conv_block{int(rest[0]) + 1}.{'.'.join(rest[1:])}"
    if rest[0] == "gates":
        _, gate, layer, leaf = rest
        return f"attn{GATES.index(gate) + 1}.{_GATE_LAYERS[layer]}.{leaf}"
    return f"cls.{rest[-1]}"
