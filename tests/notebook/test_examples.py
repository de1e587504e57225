"""The examples run as they lie: the cells of the notebook one after the other, and the script that records a training."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from attnlab.notebook import Shown
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell; gives the value of its last line, which a notebook would show."""
    *before, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        return exec(compile(source, "cell", "exec"), names)
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_shows_a_viewer_below_each_cell_that_promises_one(private_home: Path) -> None:
    notebook = json.loads((EXAMPLES / "show_attention.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            value = run_cell("".join(cell["source"]), names)
            if "attnlab.show(" in "".join(cell["source"]):
                assert isinstance(value, Shown) and value._repr_html_().startswith("<iframe")
                shown.append(value.about)
    assert shown == ["8 images, 6 maps", "1 image, 6 maps", "2 images, 2 maps", "4 images, 2 maps"]


def test_the_script_records_a_training_that_the_app_lists(private_home: Path, capsys: Any) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile((EXAMPLES / "record_a_training.py").read_text(encoding="utf-8"), "record_a_training.py", "exec"), names)
    recorder = names["main"](epochs=2, steps=6)
    observed = RunFolder(recorder.folder).observe()
    assert recorder.folder.parent == private_home / "runs"
    assert observed.state is RunState.FINISHED and observed.result["test_accuracy"] is not None
    assert recorder.run_id in capsys.readouterr().out
