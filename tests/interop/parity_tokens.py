"""The transformers beside timm's, torchvision's, and a restatement of the description of Compact-Transformers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from timm.models.vision_transformer import VisionTransformer as TimmTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionTransformer

from attnlab.interop.transformers import cct_name, torchvision_vit_name, vit_name
from tests.interop.parity import Case, Reference, Size, functional, network

WIDTH, HEADS, PATCH = 48, 3, 8
SMALL = {"patch": PATCH, "depth": 2, "heads": HEADS}
SIZES: tuple[Size, ...] = ((32, 32), (24, 40))


def timm_case(words: str, options: dict[str, object], arguments: dict[str, object], sizes: tuple[Size, ...] = SIZES) -> Case:
    """Ours with ``options``, and timm's with ``arguments``."""

    def refer(ours: nn.Module) -> Reference:
        theirs = TimmTransformer(
            img_size=tuple(PATCH * side for side in ours.grid),
            patch_size=PATCH,
            num_classes=10,
            embed_dim=WIDTH,
            depth=2,
            num_heads=HEADS,
            **arguments,
        ).double()
        state = theirs.state_dict(keep_vars=True)
        return Reference(lambda x, train: theirs.train(train)(x), state, lambda name: vit_name(ours, name))

    called = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Case(
        f"vit, {words}",
        f"timm's VisionTransformer({called})",
        3,
        sizes,
        network(backbone="vit", width=WIDTH, options=SMALL | options),
        refer,
    )


def cases() -> Iterator[Case]:
    yield timm_case("class token", {}, {})
    yield timm_case("mean of the patches", {"readout": "mean"}, {"global_pool": "avg", "class_token": False})
    yield timm_case("mean beside a class token", {"readout": "mean_beside_class_token"}, {"global_pool": "avg"}, SIZES[:1])
    yield timm_case("4 registers", {"registers": 4}, {"reg_tokens": 4}, SIZES[:1])
    yield timm_case(
        "4 registers, maximum, positions of patches only",
        {"registers": 4, "positions": "patches", "readout": "max"},
        {"reg_tokens": 4, "no_embed_class": True, "global_pool": "max", "class_token": False},
    )
    yield Case(
        "vit, with torchvision's names",
        "torchvision's VisionTransformer, which takes square images only",
        3,
        SIZES[:1],
        network(backbone="vit", width=WIDTH, options=SMALL | {"mlp_ratio": 2}),
        _torchvision,
    )
    for words, options, sizes in (
        ("as cct_2_3x2_32 but for its width", {}, ((32, 32), (16, 64))),
        ("1 convolution of 7, sines, hidden layer twice as wide", CCT_SINES, ((32, 24),)),
    ):
        yield Case(
            f"cct, {words}",
            "restated from the description of SHI-Labs/Compact-Transformers",
            3,
            sizes,
            network(backbone="cct", width=WIDTH, options={"dropout": 0.0, "drop_path": 0.0} | options),
            functional(cct_logits, cct_name),
        )


CCT_SINES = {"convolutions": 1, "kernel": 7, "positions": "sine", "mlp_ratio": 2}


def _torchvision(ours: nn.Module) -> Reference:
    theirs = TorchvisionTransformer(32, PATCH, 2, HEADS, WIDTH, 2 * WIDTH, num_classes=10).double()
    state = theirs.state_dict(keep_vars=True)
    return Reference(lambda x, train: theirs.train(train)(x), state, lambda name: torchvision_vit_name(ours, name))


def cct_logits(x: Tensor, state: dict[str, Tensor], *, train: bool = False, heads: int = 2) -> Tensor:
    """What is computed with the weights of Compact-Transformers, by its names, without dropout."""
    return cct_parts(x, state, heads)[0]


def cct_parts(x: Tensor, state: dict[str, Tensor], heads: int = 2) -> tuple[Tensor, list[Tensor], Tensor]:
    """Logits, the attention (B, heads, N, N) of each block, and the weights (B, N) of the sequence pooling."""

    def norm(tokens: Tensor, name: str) -> Tensor:
        mean, variance = tokens.mean(-1, keepdim=True), tokens.var(-1, unbiased=False, keepdim=True)
        return (tokens - mean) / torch.sqrt(variance + 1e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]

    layer = 0
    while (kernels := state.get(f"tokenizer.conv_layers.{layer}.0.weight")) is not None:
        side = kernels.shape[-1]
        x = F.conv2d(x, kernels, stride=2 if side == 7 else 1, padding=side // 2)
        x = F.max_pool2d(x.clamp_min(0), 3, 2, 1)
        layer += 1
    tokens = x.flatten(2).transpose(1, 2)
    count, width = tokens.shape[1:]
    if "classifier.positional_emb" in state:
        tokens = tokens + state["classifier.positional_emb"]
    else:
        table = torch.tensor([[p / 10000 ** (2 * (i // 2) / width) for i in range(width)] for p in range(count)])
        table[:, 0::2], table[:, 1::2] = table[:, 0::2].sin(), table[:, 1::2].cos()  # in single precision, as in the code
        tokens = tokens + table.to(tokens)
    maps = []
    block = 0
    while (qkv := state.get(f"{(path := f'classifier.blocks.{block}')}.self_attn.qkv.weight")) is not None:
        query, key, value = (norm(tokens, f"{path}.pre_norm") @ qkv.T).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
        maps.append((query @ key.transpose(2, 3) / math.sqrt(width // heads)).softmax(-1))
        read = (maps[-1] @ value).transpose(1, 2).flatten(2)
        read = read @ state[f"{path}.self_attn.proj.weight"].T + state[f"{path}.self_attn.proj.bias"]
        tokens = norm(tokens + read, f"{path}.norm1")
        hidden = tokens @ state[f"{path}.linear1.weight"].T + state[f"{path}.linear1.bias"]
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        tokens = tokens + hidden @ state[f"{path}.linear2.weight"].T + state[f"{path}.linear2.bias"]
        block += 1
    tokens = norm(tokens, "classifier.norm")
    scores = tokens @ state["classifier.attention_pool.weight"].T + state["classifier.attention_pool.bias"]
    pooled = scores.softmax(dim=1)
    logits = (pooled * tokens).sum(dim=1) @ state["classifier.fc.weight"].T + state["classifier.fc.bias"]
    return logits, maps, pooled[..., 0]
