"""Files of a data set as a folder and as an archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

Tree = dict[str, bytes]
"""Path below the top -> content."""


def as_folder(tree: Tree, at: Path) -> Path:
    for name, content in tree.items():
        file = at / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return at / "data"


def as_zip(tree: Tree, at: Path) -> Path:
    with zipfile.ZipFile(at / "data.zip", "w") as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return at / "data.zip"
