"""Vision transformers of others: parameter names in timm, DINO, torchvision and Compact-Transformers, and what shapes tell.

timm and DINO use the same names; where a network reads the mean of its patches, timm's last norm is called ``fc_norm``. The
shapes do not tell the number of heads, which public networks choose so that each has 64 channels.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from attnlab.config import ModelConfig
from attnlab.interop._names import reference_names
from attnlab.interop._reference import Choices, Reference, Weights, shape_of
from attnlab.models import ImageShape
from attnlab.models.cct import CompactTransformer, sine_table
from attnlab.models.vit import VisionTransformer, resampled_table

USUAL = "64 channels each"
HEADS = (USUAL, "1", "2", "3", "4", "6", "8", "12", "16")
_CCT = "https://github.com/SHI-Labs/Compact-Transformers"
_TOKENIZER = "tokenizer.conv_layers.0.0.weight"
_TABLE = "classifier.positional_emb"

TRANSFORMERS = (
    Reference(
        "vit",
        "Vision transformer (timm, DINO)",
        "https://github.com/huggingface/pytorch-image-models",
        ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight", "pos_embed"),
        choices={"heads": HEADS},
        outside=("cls_token", "reg_token", "pos_embed"),
    ),
    Reference(
        "vit",
        "Vision transformer (torchvision)",
        "https://github.com/pytorch/vision",
        ("conv_proj.weight", "encoder.pos_embedding", "encoder.layers.encoder_layer_0.ln_1.weight"),
        choices={"heads": HEADS},
        outside=("class_token",),
    ),
    Reference(
        "cct",
        "Compact convolutional transformer",
        _CCT,
        (_TOKENIZER, "classifier.blocks.0.pre_norm.weight", "classifier.attention_pool.weight", _TABLE),
        choices={"heads": HEADS},
    ),
    Reference(
        "cct",
        "Compact convolutional transformer without a position table",
        _CCT,
        (_TOKENIZER, "classifier.blocks.0.pre_norm.weight", "classifier.attention_pool.weight"),
        choices={"heads": HEADS, "positions": ("none", "sine")},
    ),
)


def resized_positions(module: VisionTransformer, name: str, value: Tensor) -> Tensor:
    """The position table of a network that was made for square pictures of another size, for ours; others stay as they are."""
    extra = module.prefix if module.positions == "tokens" else 0
    if name != "pos_embed" or value.dim() != 3 or (patches := value.shape[1] - extra) < 1:
        return value
    side = math.isqrt(patches)
    return resampled_table(value, (side, side), module.grid) if side * side == patches else value


@reference_names(VisionTransformer, fit=resized_positions)
def vit_name(module: VisionTransformer, name: str) -> str:
    """``blocks.0.attention.qkv.weight`` -> ``blocks.0.attn.qkv.weight``, ``blocks.0.fc1.bias`` -> ``blocks.0.mlp.fc1.bias``."""
    if name.startswith("norm.") and module.readout != "class_token":
        return f"fc_{name}"
    return re.sub(r"\.(fc[12])\.", r".mlp.\1.", name.replace(".attention.", ".attn."))


_OUTSIDE = {"patch_embed.proj": "conv_proj", "norm": "encoder.ln", "head": "heads.head"}
_INSIDE = {"norm1": "ln_1", "norm2": "ln_2", "attention.proj": "self_attention.out_proj"}
_HIDDEN = {"fc1": "mlp.0", "fc2": "mlp.3"}
_HIDDEN_BEFORE = {"fc1": "mlp.linear_1", "fc2": "mlp.linear_2"}  # in the weights that torchvision distributes
_SINGLE = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding"}


@reference_names(VisionTransformer)
def torchvision_vit_name(module: VisionTransformer, name: str) -> str:
    """``blocks.0.norm1.bias`` -> ``encoder.layers.encoder_layer_0.ln_1.bias``."""
    return _torchvision_name(name, _INSIDE | _HIDDEN)


@reference_names(VisionTransformer)
def older_torchvision_vit_name(module: VisionTransformer, name: str) -> str:
    """As `torchvision_vit_name`, but ``blocks.0.fc1.bias`` -> ``encoder.layers.encoder_layer_0.mlp.linear_1.bias``."""
    return _torchvision_name(name, _INSIDE | _HIDDEN_BEFORE)


def _torchvision_name(name: str, inside: dict[str, str]) -> str:
    layer, _, leaf = name.rpartition(".")
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", layer)
    if block is None:
        return f"{_OUTSIDE[layer]}.{leaf}" if layer in _OUTSIDE else _SINGLE.get(name, name)
    place = f"encoder.layers.encoder_layer_{block[1]}"
    if block[2] == "attention.qkv":
        return f"{place}.self_attention.in_proj_{leaf}"
    return f"{place}.{inside[block[2]]}.{leaf}"


@reference_names(CompactTransformer, {_TABLE: "positions"})
def cct_name(module: CompactTransformer, name: str) -> str:
    """``blocks.0.attention.proj.bias`` -> ``classifier.blocks.0.self_attn.proj.bias``."""
    if name.startswith("tokenizer."):
        return name.replace("tokenizer.", "tokenizer.conv_layers.")
    if name == "positions":
        return _TABLE
    return f"classifier.{name.replace('.attention.', '.self_attn.').replace('pooling.score.', 'attention_pool.')}"


def vit_config(weights: Weights, choices: Choices) -> tuple[ModelConfig, ImageShape, int]:
    """
    Raises:
        ValueError: for shapes that no such network has, or a table of positions whose grid is not square.
    """
    timm = "patch_embed.proj.weight" in weights
    width, channels, patch, _ = shape_of(weights, "patch_embed.proj.weight" if timm else "conv_proj.weight", 4)
    rows = shape_of(weights, "pos_embed" if timm else "encoder.pos_embedding", 3)[1]
    head = "head.weight" if timm else "heads.head.weight"
    hidden = shape_of(weights, "blocks.0.mlp.fc1.weight", 2)[0] if timm else _torchvision_hidden(weights)
    registers = shape_of(weights, "reg_token", 3)[1] if "reg_token" in weights else 0
    token = ("cls_token" if timm else "class_token") in weights
    readout = "class_token" if "fc_norm.weight" not in weights else "mean_beside_class_token" if token else "mean"
    prefix = registers + int(token)
    side = math.isqrt(max(0, rows - prefix))
    positions = "tokens"
    if side * side != rows - prefix:
        side, positions = math.isqrt(rows), "patches"
    if side < 1 or side * side != rows - (prefix if positions == "tokens" else 0):
        raise ValueError(
            f"the table of positions has {rows} rows, which is not the number of patches of a square picture, and the file "
            "does not say how many are down and across; build a vit for your images and load the weights with load_reference"
        )
    options = {
        "patch": patch,
        "depth": _depth(weights, r"blocks\.(\d+)\." if timm else r"encoder\.layers\.encoder_layer_(\d+)\."),
        "heads": _heads(width, choices),
        "readout": readout,
        "registers": registers,
        "positions": positions,
        "mlp_ratio": hidden // width,
    }
    classes = shape_of(weights, head, 2)[0] if head in weights else 0
    return ModelConfig(backbone="vit", width=width, options=options), ImageShape(channels, side * patch, side * patch), classes


def cct_config(weights: Weights, choices: Choices) -> tuple[ModelConfig, ImageShape, int]:
    """The side of the pictures is that of square ones; 32 where there is no table of positions.

    Raises:
        ValueError: for shapes that no such network has.
    """
    convolutions = _depth(weights, r"tokenizer\.conv_layers\.(\d+)\.")
    _, channels, kernel, _ = shape_of(weights, _TOKENIZER, 4)
    hidden, width = shape_of(weights, "classifier.blocks.0.linear1.weight", 2)
    side, positions = 32, choices.get("positions", "learned")
    if _TABLE in weights:
        rows = shape_of(weights, _TABLE, 3)[1]
        side = math.isqrt(rows) << (convolutions * (1 if kernel < 6 else 2))
        table = weights[_TABLE]
        if table.shape == (1, rows, width) and torch.allclose(table.float(), sine_table(rows, width), rtol=0, atol=1e-5):
            positions = "sine"
    options = {
        "depth": _depth(weights, r"classifier\.blocks\.(\d+)\."),
        "heads": _heads(width, choices),
        "convolutions": convolutions,
        "kernel": kernel,
        "positions": positions,
        "mlp_ratio": hidden // width,
    }
    classes, _ = shape_of(weights, "classifier.fc.weight", 2)
    return ModelConfig(backbone="cct", width=width, options=options), ImageShape(channels, side, side), classes


def _torchvision_hidden(weights: Weights) -> int:
    layer = "encoder.layers.encoder_layer_0.mlp"
    older = f"{layer}.linear_1.weight"
    return shape_of(weights, older if older in weights else f"{layer}.0.weight", 2)[0]


def _depth(weights: Weights, pattern: str) -> int:
    """How many layers there are, from their numbers in the names."""
    return 1 + max((int(match[1]) for name in weights if (match := re.match(pattern, name))), default=0)


def _heads(width: int, choices: Choices) -> int:
    return max(1, width // 64) if choices["heads"] == USUAL else int(choices["heads"])
