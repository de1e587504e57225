"""Where in a network attention sits: in all stages or one, or once before the classifier. A stage works at one resolution."""

from __future__ import annotations

from torch import nn

from attnlab.attention._gates import require_choice
from attnlab.config import Placement
from attnlab.models._registry import BlockFactory

ALL = "all"


def attended_stages(stages: str, count: int) -> range | tuple[int, ...]:
    """The stage numbers, counted from 1, that the option ``"all"``, ``"1"``, ... stands for.

    Args:
        count: stages of the network.

    Raises:
        ValueError: for a stage that the network does not have.
    """
    require_choice("stages", stages, (ALL, *map(str, range(1, count + 1))))
    return range(1, count + 1) if stages == ALL else (int(stages),)


def last_attention(attention: BlockFactory, placement: Placement, channels: int, size: tuple[int, int]) -> nn.Module:
    """The block before the classifier, where it is placed there, else the identity.

    Args:
        channels, size: of the last map of the network, (H, W).
    """
    block = attention(channels, size) if placement == "before_classifier" else None
    return nn.Identity() if block is None else block


def no_attention(channels: int, size: tuple[int, int]) -> None:
    """The `BlockFactory` of a stage without attention."""
