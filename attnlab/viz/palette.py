"""The colours of runs in every chart.

After Okabe and Ito's set for colour-blind readers ("Color Universal Design", 2008), shifted so that each colour has a
contrast of at least 3 to 1 on both the light and the dark background; a run keeps its colour when the theme changes.
"""

from __future__ import annotations

CATEGORICAL = ("#1f83c4", "#d55e00", "#009e73", "#c1689a", "#8f7ad6", "#b58900", "#808b96")


def colour(index: int) -> str:
    """Colour of the group with this index; they repeat after the last one, and charts then change the line to dashes."""
    return CATEGORICAL[index % len(CATEGORICAL)]


def faint(index: int, alpha: float) -> str:
    """The same colour with opacity ``alpha`` in [0, 1], as CSS."""
    red, green, blue = (int(colour(index)[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"
