"""The league: what is planned, what is never trained twice, and what the table says of accuracies written by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from attnlab import paths
from attnlab.cli.app import main
from attnlab.config import RunConfig
from attnlab.experiments.grid import Grid, GridError, list_grids, save_grid
from attnlab.experiments.league import (
    League,
    control,
    extended,
    league_json,
    leagues,
    plan_league,
    read_league,
    save_measured,
    variant_config,
)
from attnlab.experiments.league_table import (
    NONE_SEEN,
    front,
    front_words,
    league_markdown,
    league_rows,
    league_table,
    ordered,
    outcome_words,
    power,
    power_in_words,
)
from attnlab.runs.folder import run_folders
from attnlab.runs.index import Index, to_record
from attnlab.runs.measured import Measured, NetworkCost
from attnlab.runs.records import RunRecord
from attnlab.stats.power import paired_t_power
from attnlab.training.presets import league as preset
from tests.example_runs import finished_run

PLAIN = (0.50, 0.52, 0.54)
ACCURACIES = {
    "eca": (0.53, 0.56, 0.59),  # 3, 4 and 5 points more: t = 4 sqrt(3), p = 0.0202 with 2 degrees of freedom
    "cbam": (0.50, 0.53, 0.53),  # 0, 1 and -1 points: p = 1
}
CONTROLS = {"eca": (0.53, 0.55, 0.60), "cbam": (0.50, 0.52, 0.54)}


def base() -> RunConfig:
    return preset(width=4, subset=60, test_subset=20, epochs=1)


def plan(*variants: str, seeds: int = 3, **options: object) -> Grid:
    return plan_league(base(), variants=variants, seeds=range(seeds), **options)[0]


def records(home: Path) -> list[RunRecord]:
    index = Index(None, write=True)
    for folder in run_folders(home / "runs"):
        index.refresh(folder)
    return [to_record(row, home / "runs" / row["run_id"], demo=False) for row in index.rows()]


@pytest.fixture(autouse=True)
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DEMO_LEAGUES", tmp_path / "no-shipped-leagues")


@pytest.fixture
def league(private_home: Path) -> League:
    """Three seeds of two variants and their controls, and a third variant that was not trained."""
    grid = plan("eca", "cbam", "simam")
    save_grid(private_home, grid)
    for seed, accuracy in enumerate(PLAIN):
        finished_run(private_home, grid.cells["plain", seed], accuracy)
        for name in ACCURACIES:
            finished_run(private_home, grid.cells[name, seed], ACCURACIES[name][seed])
            finished_run(private_home, grid.cells[f"{name}, weights fixed", seed], CONTROLS[name][seed])
    (found,) = leagues(private_home, records(private_home))
    return found


def cost(parameters: int, milliseconds: float) -> NetworkCost:
    return NetworkCost(parameters=parameters, flops=2_000_000, forward=milliseconds, backward=milliseconds, memory=2048)


# The plan


def test_a_league_has_the_plain_network_and_each_variant_with_its_control() -> None:
    grid = plan("eca", "eca+cbam_spatial", seeds=2)
    assert [row.label for row in grid.rows] == [
        "plain",
        *("eca", "eca, weights fixed"),
        *("eca+cbam_spatial", "eca+cbam_spatial, weights fixed"),
    ]
    assert len(grid.wanted) == 10
    eca, fixed = grid.rows[1].config, grid.rows[2].config
    assert fixed == control(eca) and fixed.run_id != eca.run_id and "neutral" in fixed.run_id
    same = [row.config.changed(model=base().model) for row in grid.rows]
    assert all(config == same[0] for config in same), "a variant differs in more than its network"
    assert [row.label for row in plan("eca", controls="none").rows] == ["plain", "eca"]


def test_what_does_not_work_here_is_named_and_does_not_stop_the_others() -> None:
    grid, refused = plan_league(base().changed(model__width=3), variants=["eca", "bottleneck", "halo"], seeds=[0])
    assert {row.label for row in grid.rows} == {"plain", "eca", "eca, weights fixed"}
    assert set(refused) == {"bottleneck", "halo"} and "cannot split 6 channels into 8 heads" in refused["halo"]
    table = league_table([], refused).set_index("name")
    assert table.loc["halo", "note"].startswith("does not work here: halo cannot split")
    with pytest.raises(GridError, match="no variant is left to train: halo"):
        plan_league(base().changed(model__width=3), variants=["halo"], seeds=[0], with_plain=False)


def test_a_second_league_of_the_same_settings_is_the_first_with_what_is_new(private_home: Path) -> None:
    first = plan("eca", seeds=2)
    save_grid(private_home, first)
    again = extended(private_home, plan("eca", seeds=2))
    assert (again.grid_id, again.rows, again.seeds) == (first.grid_id, first.rows, first.seeds)
    wider = extended(private_home, plan("cbam", seeds=3))
    assert (wider.grid_id, len(wider.rows), wider.seeds) == (first.grid_id, 5, (0, 1, 2))
    assert set(first.wanted) < set(wider.wanted)
    other = plan_league(base().changed(training__epochs=2), variants=["eca"], seeds=[0])[0]
    assert extended(private_home, other) == other


# The table


def test_the_comparisons_are_those_computed_by_hand(league: League) -> None:
    rows = {row.name: row for row in league_rows(league)}
    eca, cbam = rows["eca"], rows["cbam"]
    assert eca.against_plain.difference == pytest.approx(0.04)
    assert eca.against_plain.p == pytest.approx(0.0202, abs=1e-4)
    assert eca.against_plain.p_holm == pytest.approx(2 * eca.against_plain.p)  # two rows were tested; simam was not trained
    assert cbam.against_plain.difference == pytest.approx(0) and cbam.against_plain.p_holm == pytest.approx(1)
    assert eca.against_control.difference == pytest.approx(0, abs=1e-9)
    table = league_table(ordered(list(rows.values()), "accuracy")).set_index("name")
    assert list(table.index) == ["eca", "cbam", "plain", "simam"]
    assert table.loc["eca", "against_plain"] == "better" and table.loc["eca", "against_control"] == NONE_SEEN
    assert table.loc["cbam", "against_plain"] == NONE_SEEN
    assert table.loc["eca", "accuracy"] == pytest.approx(56) and table.loc["eca", "control"] == pytest.approx(56)
    assert table.loc["simam", "note"] == "not trained yet"
    assert [row.name for row in ordered(list(rows.values()), "name")] == ["plain", "cbam", "eca", "simam"]


def test_outcome_and_power_are_said_in_words(league: League) -> None:
    rows = league_rows(league)
    assert outcome_words(rows).startswith(
        "Of 2 variants against the plain network: 1 better (eca), 0 worse, and 1 with no difference seen (cbam)"
    )
    assert "0 better, 0 worse, and 2 with no difference seen (eca, cbam)" in outcome_words(rows, of="control")
    found = power(rows, plain=league.plain)
    assert found is not None
    assert (found.seeds, found.rows) == (3, 2)
    assert found.spread == pytest.approx(1)  # both differences have a standard deviation of one point
    assert paired_t_power(found.alone, 3, 0.05) == pytest.approx(0.8, abs=1e-3)
    assert paired_t_power(found.findable, 3, 0.05 / 2) == pytest.approx(0.8, abs=1e-3)
    hopeless = replace(found, findable=281.4)  # more than accuracies can differ by
    assert "no difference between a variant and its control is found" in power_in_words(hopeless, of="control")
    words = power_in_words(found)
    assert f"above {found.findable:.1f} points" in words and "With 3 seeds" in words and "80% power" in words


def test_the_front_has_what_nothing_cheaper_reaches(league: League, private_home: Path) -> None:
    groups = {name: group.key for name, group in league.variants.items()}
    costs = {league.key: cost(100, 1), groups["eca"]: cost(103, 5), groups["cbam"]: cost(120, 2)}
    save_measured(private_home, league, Measured(machine="CPU, 1 thread", batch=32, costs=costs))
    (found,) = leagues(private_home, records(private_home))
    rows = league_rows(found)
    assert [row.name for row in front(rows, "parameters")] == ["plain", "eca"]
    assert "plain (52.0%), eca (56.0%)" in front_words(rows, "parameters")
    text = league_markdown(league_table(rows))
    assert "| cbam |" in text and NONE_SEEN in text and "2.000" in text


def test_an_exported_league_is_read_back_and_says_nothing_of_the_machine(
    league: League, private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {name: group.key for name, group in league.variants.items()}
    save_measured(private_home, league, Measured(machine="CPU", batch=8, costs={groups["eca"]: cost(103, 5)}))
    (found,) = leagues(private_home, records(private_home))
    monkeypatch.setattr(paths, "DEMO_LEAGUES", tmp_path / "shipped")
    paths.DEMO_LEAGUES.mkdir()
    (paths.DEMO_LEAGUES / "digits.json").write_text(league_json(found))
    (shipped,) = leagues(tmp_path / "empty", [])
    assert shipped.own == () and shipped.key == league.key
    assert [row.name for row in league_rows(shipped)] == ["plain", "eca", "cbam", "simam"]
    assert league_rows(shipped)[1].against_plain == league_rows(found)[1].against_plain
    assert league_rows(shipped)[1].cost == cost(103, 5)

    hidden = plan_league(base().changed(dataset__name=str(tmp_path / "secret" / "photos.zip")), variants=["eca"], seeds=[0])[0]
    save_grid(tmp_path / "other", hidden)
    run = finished_run(tmp_path / "other", hidden.cells["eca", 0], 0.5)
    of = {"name": run.config.dataset.name, "shape": [3, 32, 32], "class_names": ["a", "b"]}
    run.write_dataset(of | {"provenance": {"source": run.config.dataset.name, "note": "as folders", "skipped": []}})
    elsewhere = leagues(tmp_path / "other", records(tmp_path / "other"))[0]
    text = league_json(elsewhere)
    assert "as folders" in text
    assert "secret" not in text and read_league(text)[0].grid.rows[0].config.dataset.name == "photos.zip"
    with pytest.raises(GridError, match="is not JSON"):
        read_league("{")


def test_a_new_variant_needs_only_its_own_cells_beside_a_shipped_league(
    league: League, private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "DEMO_LEAGUES", tmp_path / "shipped")
    paths.DEMO_LEAGUES.mkdir()
    (paths.DEMO_LEAGUES / "digits.json").write_text(league_json(league))
    home = tmp_path / "home-of-another"
    grid = plan("srm", with_plain=False)
    assert {row.label for row in grid.rows} == {"srm", "srm, weights fixed"}
    save_grid(home, grid)
    for seed in range(3):
        finished_run(home, grid.cells["srm", seed], PLAIN[seed] - 0.01 * (1 + seed))
    (found,) = leagues(home, records(home))
    rows = {row.name: row for row in league_rows(found)}
    assert found.shipped is not None and len(found.own) == 1
    assert rows["srm"].against_plain.pairs == 3 and rows["srm"].against_plain.difference == pytest.approx(-0.02)
    assert rows["eca"].against_plain.difference == pytest.approx(0.04)


# The command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--variants", "ecaa"], "unknown attention variant 'ecaa'"),
        (["--variants", "none"], "'none' is the plain network, which is in every league"),
        (["--backbone", "resnet999"], "unknown network 'resnet999'"),
        (["--backbone", "pay_attention_vgg"], "pay_attention_vgg has its own attention"),
        (["--placement", "nowhere"], "nowhere"),
        (["--controls", "some"], "some"),
        (["--dataset", "no-such-folder"], "'no-such-folder' is neither a data set nor a path"),
        (["--epochs", "0"], "training.epochs"),
        (["--seeds", "0"], "a grid has from 1"),
    ],
)
def test_a_bad_option_is_refused_by_name(
    arguments: list[str], said: str, private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["league", "--no-run", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list_grids(private_home) == []


def test_the_command_trains_what_is_missing_once(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "thread")
    small = ["--subset", "40", "--test-subset", "20", "--epochs", "1", "--width", "4", "--seeds", "2", "--batch-size", "16"]
    command = ["league", *small, "--variants", "simam", "--export", str(tmp_path / "league.json")]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "| simam |" in first.out and "finished; seeds 0, 1" in first.out and "With 2 seeds" in first.out
    before = {record.run_id: record.attempt for record in records(private_home)}
    assert len(before) == 6
    assert main(command) == 0
    again = capsys.readouterr()
    assert {record.run_id: record.attempt for record in records(private_home)} == before
    assert "seed 0:" not in again.err and "measuring" not in again.err, "it was trained or measured again"
    exported, measured = read_league((tmp_path / "league.json").read_text())
    assert len(exported.records) == 6 and len(measured.costs) == 2
    told = measured.costs[variant_config(exported.grid.rows[0].config, "simam").group]
    assert told.forward > 0 and told.backward > 0 and told.memory > 0 and told.flops > 0
