"""What the charts of finished runs show, and how groups are told apart by name."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from attnlab.config import RunConfig
from attnlab.runs.naming import group_names, group_setups
from attnlab.viz.figures import Series, accuracy_against_parameters, epoch_curves, strip_plot
from attnlab.viz.palette import CATEGORICAL

ROOT = Path(__file__).resolve().parents[2]


def series(
    name: str = "eca", accuracies: dict[int, float] | None = None, epochs: dict[int, list[float]] | None = None
) -> Series:
    histories = {
        seed: [{"validation_accuracy": value} for value in values] for seed, values in (epochs or {0: [0.5, 0.6]}).items()
    }
    return Series(name, 0, {0: 0.6} if accuracies is None else accuracies, histories, 1000)


def test_the_mean_curve_ends_where_the_shortest_run_ends_and_the_band_is_one_deviation() -> None:
    figure = epoch_curves([series(epochs={0: [0.4, 0.6, 0.9], 1: [0.6, 0.8]})], "validation_accuracy", percent=True)
    mean = next(trace for trace in figure.data if trace.name)
    assert list(mean.y) == pytest.approx([50.0, 70.0])
    assert "n=2" in mean.name
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert band.y[0] - mean.y[0] == pytest.approx(np.std([40, 60], ddof=1))
    singles = [trace for trace in figure.data if not trace.name and not trace.fill]
    assert sorted(len(trace.y) for trace in singles) == [2, 3]


def test_a_single_run_has_no_band_and_no_error_bar() -> None:
    assert not [trace for trace in epoch_curves([series()], "validation_accuracy", percent=True).data if trace.fill]
    assert all(trace.error_x.array is None for trace in strip_plot([series()]).data)
    assert accuracy_against_parameters([series()]).data[0].error_y.array is None


def test_every_run_is_a_dot_of_the_strip_plot() -> None:
    dots, mean = strip_plot([series(accuracies={3: 0.5, 1: 0.7})]).data
    assert dict(zip(dots.customdata, dots.x, strict=True)) == {1: 70.0, 3: 50.0}
    assert mean.x[0] == pytest.approx(60.0)


def test_names_are_text_not_markup() -> None:
    figure = strip_plot([series(name="<b>eca</b>")])
    assert "<b>" not in figure.to_json().encode().decode("unicode_escape")


def test_names_show_what_differs_and_nothing_else() -> None:
    base = RunConfig().changed(model__attention="eca")
    configs = {
        "a": base,
        "b": base.changed(model__attention="none"),
        "c": base.changed(training__lr=0.5),
        "d": base.changed(model__attention_options={"eca": {"kernel_size": 5}}),
    }
    names = group_names(configs)
    assert names == {
        "a": "eca · lr 0.002",
        "b": "plain · lr 0.002",
        "c": "eca · lr 0.5",
        "d": "eca · kernel size 5 · lr 0.002",
    }
    assert group_names({"a": base}) == {"a": "eca"}
    assert group_setups({"a": base, "b": configs["b"]}) == {"a": "", "b": ""}
    assert group_setups(configs)["c"] == "lr 0.5"
    assert group_names({}) == {}


def test_many_differing_settings_get_a_letter() -> None:
    base = RunConfig()
    other = base.changed(training__lr=0.5, training__epochs=3, model__width=8)
    configs = {"a": base, "b": other, "c": other.changed(model__attention="eca")}
    assert group_names(configs) == {"a": "plain · setup A", "b": "plain · setup B", "c": "eca · setup B"}
    setups = group_setups(configs)
    assert setups["b"] == setups["c"] == "B: width 8 · epochs 3 · lr 0.5"
    assert setups["a"].startswith("A: width default")


def _contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_theme_is_legible_and_shares_the_palette(mode: str) -> None:
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for graphics."""
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    colours = theme[mode]
    assert tuple(colours["chartCategoricalColors"]) == CATEGORICAL
    for surface in (colours["backgroundColor"], colours["secondaryBackgroundColor"]):
        assert _contrast(colours["textColor"], surface) >= 7
        assert _contrast(colours["linkColor"], surface) >= 4.5
    assert all(_contrast(line, colours["backgroundColor"]) >= 3 for line in CATEGORICAL)
    assert _contrast(colours["primaryColor"], "#ffffff") >= 4.5
    assert not re.search(r"https?://", (ROOT / ".streamlit" / "config.toml").read_text())
