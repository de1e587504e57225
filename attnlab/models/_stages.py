"""Which stages of a network get attention: all of them, or one. A stage is what works at one resolution."""

from __future__ import annotations

from attnlab.attention._gates import require_choice

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


def no_attention(channels: int, size: tuple[int, int]) -> None:
    """The `BlockFactory` of a stage without attention."""
