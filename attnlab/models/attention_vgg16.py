"""VGG16 with two attention gates, after the article "Image Classification with Attention", which follows Yan et al.,
"Melanoma Recognition via Visual Attention" (IPMI 2019).

The features are those of torchvision's vgg16_bn without its dense layers. The outputs of pool-3 and pool-4 are read through
gates that pool-5 guides (`GridGate`), and one linear layer classifies

    [mean(pool5), gate_3(pool3, pool5), gate_4(pool4, pool5)]      512 + 256 + 512 numbers at width 64

Departures from the article's listing: the mean is taken over pool-5 of any size (there 7 x 7, which fixes the input at 224),
the width is free, and ImageNet weights are loaded by an explicit call to `attnlab.interop.load_imagenet_features`, never by
the constructor; without them the features start as in torchvision (Kaiming normal, fan out).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._gates import Normalize, require_choice
from attnlab.config import Placement
from attnlab.models._gated_head import GatedHead
from attnlab.models._registry import BlockFactory, ImageShape, register_model

Output = Literal["per_class", "single"]
GATES = ("pool3", "pool4")


@register_model(
    "attention_vgg16",
    title="VGG16 with attention",
    paper="https://blog.paperspace.com/image-classification-with-attention/",
    summary="VGG16 without its dense layers; two attention gates, guided by pool-5, read pool-3 and pool-4.",
    width=64,
    min_size=32,
    multiple=32,
    own_attention="built-in gates",
    options={
        "depths": (2, 1, 0),
        "normalize": get_args(Normalize),
        "dropout": (0.0, 0.2, 0.5),
        "output": get_args(Output),
        "pretrained": ("none", "imagenet"),
    },
)
class AttentionVgg16(nn.Module):
    """VGG16 (with batch norm) and attention gates. 15,184,964 parameters for two classes at width 64.

    Args:
        shape: images; sides divisible by 32.
        classes: number of classes.
        attention: unused; the network has its own attention.
        placement: unused.
        width: channels of the first block (w), 64 in VGG16; the other blocks have 2w, 4w, 8w, 8w.
        depths: number of gates, the deepest first: 2 for pool-3 and pool-4, 1 for pool-4 alone, 0 for the network without
            attention, which classifies the mean of pool-5.
        normalize: ``"softmax"`` over positions and a sum, or ``"sigmoid"`` and a mean.
        dropout: rate before the classifier.
        output: ``"single"`` gives one logit, that of the second of two classes, as in the article; ``"per_class"`` one logit
            per class.
        pretrained: the weights a training starts from: ``"none"``, ``"imagenet"`` or the path of a weights file. Kept as an
            attribute for `attnlab.interop.start_weights`; the constructor itself neither reads nor downloads.

    Raises:
        ValueError: for an option value that is not offered, or ``output="single"`` with more than two classes.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        depths: int = 2,
        normalize: Normalize = "softmax",
        dropout: float = 0.0,
        output: Output = "per_class",
        pretrained: str = "none",
    ) -> None:
        super().__init__()
        require_choice("depths", depths, (2, 1, 0))
        require_choice("output", output, get_args(Output))
        if output == "single" and classes > 2:
            raise ValueError(f"output 'single' needs two classes, this data set has {classes}; choose 'per_class'")
        self.pretrained = pretrained
        counts = (2, 2, 3, 3, 3)
        channels = (shape.channels, width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.blocks = nn.ModuleList(
            _conv_block(inputs, outputs, count) for (inputs, outputs), count in zip(pairwise(channels), counts, strict=True)
        )
        local = dict(zip(GATES, channels[3:5], strict=True))
        self.head = GatedHead(
            {name: local[name] for name in GATES[len(GATES) - depths :]},
            channels[5],
            1 if output == "single" else classes,
            normalize=normalize,
            dropout=dropout,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes), or (B, 1) with a single output."""
        pooled = []
        for block in self.blocks:
            x = F.max_pool2d(block(x), 2)
            pooled.append(x)
        return self.head(dict(zip(GATES, pooled[2:4], strict=True)), x)


def _conv_block(inputs: int, outputs: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        conv = nn.Conv2d(outputs if index else inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
