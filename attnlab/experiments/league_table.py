"""What a league shows: a row for each variant, what may be said of it, the power of the comparison, and the front.

Each variant is compared twice, paired by seed: with the plain network and with its control. Holm's correction runs over the
rows, for each of the two questions by itself. Rows without a difference stand as the others do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from attnlab.experiments.exports import table_latex, table_markdown
from attnlab.experiments.groups import Group, GroupComparison, Verdict, compare_pairs
from attnlab.experiments.league import League
from attnlab.experiments.power import Power, power_of, power_words
from attnlab.runs.measured import NetworkCost
from attnlab.runs.naming import PLAIN
from attnlab.runs.records import RunState
from attnlab.runs.showcase import MAP, RIVALS, Confirmed
from attnlab.stats.significance import LEVEL

NONE_SEEN = "no difference seen"
Order = Literal["name", "accuracy"]
COSTS = {
    "parameters": "parameters",
    "mflops": "MFLOPs per image",
    "forward": "ms per image, forward",
    "backward": "ms per image, backward",
    "memory": "KiB of activations per image",
}
"""What a network may cost -> in words."""
COLUMNS = {
    "name": "variant",
    "accuracy": "test accuracy (%)",
    "std": "± std",
    "n": "n",
    "difference_plain": "Δ plain (points)",
    "against_plain": "against the plain network",
    "p_plain": "p (Holm), plain",
    "control": "control (%)",
    "difference_control": "Δ control (points)",
    "against_control": "against its control",
    "p_control": "p (Holm), control",
    "parameters": "parameters",
    "mflops": "MFLOPs / image",
    "forward": "ms / image forward",
    "backward": "ms / image backward",
    "memory": "KiB kept / image",
    "pointing": "map points at object (%)",
    "rival": "best map without attention (%)",
    "finds": "map finds the object",
    "seconds": "training (s)",
    "note": "note",
}
"""Column -> heading, in the order shown."""
_TEXTS = ("name", "against_plain", "against_control", "finds", "note")
_WHOLE = ("n", "parameters")


@dataclass(frozen=True, eq=False)
class LeagueRow:
    """The plain network, or a variant.

    Attributes:
        name: `PLAIN`, or the variant.
        group: its runs. control: those of its control.
        against_plain, against_control: `None` where there is nothing to compare.
        cost: `None` where it was not measured.
        maps: of its maps, the chosen one; `None` where it has none with positions, or nothing was measured.
        note: why it has no figures, or fewer than others; empty otherwise.
    """

    name: str
    group: Group
    control: Group | None
    against_plain: GroupComparison | None
    against_control: GroupComparison | None
    cost: NetworkCost | None
    maps: Confirmed | None
    note: str = ""

    def cost_in(self, unit: str) -> float | None:
        """One of `COSTS`; `None` where it is not known."""
        if unit == "parameters":
            return self.cost.parameters if self.cost else self.group.parameters
        if self.cost is None:
            return None
        return {
            "mflops": self.cost.flops / 1e6,
            "forward": self.cost.forward,
            "backward": self.cost.backward,
            "memory": self.cost.memory / 1024,
        }[unit]


def league_rows(league: League) -> list[LeagueRow]:
    """The plain network first, then the variants in the order of the league."""
    variants = league.variants
    controls = {name: league.control_of(group) for name, group in variants.items()}
    plain = compare_pairs([(league.plain, group) for group in variants.values()])
    paired = {name: (control, variants[name]) for name, control in controls.items() if control is not None}
    against = dict(zip(paired, compare_pairs(list(paired.values())), strict=True))
    rows = [_row(league, PLAIN, league.plain, None, None, None)]
    for (name, group), comparison in zip(variants.items(), plain, strict=True):
        rows.append(_row(league, name, group, controls[name], comparison, against.get(name)))
    return rows


def _row(
    league: League,
    name: str,
    group: Group,
    control: Group | None,
    against_plain: GroupComparison | None,
    against_control: GroupComparison | None,
) -> LeagueRow:
    maps = league.measured.map_of(group.key)
    return LeagueRow(
        name,
        group,
        control,
        against_plain if group.n else None,
        against_control if group.n else None,
        league.measured.costs.get(group.key),
        maps if isinstance(maps, Confirmed) else None,
        _note(league, group),
    )


def _note(league: League, group: Group) -> str:
    """What is missing of a row, in words."""
    failed = [run for run in group.runs if run.state is RunState.FAILED]
    missing = len(league.grid.seeds) - group.n
    if failed:
        return f"{len(failed)} of {len(league.grid.seeds)} runs failed: {failed[0].reason}"
    if missing == len(league.grid.seeds):
        return "not trained yet"
    return f"{missing} of {len(league.grid.seeds)} runs are missing" if missing else ""


def verdict_words(comparison: GroupComparison | None) -> str:
    """A comparison in a few words; empty where there is none."""
    if comparison is None:
        return ""
    if comparison.verdict is Verdict.NOT_SIGNIFICANT:
        return NONE_SEEN
    return str(comparison.verdict)


def ordered(rows: Sequence[LeagueRow], by: Order) -> list[LeagueRow]:
    """By name, the plain network first; or by accuracy, the highest first, and those without one last."""
    if by == "name":
        return sorted(rows, key=lambda row: (row.name != PLAIN, row.name))
    return sorted(rows, key=lambda row: (row.group.mean is None, -(row.group.mean or 0), row.name))


def front(rows: Sequence[LeagueRow], unit: str) -> list[LeagueRow]:
    """The rows that no other beats: whoever is as accurate costs more, by rising cost. Spread is not looked at.

    Args:
        unit: one of `COSTS`.
    """
    known = [
        (cost, -row.group.mean, row) for row in rows if (cost := row.cost_in(unit)) is not None and row.group.mean is not None
    ]
    found: list[LeagueRow] = []
    highest = -math.inf
    for _, lost, row in sorted(known, key=lambda each: each[:2]):
        if -lost > highest:
            found.append(row)
            highest = -lost
    return found


# In words


def power(rows: Sequence[LeagueRow], *, of: Literal["plain", "control"] = "plain", plain: Group) -> Power | None:
    """The power of the comparisons with the plain network or with the controls; `None` before there are pairs to judge by.

    Args:
        plain: the runs of the plain network.
    """
    others = [(plain if of == "plain" else row.control, row.group) for row in rows if row.name != PLAIN]
    return power_of([(other, group) for other, group in others if other is not None])


def power_in_words(found: Power, *, of: Literal["plain", "control"] = "plain") -> str:
    """The power in sentences."""
    return power_words(found, f"a variant and {'the plain network' if of == 'plain' else 'its control'}", NONE_SEEN)


def outcome_words(rows: Sequence[LeagueRow], *, of: Literal["plain", "control"] = "plain") -> str:
    """How many variants are better, worse, or show no difference, with their names where there are few."""
    comparisons = {row.name: row.against_plain if of == "plain" else row.against_control for row in rows}
    verdicts = {name: each.verdict for name, each in comparisons.items() if each is not None and each.verdict in _TESTED}
    if not verdicts:
        return f"No variant can be compared with {'the plain network' if of == 'plain' else 'its control'} yet."
    other = "the plain network" if of == "plain" else "their controls"
    said = {
        words: [name for name, verdict in verdicts.items() if verdict is known]
        for known, words in (
            (Verdict.BETTER, "better"),
            (Verdict.WORSE, "worse"),
            (Verdict.NOT_SIGNIFICANT, f"with {NONE_SEEN}"),
        )
    }
    parts = [
        f"{len(names)} {words}" + (f" ({', '.join(names)})" if 0 < len(names) <= 5 else "") for words, names in said.items()
    ]
    return (
        f"Of {len(verdicts)} variants against {other}: {parts[0]}, {parts[1]}, and {parts[2]}, at the {LEVEL:.0%} level after "
        "Holm's correction."
    )


_TESTED = (Verdict.BETTER, Verdict.WORSE, Verdict.NOT_SIGNIFICANT)


def front_words(rows: Sequence[LeagueRow], unit: str) -> str:
    """The front in a sentence."""
    found = front(rows, unit)
    if not found:
        return "Nothing is known yet to draw a front from."
    named = ", ".join(f"{row.name} ({100 * (row.group.mean or 0):.1f}%)" for row in found)
    return (
        f"The front, by {COSTS[unit]}: {named}. No other variant is at least as accurate for less; spread is ignored, so "
        "neighbours on the front need not differ."
    )


# As a table


def league_table(rows: Sequence[LeagueRow], refused: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row per row, with the columns of `COLUMNS`; unknown values are missing, never zero.

    Args:
        refused: variant -> why it does not work in this network; each is a row that says so.
    """
    lines: list[dict[str, object]] = []
    for row in rows:
        maps = row.maps.chosen if row.maps else None
        lines.append(
            {
                "name": row.name,
                "accuracy": _percent(row.group.mean),
                "std": _percent(row.group.std),
                "n": row.group.n,
                "difference_plain": _percent(row.against_plain.difference if row.against_plain else None),
                "against_plain": _verdict(row),
                "p_plain": row.against_plain.p_holm if row.against_plain else None,
                "control": _percent(row.control.mean if row.control else None),
                "difference_control": _percent(row.against_control.difference if row.against_control else None),
                "against_control": verdict_words(row.against_control),
                "p_control": row.against_control.p_holm if row.against_control else None,
                **{unit: row.cost_in(unit) for unit in COSTS},
                "pointing": _percent(maps.mean("pointing", MAP) if maps else None),
                "rival": _percent(max(maps.mean("pointing", name) for name in RIVALS) if maps else None),
                "finds": _finds(row.maps),
                "seconds": row.group.seconds,
                "note": row.note,
            }
        )
    for name, why in (refused or {}).items():
        said = {"name": name, "n": 0, "against_plain": "does not work here", "note": f"does not work here: {why}"}
        lines.append(dict.fromkeys(_TEXTS, "") | said)
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({name: "Int64" if name in _WHOLE else "Float64" for name in COLUMNS if name not in _TEXTS})


def _verdict(row: LeagueRow) -> str:
    """Against the plain network; of a row that has no runs, that it has none."""
    if row.name == PLAIN:
        return "it is the plain network"
    return verdict_words(row.against_plain) if row.group.n else row.note.partition(":")[0]


def _finds(maps: Confirmed | None) -> str:
    if maps is None:
        return ""
    return "yes" if maps.finds else f"no, in {len(maps.agreeing)} of {len(maps.trainings)} trainings"


def league_markdown(table: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """The table in Markdown, with the notes below."""
    return table_markdown(table, notes, tuple(COLUMNS), COLUMNS)


def league_latex(table: pd.DataFrame, caption: str, notes: Sequence[str] = ()) -> str:
    """The table in LaTeX, with the notes below."""
    return table_latex(table, caption, notes, tuple(COLUMNS), COLUMNS)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * float(share)
