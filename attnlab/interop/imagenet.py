"""torchvision's ImageNet weights for the networks that share its features, downloaded or read only on request."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from urllib.error import URLError

from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, VGG16_BN_Weights

from attnlab.interop.checkpoint import open_checkpoint
from attnlab.models.attention_vgg16 import AttentionVgg16
from attnlab.models.resnet import ResNet18

_FIRST_OF_BLOCK = tuple(accumulate((7, 7, 10, 10), initial=0))  # index in vgg16_bn.features, pooling included


class WeightsUnavailable(ValueError):
    """The weights cannot be loaded, or do not fit; the message says what to do."""


def start_weights(model: nn.Module) -> None:
    """Loads the weights that a network's ``pretrained`` option names; does nothing for ``"none"`` or without the option.

    Raises:
        WeightsUnavailable: as `load_imagenet_features`.
        CheckpointRefused: when a weights file is not safe to open.
    """
    wanted = getattr(model, "pretrained", "none")
    if wanted != "none":
        load_imagenet_features(model, None if wanted == "imagenet" else wanted)


def load_imagenet_features(model: nn.Module, path: str | os.PathLike[str] | None = None) -> None:
    """Copies the features of torchvision's vgg16_bn or resnet18, trained on ImageNet, into ``model``, in place.

    Attention, mixers and classifier keep their weights. For images of one channel the first convolution is summed over its
    three input channels, which gives the same result as a grey image repeated three times.

    Args:
        model: `AttentionVgg16` or `ResNet18` of width 64.
        path: a weights file as torchvision distributes it (.pth), or as safetensors; by default it is downloaded to torch's
            cache.

    Raises:
        WeightsUnavailable: for another network or width, a failed download, or a file with other weights.
        CheckpointRefused: when the file is not safe to open.
    """
    source = next((entry for kind, entry in _SOURCES.items() if isinstance(model, kind)), None)
    if source is None:
        raise WeightsUnavailable(f"no ImageNet weights fit {type(model).__name__}; there are some for VGG16 and ResNet-18")
    weights, theirs, title = source
    stored = _download(weights, title) if path is None else open_checkpoint(path)
    ours = {name: value for name, value in model.state_dict().items() if theirs(name) is not None}
    features: dict[str, Tensor] = {}
    for name, value in ours.items():
        wanted = theirs(name)
        weight = stored.get(str(wanted))
        if weight is None:
            raise WeightsUnavailable(f"the weights are not those of torchvision's {title}: {wanted} is missing")
        if weight.dim() == 4 and value.shape[1] == 1 and weight.shape[1] == 3:
            weight = weight.sum(dim=1, keepdim=True)
        if weight.shape != value.shape:
            raise WeightsUnavailable(
                f"ImageNet weights fit width 64 and images of one or three channels only: {wanted} is "
                f"{tuple(weight.shape)}, this network's is {tuple(value.shape)}"
            )
        features[name] = weight
    model.load_state_dict(features, strict=False)


def _download(weights: VGG16_BN_Weights | ResNet18_Weights, title: str) -> Mapping[str, Tensor]:
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the file has another hash
        raise WeightsUnavailable(
            f"the ImageNet weights of {title} could not be downloaded ({error}). Download {weights.url} on a machine with "
            "internet access and give the path of the file instead of 'imagenet'."
        ) from error


def _vgg_name(name: str) -> str | None:
    match = re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)", name)
    return match and f"features.{_FIRST_OF_BLOCK[int(match[1])] + int(match[2])}.{match[3]}"


def _resnet_name(name: str) -> str | None:
    mixer = "conv2." in name and not name.endswith("conv2.weight")
    if name.startswith("fc.") or "attention" in name or mixer:
        return None
    return name.removeprefix("stem.")


_SOURCES: dict[type[nn.Module], tuple[VGG16_BN_Weights | ResNet18_Weights, Callable[[str], str | None], str]] = {
    AttentionVgg16: (VGG16_BN_Weights.IMAGENET1K_V1, _vgg_name, "vgg16_bn"),
    ResNet18: (ResNet18_Weights.IMAGENET1K_V1, _resnet_name, "resnet18"),
}
