"""Compare: one row for each group, an honest verdict, and a table that can be taken away."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab.config import RunConfig
from attnlab.experiments.managers import get_manager
from tests.example_runs import finished_run
from tests.pages import open_page, texts

PAGE = "pages/compare.py"


def make_runs(home: Path) -> None:
    for seed, (plain, eca) in enumerate([(0.50, 0.70), (0.52, 0.73), (0.51, 0.71), (0.53, 0.72)]):
        finished_run(home, RunConfig().changed(seed=seed), plain)
        finished_run(home, RunConfig().changed(model__attention="eca", seed=seed), eca)
    finished_run(home, RunConfig().changed(model__attention="cbam"), 0.9)


def test_without_runs_it_says_what_to_do(app: AppTest) -> None:
    assert "No run has finished yet" in texts(open_page(app, PAGE))


def test_one_row_for_each_group(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    get_manager().store.sync()
    open_page(app, PAGE)
    table = app.dataframe[0].value.set_index("name")
    assert list(table.index) == ["cbam", "eca", "plain"]  # best first
    assert table.loc["eca", "accuracy"] == 71.5
    assert table.loc["eca", "n"] == 4
    assert table.loc["eca", "verdict"].startswith("better, p = ")
    assert table.loc["eca", "difference"] == pytest.approx(20)
    assert "n=1" in table.loc["cbam", "verdict"]
    assert table.loc["plain", "verdict"] == "the baseline"
    assert table.loc["eca", "mflops"] > 1
    assert "n = 1" in texts(app)


def test_another_baseline_turns_the_verdict_round(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    get_manager().store.sync()
    open_page(app, PAGE)
    baseline = app.selectbox("compare.baseline")
    baseline.set_value("eca").run()
    table = app.dataframe[0].value.set_index("name")
    assert table.loc["plain", "verdict"].startswith("worse")


def test_runs_of_other_setups_are_shown_with_what_is_other_and_can_be_left_out(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    other = RunConfig().changed(training__lr=0.5, training__epochs=2, model__width=8)
    finished_run(private_home, other, 0.95)
    get_manager().store.sync()
    open_page(app, PAGE)
    names = list(app.dataframe[0].value["name"])
    assert len(names) == 4 and "plain · setup B" in names, "nobody's own run is hidden"
    assert "Setup B\\: width 8 · epochs 2 · lr 0\\.5" in texts(app) and "may come from the setup" in texts(app)
    setup = app.selectbox("compare.setup")
    setup.set_value(next(option for option in setup.options if option.startswith("A"))).run()
    assert list(app.dataframe[0].value["name"]) == ["cbam", "eca", "plain"]
    left_out = next(caption.value for caption in app.caption if caption.value.startswith("Left out"))
    assert "**plain** (B\\: width 8" in left_out and "all setups" in left_out


def test_of_many_setups_the_one_with_most_runs_is_shown_first(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    for width in range(2, 9):
        other = RunConfig().changed(model__width=width, training__lr=width / 100, training__epochs=width)
        finished_run(private_home, other, 0.9)
    get_manager().store.sync()
    open_page(app, PAGE)
    assert list(app.dataframe[0].value["name"]) == ["cbam", "eca", "plain"]
    app.selectbox("compare.setup").set_value("all setups").run()
    assert len(app.dataframe[0].value) == 10


def test_a_setup_that_differs_in_one_setting_is_shown_with_the_difference(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    other = RunConfig().changed(model__attention="self_attention", model__placement="block_end")
    finished_run(private_home, other, 0.7)
    get_manager().store.sync()
    open_page(app, PAGE)
    names = list(app.dataframe[0].value["name"])
    assert len(names) == 4 and any(name.startswith("self_attention") and "end" in name for name in names)
    assert "**self\\_attention** (" in texts(app) and "may come from the setup" in texts(app)


def test_columns_and_metric_can_be_chosen(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    get_manager().store.sync()
    open_page(app, PAGE)
    app.pills("compare.columns").set_value(["name", "accuracy"]).run()
    app.segmented_control("compare.metric").set_value("train loss").run()
    assert not app.exception
    assert list(app.dataframe[0].proto.column_order) == ["name", "accuracy"]


@pytest.mark.slow
def test_time_for_an_image_is_measured_on_demand(app: AppTest, private_home: Path) -> None:
    make_runs(private_home)
    get_manager().store.sync()
    open_page(app, PAGE)
    assert app.dataframe[0].value["milliseconds"].isna().all()
    app.button("compare.measure").click().run()
    assert (app.dataframe[0].value["milliseconds"] > 0).all()
