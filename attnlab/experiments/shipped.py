"""The grids that come with the project: Table 1 and the departures, trained in advance.

Each is a file that `attnlab.experiments.exports.grid_json` wrote, in `checkpoints/tables`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from attnlab import paths
from attnlab.experiments.exports import Exported, read_grid


def shipped_grids() -> dict[str, Exported]:
    """Grid id -> grid, in the order of the files' names.

    Raises:
        GridError: when a file was damaged.
    """
    return {told.grid.grid_id: told for told in map(_read, sorted(paths.DEMO_TABLES.glob("*.json")))}


@lru_cache
def _read(path: Path) -> Exported:
    return read_grid(path.read_bytes())
