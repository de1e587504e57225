"""Plug-ins of installed packages and folders are listed, trained, recorded and compared; a broken one is named."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from attnlab.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--subset", "40", "--test-subset", "20", "--epochs", "1", "--width", "4"]


class Told(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def tree(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        return json.loads(self.out)


def examples(document: str, language: str = "python") -> list[str]:
    """The code blocks of a document, as printed."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), flags=re.DOTALL | re.MULTILINE)


def python(script: str, *arguments: str, home: Path, plugins: Path | str | None = None, packages: Path | None = None) -> str:
    """What a script prints that runs on the project in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "ATTNLAB_PLUGINS"}
    environment |= {"ATTNLAB_HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, filter(None, (packages, ROOT))))}
    if plugins is not None:
        environment["ATTNLAB_PLUGINS"] = str(plugins)
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=home.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


COMMANDS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from attnlab.cli.app import main

told = []
for arguments in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


def attnlab(*commands: Sequence[str], **where: Any) -> list[Told]:
    """What commands of ``python -m attnlab`` print, one after the other in one process."""
    return [Told(*told) for told in json.loads(python(COMMANDS, json.dumps(commands), **where))]


def names(listing: dict[str, Any], kind: str) -> set[str]:
    return {entry["name"] for entry in listing[kind]}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of docs/plugins.md, installed there by pip."""
    source, target = tmp_path_factory.mktemp("brightness-gate"), tmp_path_factory.mktemp("packages")
    (source / "pyproject.toml").write_text(examples("docs/plugins.md", "toml")[0])
    (source / "brightness_gate.py").write_text(examples("docs/plugins.md")[0])
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", target, source], check=True)
    return target


@pytest.mark.slow
def test_an_installed_package_is_listed_trained_by_a_worker_and_compared(packages: Path, private_home: Path) -> None:
    listing, run, table = attnlab(
        ["list", "--json"],
        ["train", "--executor", "process", "--attention", "eca+brightness_gate", *SMALL, "--json"],
        ["compare"],
        home=private_home,
        packages=packages,
    )
    assert "brightness_gate" in names(listing.tree, "variants")
    assert listing.tree["broken_plugins"] == []
    assert run.tree["state"] == "finished"
    folder = RunFolder(Path(run.tree["folder"]))
    newest = folder.snapshot(folder.snapshot_steps()[-1])
    assert any(recorded.name.endswith("brightness_gate.tap") for recorded in newest.maps)
    assert "eca + brightness_gate" in table.out


@pytest.mark.slow
def test_every_example_of_the_documentation_runs_as_printed(tmp_path: Path, private_home: Path) -> None:
    """The one block of the README's section and the three of docs/plugins.md, as files of one folder, in one run."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (mean_gate,) = (block for block in examples("README.md") if "register_attention" in block)
    for number, block in enumerate([mean_gate, *examples("docs/plugins.md")]):
        (folder / f"example_{number}.py").write_text(block)
    chosen = ["--dataset", "stripes", "--backbone", "one_layer_cnn", "--attention", "mean_gate+brightness_gate"]
    run, table = attnlab(
        ["train", *chosen, "--placement", "block_end", "--dataset-option", "noise=0.3", *SMALL, "--json"],
        ["compare", "--dataset", "stripes"],
        home=private_home,
        plugins=folder,
    )
    assert run.tree["state"] == "finished"
    assert "mean_gate + brightness_gate" in table.out


BROKEN = {
    "syntax.py": ("x = 1\ndef broken(:\n", 2, "SyntaxError"),
    "raises.py": ("import json\n\njson.loads('no json')\n", 3, "JSONDecodeError"),
    "leaves.py": ("raise SystemExit(3)\n", 1, "SystemExit"),
    "no_module.py": ("import no_such_module\n", 1, "no_such_module"),
}


@pytest.mark.slow
def test_a_broken_plugin_is_named_with_its_line_and_stops_nothing(packages: Path, tmp_path: Path, private_home: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, (text, _, _) in BROKEN.items():
        (folder / name).write_text(text)
    variant, network, dataset = examples("docs/plugins.md")
    (folder / "good.py").write_text(network)
    taken = variant.replace('"brightness_gate"', '"eca"')
    (folder / "taken.py").write_text(taken)
    # An installed package that wants the name of a file in the folder comes second.
    (folder / "first.py").write_text(variant)
    (folder / "wrong_option.py").write_text(dataset.replace('"noise": (0.1, 0.3)', '"noise": (1, 2)'))
    told, eca, unknown_variant, unknown_dataset = attnlab(
        ["list", "--json"],
        ["train", "--attention", "eca", *SMALL, "--json"],
        ["train", "--attention", "syntax"],
        ["train", "--dataset", "stripes", *SMALL],
        home=private_home,
        plugins=f"{folder}{os.pathsep}{tmp_path / 'nowhere'}",
        packages=packages,
    )
    listing = told.tree
    assert "one_layer_cnn" in names(listing, "networks")
    assert {"eca", "brightness_gate"} <= names(listing, "variants")
    assert "digits" in names(listing, "datasets") and "stripes" not in names(listing, "datasets")
    broken = {Path(entry["plugin"].split(" = ")[0]).name: entry for entry in listing["broken_plugins"]}
    assert set(broken) == {*BROKEN, "taken.py", "wrong_option.py", "brightness_gate", "nowhere"}
    assert "ATTNLAB_PLUGINS names it" in broken["nowhere"]["reason"]
    for name, (_, line, reason) in BROKEN.items():
        assert broken[name]["file"] == str(folder / name)
        assert broken[name]["line"] == line
        assert reason in broken[name]["reason"]
    line = taken[: taken.index("@register_attention")].count("\n") + 1
    assert broken["taken.py"]["line"] == line
    assert "'eca' is registered twice" in broken["taken.py"]["reason"]
    assert "'noise' is not among" in broken["wrong_option.py"]["reason"]
    assert "'brightness_gate' is registered twice" in broken["brightness_gate"]["reason"]
    assert broken["brightness_gate"]["file"] == str(packages / "brightness_gate.py")

    assert eca.tree["state"] == "finished"
    assert (unknown_variant.code, unknown_dataset.code) == (2, 2)
    assert "unknown attention variant 'syntax'" in unknown_variant.err and str(folder / "syntax.py") in unknown_variant.err
    assert "'stripes' is neither a data set nor a path" in unknown_dataset.err and "wrong_option.py" in unknown_dataset.err


OWN_ATTENTION = """
from torch import nn
from attnlab.models import register_model
from ._shared import SUMMARY

@register_model("focusing", title="Focusing", paper="none", summary=SUMMARY, width=4, own_attention="focus")
class Focusing(nn.Module):
    pass
"""
NAMES = """
import sys
from attnlab.config import ModelConfig, RunConfig
from attnlab.runs.naming import attention_name

assert attention_name(RunConfig(model=ModelConfig(backbone="gated_cnn"))) == "built-in gates"
assert "torch" not in sys.modules, "a built-in network is named without torch"
print(attention_name(RunConfig(model=ModelConfig(backbone="focusing"))))
print(attention_name(RunConfig(model=ModelConfig(backbone="gone"))))
"""


@pytest.mark.slow
def test_a_network_of_a_plugin_says_what_its_attention_is_called(tmp_path: Path, private_home: Path) -> None:
    """Files whose names begin with an underscore hold what the others share."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "_shared.py").write_text('SUMMARY = "Attends by itself."\n')
    (folder / "focusing.py").write_text(OWN_ATTENTION)
    assert python(NAMES, home=private_home, plugins=folder).split() == ["focus", "plain"]


IMPORT_ALL = """
import importlib, pkgutil, sys
import attnlab
for module in pkgutil.walk_packages(attnlab.__path__, "attnlab."):
    if not module.name.endswith(("__main__", "_unpickle")):
        importlib.import_module(module.name)
assert not hasattr(sys, "seen"), "a registry was read by an import"
from attnlab.data import list_datasets
list_datasets()
list_datasets()
print(sys.seen)
"""


@pytest.mark.slow
def test_plugins_wait_for_the_first_read_and_are_imported_once(tmp_path: Path, private_home: Path) -> None:
    """A registry read while a module is imported could wait for itself: an import lock on one side, plug-ins on the other."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "counted.py").write_text("import sys\nsys.seen = getattr(sys, 'seen', 0) + 1\n")
    assert python(IMPORT_ALL, home=private_home, plugins=folder) == "1\n"


RAISES = """
from torch import Tensor, nn

from attnlab.attention import AttentionTap, MapKind, register_attention


@register_attention(
    "raises", title="Raises", paper="", summary="Fails in its third step.", formula="x", kinds=[MapKind.ELEMENT]
)
class Raises(nn.Module):
    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.tap = AttentionTap(MapKind.ELEMENT)
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += self.training
        if self.seen > 2:
            raise IndexError("a mistake of the plug-in")
        return x * self.tap(x.sigmoid())
"""


@pytest.mark.slow
def test_a_variant_that_raises_in_a_training_is_named_with_its_line_and_the_next_run_trains(
    tmp_path: Path, private_home: Path
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "raising.py").write_text(RAISES)
    line = 1 + RAISES.splitlines().index('            raise IndexError("a mistake of the plug-in")')
    failed, fine = attnlab(
        ["train", "--attention", "raises", *SMALL, "--batch-size", "8"],
        ["train", "--attention", "none", *SMALL],
        home=private_home,
        plugins=plugins,
    )
    assert failed.code == 2 and "a mistake of the plug-in" in failed.err
    assert f"raising.py, line {line}" in failed.err
    assert fine.code == 0
