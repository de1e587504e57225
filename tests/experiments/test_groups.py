"""What may be said of two groups of runs, on cases worked by hand."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from attnlab.config import RunConfig
from attnlab.experiments.groups import Group, Verdict, compare_summaries, compare_to_baseline, group_runs
from attnlab.experiments.table import Cost, comparison_table, safe_csv
from attnlab.runs.records import RunRecord, RunState
from attnlab.stats.intervals import bootstrap_interval
from attnlab.stats.significance import Summary


def run(attention: str, seed: int, accuracy: float | None, state: RunState = RunState.FINISHED, **dataset: int) -> RunRecord:
    changes = {f"dataset__{key}": value for key, value in dataset.items()}
    config = RunConfig().changed(model__attention=attention, seed=seed, **changes)
    return RunRecord(
        config.run_id, config.group, config.run_id, config, state, Path(config.run_id), test_accuracy=accuracy, seconds=10.0
    )


def group(attention: str, accuracies: dict[int, float], **dataset: int) -> Group:
    return group_runs([run(attention, seed, accuracy, **dataset) for seed, accuracy in accuracies.items()])[0]


def test_a_group_gathers_all_seeds_and_counts_only_finished_runs() -> None:
    records = [
        run("eca", 1, 0.8),
        run("none", 0, 0.5),
        run("eca", 0, 0.6),
        run("eca", 2, 0.9, RunState.STOPPED),
        run("eca", 3, None, RunState.RUNNING),
    ]
    eca, plain = group_runs(records)
    assert [member.config.seed for member in eca.runs] == [0, 1, 2, 3]
    assert (eca.n, eca.mean) == (2, pytest.approx(0.7))
    assert eca.std == pytest.approx(0.02**0.5)  # both 0.1 from the mean, n - 1 = 1
    assert (plain.n, plain.mean, plain.std) == (1, 0.5, None)


def test_equal_seeds_are_paired() -> None:
    baseline = group("none", {0: 0.50, 1: 0.60, 2: 0.70})
    better = group("eca", {0: 0.52, 1: 0.61, 2: 0.73})  # differences 2, 1, 3: t = 2 * sqrt(3) / 1 = 3.46, df = 2
    comparison = compare_to_baseline(baseline, [baseline, better])[better.key]
    assert comparison.pairs == 3
    assert comparison.p == pytest.approx(0.0742, abs=1e-4)
    assert comparison.interval == pytest.approx((0.02 - 0.02484, 0.02 + 0.02484), abs=1e-4)  # t(0.975, 2) = 4.303
    assert comparison.verdict is Verdict.NOT_SIGNIFICANT
    assert "not significant" in comparison.words


def test_other_seeds_are_not_paired_and_a_clear_gain_is_called_better() -> None:
    baseline = group("none", {0: 0.50, 1: 0.51, 2: 0.52})
    better = group("eca", {5: 0.70, 6: 0.71, 7: 0.72})
    forward = compare_to_baseline(baseline, [better])[better.key]
    assert (forward.pairs, forward.verdict) == (0, Verdict.BETTER)
    assert forward.difference == pytest.approx(0.2)
    backward = compare_to_baseline(better, [baseline])[baseline.key]
    assert backward.verdict is Verdict.WORSE


def test_the_correction_counts_every_tested_group() -> None:
    baseline = group("none", {0: 0.50, 1: 0.52, 2: 0.51, 3: 0.53})
    first = group("eca", {0: 0.53, 1: 0.54, 2: 0.54, 3: 0.56})
    second = group("cbam", {0: 0.51, 1: 0.52, 2: 0.53, 3: 0.52})
    alone = compare_to_baseline(baseline, [first])[first.key]
    together = compare_to_baseline(baseline, [baseline, first, second])[first.key]
    assert alone.p_holm == alone.p == together.p
    assert together.p_holm == pytest.approx(2 * alone.p)


@pytest.mark.parametrize(
    ("baseline", "other", "why"),
    [
        (group("none", {0: 0.5, 1: 0.6}), group("eca", {0: 0.9}), "n=1"),
        (group("none", {0: 0.5}), group("eca", {0: 0.9, 1: 0.8}), "baseline"),
        (group("none", {0: 0.5, 1: 0.6}), group("eca", {0: 0.7, 1: 0.9}, image_size=16), "other data"),
        (group("none", {0: 0.5, 1: 0.6}), group("eca", {0: 0.7, 1: 0.8}), "no spread"),
    ],
)
def test_where_nothing_can_be_said_it_says_so(baseline: Group, other: Group, why: str) -> None:
    comparison = compare_to_baseline(baseline, [other])[other.key]
    assert comparison.verdict is Verdict.CANNOT_TELL
    assert why in comparison.words
    assert comparison.p_holm is None


def test_equal_accuracies_are_no_difference() -> None:
    comparison = compare_to_baseline(group("none", {0: 0.5, 1: 0.6}), [other := group("eca", {0: 0.5, 1: 0.6})])[other.key]
    assert (comparison.verdict, comparison.difference) == (Verdict.NOT_SIGNIFICANT, 0.0)


def test_the_table_leaves_unknown_figures_empty() -> None:
    baseline, single = group("none", {0: 0.5, 1: 0.7}), group("eca", {0: 0.9})
    names = {baseline.key: "plain", single.key: "eca"}
    comparisons = compare_to_baseline(baseline, [baseline, single])
    table = comparison_table([baseline, single], names, comparisons, {baseline.key: Cost(flops=2_000_000)})
    plain, eca = table.to_dict("records")
    assert (plain["accuracy"], plain["n"], plain["seeds"], plain["mflops"]) == (60.0, 2, "0, 1", 2.0)
    assert plain["std"] == pytest.approx(100 * 0.02**0.5)
    assert pd.isna(eca["std"]) and pd.isna(eca["mflops"]) and pd.isna(eca["parameters"])
    assert "n=1" in eca["verdict"]


def test_csv_cannot_smuggle_formulas() -> None:
    frame = comparison_table([group("eca", {0: 0.5})], {group("eca", {0: 0.5}).key: '=HYPERLINK("x")'}, {}, {})
    rows = list(csv.reader(io.StringIO(safe_csv(frame))))
    assert rows[0][:2] == ["variant", "test accuracy (%)"]
    assert rows[1][0] == '\'=HYPERLINK("x")'
    assert rows[1][1] == "50.0"


def test_the_interval_of_a_group_is_the_bootstrap_interval_of_its_accuracies() -> None:
    values = [0.60, 0.62, 0.64, 0.66, 0.68, 0.70, 0.72, 0.74]
    assert group("none", dict(enumerate(values))).interval == bootstrap_interval(values)


def test_the_words_say_how_many_seeds_are_needed() -> None:
    baseline = group("none", {0: 0.50, 1: 0.60, 2: 0.70})
    other = group("eca", {0: 0.50, 1: 0.65, 2: 0.80})
    comparison = compare_to_baseline(baseline, [other])[other.key]
    assert comparison.needed == 10
    assert comparison.words.endswith("about 10 seeds would be needed")


def test_published_means_and_deviations_can_be_compared_without_the_runs() -> None:
    """Squared errors 0.0001 each: t = 0.1 / sqrt(0.0002) = 7.07 with 4 / (1/8 + 1/15) = 20.87 degrees of freedom."""
    far, same = compare_summaries(Summary(0.5, 0.04, 16), [Summary(0.6, 0.03, 9), Summary(0.5, 0.03, 9)])
    assert (far.verdict, same.verdict) == (Verdict.BETTER, Verdict.NOT_SIGNIFICANT)
    half = 2.0804 * 0.0002**0.5  # t(0.975, 20.87)
    assert far.interval == pytest.approx((0.1 - half, 0.1 + half), abs=1e-5)
    assert far.p_holm == pytest.approx(2 * far.p)  # type: ignore[operator]
    assert same.p == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("baseline", "group", "words"),
    [
        (Summary(0.5, 0.0, 16), Summary(0.6, 0.0, 16), "neither group varies, which leaves no spread to judge"),
        (Summary(0.5, 0.0, 16), Summary(0.5, 0.0, 9), "no spread to judge"),
        (Summary(0.5, 0.1, 1), Summary(0.6, 0.1, 9), "the baseline has only one run"),
        (Summary(0.5, 0.1, 9), Summary(0.6, 0.0, 1), "it has only one run"),
    ],
)
def test_summaries_without_a_spread_cannot_be_judged(baseline: Summary, group: Summary, words: str) -> None:
    """Others in the same table are judged, and corrected as if the untestable were not there."""
    (cannot,) = compare_summaries(baseline, [group])
    assert cannot.verdict is Verdict.CANNOT_TELL and words in cannot.words
    assert cannot.difference == pytest.approx(group.mean - baseline.mean) and cannot.p is None
    varied = Summary(0.5, 0.04, 16)
    one_sided, single, far = compare_summaries(varied, [Summary(0.6, 0.0, 16), Summary(0.6, 0.0, 1), Summary(0.6, 0.03, 9)])
    assert (one_sided.verdict, single.verdict, far.verdict) == (Verdict.BETTER, Verdict.CANNOT_TELL, Verdict.BETTER)
    p_values = [(each.p or 1, each.p_holm) for each in (one_sided, far)]
    assert min(p_values)[1] == pytest.approx(2 * min(p_values)[0])
