"""Builds the API reference as HTML from the docstrings.

python scripts/build_api_docs.py [FOLDER]
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pdoc

ROOT = Path(__file__).resolve().parents[1]
NOT_FOR_CALLERS = ("cli", "ui", "worker")
"""Packages that people use through the command, the browser and the queue."""


def build(folder: Path) -> None:
    """Writes one page for each public module.

    Raises:
        UserWarning: when a module cannot be imported or a name in ``__all__`` does not exist.
    """
    warnings.filterwarnings("error", module="pdoc")
    inside = [module.name for module in iter_modules([str(ROOT / "attnlab")])]
    modules = ["attnlab", *(f"attnlab.{name}" for name in inside if name not in NOT_FOR_CALLERS and not name.startswith("_"))]
    for name in pdoc.extract.walk_specs(modules):
        module = import_module(name)
        for public in getattr(module, "__all__", ()):  # pdoc looks only at names that are there already
            setattr(module, public, getattr(module, public))
    pdoc.render.configure(docformat="google", footer_text="attnlab")
    pdoc.pdoc(*modules, output_directory=folder)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site" / "api")
