"""The examples in the docstrings run, and give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "attnlab"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
PUBLIC = {
    "attnlab.Recorder",
    "attnlab.build_attention",
    "attnlab.edit_attention",
    "attnlab.open_run",
    "attnlab.record_attention",
    "attnlab.show",
    "attnlab.train",
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", [module_name(path) for path in FILES])
def test_examples_run(name: str) -> None:
    failed, attempted = doctest.testmod(import_module(name))
    assert attempted and not failed


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_way_in_has_an_example(name: str) -> None:
    function = getattr(import_module("attnlab"), name.removeprefix("attnlab."))
    assert ">>> " in (function.__doc__ or "")
