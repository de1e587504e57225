"""Learn To Pay Attention (Jetley et al., ICLR 2018, arXiv:1804.02391): a VGG that classifies what it attends to.

The global feature g scores every position of three local maps (convolutions 7, 10 and 13). The weighted sums
g_a = sum_i a_i l_i replace g as input of the classifier:

    concatenated:  logits = W [g_a1, g_a2, g_a3] + b
    independent:   p = mean_k softmax(W_k g_ak + b_k);  the network returns log p, whose softmax is p

The network is that of the reference code: 3x3 convolutions with batch norm and ReLU, 64x2, 128x2, 256x3, 512x3, 512x3, with
no pooling before the end of the third block; then 512x2, each followed by pooling, and a convolution as large as the
remaining map.

Departures: batch norm scales start at 1 (in the code uniform in [0, 1]) and the classifier with gain 1 (in the code sqrt 2),
unless ``start`` is ``"reference"``; the input may have any size from 32, the width is
free, and the recorded maps are normalised (in the code they are raw scores). Dot products and independent classifiers come
from the paper; the code has neither.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._gates import Compatibility, GlobalAttention, Normalize, require_choice
from attnlab.config import Placement
from attnlab.models._registry import BlockFactory, ImageShape, register_model

Pooling = Literal["before", "after"]
Classifier = Literal["concatenated", "independent"]
Start = Literal["plain", "reference"]
DEPTHS = ("layer7", "layer10", "layer13")


def conv_block(inputs: int, outputs: int, count: int, *, pool: bool = False) -> nn.Sequential:
    """``count`` times a 3x3 convolution, batch norm and ReLU; with ``pool`` also max pooling each time."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [nn.Conv2d(outputs if index else inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        if pool:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@register_model(
    "pay_attention_vgg",
    title="Learn To Pay Attention",
    paper="https://arxiv.org/abs/1804.02391",
    summary="A VGG whose global feature scores the positions of three local maps; the weighted sums are classified.",
    width=64,
    min_size=32,
    own_attention="attention of its own",
    options={
        "depths": (3, 2, 1, 0),
        "pooling": get_args(Pooling),
        "compatibility": get_args(Compatibility),
        "normalize": get_args(Normalize),
        "classifier": get_args(Classifier),
        "start": get_args(Start),
    },
)
class PayAttentionVgg(nn.Module):
    """VGG with attention at up to three depths. 19,855,434 parameters for 10 classes at 3 x 32 x 32 and width 64.

    Args:
        shape: images; sides of at least 32. The last convolution is as large as the image divided by 32.
        classes: number of logits.
        attention: unused; the network has its own attention.
        placement: unused.
        width: channels of the first block (w); the others have 2w, 4w, 8w, 8w, 8w, and the global feature 8w.
        depths: number of depths with attention, the deepest first (1: layer 13; 2: layers 10 and 13); 0 is the plain VGG,
            which classifies the global feature.
        pooling: whether local maps are taken ``"before"`` or ``"after"`` the max pooling at the end of their block.
        compatibility: ``"parametrised"`` or ``"dot"``.
        normalize: ``"softmax"`` over positions and a sum, or ``"sigmoid"`` and a mean.
        classifier: one on the concatenated sums, or one per depth with averaged probabilities.
        start: ``"reference"`` starts the classifier with gain sqrt 2 and batch norm scales uniform in [0, 1], as the code does.

    Raises:
        ValueError: for an option value that is not offered.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        depths: int = 3,
        pooling: Pooling = "before",
        compatibility: Compatibility = "parametrised",
        normalize: Normalize = "softmax",
        classifier: Classifier = "concatenated",
        start: Start = "plain",
    ) -> None:
        super().__init__()
        require_choice("depths", depths, (3, 2, 1, 0))
        require_choice("pooling", pooling, get_args(Pooling))
        require_choice("classifier", classifier, get_args(Classifier))
        require_choice("start", start, get_args(Start))
        self.pooling = pooling
        last = 8 * width
        self.block1 = conv_block(shape.channels, width, 2)
        self.block2 = conv_block(width, 2 * width, 2)
        self.block3 = conv_block(2 * width, 4 * width, 3)
        self.block4 = conv_block(4 * width, last, 3)
        self.block5 = conv_block(last, last, 3)
        self.block6 = conv_block(last, last, 2, pool=True)
        self.dense = nn.Conv2d(last, last, (shape.height // 32, shape.width // 32))
        channels = dict(zip(DEPTHS, (4 * width, last, last), strict=True))
        self.attend = nn.ModuleDict(
            {
                name: GlobalAttention(channels[name], last, compatibility=compatibility, normalize=normalize)
                for name in DEPTHS[len(DEPTHS) - depths :]
            }
        )
        readings = max(1, depths)
        joint = classifier == "concatenated"
        sizes = [readings * last] if joint else [last] * readings
        self.classifiers = nn.ModuleList(nn.Linear(size, classes) for size in sizes)
        like_reference = start == "reference"
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                wide = like_reference or isinstance(module, nn.Conv2d)
                nn.init.xavier_uniform_(module.weight, gain=math.sqrt(2) if wide else 1.0)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d) and like_reference:
                nn.init.uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        local: dict[str, Tensor] = {}
        x = self.block2(self.block1(x))
        for name, block in zip(DEPTHS, (self.block3, self.block4, self.block5), strict=True):
            before = block(x)
            x = F.max_pool2d(before, 2)
            local[name] = before if self.pooling == "before" else x
        guide = self.dense(self.block6(x))  # (B, 8w, 1, 1)
        readings = [attend(local[name], guide) for name, attend in self.attend.items()] or [guide.flatten(1)]
        if len(self.classifiers) == 1:
            return self.classifiers[0](torch.cat(readings, dim=1))
        votes = [one(reading).log_softmax(dim=1) for one, reading in zip(self.classifiers, readings, strict=True)]
        return torch.stack(votes).logsumexp(dim=0) - math.log(len(votes))
