"""The Compare page: the choice of groups, the table, the charts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import streamlit as st

from attnlab.experiments.exports import comparison_latex, comparison_markdown
from attnlab.experiments.groups import Group, GroupComparison, Verdict, compare_to_baseline, group_runs, plain_group
from attnlab.experiments.table import COLUMNS, Cost, comparison_table, safe_csv
from attnlab.runs.history import history
from attnlab.runs.naming import attention_name, dataset_name, group_names, group_setups, lettered_setups
from attnlab.runs.records import RunRecord
from attnlab.ui import warmup
from attnlab.ui.columns import column_config
from attnlab.ui.costs import costs_of, measure
from attnlab.ui.format import plain
from attnlab.ui.glossary import HOLM, WELCH
from attnlab.ui.hidden import download_button
from attnlab.ui.state import colours
from attnlab.viz.figures import Series, accuracy_against_parameters, epoch_curves, strip_plot

METRICS = {
    "validation accuracy": ("validation_accuracy", True),
    "train accuracy": ("train_accuracy", True),
    "validation loss": ("validation_loss", False),
    "train loss": ("train_loss", False),
}
ALL_SETUPS = "all setups"
FEW_SETUPS = 6
"""So many setups are shown together at first, so that nobody's own run is hidden; of more, the one with the most runs."""
BRIEF_WIDTH = 280
"""Pixels of the column with the verdict in few words."""
IN_FILES = "How each pair was tested stands in the files below."
HIDDEN = ("auc", "group", "seeds")
FORMATS = {
    "accuracy": "%.2f",
    "std": "%.2f",
    "n": "%d",
    "difference": "%+.2f",
    "auc": "%.3f",
    "parameters": "localized",
    "mflops": "%.1f",
    "milliseconds": "%.3f",
    "seconds": "%.0f",
}


def choose_groups(records: Sequence[RunRecord]) -> tuple[list[Group], dict[str, str]]:
    """The groups to compare and their names: of one data set, and of one setup where setups differ in many settings."""
    groups = group_runs(sorted(records, key=lambda record: record.created))
    datasets = list(dict.fromkeys(dataset_name(group.config) for group in groups))
    left, middle, right = st.columns([2, 3, 4])
    usual = max(datasets, key=lambda name: sum(group.n for group in groups if dataset_name(group.config) == name))
    dataset = left.selectbox("Data set", datasets, index=datasets.index(usual), key="compare.dataset", bind="query-params")
    groups = [group for group in groups if dataset_name(group.config) == dataset]
    configs = {group.key: group.config for group in groups}
    setups = group_setups(configs)
    distinct = list(dict.fromkeys(setups[group.key] for group in groups if group.n))
    if len(distinct) > 1:
        largest = max(distinct, key=lambda setup: sum(group.n for group in groups if setups[group.key] == setup))
        together = len(distinct) <= FEW_SETUPS
        setup = middle.selectbox(
            "Setup",
            [*distinct, ALL_SETUPS],
            index=len(distinct) if together or not lettered_setups(configs) else distinct.index(largest),
            key="compare.setup",
            help="A setup is everything but the attention variant: its placement, the backbone, training and data options. "
            "Within one setup, groups differ only in the variant.",
        )
        _explain_setups(groups, setups, setup, largest)
        groups = [group for group in groups if setup in (ALL_SETUPS, setups[group.key])]
    names = group_names({group.key: group.config for group in groups})
    picked = right.multiselect(
        "Groups", list(names), format_func=lambda key: names[key], key="compare.groups", placeholder="all groups"
    )
    return [group for group in groups if not picked or group.key in picked], names


def _explain_setups(groups: Sequence[Group], setups: Mapping[str, str], chosen: str, largest: str) -> None:
    """Which groups are of other setups than most, or are left out by the choice, and how they differ, in words."""
    most = largest if chosen == ALL_SETUPS else chosen
    lines = [plain(line) for line in lettered_setups({group.key: group.config for group in groups})]
    by_letter = bool(lines) and chosen == ALL_SETUPS  # the lines below say what a letter stands for

    def said(setup: str) -> str:
        return f"setup {setup.split(':', 1)[0]}" if by_letter else plain(setup)

    others = [
        f"**{plain(attention_name(group.config))}** ({said(setups[group.key])})"
        for group in groups
        if group.n and setups[group.key] != most
    ]
    if chosen == ALL_SETUPS:
        st.caption(
            f"Most groups share one setup ({said(largest)}); {', '.join(others)} {'does' if len(others) == 1 else 'do'} not. "
            "A difference between setups may come from the setup and not from the attention."
            + "".join(f"  \n{line}" for line in lines)
        )
    else:
        st.caption(f"Left out, because the setup differs: {', '.join(others)}. Choose *{ALL_SETUPS}* to see them.")


def table(groups: Sequence[Group], names: Mapping[str, str]) -> None:
    """One row per group, the baseline they are tested against, and the table as a file."""
    finished = [group for group in groups if group.n]
    plain = plain_group(finished)
    options = [group.key for group in finished]
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    baseline = left.selectbox(
        "Baseline",
        options,
        index=options.index(plain.key) if plain else 0,
        format_func=lambda key: names[key],
        key="compare.baseline",
        help="Every other group is tested against the baseline: by a t-test on runs paired by seed where the seeds match, by "
        f"Welch's t-test elsewhere. {WELCH} {HOLM}",
    )
    comparisons: dict[str, GroupComparison] = {}
    if baseline:
        comparisons = compare_to_baseline(next(group for group in finished if group.key == baseline), finished)
    with right.popover("Columns", icon=":material/view_column:", key="compare.pick"):
        shown = st.pills(
            "Columns",
            list(COLUMNS),
            selection_mode="multi",
            default=[name for name in COLUMNS if name not in HIDDEN],
            format_func=lambda name: COLUMNS[name],
            key="compare.columns",
        )
    costs = costs_of(groups) if warmup.ready() else {group.key: Cost() for group in groups}
    frame = comparison_table(groups, names, comparisons, costs).sort_values("accuracy", ascending=False)
    columns = [name for name in COLUMNS if name in shown]
    brief = {group.key: _brief(comparisons[group.key]) for group in finished if group.key in comparisons}
    st.dataframe(
        frame.assign(verdict=frame["group"].map(brief).fillna(frame["verdict"])),  # the difference has a column of its own
        hide_index=True,
        column_order=columns,
        column_config=column_config(
            COLUMNS,
            FORMATS,
            pinned="name",
            help={"n": "Finished runs, one per seed.", "verdict": f"{HOLM} {IN_FILES}"},
            verdict=BRIEF_WIDTH,
        ),
        key="compare.table",
        placeholder="–",
        alt="One row per group of runs: accuracy, spread, significance, cost",
    )
    _verdicts(finished, names, comparisons)
    with st.container(horizontal=True):
        download_button(
            "Download CSV",
            safe_csv(frame[columns]),
            file_name="attnlab-comparison.csv",
            mime="text/csv",
            icon=":material/download:",
            key="compare.csv",
            on_click="ignore",
        )
        for title, ending, text in (
            ("Markdown", "md", comparison_markdown(frame)),
            ("LaTeX", "tex", comparison_latex(frame, "Comparison of runs")),
        ):
            download_button(
                f"Download {title}",
                text,
                file_name=f"attnlab-comparison.{ending}",
                mime="text/plain",
                icon=":material/download:",
                key=f"compare.{ending}",
                on_click="ignore",
            )
        if st.button(
            "Measure ms per image",
            icon=":material/speed:",
            key="compare.measure",
            help=f"Times forward passes of 32 images on the server's CPU ({os.cpu_count()} cores); shows the median of seven.",
        ):
            measure(groups)
            st.rerun()


def _brief(comparison: GroupComparison) -> str:
    """The verdict in a few words, as a cell of the table."""
    if comparison.p_holm is None:
        return comparison.words
    words = f"{comparison.verdict}, p = {comparison.p_holm:.2g}"
    if comparison.verdict is Verdict.NOT_SIGNIFICANT and comparison.needed is not None:
        words += f", {comparison.needed:,} seeds needed"
    return words


def charts(groups: Sequence[Group], names: Mapping[str, str]) -> None:
    """Curves with a band and single runs, every run as a dot, accuracy against parameters."""
    index = colours(run for group in groups for run in group.runs)
    series = [
        Series(
            names[group.key],
            index[group.key],
            group.accuracies,
            {run.config.seed: history(run).epochs for run in group.finished},
            group.parameters,
        )
        for group in groups
        if group.n
    ]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Curves", anchor=False)
        metric = st.segmented_control(
            "Metric",
            list(METRICS),
            default="validation accuracy",
            required=True,
            key="compare.metric",
            label_visibility="collapsed",
        )
    st.caption("Bold: mean over the seeds. Band: ± one standard deviation. Thin: single runs.")
    field, percent = METRICS[metric or "validation accuracy"]
    st.plotly_chart(epoch_curves(series, field, percent=percent), key="compare.curves", alt=f"{metric} by epoch")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Every run", anchor=False)
        st.caption("Dots: test accuracy of single runs. Diamond and bar: mean ± one standard deviation.")
        st.plotly_chart(strip_plot(series), key="compare.strip", alt="Test accuracy of every run")
    with right:
        st.subheader("Accuracy against parameters", anchor=False)
        st.caption("Up and to the left is better: higher accuracy with fewer parameters.")
        st.plotly_chart(
            accuracy_against_parameters(series),
            key="compare.parameters",
            alt="Mean test accuracy against the number of parameters",
        )


def _verdicts(groups: Sequence[Group], names: Mapping[str, str], comparisons: Mapping[str, GroupComparison]) -> None:
    single = [names[group.key] for group in groups if group.n == 1]
    if single:
        st.caption(f":orange-badge[n = 1] Only one run, so neither spread nor test: {plain(', '.join(single))}.")
    differs = [key for key, comparison in comparisons.items() if comparison.verdict in (Verdict.BETTER, Verdict.WORSE)]
    tested = [key for key, comparison in comparisons.items() if comparison.p_holm is not None]
    if tested and not differs:
        st.caption(
            f":gray-badge[not significant] None of the {len(tested)} tested groups differs from the baseline at the 5% level."
        )
    unfinished = sum(len(group.runs) - len(group.finished) for group in groups)
    if unfinished:
        st.caption(f"{unfinished} {'run is' if unfinished == 1 else 'runs are'} unfinished and not counted.")
