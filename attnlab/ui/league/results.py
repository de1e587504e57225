"""What a league shows: the outcome in sentences, accuracy against cost, the table, and one variant in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from attnlab.attention import list_attention
from attnlab.desk.permissions import Action
from attnlab.experiments.exports import footnotes
from attnlab.experiments.groups import GroupComparison, Verdict
from attnlab.experiments.league import League, league_json
from attnlab.experiments.league_table import (
    COLUMNS,
    COSTS,
    LeagueRow,
    Order,
    front,
    front_words,
    league_latex,
    league_markdown,
    league_rows,
    league_table,
    ordered,
    outcome_words,
    power,
    power_in_words,
    verdict_words,
)
from attnlab.experiments.table import safe_csv
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import PLAIN, dataset_name
from attnlab.runs.showcase import NotMeasured
from attnlab.ui.background import Job, show_progress
from attnlab.ui.columns import column_config
from attnlab.ui.format import plain
from attnlab.ui.glossary import CONTROL, HOLM
from attnlab.ui.hidden import download_button
from attnlab.ui.home.gallery import variant_card
from attnlab.ui.problems import told
from attnlab.ui.state import manager
from attnlab.viz.league_figure import Outcome, Point, accuracy_against_cost

ORDERS: tuple[Order, ...] = ("accuracy", "name")
Question = Literal["plain", "control"]
_QUESTIONS: tuple[Question, ...] = ("plain", "control")
_FORMATS = {
    **dict.fromkeys(("accuracy", "std", "control", "pointing", "rival", "mflops", "memory"), "%.1f"),
    **dict.fromkeys(("difference_plain", "difference_control"), "%+.1f"),
    **dict.fromkeys(("p_plain", "p_control"), "%.2g"),
    **dict.fromkeys(("forward", "backward"), "%.3f"),
    "n": "%d",
    "parameters": "localized",
    "seconds": "%.0f",
}
_HELP = {
    "p_plain": HOLM,
    "p_control": HOLM,
    "control": CONTROL,
    "memory": "Activations that a training step keeps for the backward pass, for one image.",
    "pointing": "How often the highest weight of the chosen map lies on the object, on test images.",
    "rival": "The best of three simple baselines: the map of the untrained network, the middle of the image, a random map.",
    "finds": "Better than all three, by the highest weight and by the overlap with the object, in every training tested.",
}
_jobs: dict[tuple[str, str], Job[League]] = {}


def show(found: League, refused: Mapping[str, str]) -> None:
    """All of it, or a sentence before the first run has finished."""
    rows = league_rows(found)
    if not any(row.group.n for row in rows):
        st.info("No run of this league has finished yet.", icon=":material/info:")
        return
    _sentences(found, rows)
    _chart(rows)
    _table(found, rows, refused)
    _detail(found, rows)


def _sentences(found: League, rows: Sequence[LeagueRow]) -> None:
    """What was found, and what could have been found. The control comes second: it answers the second question."""
    for of, place in zip(_QUESTIONS, st.columns(2, gap="large"), strict=True):
        with place:
            st.markdown(f"**{outcome_words(rows, of=of)}**")
            if (told_power := power(rows, of=of, plain=found.plain)) is not None:
                st.caption(power_in_words(told_power, of=of), help=HOLM)


def _chart(rows: Sequence[LeagueRow]) -> None:
    st.subheader("Accuracy against cost", anchor=False)
    known = [unit for unit in COSTS if any(row.cost_in(unit) is not None for row in rows)]
    if not known:
        return
    unit = st.segmented_control(
        "Cost", known, default=known[0], required=True, format_func=lambda name: COSTS[name], key="league.cost"
    )
    unit = unit or known[0]
    best = {row.name for row in front(rows, unit)}
    points = [
        Point(row.name, cost, 100 * row.group.mean, _interval(row), _outcome(row), row.name in best, _hover(row, unit, cost))
        for row in rows
        if (cost := row.cost_in(unit)) is not None and row.group.mean is not None
    ]
    wide = max(point.cost for point in points) > 2 * min(point.cost for point in points) > 0
    words = front_words(rows, unit)
    st.plotly_chart(
        accuracy_against_cost(points, COSTS[unit], logarithmic=wide),
        key="league.chart",
        alt=f"Mean test accuracy of each variant against {COSTS[unit]}. {words}",
    )
    st.caption(f"{words} Up and to the left is better. Bars: 95% interval of the mean over the seeds.")


def _table(found: League, rows: Sequence[LeagueRow], refused: Mapping[str, str]) -> None:
    st.subheader("All variants", anchor=False)
    by: Order = (
        st.segmented_control(
            "Order", ORDERS, default=ORDERS[0], required=True, format_func=lambda name: f"by {name}", key="league.order"
        )
        or ORDERS[0]
    )
    table = league_table(ordered(rows, by), refused)
    columns = [name for name in COLUMNS if table[name].replace("", pd.NA).notna().any()]
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_order=columns,
        column_config=column_config(COLUMNS, _FORMATS, pinned="name", help=_HELP)
        | {
            "name": st.column_config.TextColumn(COLUMNS["name"], width=150, pinned=True),
            "against_plain": st.column_config.TextColumn(COLUMNS["against_plain"], width=150),
            "against_control": st.column_config.TextColumn(COLUMNS["against_control"], width=150),
            "note": st.column_config.TextColumn(COLUMNS["note"], width="large"),
        },
        height="content",
        key="league.table",
        placeholder="–",
        alt="One row per variant: accuracy, both comparisons, cost, and what its map finds",
    )
    _choose(found, [str(table["name"].iloc[place]) for place in event.selection.rows])
    st.caption("Click on a row to see that variant below: its card, its comparisons in full, and its runs.")
    notes = [*_where_from(found), *_measured_words(found)]
    st.caption(" ".join(map(plain, notes)))
    _files(found, table, notes)
    _measure(found, rows)


def _choose(found: League, picked: Sequence[str]) -> None:
    """Shows the variant of the row that was just clicked; later choices of another one stay."""
    if list(picked) != st.session_state.get("league.picked", []):
        st.session_state["league.picked"] = list(picked)
        if picked and picked[0] in found.variants:
            st.session_state["league.variant"] = picked[0]


def _where_from(found: League) -> tuple[str, ...]:
    if found.shipped is not None and not found.own:
        return found.shipped.notes
    return tuple(footnotes(found.progress))


def _measured_words(found: League) -> list[str]:
    measured = found.measured
    if not measured.costs:
        return []
    words = [
        f"Costs: measured side by side on {measured.machine}, {measured.batch} images at once; medians. A control has the "
        "parameters of its variant."
    ]
    if measured.maps is not None and measured.maps.confirmed:
        chose = ", ".join(map(str, measured.maps.choosing))
        words.append(f"Maps: chosen on validation images with seed {chose}, tested on test images with the other seeds.")
    return words


def _files(found: League, table: pd.DataFrame, notes: Sequence[str]) -> None:
    files = {
        "CSV": ("csv", lambda: safe_csv(table.rename(columns=COLUMNS)), "text/csv"),
        "Markdown": ("md", lambda: league_markdown(table, notes), "text/markdown"),
        "LaTeX": ("tex", lambda: league_latex(table, found.title, notes), "text/plain"),
    }
    if found.own:
        files["JSON"] = ("json", lambda: league_json(found), "application/json")
    with st.container(horizontal=True):
        for label, (ending, make, mime) in files.items():
            download_button(
                label,
                make,
                file_name=f"league-{dataset_name(found.base)}.{ending}",
                mime=mime,
                icon=":material/download:",
                key=f"league.download.{label}",
                on_click="ignore",
            )


def _measure(found: League, rows: Sequence[LeagueRow]) -> None:
    """The button that measures on this machine, and how far that is."""
    desk = manager()
    key = (str(desk.home), found.key)
    job = _jobs.get(key)
    if job is not None:
        show_progress([job], "Measuring costs and maps on this machine")
        if not job.ended:
            return
        with told():
            job.result()
    missing = [row.name for row in rows if row.cost is None and row.group.n]
    if missing and found.measured.costs:
        st.caption(f"Not measured with the others: {plain(', '.join(missing))}. Only costs measured together can be compared.")
    if desk.may(Action.MEASURE_COSTS) and st.button(
        "Measure costs and maps here",
        icon=":material/speed:",
        key="league.measure",
        help="Times all networks of this table in turn on this server, and tests the maps of those that were trained here. "
        "While something else is computed, times are longer.",
    ):
        _jobs[key] = Job(lambda tell: desk.measure_league(found, tell))
        st.rerun()


def _detail(found: League, rows: Sequence[LeagueRow]) -> None:
    """The card of one variant, its comparisons in full, and links to its runs."""
    st.subheader("One variant", anchor=False)
    by_name = {row.name: row for row in rows if row.name != PLAIN}
    known = list_attention()
    titles = {name: known[name].title if name in known else name for name in by_name}
    name = st.selectbox(
        "Variant", list(by_name), format_func=lambda each: titles[each], key="league.variant", label_visibility="collapsed"
    )
    if name is None:
        return
    row = by_name[name]
    left, right = st.columns([2, 3], gap="large")
    with left, st.container(border=True):
        if name in known:
            variant_card(known[name])
        else:
            st.markdown(f"**{plain(name)}**")
    with right:
        st.markdown(f"Against the plain network: {_full(row.against_plain)}")
        st.markdown(f"Against its control: {_full(row.against_control)}", help=CONTROL)
        if (maps := found.measured.map_of(row.group.key)) is not None:
            said = maps.sentence() if isinstance(maps, NotMeasured) else f"{maps.sentence()} {maps.verdict()}"
            st.markdown(f"Its map: {plain(said)}")
        if row.note:
            st.markdown(plain(row.note))
        _links(found, row)


def _full(comparison: GroupComparison | None) -> str:
    """A comparison with its figures."""
    if comparison is None:
        return "nothing to compare yet."
    words = plain(comparison.words.replace("not significant", "no difference seen", 1))
    if comparison.interval is not None:
        low, high = (100 * end for end in comparison.interval)
        words += f"; 95% interval {low:+.1f} to {high:+.1f} points, not corrected"
    return f"{words}."


def _links(found: League, row: LeagueRow) -> None:
    """To the maps of every run that has weights here, and to the comparison of all runs on these images."""
    runs = [("", row.group), (" (weights fixed)", row.control)]
    shown = [
        (f"seed {run.config.seed}{what}", run.run_id)
        for what, group in runs
        if group is not None
        for run in group.finished
        if RunFolder(run.folder).has_weights
    ]
    with st.container(horizontal=True):
        for label, run_id in shown:
            st.page_link(
                "pages/inspect_attention.py",
                label=f"Inspect {label}",
                icon=":material/visibility:",
                query_params={"run": run_id},
            )
        st.page_link(
            "pages/compare.py",
            label="Compare",
            icon=":material/bar_chart:",
            query_params={"compare.dataset": dataset_name(found.base)},
        )
    if not shown:
        st.caption("Only the figures of these runs are here, not their weights. Train it to see its maps.")


def _interval(row: LeagueRow) -> tuple[float, float] | None:
    return None if row.group.interval is None else (100 * row.group.interval[0], 100 * row.group.interval[1])


def _outcome(row: LeagueRow) -> Outcome:
    if row.name == PLAIN:
        return Outcome.PLAIN
    if row.against_plain is None:
        return Outcome.NONE
    return {Verdict.BETTER: Outcome.BETTER, Verdict.WORSE: Outcome.WORSE}.get(row.against_plain.verdict, Outcome.NONE)


def _hover(row: LeagueRow, unit: str, cost: float) -> str:
    about = f"{row.name}: {100 * (row.group.mean or 0):.1f}%, {cost:,.4g} {COSTS[unit]}, n={row.group.n}"
    return about + (f", {verdict_words(row.against_plain)}" if row.against_plain else "")
