"""The kinds of input, by name. Each is imported when it is asked for, since some need torch or Streamlit."""

from __future__ import annotations

from importlib import import_module

from benchmarks.fuzz.judge import Kind

_WHERE = {
    "image": ("images", "KIND"),
    "archive": ("archives", "KIND"),
    "table": ("tables", "KIND"),
    "checkpoint": ("checkpoints", "KIND"),
    "run folder": ("run_files", "KIND"),
    "title": ("run_files", "TITLES"),
    "command": ("commands", "KIND"),
    "page": ("pages", "KIND"),
}
NAMES = tuple(_WHERE)


def kind_of(name: str) -> Kind:
    """The kind with this name."""
    file, attribute = _WHERE[name]
    kind = getattr(import_module(f"benchmarks.fuzz.{file}"), attribute)
    assert isinstance(kind, Kind)
    return kind
