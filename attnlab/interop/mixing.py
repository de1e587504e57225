"""Parameter names of the blocks that mix positions, branches or channels: in timm for selective kernel, split attention,
bottleneck, halo and non-local; in MenghaoGuo/EANet, public ports of double attention, and DANet for the others.
"""

from __future__ import annotations

from attnlab.attention.bottleneck import BottleneckAttention
from attnlab.attention.double_attention import DoubleAttention
from attnlab.attention.dual import DualAttention
from attnlab.attention.external import ExternalAttention
from attnlab.attention.halo import HaloAttention
from attnlab.attention.non_local import NonLocal
from attnlab.attention.selective_kernel import SelectiveKernel
from attnlab.attention.split_attention import SplitAttention
from attnlab.interop._names import reference_names, renamed

_NON_LOCAL = {"query": "t", "key": "p", "value": "g", "output": "z", "bn": "norm"}
_EXTERNAL = {"input": "conv1", "key_memory": "linear_0", "value_memory": "linear_1", "output": "conv2.0", "bn": "conv2.1"}
_DOUBLE = {"features": "convA", "gather_scores": "convB", "distribute_scores": "convV", "output": "conv_reconstruct"}


@reference_names(SelectiveKernel)
def selective_kernel_name(module: SelectiveKernel, name: str) -> str:
    """``branches.0.conv.weight`` -> ``paths.0.conv.weight``, ``reduce.weight`` -> ``attn.fc_reduce.weight``."""
    if name.startswith("branches."):
        return f"paths.{name.removeprefix('branches.')}"
    return f"attn.fc_{name}" if name.startswith(("reduce", "select")) else f"attn.{name}"


@reference_names(SplitAttention)
def split_attention_name(module: SplitAttention, name: str) -> str:
    """The names are the same."""
    return name


@reference_names(BottleneckAttention)
@reference_names(HaloAttention)
def relative_position_name(module: BottleneckAttention | HaloAttention, name: str) -> str:
    """``height_rel`` -> ``pos_embed.height_rel``; the convolutions keep their names."""
    return f"pos_embed.{name}" if name.endswith("_rel") else name


@reference_names(NonLocal)
def non_local_name(module: NonLocal, name: str) -> str:
    """``query.weight`` -> ``t.weight``, and so on."""
    return renamed(name, _NON_LOCAL)


@reference_names(ExternalAttention)
def external_name(module: ExternalAttention, name: str) -> str:
    """``key_memory.weight`` -> ``linear_0.weight``, and so on."""
    return renamed(name, _EXTERNAL)


@reference_names(DoubleAttention)
def double_attention_name(module: DoubleAttention, name: str) -> str:
    """``features.weight`` -> ``convA.weight``, and so on."""
    return renamed(name, _DOUBLE)


@reference_names(DualAttention)
def dual_name(module: DualAttention, name: str) -> str:
    """``position.query.weight`` -> ``sa.query_conv.weight``, ``channel.gamma`` -> ``sc.gamma``."""
    part, layer, *leaf = name.split(".")
    return f"{'sa' if part == 'position' else 'sc'}.{layer}{f'_conv.{leaf[0]}' if leaf else ''}"
