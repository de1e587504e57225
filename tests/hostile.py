"""Text that would run, load or restyle something if a page interpreted it, and a home in which every name is such text."""

from __future__ import annotations

from pathlib import Path

from attnlab.config import RunConfig
from attnlab.experiments.grid import GridRow, make_grid, save_grid
from attnlab.runs.files import write_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from tests.example_runs import finished_run

HOST = "evil.example"
HOSTILE = (
    f"![picture](http://{HOST}/q.png) [link](http://{HOST}) http://{HOST}/a www.{HOST} me@{HOST} <img src=http://{HOST}/i> "
    f"**bold** :red[{HOST}] $x_{{{HOST}}}$ `{HOST}`"
)
RUNS = (
    '<img src=x onerror="window.canary=1"> <script>window.canary=1</script> <svg onload="window.canary=1"> '
    f"[press](javascript:window.canary=1) </script><style>body{{background:url(http://{HOST}/s)}}</style> \u202egnp.exe"
)
"""Sets a canary in the page where it is read as HTML."""
EVERYTHING = f"{RUNS} {HOSTILE} {'💥' * 2000}"
VARIANT = f"no_such_{RUNS}"
"""The name of a variant in a home that came from elsewhere."""


def fill(home: Path, trained: Path, text: str) -> None:
    """Makes every name in a home this text: titles, notes, classes, files, reasons, rows of grids; and a variant's.

    Args:
        trained: the folder of a trained run, below the runs of the home.
    """
    named = RunFolder(trained)
    named.describe(title=text, note=text)
    about = named.dataset_summary() or {}
    about["class_names"] = [f"{text} {number}" for number, _ in enumerate(about["class_names"])]
    about["provenance"] = {"source": text, "digest": "", "note": text, "skipped": [f"{text}: {text}"]}
    named.write_dataset(about)
    failed = finished_run(home, RunConfig(seed=7), 0.9)
    failed.write_end(RunState.FAILED, 1, reason=text)
    finished_run(home, RunConfig(seed=8), 0.9).describe(title=text)
    stopped = finished_run(home, RunConfig(seed=9), 0.9)
    stopped.describe(title=text, note=text)
    stopped.write_end(RunState.STOPPED, 1)
    foreign = finished_run(home, RunConfig(seed=11), 0.9)
    (foreign.path / "config.json").write_text(RunConfig(seed=11).changed(model__attention=VARIANT).to_json())
    save_grid(home, make_grid([GridRow(text, RunConfig(seed=7)), GridRow("b", RunConfig())], [7, 8], title=text))
    (home / "searches").mkdir()
    write_json(home / "searches" / "x.json", {"base": text, "trials": 1, "seed": 0, "created": 0.0})
