"""Recognises the reference implementation of a state dict by its names and shapes, and builds our module with its weights.

Shapes do not determine everything: where Learn To Pay Attention takes its local maps (``pooling``) and how scores become
weights (``normalize``) are choices. By default they are those of the reference's code (its constructors for ``normalize``,
its training script for ``pooling``), with a warning, because a wrong choice loads without an error and gives other logits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from attnlab.config import ModelConfig
from attnlab.interop._names import load_reference
from attnlab.interop._reference import Choices, Reference, UnknownReference, Weights, shape_of
from attnlab.interop.block_references import BLOCKS, build_block
from attnlab.interop.transformers import TRANSFORMERS, cct_config, vit_config
from attnlab.models import ImageShape, build_model

REFERENCES: tuple[Reference, ...] = (
    Reference(
        "report",
        "Network of the report",
        "Madmoni and Ben-Or, Attention Mechanisms for Image Classification, course report, 2023",
        ("layer1.conv1.weight", "layer2.conv2.weight", "fc1.weight", "fc2.weight"),
    ),
    Reference(
        "l2pa",
        "Learn To Pay Attention",
        "https://github.com/SaoYan/LearnToPayAttention",
        ("conv_block1.op.0.weight", "conv_block6.op.0.weight", "dense.weight", "classify.weight", "attn3.op.weight"),
        choices={"pooling": ("after", "before"), "normalize": ("softmax", "sigmoid")},
    ),
    Reference(
        "l2pa",
        "VGG of Learn To Pay Attention, without attention",
        "https://github.com/SaoYan/LearnToPayAttention",
        ("conv_block1.op.0.weight", "conv_block6.op.0.weight", "dense.weight", "classify.weight"),
    ),
    Reference(
        "attnmel",
        "VGG16 with attention",
        "https://github.com/SaoYan/IPMI2019-AttnMel",
        ("conv_block1.0.weight", "attn1.W_l.weight", "attn2.phi.weight", "cls.weight"),
        choices={"normalize": ("sigmoid", "softmax")},
    ),
    *TRANSFORMERS,
    *BLOCKS,
)


def recognise(weights: Weights) -> Reference:
    """The reference implementation to which the state dict ``weights`` belongs.

    Raises:
        UnknownReference: when it belongs to none; the message lists the known ones.
    """
    names = set(_canonical(weights))
    for reference in REFERENCES:
        if names >= set(reference.markers) and (reference.network or _only_parts(names, reference)):
            return reference
    known = ", ".join(dict.fromkeys(reference.title for reference in REFERENCES))
    raise UnknownReference(f"these parameter names belong to no known reference implementation{_nearly(names)}; known: {known}")


def reference_config(weights: Weights, **choices: str) -> tuple[ModelConfig, ImageShape, int]:
    """The network of a state dict: its config, the shape of its images, and its number of logits.

    The image size is exact where the weights determine it; VGG16 takes any size, and 224 x 224 is returned for it.

    Args:
        choices: as in `open_reference`.

    Raises:
        UnknownReference: when the weights belong to no known network.
        ValueError: for an unknown choice, shapes that no such network has, or a network without a classifier.
    """
    reference = recognise(weights)
    if not reference.network:
        raise UnknownReference(f"{reference.title} is a block, not a network")
    config, shape, classes = _CONFIGS[reference.name](_canonical(weights), _complete(reference, choices))
    if classes == 0:
        raise ValueError(
            f"the file holds a {reference.title} without its classifier, so it makes no prediction; "
            "attnlab.interop.open_reference loads it as a module that returns features"
        )
    return config, shape, classes


def open_reference(state_dict: Weights, **choices: str) -> nn.Module:
    """Our module with the weights of a public reference implementation, in evaluation mode.

    Args:
        state_dict: of a network of the report, Learn To Pay Attention (with or without attention), VGG16 with attention, with
            any number of classes; of a transformer of `attnlab.interop.transformers`; or of a block of
            `attnlab.interop.block_references`.
        choices: what shapes do not determine. ``pooling="before"|"after"`` and ``normalize="softmax"|"sigmoid"`` for Learn
            To Pay Attention (defaults "after", "softmax"), ``normalize`` for VGG16 with attention (default "sigmoid"),
            ``heads="3"`` for transformers (default: as many as give each 64 channels).

    Returns:
        A network that returns logits (features, where a transformer has no classifier), or a block that returns the map with
        attention applied.

    Raises:
        UnknownReference: when the names belong to no known reference.
        ReferenceMismatch: when parameters are missing, unexpected or mis-shaped.
        ValueError: for a choice that the reference does not have, or an unknown value of one.
    """
    weights = _canonical(state_dict)
    reference = recognise(weights)
    complete = _complete(reference, choices)
    if reference.network:
        config, shape, classes = _CONFIGS[reference.name](weights, complete)
        module = _build_as_large_as(weights, lambda: build_model(config, shape, classes))
    else:
        module = _build_as_large_as(weights, lambda: build_block(reference, weights, complete))
    load_reference(module, weights)
    return module.eval()


def _only_parts(names: Iterable[str], reference: Reference) -> bool:
    """Whether the names have the top-level parts of a block, and no other ones."""
    return _parts(names) - set(reference.optional) == _parts(reference.markers)


def _nearly(names: set[str]) -> str:
    """What is said of names that are almost those of a reference, or that hold a block among others; else nothing."""
    for reference in REFERENCES:
        missing = sorted(set(reference.markers) - names)
        alone = reference.network or _parts(names) <= {*_parts(reference.markers), *reference.optional}
        if alone and len(reference.markers) > 2 * len(missing) > 0:
            return f" (they look like {reference.title}, but {', '.join(missing)} is missing)"
    for reference in BLOCKS:
        first, *_ = reference.markers
        inside = [name[: -len(first)] for name in names if name.endswith(f".{first}")] if len(reference.markers) > 1 else []
        whole = [prefix for prefix in sorted(inside) if all(prefix + marker in names for marker in reference.markers)]
        if whole:
            held = f"{len(whole)} blocks of {reference.title}, the first under {whole[0].rstrip('.')}"
            return f" (they hold {held}, in a network that is not known here; a block alone can be opened)"
    return ""


def _parts(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def _canonical(weights: Weights) -> dict[str, Tensor]:
    """The weights with one name for the last layer of VGG16 with attention, which differs between its code and the article."""
    if "attn1.W_l.weight" not in weights:
        return dict(weights)
    return {f"cls.{name[9:]}" if name.startswith("classify.") else name: value for name, value in weights.items()}


def _complete(reference: Reference, choices: Choices) -> dict[str, str]:
    """The choices, completed by the reference's defaults."""
    choices = {name: str(value) for name, value in choices.items()}
    for name, value in choices.items():
        if name not in reference.choices:
            known = ", ".join(reference.choices) or "none"
            raise ValueError(f"{reference.title} has no choice {name!r}; choices: {known}")
        if value not in reference.choices[name]:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, reference.choices[name]))}; got {value!r}")
    assumed = {name: values[0] for name, values in reference.choices.items() if name not in choices}
    if assumed:
        text = ", ".join(f"{name}={value!r}" for name, value in assumed.items())
        warnings.warn(f"{reference.title}: assuming {text}, which the weights do not determine", stacklevel=3)
    return {**assumed, **choices}


def _build_as_large_as(weights: Weights, build: Callable[[], nn.Module]) -> nn.Module:
    """Builds a module after checking that its size is that of ``weights``: a small file must not request gigabytes."""
    with torch.device("meta"):
        needed = sum(parameter.numel() for parameter in build().parameters())
    stored = sum(value.numel() for value in weights.values())
    if needed > 2 * stored + 2**20:
        raise ValueError(f"the shapes belong to a module with {needed:,} weights, but the file holds only {stored:,}")
    return build()


def _report_config(weights: Weights, choices: Choices) -> tuple[ModelConfig, ImageShape, int]:
    width, channels, *_ = shape_of(weights, "layer1.conv1.weight", 4)
    hidden, features = shape_of(weights, "fc1.weight", 2)
    classes, _ = shape_of(weights, "fc2.weight", 2)
    parts: list[str] = []
    if "layer1.eca1.conv.weight" in weights or "layer1.att.ChannelGate.conv.weight" in weights:
        parts.append("eca")
    if "layer1.ae1.encoder.0.weight" in weights:
        parts.append("linear_autoencoder" if weights["layer1.ae1.encoder.0.weight"].dim() == 2 else "conv_autoencoder")
    if "layer1.att.ChannelGate.mlp.1.weight" in weights:
        parts.append("cbam")
    elif "layer1.att.SpatialGate.spatial.conv.weight" in weights:
        parts.append("cbam_spatial")
    side = 4 * math.isqrt(features // (2 * width)) + 8  # the even image side for which two blocks give that many features
    config = ModelConfig(
        attention="+".join(parts) or "none",
        placement="block_first" if any("cbam" in part for part in parts) else "every_conv",
        width=width,
        options={"hidden": hidden, "dead_block": "layer3.conv1.weight" in weights},
    )
    return config, ImageShape(channels, side, side), classes


def _l2pa_config(weights: Weights, choices: Choices) -> tuple[ModelConfig, ImageShape, int]:
    width, channels, *_ = shape_of(weights, "conv_block1.op.0.weight", 4)
    *_, height, across = shape_of(weights, "dense.weight", 4)
    classes, _ = shape_of(weights, "classify.weight", 2)
    options = {"depths": 3 if "attn3.op.weight" in weights else 0, **choices}
    config = ModelConfig(backbone="pay_attention_vgg", width=width, options=options)
    return config, ImageShape(channels, 32 * height, 32 * across), classes


def _attnmel_config(weights: Weights, choices: Choices) -> tuple[ModelConfig, ImageShape, int]:
    width, channels, *_ = shape_of(weights, "conv_block1.0.weight", 4)
    classes, _ = shape_of(weights, "cls.weight", 2)
    return ModelConfig(backbone="attention_vgg16", width=width, options=dict(choices)), ImageShape(channels, 224, 224), classes


_CONFIGS = {
    "report": _report_config,
    "l2pa": _l2pa_config,
    "attnmel": _attnmel_config,
    "vit": vit_config,
    "cct": cct_config,
}
