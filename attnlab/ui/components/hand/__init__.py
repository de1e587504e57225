"""A person in the place of attention: the network runs in the browser, and a mask is painted on its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

_mount = mount("hand", parts=("mask_editor", "before_after"))


def hand(network: str, pictures: NDArray[np.uint8], truths: Sequence[int | None], *, key: str) -> None:
    """Shows it.

    Args:
        network: name of the file, below ``networks/`` of the server, of a network with a `HandGate`.
        pictures: (n, C, H, W), as the network takes them.
        truths: the true class of each; `None` where unknown.
    """
    _mount(key=key, data={"network": network, "truths": list(truths), "pictures": np.ascontiguousarray(pictures).ravel()})
