"""Shared fixtures: the real data where it lies, and a private home for everything a test writes."""

from pathlib import Path

import pytest

from tests.installed import Installed, install

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets; skips the test where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing a test writes reaches the project's own checkpoints/."""
    home = tmp_path / "home"
    monkeypatch.setenv("ATTNLAB_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this repository, installed in an environment of its own."""
    return install(tmp_path_factory.mktemp("installed"))
