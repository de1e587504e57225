"""A search trains what the registry offers, nothing twice, stops what falls behind, and goes on where it was."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab.attention import get_attention
from attnlab.cli.app import main
from attnlab.config import RunConfig
from attnlab.experiments.managers import get_manager
from attnlab.experiments.search import SearchError, list_searches, make_search, open_study, run_search, save_search, trials
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.ownership import folder_lock
from tests.pages import open_page
from tests.waiting import PATIENCE

TINY = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=64,
    dataset__test_subset=32,
    model__width=4,
    model__attention="linear_autoencoder",
    training__epochs=1,
    training__batch_size=16,
    training__device="cpu",
)


def test_the_space_is_what_the_registry_offers() -> None:
    space = make_search(TINY.changed(model__attention="eca+conv_autoencoder"), 3).space()
    assert space["conv_autoencoder.depth"] == tuple(get_attention("conv_autoencoder").options["depth"])
    assert set(space["placement"]) == {"every_conv", "block_first", "block_end", "before_classifier"}
    assert {name.split(".")[0] for name in space} == {"eca", "conv_autoencoder", "placement"}
    with pytest.raises(SearchError, match="1 to 200 trials, not 0"):
        make_search(TINY, 0)


def test_a_paused_search_goes_on_and_trains_nothing_twice(app: AppTest, private_home: Path) -> None:
    search = make_search(TINY, 4, seed=1)
    save_search(private_home, search)
    seen: list[int] = []
    manager = get_manager()
    run_search(manager, search, on_trial=lambda trial: seen.append(trial.number), should_stop=lambda: len(seen) >= 2)
    assert len(seen) == 2
    held = folder_lock(private_home / "searches" / f"{search.name}.lock")
    with held, pytest.raises(SearchError, match="already running"):
        run_search(manager, search)
    study = run_search(manager, search, on_trial=lambda trial: seen.append(trial.number))
    done = trials(study)
    assert [trial.number for trial in done] == [0, 1, 2, 3] == seen
    folders = run_folders(private_home / "runs")
    assert len({folder.config.config_hash for folder in folders}) == len(folders)
    assert {trial.run_id for trial in done} == {folder.run_id for folder in folders}
    for trial in done:
        result = manager.get(trial.run_id)
        assert result.validation_accuracy == trial.value
        assert result.config == search.config(trial.choice)
    with pytest.raises(SearchError, match="of another configuration"):
        save_search(private_home, make_search(TINY.changed(training__epochs=2), 4, name=search.name))


def test_what_falls_behind_the_median_is_stopped(app: AppTest, private_home: Path) -> None:
    """Five finished trials are written by hand, all better at every epoch than a network of this width can be."""
    import optuna

    search = make_search(TINY.changed(training__epochs=200), 6)
    save_search(private_home, search)
    study = open_study(private_home, search)
    space = {name: optuna.distributions.CategoricalDistribution(values) for name, values in search.space().items()}
    for number in range(5):
        choice = {name: values[number % len(values)] for name, values in search.space().items()}
        study.add_trial(
            optuna.trial.create_trial(
                params=choice, distributions=space, value=1.0, intermediate_values=dict.fromkeys(range(1, 201), 1.0)
            )
        )
    run_search(get_manager(), search)
    last = trials(open_study(private_home, search))[-1]
    assert (last.number, last.state) == (5, "pruned")
    stopped = RunFolder(private_home / "runs" / last.run_id)
    assert stopped.progress()["epoch"] < 200 and stopped.has_weights
    open_page(app, "pages/search.py")
    assert [bar.proto.text for bar in app.get("progress")] == ["6 of 6 trials, 1 stopped early"]


def test_the_command_prints_the_trials(private_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "base.json"
    file.write_text(TINY.to_json())
    command = ["search", "--config", str(file), "--trials", "2", "--executor", "thread", "--name", "two", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert [trial["state"] for trial in told["trials"]] == ["complete", "complete"]
    assert told["best"]["value"] == max(trial["value"] for trial in told["trials"])
    assert main([*command[:-3], "--name", "no/slash"]) == 2
    assert "letters, digits" in capsys.readouterr().err


def test_the_page_starts_a_search_and_shows_what_it_found(app: AppTest, private_home: Path) -> None:
    search = make_search(TINY, 2)
    save_search(private_home, search)
    run_search(get_manager(), search)
    open_page(app, "pages/search.py")
    assert any("Best by validation" in each.value for each in app.markdown)
    assert any("looks better than it is" in each.value for each in app.caption)
    assert any("at least four finished trials" in each.value for each in app.caption)
    before = {run.run_id for run in get_manager().runs()}
    app.button("search.train").click().run()
    started = {run.run_id for run in get_manager().runs()} - before
    assert {get_manager().wait(run_id, PATIENCE).config.seed for run_id in started} == {1, 2, 3}
    assert list_searches(private_home) == [search.name]
