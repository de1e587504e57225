"""The colours of runs in every chart.

After Okabe and Ito's colours for colour-blind readers ("Color Universal Design", 2008), adjusted so that each has a
contrast of at least 3 to 1 on the light and on the dark background: a run keeps its colour when the theme changes.
"""

from __future__ import annotations

CATEGORICAL = ("#1f83c4", "#d55e00", "#009e73", "#c1689a", "#8f7ad6", "#b58900", "#808b96")


def colour(index: int) -> str:
    """Colour of the group with this index. After the last one colours repeat, and charts change to dashed lines."""
    return CATEGORICAL[index % len(CATEGORICAL)]


def faint(index: int, alpha: float) -> str:
    """The same colour with opacity ``alpha`` in [0, 1], as CSS."""
    red, green, blue = (int(colour(index)[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"
