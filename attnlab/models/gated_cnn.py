"""The report's small CNN with the attention gates of the article "Image Classification with Attention".

The blocks are those of `attnlab.models.small_cnn`. The output of every block but the last is read through a `GridGate` that
the last one guides, and one linear layer classifies these readings together with the mean of the last map. So gates can be
compared with attention blocks on a network that trains in a minute, and both can be combined.
"""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from attnlab.attention._gates import Normalize
from attnlab.config import Placement
from attnlab.models._gated_head import GatedHead
from attnlab.models._registry import BlockFactory, ImageShape, MixerFactory, no_mixer, register_model
from attnlab.models._stages import ALL, attended_stages, last_attention, no_attention
from attnlab.models.small_cnn import MIXES, ConvBlock, too_many_blocks


@register_model(
    "gated_cnn",
    title="Small CNN with gates",
    paper="https://blog.paperspace.com/image-classification-with-attention/",
    summary="The small CNN; attention gates, guided by its last block, read the earlier blocks.",
    width=64,
    min_size=12,
    placements=get_args(Placement),
    own_attention="built-in gates",
    mixes=MIXES,
    options={
        "blocks": (2, 3, 4),
        "stages": (ALL, "1", "2", "3", "4"),
        "normalize": get_args(Normalize),
        "spatial_dropout": (0.0, 0.1, 0.25),
        "dropout": (0.0, 0.25, 0.5),
    },
)
class GatedCnn(nn.Module):
    """Convolutional blocks, each twice as wide as the one before, a gate on all but the last, and one linear layer.

    Args:
        shape: images; each block removes two pixels from a side, then halves it.
        classes: number of logits.
        attention: makes an attention block for the given channels and size.
        placement: as in `small_cnn`.
        width: channels of the first block.
        blocks: number of blocks; there is one gate fewer.
        stages: the blocks with attention from ``attention``, ``"all"`` or one of them.
        normalize: ``"softmax"`` over positions and a sum, or ``"sigmoid"`` and a mean.
        spatial_dropout: rate after each block.
        dropout: rate before the classifier.
        mixer: as in `small_cnn`.

    Raises:
        ValueError: when the image is too small for the number of blocks, or for attention in a block that there is not.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        blocks: int = 3,
        stages: str = ALL,
        normalize: Normalize = "softmax",
        spatial_dropout: float = 0.1,
        dropout: float = 0.0,
        mixer: MixerFactory = no_mixer,
    ) -> None:
        super().__init__()
        attended = attended_stages(stages, blocks)
        size, before = (shape.height, shape.width), shape.channels
        self.blocks = nn.ModuleDict()
        channels: dict[str, int] = {}
        for index in range(blocks):
            if min(size) < 4:
                raise too_many_blocks("gated_cnn", shape, blocks)
            chosen, mixed = (attention, mixer) if index + 1 in attended else (no_attention, no_mixer)
            block = ConvBlock(before, width * 2**index, size, chosen, placement, spatial_dropout, mixed)
            name = f"block{index + 1}"
            self.blocks[name] = block
            channels[name], size, before = width * 2**index, block.out_size, width * 2**index
        del channels[f"block{blocks}"]
        self.attention_last = last_attention(attention, placement, before, size)
        self.head = GatedHead(channels, before, classes, normalize=normalize, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        local = {}
        for name, block in self.blocks.items():
            x = block(x)
            local[name] = x
        return self.head(local, self.attention_last(x))
