"""League: a shipped table is there at once, with its null results; a league is started and shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.experiments import managers
from attnlab.experiments.grid import GridKind, list_grids, save_grid
from attnlab.experiments.league import League, league_json, leagues, plan_league, save_measured
from attnlab.experiments.managers import get_manager
from attnlab.queue.manager import Manager
from attnlab.runs.measured import Measured, NetworkCost
from attnlab.training.presets import league as preset
from attnlab.ui.league import results
from tests.example_runs import finished_run
from tests.pages import open_page, seen
from tests.queue.test_manager import Never

PAGE = "pages/league.py"
ACCURACIES = {
    "plain": (0.50, 0.52, 0.54),
    "eca": (0.53, 0.56, 0.59),
    "eca, weights fixed": (0.53, 0.55, 0.60),
    "cbam": (0.50, 0.53, 0.53),
    "cbam, weights fixed": (0.50, 0.52, 0.54),
}


@pytest.fixture(autouse=True)
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DEMO_LEAGUES", tmp_path / "shipped-leagues")
    paths.DEMO_LEAGUES.mkdir()


@pytest.fixture
def idle(app: AppTest, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A queue that starts nothing."""
    made = Manager(private_home, Never(slots=0))
    monkeypatch.setattr(managers, "_managers", {private_home: made})
    yield
    made.shutdown()


def trained(home: Path) -> League:
    grid, _ = plan_league(preset(width=4, subset=60, test_subset=20, epochs=1), variants=["eca", "cbam"], seeds=range(3))
    save_grid(home, grid)
    for label, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            finished_run(home, grid.cells[label, seed], accuracy)
    get_manager().store.sync()
    (found,) = leagues(home, get_manager().runs())
    about = {"flops": 2_000_000, "forward": 1.0, "backward": 2.0, "memory": 4096}
    costs = {key: NetworkCost(parameters=1000 + place, **about) for place, key in enumerate(found.groups)}
    save_measured(home, found, Measured(machine="CPU, 1 thread", batch=32, costs=costs))
    return leagues(home, get_manager().runs())[0]


def test_a_table_shows_null_results_beside_gains(app: AppTest, private_home: Path) -> None:
    trained(private_home)
    open_page(app, PAGE)
    told = seen(app)
    assert "1 better (eca), 0 worse, and 1 with no difference seen (cbam)" in told
    assert "0 better, 0 worse, and 2 with no difference seen (eca, cbam)" in told, "against the controls"
    assert "is found with 80% power" in told and "CPU, 1 thread" in told
    table = next(each.value for each in app.dataframe if "against_plain" in each.value)
    assert list(table["name"]) == ["eca", "cbam", "plain"]
    assert list(table["against_plain"]) == ["better", "no difference seen", "it is the plain network"]
    app.segmented_control("league.order").set_value("name").run()
    table = next(each.value for each in app.dataframe if "against_plain" in each.value)
    assert list(table["name"]) == ["plain", "cbam", "eca"]
    app.segmented_control("league.cost").set_value("forward").run()
    app.selectbox("league.variant").set_value("cbam").run()
    assert not app.exception, app.exception
    assert "no difference seen (+0.0 points" in seen(app)
    app.button("league.measure").click().run()
    (job,) = results._jobs.values()
    measured = job.result(patience=60)
    assert measured is not None and measured.measured.costs[measured.key].forward > 0
    app.run()
    assert not app.exception, app.exception
    assert leagues(private_home, get_manager().runs())[0].measured.costs == measured.measured.costs


def test_a_shipped_league_is_there_at_once_and_takes_more_variants(app: AppTest, private_home: Path, idle: None) -> None:
    found = trained(private_home)
    (paths.DEMO_LEAGUES / "digits.json").write_text(league_json(found))
    for grid in found.own:
        (private_home / "grids" / grid.grid_id / "grid.json").unlink()
    open_page(app, PAGE)
    assert "shipped" in app.selectbox("league.chosen").options[0]
    assert "1 better (eca)" in seen(app)
    app.button("league.add").click().run()
    assert not app.exception, app.exception
    (grid,) = list_grids(private_home)
    assert grid.kind is GridKind.LEAGUE and grid.seeds == (0, 1, 2)
    labels = {row.label for row in grid.rows}
    assert "srm, weights fixed" in labels and not {"plain", "eca", "cbam"} & labels, "what is known was queued again"


def test_the_form_starts_a_league(app: AppTest, private_home: Path, idle: None) -> None:
    open_page(app, PAGE)
    assert "its table appears here" in seen(app)
    app.text_input("league.dataset").set_value("/nowhere/at/all")
    app.button("league.start").click().run()
    assert "neither a data set nor a path" in seen(app) and list_grids(private_home) == []
    for path in ("/etc/hostname", "/usr/share", "/dev/null"):
        app.text_input("league.dataset").set_value(path)
        app.button("league.start").click().run()
        assert not app.exception and len(app.error) == 1 and list_grids(private_home) == []
    app.text_input("league.dataset").set_value("digits")
    app.multiselect("league.variants").set_value(["simam"])
    for name, value in {"seeds": 1, "subset": 60, "test_subset": 20, "epochs": 1, "width": 4}.items():
        app.number_input(f"league.{name}").set_value(value)
    app.button("league.start").click().run()
    assert not app.exception, app.exception
    (grid,) = list_grids(private_home)
    assert [row.label for row in grid.rows] == ["plain", "simam", "simam, weights fixed"]
    app.number_input("league.width").set_value(6)
    app.button("league.start").click().run()  # now there is one to choose
    assert not app.exception, app.exception
    assert len(list_grids(private_home)) == 2


def test_a_run_with_fixed_weights_says_so_beside_its_maps() -> None:
    def facts() -> None:
        from attnlab.config import ModelConfig
        from attnlab.ui.inspect.network import variant_facts

        for control in ("none", "neutral"):
            variant_facts(ModelConfig(attention="eca", control=control))

    (said,) = AppTest.from_function(facts).run().info
    assert "fixed before training" in said.value
