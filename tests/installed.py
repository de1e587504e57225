"""A copy of attnlab installed from a wheel, where no repository is near."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel.

    Attributes:
        folder: of the environment.
        cwd: an empty folder, where its commands run.
        data: what the commands take for the folder of user data.
    """

    folder: Path
    cwd: Path
    data: Path

    @property
    def home(self) -> Path:
        return self.data / "attnlab"

    @property
    def environment(self) -> dict[str, str]:
        """That of the tests without what would lead to the repository, or to a home."""
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ATTNLAB_HOME")}
        return own | {"XDG_DATA_HOME": str(self.data)}

    @property
    def program(self) -> str:
        return str(self.folder / "bin" / "attnlab")

    def attnlab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run([self.program, *arguments])

    def python(self, script: str) -> str:
        return self._run([str(self.folder / "bin" / "python"), "-c", script]).stdout

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.cwd, env=self.environment, capture_output=True, text=True, timeout=200)


def install(folder: Path) -> Installed:
    """Builds the wheel and installs it alone. What it depends on is taken from the environment of the tests."""
    wheels, environment, cwd = folder / "wheels", folder / "venv", folder / "empty"
    cwd.mkdir()
    _run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT))
    _run("-m", "venv", "--without-pip", str(environment))
    (wheel,) = wheels.glob("*.whl")
    _run("-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet", "--no-deps", str(wheel))
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(environment, cwd, folder / "data")


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
