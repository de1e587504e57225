"""A grid as a table: the accuracy of each row over its seeds, its comparison, and the report's figures beside it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from attnlab.experiments.grid import Grid, Progress
from attnlab.experiments.groups import Group, GroupComparison, Verdict, compare_pairs
from attnlab.experiments.power import Power, power_of
from attnlab.experiments.table import Cost

GRID_COLUMNS = {
    "row": "row",
    "report_accuracy": "report: accuracy (%)",
    "report_std": "report: ± std",
    "accuracy": "test accuracy (%)",
    "std": "± std",
    "low": "95% from",
    "high": "95% to",
    "n": "n",
    "difference": "Δ (points)",
    "difference_low": "Δ 95% from",
    "difference_high": "Δ 95% to",
    "p_holm": "p (Holm)",
    "needed": "seeds needed",
    "verdict": "compared",
    "parameters": "parameters",
    "report_parameters": "report: parameters",
    "milliseconds": "ms / image",
    "seconds": "training (s)",
    "seeds": "seeds",
}
"""Column -> heading, in the order shown."""


def row_groups(grid: Grid, progress: Progress) -> dict[str, Group]:
    """Row label -> its runs as a group, which is empty where the row has none."""
    runs = {
        row.label: [cell.run for cell in progress.cells if cell.row == row.label and cell.run is not None] for row in grid.rows
    }
    return {row.label: Group(row.config.group, row.config, tuple(runs[row.label])) for row in grid.rows}


def compared(grid: Grid, groups: Mapping[str, Group]) -> dict[str, GroupComparison]:
    """Row label -> its comparison with the row that it names as ``against``.

    Where no row names another, all are compared with the first. Rows that others are compared with are "the baseline"; a
    row that is neither has no comparison.
    """
    pairs = {label: other for label, other in _against(grid).items() if other in groups and other != label}
    comparisons = compare_pairs([(groups[other], groups[label]) for label, other in pairs.items()])
    baselines = {label: GroupComparison(Verdict.BASELINE, "the baseline") for label in {*_against(grid).values()} & {*groups}}
    return baselines | dict(zip(pairs, comparisons, strict=True))


def grid_power(grid: Grid, groups: Mapping[str, Group]) -> Power | None:
    """What the comparisons of `compared` could have shown; `None` before there are pairs of runs to judge by."""
    against = _against(grid).items()
    return power_of((groups[other], groups[label]) for label, other in against if other in groups and other != label)


def _against(grid: Grid) -> dict[str, str]:
    """Row label -> the row that it is compared with: itself or an empty name for none."""
    labels = [row.label for row in grid.rows]
    named = {row.label: row.against for row in grid.rows if row.against is not None}
    return {label: named.get(label, "" if named else labels[0]) for label in labels}


def grid_table(
    grid: Grid,
    progress: Progress,
    costs: Mapping[str, Cost] | None = None,
    *,
    comparisons: Mapping[str, GroupComparison] | None = None,
) -> pd.DataFrame:
    """One row per row of the grid, with the columns of `GRID_COLUMNS`; unknown values are missing, never zero.

    Args:
        costs: by row label.
        comparisons: as `compared` gives them, where they are at hand; computed otherwise.
    """
    groups = row_groups(grid, progress)
    if comparisons is None:
        comparisons = compared(grid, groups)
    rows = []
    for row in grid.rows:
        group, comparison, reported = groups[row.label], comparisons.get(row.label), row.reported
        interval = group.interval or (None, None)
        span = (comparison.interval if comparison else None) or (None, None)
        rows.append(
            {
                "row": row.label,
                "report_accuracy": _percent(reported.accuracy if reported else None),
                "report_std": _percent(reported.std if reported else None),
                "accuracy": _percent(group.mean),
                "std": _percent(group.std),
                "low": _percent(interval[0]),
                "high": _percent(interval[1]),
                "n": group.n,
                "difference": _percent(comparison.difference if comparison else None),
                "difference_low": _percent(span[0]),
                "difference_high": _percent(span[1]),
                "p_holm": comparison.p_holm if comparison else None,
                "needed": comparison.needed if comparison else None,
                "verdict": comparison.words if comparison else "",
                "parameters": group.parameters,
                "report_parameters": reported.parameters if reported else None,
                "milliseconds": (costs or {}).get(row.label, Cost()).milliseconds,
                "seconds": group.seconds,
                "seeds": ", ".join(str(seed) for seed in sorted(group.accuracies)),
            }
        )
    frame = pd.DataFrame(rows, columns=list(GRID_COLUMNS))
    text = ("row", "verdict", "seeds")
    whole = ("n", "needed", "parameters")
    return frame.astype({name: "Int64" if name in whole else "Float64" for name in GRID_COLUMNS if name not in text})


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * float(share)
