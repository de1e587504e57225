"""The house stands: imports go one way, without a circle, and the first page paints before torch is there."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TORCH_FREE = (
    "config",
    "paths",
    "registry",
    "plugins",
    "stats",
    "runs",
    "worker",
    "queue",
    "experiments",
    "lessons",
    "rooms",
    "desk",
    "viz",
    "cli",
)
"""Importing any file of these leaves torch alone; what needs it imports it when it is called."""


def test_imports_keep_the_contracts_of_pyproject() -> None:
    lint = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert lint.returncode == 0, lint.stdout[-4000:] + lint.stderr[-2000:]


@pytest.mark.parametrize("room", TORCH_FREE)
def test_a_room_without_torch_can_be_imported_whole(room: str) -> None:
    script = f"""
import importlib, pkgutil, sys
names = ["attnlab.{room}"]
package = importlib.import_module(names[0])
names += [module.name for module in pkgutil.walk_packages(getattr(package, "__path__", ()), names[0] + ".")]
for name in names:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name + " imports torch"
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_first_page_is_free_of_torch() -> None:
    modules = "attnlab.ui.shell, attnlab.ui.home.demo_strip, attnlab.ui.home.gallery"
    script = f"import sys; import {modules}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
