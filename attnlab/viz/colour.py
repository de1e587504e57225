"""Colour maps for weights, as tables of 256 colours, used by the viewer and by every still picture.

viridis and magma: van der Walt and Smith (2015), CC0; cividis: Nunez, Anderton and Renslow, PLoS ONE 13(7), 2018, CC0.
All three rise evenly in lightness, so equal steps of weight look equal, also in a grey print. jet does not; it is offered
because the figures of "Learn To Pay Attention" and of the melanoma article use it, and its title says so.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

TITLES = {
    "viridis": "viridis",
    "cividis": "cividis",
    "magma": "magma",
    "grey": "grey",
    "jet": "jet (as in the article)",
}
"""Colour maps by name, with their titles; the first is the default."""

DIVERGING = "diverging"
"""The colours of factors: blue below the value that changes nothing, grey at it, orange above it. Blue and orange are told
apart without seeing red or green, and no colour is as light as a light page or as dark as a dark one. Nobody chooses it."""

# 33 evenly spaced colours each, six hex digits per colour; straight lines between them stay within 3% of the originals.
_STOPS = {
    "viridis": (
        "440154470d6048186a482374472d7b4536814240863f49893b528b375a8d33638d2f6a8e2c728e297a8e26818e23898e21908c"
        "1f988b1f9f8821a68528ae8031b57b3ebc744cc26c5dc9636ece5882d34c96d83fabdc32c0df24d5e21aeae51afde725"
    ),
    "cividis": (
        "00224e00285b002e6a0433711a386f273e6e32436d3b496c434e6c4b546c52596d5a5f6e61656f686a716f70737576767c7b78"
        "8481798b8778938d789b9376a39a75aba072b3a670bbad6cc3b469ccba64d4c15fddc958e6d051efd748f8df3cfee838"
    ),
    "magma": (
        "0000040303110a0822130d331d114628115a36106a430f7650127c5d177f691c817621818226818f2a819c2e7fa9327db63779"
        "c33b75cf4170db486ae65163ee5c5ef5695cf9785dfb8761fd9668fea571feb47bfec387fed194fde0a2fceeb0fcfdbf"
    ),
    "grey": "000000ffffff",
    DIVERGING: "2b5c9e7fa6d4dcdcd8e0975ab3470f",
}
# position, red, green, blue
_JET = (
    *((0, 0, 0, 0.5), (0.11, 0, 0, 1), (0.125, 0, 0, 1), (0.34, 0, 0.86, 1), (0.35, 0, 0.9, 0.97), (0.375, 0.08, 1, 0.89)),
    *((0.64, 0.94, 1, 0.03), (0.65, 0.97, 0.96, 0), (0.66, 1, 0.93, 0), (0.89, 1, 0.07, 0), (0.91, 0.91, 0, 0), (1, 0.5, 0, 0)),
)


@cache
def table(name: str) -> NDArray[np.uint8]:
    """A colour map as uint8 (256, 3).

    Raises:
        ValueError: for an unknown name, listing the known ones.
    """
    if name == "jet":
        stops = np.array(_JET)
        position, colours = stops[:, 0], stops[:, 1:] * 255
    elif name in _STOPS:
        colours = np.frombuffer(bytes.fromhex(_STOPS[name]), np.uint8).reshape(-1, 3)
        position = np.linspace(0, 1, len(colours))
    else:
        raise ValueError(f"unknown colour map {name!r}; known: {', '.join(TITLES)}")
    at = np.linspace(0, 1, 256)
    return np.stack([np.interp(at, position, colours[:, channel]) for channel in range(3)], axis=1).round().astype(np.uint8)


def colourise(values: NDArray[np.floating], name: str = "viridis") -> NDArray[np.uint8]:
    """Values in [0, 1] of any shape as uint8 colours (..., 3)."""
    return table(name)[np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)]
