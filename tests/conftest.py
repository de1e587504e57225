"""What every test has: a private home, one thread for torch, the real data where it lies; and how tests share the cores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.installed import Installed, install

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
PROCESSES = 4
"""At most so many processes run tests when nobody says how many; each has torch and Streamlit in its memory."""

# Networks of tests are too small for threads, which only wait for each other. Before torch is imported, here and below.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests wait for their workers, which would give way to the other tests.
os.environ.setdefault("ATTNLAB_GIVE_WAY", "no")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The tests of the whole project run in several processes, named files in this one, unless ``-n`` says otherwise."""
    option = config.option
    if hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist"):
        return  # this is one of those processes, or there is nothing to share the tests with
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and option.numprocesses is None and not option.usepdb:
        option.numprocesses = min(PROCESSES, os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file stay in one process, which so makes their shared fixtures once; those with the browser do too."""
    from xdist.scheduler import LoadScopeScheduling

    class Places(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return place(nodeid)

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return Places(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the tests, the places with most slow tests begin, so that no process ends long after another."""
    browser = Path(__file__).parent / "browser"
    for item in items:
        if item.path.is_relative_to(browser):
            item.add_marker("browser")
    if hasattr(config, "workerinput"):
        slow: dict[str, int] = {}
        for item in items:
            heavy = item.get_closest_marker("slow") or item.get_closest_marker("browser")
            slow[place(item.nodeid)] = slow.get(place(item.nodeid), 0) + (heavy is not None)
        items.sort(key=lambda item: -slow[place(item.nodeid)])


def place(nodeid: str) -> str:
    """The file of a test, or the folder of those that share a browser."""
    file = nodeid.partition("::")[0]
    return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets; skips the test where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def home_of_fixtures(tmp_path_factory: pytest.TempPathFactory, drawings: Path) -> Iterator[None]:
    """Nothing that a fixture shared by tests writes reaches the project's own checkpoints/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLAB_HOME", str(with_drawings(tmp_path_factory.mktemp("home"), drawings)))
        yield


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all homes of tests keep drawn images: drawing them anew in every test and its workers takes minutes in all."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "drawings"
    folder.mkdir(exist_ok=True)
    return folder


def with_drawings(home: Path, drawings: Path) -> Path:
    """A home in which drawn images are found."""
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "drawn").symlink_to(drawings, target_is_directory=True)
    return home


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory, drawings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing a test writes reaches the project's own checkpoints/."""
    home = with_drawings(tmp_path_factory.mktemp("home"), drawings)
    monkeypatch.setenv("ATTNLAB_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this repository, installed in an environment of its own."""
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def app(private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The app without shipped runs, with torch there, and runs trained in a thread of this process."""
    from streamlit.testing.v1 import AppTest

    from attnlab import paths
    from attnlab.experiments.managers import shutdown_all
    from attnlab.ui import background, warmup

    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setattr(background, "PATIENCE", 60.0)  # pages show what they compute, however busy the machine is
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "thread")
    warmup.wait()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    shutdown_all()


@pytest.fixture(scope="session")
def small_maps_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run all of whose maps the viewer shows; only to be read."""
    from tests.example_runs import SMALL_MAPS, trained_run

    return trained_run(SMALL_MAPS, tmp_path_factory.mktemp("small-maps")).path


@pytest.fixture(scope="session")
def large_maps_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run with a map too large for the viewer; only to be read."""
    from tests.example_runs import LARGE_MAPS, trained_run

    return trained_run(LARGE_MAPS, tmp_path_factory.mktemp("large-maps")).path


@pytest.fixture
def run_id(small_maps_run: Path, private_home: Path) -> str:
    """The run with small maps, in the home of this test."""
    shutil.copytree(small_maps_run, private_home / "runs" / small_maps_run.name)
    return small_maps_run.name


@pytest.fixture
def listed_run_id(app: AppTest, run_id: str) -> str:
    """The run with small maps, when the manager of the app has found it in the home of this test."""
    from attnlab.experiments.managers import get_manager

    get_manager().store.sync()
    assert run_id in [record.run_id for record in get_manager().runs()]
    return run_id
