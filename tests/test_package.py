"""What an installer meets: the requirements files, the names of the package, and the wheel where no repository is near."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, assert_type

import pytest

import attnlab
from attnlab.attention import list_attention
from attnlab.config import RunConfig
from scripts.export_requirements import requirements
from tests.installed import Installed

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("--dataset-option", "train_images=100", "--dataset-option", "test_images=40", "--device", "cpu"),
    *("--epochs", "1", "--subset", "64", "--test-subset", "32", "--width", "4", "--batch-size", "16"),
]


@pytest.mark.parametrize("name", requirements())
def test_requirements_files_say_what_pyproject_says(name: str) -> None:
    assert (ROOT / name).read_text() == requirements()[name], "run: python scripts/export_requirements.py"


@pytest.mark.slow
def test_importing_the_package_is_free_of_torch_and_its_names_resolve() -> None:
    script = """
import sys, attnlab
assert not {"torch", "pydantic", "numpy"} & set(sys.modules)
assert set(attnlab.__all__) <= set(dir(attnlab))
attnlab.RunConfig()
assert "torch" not in sys.modules
for name in attnlab.__all__:
    assert callable(getattr(attnlab, name))
try:
    attnlab.no_such_name
except AttributeError:
    sys.exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=120)


def test_type_checkers_know_the_names_of_the_package() -> None:
    """The names that are imported late are those of their modules; mypy refuses this file where their types are unknown."""
    assert assert_type(attnlab.RunConfig, type[RunConfig]) is RunConfig
    config: RunConfig = attnlab.RunConfig()
    assert assert_type(config.training.epochs, int) > 0


@pytest.mark.slow
def test_an_installed_copy_lists_trains_and_writes_to_the_data_folder_of_the_user(installed: Installed) -> None:
    package = Path(installed.python("import attnlab; print(attnlab.__file__)").strip()).parent
    assert installed.folder in package.parents
    assert {"eca", "cbam"} <= {variant["name"] for variant in attnlab_json(installed, "list")["variants"]}

    run = attnlab_json(installed, "train", *SMALL)
    assert run["state"] == "finished"
    assert Path(run["folder"]).parent == installed.home / "runs"
    records = attnlab_json(installed, "runs")["runs"]
    assert run["run_id"] in {record["run_id"] for record in records}
    assert any(record["demo"] for record in records)
    assert not list(installed.cwd.iterdir())


@pytest.mark.slow
def test_an_installed_copy_trains_in_a_process_of_its_own(installed: Installed) -> None:
    assert attnlab_json(installed, "train", *SMALL, "--seed", "1", "--executor", "process")["state"] == "finished"


@pytest.mark.slow
def test_an_installed_copy_keeps_its_demo_runs_as_they_are(installed: Installed) -> None:
    refused = installed.attnlab("demo")
    assert refused.returncode == 2 and "installed copy" in refused.stderr


@pytest.mark.slow
def test_the_wheel_holds_what_the_pages_read(installed: Installed) -> None:
    bundle = Path(installed.python("from attnlab import paths; print(paths.ROOT)").strip())
    for pattern in (
        "app.py",
        "pages/*.py",
        ".streamlit/config.toml",
        "checkpoints/demo/**/*",
        "checkpoints/tables/*",
        "checkpoints/league/*",
        "docs/*.md",
    ):
        expected = {path.relative_to(ROOT) for path in ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts}
        assert expected or pattern == "checkpoints/league/*"  # no league has been shipped yet
        assert expected == {path.relative_to(bundle) for path in bundle.glob(pattern) if path.is_file()}
    assert not (bundle / "docs" / "screenshots").exists()
    for variant in list_attention():
        page = bundle / "docs" / f"{variant}.md"
        assert page.exists() == (ROOT / "docs" / page.name).exists()
    assert (bundle / "docs" / "figures").is_dir() and (bundle.parent / "py.typed").is_file()
    scripts = {
        path.relative_to(ROOT) for path in (ROOT / "attnlab").rglob("*") if path.suffix in (".js", ".css", ".html", ".svg")
    }
    assert scripts and all((bundle.parents[1] / path).is_file() for path in scripts)


def attnlab_json(installed: Installed, *arguments: str) -> Any:
    done = installed.attnlab(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
