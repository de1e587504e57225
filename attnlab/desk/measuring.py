"""Measures what the networks of a league cost and what their maps find, and keeps it with the league."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from attnlab.experiments.league import League, images_of, networks, save_measured, trained


def measure_league(home: Path, league: League, tell: Callable[[int, int], None] = lambda done, total: None) -> League:
    """The league with its costs and maps as this machine measures them now.

    Costs are of all its networks together, since only what was measured side by side can be compared; maps are of those
    variants that were trained in this home, and of the others those that were known before stay.

    Args:
        tell: called with the pieces of work done, and those in all.

    Raises:
        ValueError: before a run has told what its images are.
        OSError: when the figures cannot be written.
    """
    from attnlab.explain.measured import measure_side_by_side
    from attnlab.models import ImageShape

    images = images_of(league)
    if images is None:
        raise ValueError("no run of this league has read its images yet, so its networks cannot be built")
    shape, classes = images
    measured = measure_side_by_side(networks(league), ImageShape(*shape), classes, trained(league), tell=tell)
    save_measured(home, league, measured)
    return replace(league, measured=measured.with_older(league.measured))
