"""Grids in other formats: CSV, Markdown, LaTeX (booktabs), and JSON that can be imported again.

Notes below a table say what it rests on: how many runs, which seeds, which hardware and versions, which data.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from attnlab import __version__
from attnlab.config import RunConfig, explain
from attnlab.experiments.grid import Grid, GridError, GridState, Progress, best_runs, save_grid, what_is_wrong
from attnlab.experiments.grid_table import GRID_COLUMNS
from attnlab.experiments.table import COLUMNS, safe_csv
from attnlab.readable import why_not_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord, RunState

FORMAT = 1
"""Version of the JSON format."""
_GRID_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,199}")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "statsmodels")
"""Packages whose versions the notes name."""
PRINTED = (
    "row",
    "report_accuracy",
    "report_std",
    "accuracy",
    "std",
    "n",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p_holm",
    "verdict",
    "parameters",
    "report_parameters",
)
"""Columns of Markdown and LaTeX tables; those without any value are left out."""
COMPARED = ("name", "accuracy", "std", "n", "difference", "verdict", "auc", "parameters", "mflops", "milliseconds", "seconds")
"""Columns of a printed comparison of groups; those without any value are left out."""
_TEXT = ("row", "name", "verdict", "against_plain", "against_control", "finds", "note")
_DIFFERENCES = ("difference", "difference_plain", "difference_control")
_MILLISECONDS = ("milliseconds", "forward", "backward")
_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
}


def footnotes(progress: Progress) -> list[str]:
    """What the figures of a grid rest on, one sentence per fact."""
    runs = [cell.run for cell in progress.cells if cell.run is not None and cell.run.state is RunState.FINISHED]
    seeds = sorted({run.config.seed for run in runs})
    lines = [f"{len(runs)} of {len(progress.cells)} runs finished; seeds {_span(seeds)}."]
    if runs:
        summaries = [RunFolder(run.folder).dataset_summary() or {} for run in runs]
        data = sorted({_described(run, summary) for run, summary in zip(runs, summaries, strict=True)})
        notes = sorted({note for summary in summaries if (note := summary.get("provenance", {}).get("note"))})
        lines.append(f"Data: {'; '.join(data + notes).rstrip('.')}.")
        lines.append(f"Hardware: {'; '.join(sorted({run.device for run in runs if run.device}) or ['not recorded'])}.")
        torches = sorted({str(release) for run in runs if (release := RunFolder(run.folder).progress().get("torch"))})
        if torches:
            lines.append(f"Trained with torch {', '.join(torches)}.")
    lines.append(f"Exported with attnlab {__version__}, Python {platform.python_version()}, {', '.join(_versions())}.")
    return lines


def table_csv(table: pd.DataFrame) -> str:
    """The table as CSV, safe to open in a spreadsheet."""
    return safe_csv(table.rename(columns=GRID_COLUMNS))


def runs_csv(progress: Progress) -> str:
    """One line per cell of a grid, as CSV."""
    rows = [
        {
            "row": cell.row,
            "seed": cell.seed,
            "state": cell.state,
            "test accuracy": cell.run.test_accuracy if cell.run else None,
            "validation accuracy": cell.run.validation_accuracy if cell.run else None,
            "seconds": cell.run.seconds if cell.run else None,
            "device": cell.run.device if cell.run else None,
            "run": cell.config.run_id,
        }
        for cell in progress.cells
    ]
    return safe_csv(pd.DataFrame(rows))


def table_markdown(
    table: pd.DataFrame,
    notes: Sequence[str] = (),
    columns: Sequence[str] = PRINTED,
    headings: Mapping[str, str] = GRID_COLUMNS,
) -> str:
    """The table in Markdown, with the notes below."""
    names = _with_values(table, columns)
    cells = [[cell.replace("|", "\\|") for cell in line] for line in _cells(table, names)]
    lines = [
        [headings[name] for name in names],
        ["---" if name in _TEXT else "---:" for name in names],
        *cells,
    ]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text + "".join(f"\n\n{note}" for note in notes) + "\n"


def table_latex(
    table: pd.DataFrame,
    caption: str,
    notes: Sequence[str] = (),
    columns: Sequence[str] = PRINTED,
    headings: Mapping[str, str] = GRID_COLUMNS,
) -> str:
    """The table in LaTeX, with the notes below; the document needs the package booktabs."""
    names = _with_values(table, columns)
    align = "".join("l" if name in _TEXT else "r" for name in names)
    lines = [" & ".join(_tex(cell) for cell in line) + r" \\" for line in _cells(table, names)]
    head = " & ".join(_tex(headings[name]) for name in names) + r" \\"
    body = "\n    ".join(lines)
    foot = "".join(f"\n  \\par\\footnotesize {_tex(note)}" for note in notes)
    return (
        f"\\begin{{table}}\n  \\centering\n  \\caption{{{_tex(caption)}}}\n  \\begin{{tabular}}{{{align}}}\n    \\toprule\n"
        f"    {head}\n    \\midrule\n    {body}\n    \\bottomrule\n  \\end{{tabular}}{foot}\n\\end{{table}}\n"
    )


def comparison_markdown(table: pd.DataFrame) -> str:
    """A table of `attnlab.experiments.table.comparison_table` in Markdown."""
    return table_markdown(table, columns=COMPARED, headings=COLUMNS)


def comparison_latex(table: pd.DataFrame, caption: str) -> str:
    """A table of `attnlab.experiments.table.comparison_table` in LaTeX."""
    return table_latex(table, caption, columns=COMPARED, headings=COLUMNS)


def grid_json(grid: Grid, progress: Progress) -> str:
    """A grid with the results of its finished runs, for `import_grid` on another machine."""
    runs = []
    for record in {cell.run.run_id: cell.run for cell in progress.cells if cell.run is not None}.values():
        if record.state is RunState.FINISHED:
            folder = RunFolder(record.folder)
            runs.append(
                {
                    "config": record.config.model_dump(mode="json"),
                    "result": dict(record.result),
                    "progress": folder.progress(),
                    "dataset": folder.dataset_summary(),
                    "epochs": [row for row in folder.metrics() if row["kind"] == "epoch"],
                }
            )
    tree = {"attnlab_grid": FORMAT, "grid_id": grid.grid_id, "grid": grid.to_tree(), "runs": runs, "notes": footnotes(progress)}
    return json.dumps(tree, indent=1, allow_nan=False)


@dataclass(frozen=True)
class Exported:
    """A grid as read from a file that `grid_json` wrote.

    Attributes:
        grid: not in the queue: paused, or done where every run is finished.
        records: its finished runs. Their folders do not exist.
        notes: what its figures rest on, written where it was trained.
        entries: the file's entry of each record: config, result, progress, data set and epochs.
    """

    grid: Grid
    records: tuple[RunRecord, ...]
    notes: tuple[str, ...]
    entries: tuple[Mapping[str, Any], ...]


def read_grid(text: str | bytes) -> Exported:
    """The grid of a file that `grid_json` wrote.

    Raises:
        GridError: when the text is anything else.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GridError(f"the file is not JSON: {why_not_json(error)}") from error
    if not isinstance(tree, dict) or tree.get("attnlab_grid") != FORMAT:
        raise GridError("the file is not an exported grid; `attnlab grid export ID --format json` writes one")
    try:
        name = str(tree["grid_id"])
        if not _GRID_ID.fullmatch(name):
            raise GridError(f"the file is not an exported grid: {name!r} is not a valid grid name")
        grid = Grid.from_tree(name, {**tree["grid"], "state": "paused"})
        entries = tuple(dict(run) for run in tree["runs"])
        records = tuple(_record(entry) for entry in entries)
        notes = tuple(str(note) for note in tree.get("notes", ()))
    except (KeyError, TypeError, AttributeError) as error:
        raise GridError(f"the file is not an exported grid: {what_is_wrong(error)}") from error
    except ValueError as error:
        raise GridError(f"the file is not an exported grid: {explain(error)}") from error
    if any(record.test_accuracy is None or not 0 <= record.test_accuracy <= 1 for record in records):
        raise GridError("the file is not an exported grid: a test accuracy lies outside [0, 1]")
    complete = grid.wanted.keys() <= {record.config.config_hash for record in records}
    return Exported(replace(grid, state=GridState.DONE if complete else GridState.PAUSED), records, notes, entries)


def import_grid(home: Path, text: str | bytes, records: Sequence[RunRecord] = ()) -> tuple[Grid, int]:
    """Saves an exported grid in a home, and creates those of its finished runs that the home does not have.

    Imported runs have figures and curves, but no weights.

    Args:
        text: a file that `grid_json` wrote.
        records: the runs of the home.

    Returns:
        The grid, and how many runs were created.

    Raises:
        GridError: when the text is anything else.
    """
    exported = read_grid(text)
    existing = best_runs(records)
    created = 0
    for record, entry in zip(exported.records, exported.entries, strict=True):
        run = existing.get(record.config.config_hash)
        if run is None or run.state is not RunState.FINISHED:
            note = f"imported with the grid {exported.grid.grid_id}"
            RunFolder.create(home / "runs", record.config, note=note, fill=partial(_fill, entry))
            created += 1
    save_grid(home, exported.grid)
    return exported.grid, created


class _Progress(BaseModel):
    """The fields of a run's progress that the index reads; others may be there and are passed on."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    device: str | None = None
    parameters: int | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    validation_accuracy: float | None = None


class _Result(BaseModel):
    """The fields of a run's result that the index reads; others may be there and are passed on."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    test_accuracy: float
    test_auc: float | None = None
    validation_accuracy: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None


def _record(entry: Mapping[str, Any]) -> RunRecord:
    """The finished run of an entry."""
    config = RunConfig.model_validate(entry["config"])
    result, progress = dict(entry["result"]), dict(entry.get("progress", {}))
    _Result.model_validate(result, strict=True)
    _Progress.model_validate(progress, strict=True)
    return RunRecord(
        run_id=config.run_id,
        group=config.group,
        title=config.run_id,
        config=config,
        state=RunState.FINISHED,
        folder=Path(config.run_id),
        device=progress.get("device"),
        parameters=progress.get("parameters"),
        seconds=result.get("seconds"),
        validation_accuracy=result.get("validation_accuracy"),
        test_accuracy=float(result["test_accuracy"]),
        test_auc=result.get("test_auc"),
        result=result,
    )


def _fill(entry: Mapping[str, Any], folder: RunFolder) -> None:
    """Writes the files that the worker of a finished run leaves."""
    lines = [json.dumps(dict(row), separators=(",", ":"), allow_nan=False) for row in entry.get("epochs", [])]
    folder.metrics_path.write_text("".join(f"{line}\n" for line in lines))
    if entry.get("dataset"):
        folder.write_dataset(entry["dataset"])
    folder.write_progress({**entry.get("progress", {}), "attempt": 1})
    folder.write_end(RunState.FINISHED, 1, result=entry["result"])


def _with_values(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The columns in which any row has a value."""
    return [name for name in columns if name in ("row", "name") or table[name].replace("", pd.NA).notna().any()]


def _cells(table: pd.DataFrame, columns: Sequence[str]) -> list[list[str]]:
    """The cells of each row as text."""
    return [[_cell(name, row[name]) for name in columns] for row in table.to_dict("records")]


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, str) and pd.isna(value):
        return "–"
    if name in ("n", "needed", "parameters", "report_parameters"):
        return f"{int(value):,}"
    if name.startswith("p_"):
        return f"{value:.2g}"
    if name in ("auc", *_MILLISECONDS):
        return f"{value:.3f}"
    if name in _DIFFERENCES:
        return f"{round(value, 1) + 0.0:+.1f}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _span(seeds: Sequence[int]) -> str:
    """``0 to 15``, ``1, 4`` or ``none yet``."""
    if not seeds:
        return "none yet"
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _described(run: RunRecord, summary: Mapping[str, Any]) -> str:
    """A data set and its size: ``cifar10 (1,800 train, 200 validation, 10,000 test)``."""
    counts = {part: sum(by_class) for part, by_class in summary.get("counts", {}).items()}
    name = Path(run.config.dataset.name).name
    return name + (f" ({', '.join(f'{count:,} {part}' for part, count in counts.items())})" if counts else "")


def _versions() -> list[str]:
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return versions
