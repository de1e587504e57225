"""Where things are kept. Everything that is written goes below `home()`.

<home>/runs/<run_id>/      new runs
<home>/cache/              decoded and drawn data sets, networks for the browser
<home>/uploads/            uploaded archives, named by their content
<home>/attnlab.db          index of the runs; can be rebuilt from the folders

In a clone the code reads what comes with it from the repository, and writes below ``checkpoints/``. A copy installed from a
wheel carries the same files inside the package, and writes to the user's data folder. ``ATTNLAB_HOME`` moves the home of both.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

_PACKAGE = Path(__file__).resolve().parent
_BUNDLE = _PACKAGE / "_bundle"
INSTALLED = _BUNDLE.is_dir()
"""Whether this copy was installed from a wheel, which alone has the bundle."""

ROOT = _BUNDLE if INSTALLED else _PACKAGE.parent
"""Holds app.py, pages/, the shipped runs and the documentation. Read only."""

DEMO_RUNS = ROOT / "checkpoints" / "demo"
DEMO_TABLES = ROOT / "checkpoints" / "tables"
DEMO_LEAGUES = ROOT / "checkpoints" / "league"
SHOWCASE = ROOT / "checkpoints" / "showcase.json"
DOCS = ROOT / "docs"


def home() -> Path:
    """The folder for everything that is written.

    ``ATTNLAB_HOME``; without it ``checkpoints/`` of a clone, or the user's data folder for an installed copy.
    """
    default = user_data_path("attnlab", appauthor=False) if INSTALLED else ROOT / "checkpoints"
    return Path(os.environ.get("ATTNLAB_HOME") or default).expanduser().resolve()


def python_path() -> str:
    """``PYTHONPATH`` for a child process, so that it imports this copy of the package whatever its folder is.

    An installed copy is found without it, and its folder of packages must not come before the standard library.
    """
    return os.pathsep.join(filter(None, ["" if INSTALLED else str(ROOT), os.environ.get("PYTHONPATH", "")]))


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


def written_path(text: str) -> Path:
    """The path that a person wrote: ``~`` stands for a user's own folder, and for itself where there is no such user."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path
