"""Runs of the same setting with several seeds, from which and on which claims about maps are made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnlab.runs.folder import RunFolder, run_folders


def seeds_of(places: Sequence[Path]) -> dict[str, dict[int, RunFolder]]:
    """The runs that have weights, by setting and seed: group -> seed -> its folder.

    Args:
        places: homes, whose runs are taken, or folders of runs. Where two hold the same run, the first counts.
    """
    groups: dict[str, dict[int, RunFolder]] = {}
    for place in places:
        for folder in run_folders(place / "runs" if (place / "runs").is_dir() else place):
            if folder.has_weights:
                groups.setdefault(folder.config.group, {}).setdefault(folder.config.seed, folder)
    return {group: dict(sorted(groups[group].items())) for group in sorted(groups)}
