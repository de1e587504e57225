"""Where things are kept. Everything that is written goes below `home()`, which ``ATTNLAB_HOME`` moves.

<home>/runs/<run_id>/      new runs
<home>/cache/              decoded data sets
<home>/uploads/            archives that were uploaded, by their content
<home>/attnlab.db          index of the runs; can be rebuilt from the folders
checkpoints/demo/<run_id>/ the shipped runs, read only, always beside the code
checkpoints/tables/*.json  the shipped grids, likewise
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO_RUNS = ROOT / "checkpoints" / "demo"
DEMO_TABLES = ROOT / "checkpoints" / "tables"
FIGURES = ROOT / "docs" / "figures"


def home() -> Path:
    """The folder for everything that is written: ``ATTNLAB_HOME``, or ``checkpoints/`` beside ``app.py``."""
    return Path(os.environ.get("ATTNLAB_HOME") or ROOT / "checkpoints").expanduser().resolve()


def runs_dir() -> Path:
    """Where new runs go, one folder each."""
    return home() / "runs"


def cache_dir() -> Path:
    """Where decoded data sets are kept."""
    return home() / "cache"


def uploads_dir() -> Path:
    """Where uploaded archives are kept."""
    return home() / "uploads"


def index_file() -> Path:
    """The index of the runs."""
    return home() / "attnlab.db"


def python_path() -> str:
    """``PYTHONPATH`` for a child process, so that it imports this very package."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
