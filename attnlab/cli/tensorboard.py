"""``attnlab tensorboard``: runs as TensorBoard event files."""

from __future__ import annotations

from pathlib import Path

from attnlab import paths
from attnlab.cli.common import OK, find_run
from attnlab.cli.grid import records


def tensorboard(*runs: str, to: Path) -> int:
    """Write runs as TensorBoard event files. Look at them with: tensorboard --logdir TO

    Parameters
    ----------
    runs
        ids of runs; the id of a grid stands for all of its runs
    to
        the folder to write to
    """
    from attnlab.experiments.grid import list_grids, progress
    from attnlab.experiments.tensorboard import write_events
    from attnlab.runs.folder import RunFolder

    if not runs:
        raise ValueError("name at least one run or grid; `attnlab runs` and `attnlab grid list` list them")
    grids = {grid.grid_id: grid for grid in list_grids(paths.home())}
    for name in runs:
        if name in grids:
            cells = progress(grids[name], records()).cells
            folders = [RunFolder(cell.run.folder) for cell in cells if cell.run is not None]
        else:
            folders = [find_run(name)]
        for folder in folders:
            print(write_events(folder, to))
    return OK
