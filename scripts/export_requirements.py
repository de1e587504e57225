"""Writes the requirements files from pyproject.toml, which alone is edited by hand.

python scripts/export_requirements.py
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"tensorboard": "requirements-tensorboard.txt", "ray": "requirements-ray.txt"}
"""Extras that have a file of their own; the one for development includes them."""


def requirements() -> dict[str, str]:
    """File name -> content."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    development = [requirement for requirement in extras["dev"] if not requirement.startswith("attnlab[")]
    included = [f"-r {name}" for name in ("requirements.txt", *EXTRAS.values())]
    return {
        "requirements.txt": _file("The app.", project["dependencies"]),
        **{name: _file(f"The extra '{extra}'.", extras[extra]) for extra, name in EXTRAS.items()},
        "requirements-dev.txt": _file("The app, its extras, and what the tests need.", [*included, *development]),
    }


def _file(about: str, lines: list[str]) -> str:
    return "\n".join([f"# {about} Made from pyproject.toml by scripts/export_requirements.py.", *lines, ""])


def main() -> None:
    """Writes the files."""
    for name, text in requirements().items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
