"""Which map the viewer begins with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attnlab.maps import derived
from attnlab.viz.panels import Layer, Panel

TELLING_POSITIONS = 16
"""A map with fewer cells says little of where."""


def first_layer(panels: Sequence[Panel], wanted: str | None = None) -> int:
    """Place of the layer that the viewer begins with, in the list of the panel with the most layers.

    The wanted one; else the deepest that can be laid over the picture and has enough positions to show a place; else the
    deepest that can be laid over it at all. Of weights that act together the product, sum or mean counts as the deepest.
    """
    layers: Sequence[Layer] = max((panel.layers for panel in panels), key=len, default=())
    made = [derived(each.name) for each in layers]
    over = [at for at, each in enumerate(layers) if each.kind.placed and ((one := made[at]) is None or one.weights)]
    telling = [at for at in over if math.prod(layers[at].grid) >= TELLING_POSITIONS]
    named = [at for at, each in enumerate(layers) if each.name == wanted]
    return (named or telling or over or [0])[-1]
