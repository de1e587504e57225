"""Parameter names in the public code of the gates: those of the papers' repositories, named with each function, else timm's or
those of segmentation_models.pytorch.
"""

from __future__ import annotations

from attnlab.attention.bam import BottleneckAttentionModule
from attnlab.attention.coordinate import CoordinateAttention
from attnlab.attention.fca import FrequencyChannelAttention
from attnlab.attention.gather_excite import GatherExcite
from attnlab.attention.gct import GatedChannelTransformation
from attnlab.attention.global_context import GlobalContext
from attnlab.attention.large_kernel import LargeKernelAttention
from attnlab.attention.scse import ConcurrentSqueezeExcite
from attnlab.attention.simam import SimAM
from attnlab.attention.srm import StyleRecalibration
from attnlab.attention.triplet import TripletAttention
from attnlab.interop._names import reference_names, renamed

_COORDINATE = {"conv": "conv1", "bn": "bn1", "rows.conv": "conv_h", "columns.conv": "conv_w"}
_BAM = {
    "channel.0": "channel_att.gate_c.gate_c_fc_0",
    "channel.1": "channel_att.gate_c.gate_c_bn_1",
    "channel.3": "channel_att.gate_c.gate_c_fc_final",
    "spatial.0": "spatial_att.gate_s.gate_s_conv_reduce0",
    "spatial.1": "spatial_att.gate_s.gate_s_bn_reduce0",
    "spatial.3": "spatial_att.gate_s.gate_s_conv_di_0",
    "spatial.4": "spatial_att.gate_s.gate_s_bn_di_0",
    "spatial.6": "spatial_att.gate_s.gate_s_conv_di_1",
    "spatial.7": "spatial_att.gate_s.gate_s_bn_di_1",
    "spatial.9": "spatial_att.gate_s.gate_s_conv_final",
}
_SCSE = {"channel.mlp.0": "cSE.1", "channel.mlp.2": "cSE.3", "spatial.conv": "sSE.0"}
_LARGE_KERNEL = {"near": "conv0", "far": "conv_spatial", "mix": "conv1"}
_CONTEXT = {"mask": "conv_mask", "add": "channel_add_conv", "transform": "channel_mul_conv"}
_PLANES = {"columns": "cw", "rows": "hc", "positions": "hw"}


@reference_names(CoordinateAttention)
def coordinate_name(module: CoordinateAttention, name: str) -> str:
    """houqb/CoordAttention: ``rows.conv.weight`` -> ``conv_h.weight``; timm has the same names."""
    return renamed(name, _COORDINATE)


@reference_names(BottleneckAttentionModule)
def bam_name(module: BottleneckAttentionModule, name: str) -> str:
    """Jongchan/attention-module, which has no batch norm at the end of its branches."""
    return renamed(name, _BAM)


@reference_names(TripletAttention)
def triplet_name(module: TripletAttention, name: str) -> str:
    """landskape-ai/triplet-attention: ``rows.bn.weight`` -> ``hc.conv.bn.weight``."""
    plane, _, rest = name.partition(".")
    return f"{_PLANES[plane]}.conv.{rest}"


@reference_names(StyleRecalibration)
def srm_name(module: StyleRecalibration, name: str) -> str:
    """hyunjaelee410/style-based-recalibration-module."""
    return "cfc" if name == "style" else name


@reference_names(FrequencyChannelAttention, constants={"dct_layer.weight": "filters"})
def fca_name(module: FrequencyChannelAttention, name: str) -> str:
    """cfzd/FcaNet: ``mlp.0.weight`` -> ``fc.0.weight``. It stores its filters, which ours computes."""
    return name.replace("mlp.", "fc.")


@reference_names(GlobalContext)
def global_context_name(module: GlobalContext, name: str) -> str:
    """xvjiarui/GCNet: ``scale.transform.0.weight`` -> ``channel_mul_conv.0.weight``."""
    part, _, rest = name.removeprefix("scale.").partition(".")
    return f"{_CONTEXT[part]}.{rest}"


@reference_names(ConcurrentSqueezeExcite)
def scse_name(module: ConcurrentSqueezeExcite, name: str) -> str:
    """segmentation_models.pytorch: ``channel.mlp.0.weight`` -> ``cSE.1.weight``."""
    return renamed(name, _SCSE)


@reference_names(LargeKernelAttention)
def large_kernel_name(module: LargeKernelAttention, name: str) -> str:
    """Visual-Attention-Network/VAN-Classification: ``near.weight`` -> ``conv0.weight``."""
    return renamed(name, _LARGE_KERNEL)


@reference_names(GatherExcite)
def gather_excite_name(module: GatherExcite, name: str) -> str:
    """timm: ``mlp.0.weight`` -> ``mlp.fc1.weight``, ``gather.3.weight`` -> ``gather.conv2.weight``."""
    part, number, rest = name.split(".", 2)
    at = int(number)
    if part == "mlp":
        return f"mlp.fc{1 if at == 0 else 2}.{rest}"
    return f"gather.{'conv' if at % 3 == 0 else 'norm'}{at // 3 + 1}.{rest}"


@reference_names(GatedChannelTransformation)
def gct_name(module: GatedChannelTransformation, name: str) -> str:
    """z-x-yang/GCT: the names are the same."""
    return name


@reference_names(SimAM)
def simam_name(module: SimAM, name: str) -> str:
    """ZjjConan/SimAM: it has no parameters."""
    return name
