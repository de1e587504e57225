"""The class board: all runs of a room in one table, and whether the class has enough of them to tell. No torch.

Thirty students who train one seed each are the experiment "mean ± standard deviation". The tests and their power are those of
every other table (`attnlab.experiments.groups`, `attnlab.experiments.power`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.config import RunConfig
from attnlab.experiments.groups import Group, GroupComparison, Verdict, compare_pairs, group_runs
from attnlab.experiments.power import Power, power_of
from attnlab.runs.naming import PLAIN, attention_name, group_names
from attnlab.runs.records import RunRecord
from attnlab.stats.significance import p_words

WAITS = "waits for the plain network"


@dataclass(frozen=True)
class BoardRow:
    """The runs of one variant.

    Attributes:
        name: the variant, and where needed what else tells it from others.
        group: its runs. training: how many of them train or wait.
        plain: whether this is the network without attention.
        compared: with the plain network of the same settings; `None` where there is none.
    """

    name: str
    group: Group
    training: int
    plain: bool
    compared: GroupComparison | None

    @property
    def difference(self) -> str:
        """To the plain network, in points with the 95% interval, in words where there is none."""
        if self.plain:
            return ""
        found = self.compared
        if found is None or found.difference is None:
            return WAITS
        text = f"{100 * found.difference:+.1f} points"
        if found.interval is not None:
            text += f" ({100 * found.interval[0]:+.1f} to {100 * found.interval[1]:+.1f})"
        return text


@dataclass(frozen=True)
class Board:
    """All of them.

    Attributes:
        rows: the plain networks first, then by the mean. enough: sentences on whether these are enough runs.
    """

    rows: tuple[BoardRow, ...]
    enough: tuple[str, ...]


def board(records: Sequence[RunRecord]) -> Board:
    """The board of these runs."""
    groups = group_runs(sorted(records, key=lambda record: record.created))
    names = group_names({group.key: group.config for group in groups})
    plain = {_frame(group.config): group for group in groups if _is_plain(group.config)}
    others = [group for group in groups if not _is_plain(group.config)]
    pairs = [(plain[_frame(group.config)], group) for group in others if _frame(group.config) in plain]
    compared = dict(zip((group.key for _, group in pairs), compare_pairs(pairs), strict=True))
    rows = [
        BoardRow(
            names[group.key],
            group,
            sum(run.state.live for run in group.runs),
            _is_plain(group.config),
            compared.get(group.key),
        )
        for group in groups
    ]
    rows.sort(key=lambda row: (not row.plain, -(row.group.mean or 0)))
    return Board(tuple(rows), _enough([row for row in rows if row.compared is not None], power_of(pairs)))


def _is_plain(config: RunConfig) -> bool:
    return attention_name(config) == PLAIN


def _frame(config: RunConfig) -> str:
    """What a variant and the plain network must have in common: data, network and training, but not where attention is."""
    options = {name: value for name, value in config.model.options.items() if name != "stages"}
    tree = config.changed(
        seed=0,
        model__attention="none",
        model__attention_options={},
        model__attention_start="published",
        model__control="none",
        model__placement="every_conv",
        model__options=options,
    )
    return tree.model_dump_json()


def _enough(rows: Sequence[BoardRow], power: Power | None) -> tuple[str, ...]:
    if power is None:
        return (
            "The board can tell something as soon as two seeds have been trained with a variant and with the plain network, in "
            "the same settings.",
        )
    reach = (
        f"With {power.seeds} seeds of each, a difference above {power.findable:.1f} points would be found with 80% power."
        if power.findable < 100
        else f"With {power.seeds} seeds of each, no difference would be found with 80% power, however large."
    )
    return (reach, *(_verdict(row, row.compared) for row in rows if row.compared is not None and row.compared.pairs > 1))


def _verdict(row: BoardRow, found: GroupComparison) -> str:
    """Whether the class has enough seeds of a variant."""
    if found.verdict in (Verdict.BETTER, Verdict.WORSE):
        p = "" if found.p_holm is None else f", {p_words(found.p_holm)} after Holm's correction"
        return f"{row.name}: the class has enough. It is {found.verdict} than the plain network, by {row.difference}{p}."
    if found.needed is not None and found.needed > found.pairs:
        return (
            f"{row.name}: not enough yet. If the difference stays as it is, it takes about {found.needed:,} seeds to tell; the "
            f"class has {found.pairs}."
        )
    return f"{row.name}: {found.words}."
