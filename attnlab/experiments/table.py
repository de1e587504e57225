"""The comparison of groups of runs as a table, and that table as CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from attnlab.experiments.groups import Group, GroupComparison


@dataclass(frozen=True)
class Cost:
    """What a group's network costs per image: operations (FLOPs) and milliseconds; `None` where unknown."""

    flops: int | None = None
    milliseconds: float | None = None


COLUMNS = {
    "name": "variant",
    "accuracy": "test accuracy (%)",
    "std": "± std",
    "n": "n",
    "difference": "Δ baseline",
    "verdict": "against the baseline",
    "auc": "test AUC",
    "parameters": "parameters",
    "mflops": "MFLOPs / image",
    "milliseconds": "ms / image",
    "seconds": "training (s)",
    "seeds": "seeds",
    "group": "group",
}
"""Column -> heading, in the order shown."""


def comparison_table(
    groups: Sequence[Group],
    names: Mapping[str, str],
    comparisons: Mapping[str, GroupComparison],
    costs: Mapping[str, Cost],
) -> pd.DataFrame:
    """One row per group, with the columns of `COLUMNS`; unknown values are missing, never zero.

    Args:
        names, comparisons, costs: by group key.
    """
    rows = []
    for group in groups:
        comparison, cost = comparisons.get(group.key), costs.get(group.key, Cost())
        aucs = [run.test_auc for run in group.finished if run.test_auc is not None]
        rows.append(
            {
                "name": names[group.key],
                "accuracy": None if group.mean is None else 100 * group.mean,
                "std": None if group.std is None else 100 * group.std,
                "n": group.n,
                "difference": None if comparison is None or comparison.difference is None else 100 * comparison.difference,
                "verdict": "" if comparison is None else comparison.words,
                "auc": sum(aucs) / len(aucs) if aucs else None,
                "parameters": group.parameters,
                "mflops": None if cost.flops is None else cost.flops / 1e6,
                "milliseconds": cost.milliseconds,
                "seconds": group.seconds,
                "seeds": ", ".join(str(seed) for seed in sorted(group.accuracies)),
                "group": group.key,
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("accuracy", "std", "difference", "auc", "mflops", "milliseconds", "seconds"):
        frame[name] = frame[name].astype("Float64")
    return frame.astype({"n": "Int64", "parameters": "Int64"})


def safe_csv(frame: pd.DataFrame) -> str:
    """CSV with headings; an apostrophe is put before text that a spreadsheet would run as a formula.

    Numbers have six significant digits: more are noise of the arithmetic.
    """

    def plain(value: object) -> object:
        if isinstance(value, float):
            return float(f"{value:.6g}")
        return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value

    return frame.map(plain).rename(columns=COLUMNS).to_csv(index=False)
