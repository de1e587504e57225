"""Writes docs/foreign_models.md: what `attnlab.adopt` finds in networks of timm, torchvision, transformers and by hand.

    pip install "attnlab[models]"
    python -m benchmarks.foreign_models

The weights are random: whether attention is found, and whether what was found is right, does not depend on them. Each network
sees random images of its own size. Shown are the taps, how far the logits of the recorded network are from those of the
network itself, how far they move when all weights are taken out and put back as they are, and what was not tapped.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torchvision
import transformers
from torch import nn

from attnlab import adopt, paths
from attnlab.adapters import Adopted, preprocessing_of
from tests.adapters import hand_written as hand

TIMM = (
    "seresnet18",
    "ese_vovnet19b_dw",
    "ecaresnet26t",
    "mobilenetv3_small_100",
    "gcresnet33ts",
    "skresnet18",
    "resnest14d",
    "botnet26t_256",
    "halonet26t",
    "lambda_resnet26t",
    "coatnet_nano_rw_224",
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "vit_wee_patch16_reg1_gap_256",
    "swin_tiny_patch4_window7_224",
    "pvt_v2_b0",
    "levit_128s",
    "visformer_tiny",
    "xcit_nano_12_p16_224",
    "resnet18",
)
TORCHVISION = ("mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "vit_b_16", "swin_t", "swin_v2_t", "maxvit_t")
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "ViT": {**SMALL, "image_size": 64, "patch_size": 8},
    "DeiT": {**SMALL, "image_size": 64, "patch_size": 8},
    "Beit": {**SMALL, "image_size": 64, "patch_size": 8},
    "Dinov2WithRegisters": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 70},
    "Swin": {"image_size": 64, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
    "Pvt": {"image_size": 64},
    "MobileViT": {"image_size": 64},
}
HAND = (hand.Cbam, hand.Coordinate, hand.Sagan, hand.SelectiveKernel, hand.Multihead, hand.Encoder)


class Row(NamedTuple):
    source: str
    name: str
    size: tuple[int, int]
    adopted: Adopted


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--to", type=Path, default=paths.DOCS / "foreign_models.md")
    to = arguments.parse_args().to
    warnings.filterwarnings("ignore")
    rows = [_row(*each) for each in _networks()]
    to.write_text(_document(rows), encoding="utf-8")


def _networks() -> list[tuple[str, str, Callable[[], nn.Module], tuple[int, int] | None]]:
    found: list[tuple[str, str, Callable[[], nn.Module], tuple[int, int] | None]] = []
    found += [("timm", name, partial(timm.create_model, name), None) for name in TIMM]
    found += [("torchvision", name, partial(torchvision.models.get_model, name, weights=None), None) for name in TORCHVISION]
    found += [("transformers", name, partial(_hugging_face, name), None) for name in TRANSFORMERS]
    found += [("by hand", block.__name__, partial(hand.network, block), (12, 16)) for block in HAND]
    return [*found, ("by hand", "PatchTransformer", hand.PatchTransformer, (32, 32))]


def _hugging_face(name: str) -> nn.Module:
    config = getattr(transformers, f"{name}Config")(**TRANSFORMERS[name])
    return getattr(transformers, f"{name}ForImageClassification")(config)


def _row(source: str, name: str, build: Callable[[], nn.Module], size: tuple[int, int] | None) -> Row:
    torch.manual_seed(0)
    model = build().eval()
    for parameter in model.parameters():  # classifiers that start at zero would hide every difference
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.02)
    shape = (3, *size) if size is not None else preprocessing_of(model).shape
    adopted = adopt(model, torch.randn(1, *shape))
    print(f"{source:13} {name:34} {len(adopted.taps)} taps, {len(adopted.untapped)} not tapped", flush=True)
    return Row(source, name, shape[1:], adopted)


def _document(rows: list[Row]) -> str:
    lines = [
        "# Networks of others",
        "",
        "What `attnlab.adopt` finds in networks that were not written for attnlab, with random weights. Made by",
        "`python -m benchmarks.foreign_models`.",
        "",
        "*Difference* is the largest difference between the logits of the network and those of its recorded twin. *Put",
        "back* is how far the logits move, as a share of the largest one, when the weights of all taps are taken out and put",
        "back as they are: attention that runs fused is then computed in steps, which rounds differently. *Rows* is how far",
        "from 1 the sum of a row of softmax weights is at most.",
        "",
        "`nn.MultiheadAttention` in evaluation mode goes through a kernel of its own (torch's fast path), which shows nothing",
        "of its weights. The recorded twin goes the way that torch wrote for training, so the logits of vit_b_16 differ by",
        "2e-6, which is 1e-6 of the largest; after `torch.backends.mha.set_fastpath_enabled(False)` they are equal to the bit.",
        "",
        "| from | network | image | taps | what they are | difference | put back | rows | not tapped |",
        "|---|---|---|--:|---|--:|--:|--:|---|",
        *(_line(row) for row in rows),
        "",
        f"{len(rows)} networks; {sum(len(row.adopted.taps) for row in rows)} taps. The largest difference is "
        f"{max(row.adopted.difference for row in rows):.2g}, the largest share that weights put back move is "
        f"{max(_back(row) for row in rows):.2g}.",
        "",
        f"Versions: torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, transformers "
        f"{transformers.__version__}.",
        "",
    ]
    return "\n".join(lines)


def _back(row: Row) -> float:
    return max((proof.difference for proof in row.adopted.taps.values()), default=0.0)


def _line(row: Row) -> str:
    proofs = row.adopted.taps.values()
    kinds = Counter((proof.kind.value, proof.scale.value, proof.heads) for proof in proofs)
    words = [
        f"{count} × {kind} {scale}" + (f", {heads} heads" if heads > 1 else "") for (kind, scale, heads), count in kinds.items()
    ]
    errors = [proof.row_error for proof in proofs if proof.row_error is not None]
    reasons = Counter(each.reason for each in row.adopted.untapped)
    untapped = "; ".join(f"{count} × {reason.rstrip('.')}" for reason, count in reasons.items())
    figures = (f"{row.adopted.difference:.1g}", f"{_back(row):.1g}", f"{max(errors):.1g}" if errors else "")
    image = f"{row.size[0]} × {row.size[1]}"
    cells = (row.source, row.name, image, str(len(proofs)), "; ".join(words), *figures, untapped)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
