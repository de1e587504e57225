"""The command line as a person or a script meets it: what stands on stdout, what on stderr, and the exit code."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cyclopts import CycloptsError
from PIL import Image

from attnlab.cli.app import app, main
from attnlab.cli.common import as_new_run, open_store
from attnlab.config import ModelConfig, RunConfig
from attnlab.experiments.grid import load_grid
from attnlab.experiments.overrides import change, settings
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.runs.store import home_lock
from attnlab.training.presets import one_minute
from tests.example_runs import finished_run
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
DRAWN = ["--dataset-option", "train_images=100", "--dataset-option", "test_images=40"]
SHORT = ["--subset", "64", "--test-subset", "32", "--width", "4", "--batch-size", "16", "--epochs", "1", "--device", "cpu"]
SMALL = [*DRAWN, *SHORT]


@pytest.fixture(autouse=True)
def keep_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests is not set up for training alone."""
    monkeypatch.setattr("attnlab.training.device.prepare_process", lambda threads=None: None)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_train_prints_one_json_object_and_leaves_a_run(capsys: pytest.CaptureFixture[str], private_home: Path) -> None:
    told = run_json(capsys, "train", *SMALL, "--attention", "eca+cbam_spatial", "--attention-option", "eca.kernel_size=5")
    assert told["state"] == "finished"
    assert 0 <= told["metrics"]["test_accuracy"] <= 1
    assert told["config"]["model"]["attention_options"] == {"eca": {"kernel_size": 5}}
    assert Path(told["folder"]) == private_home / "runs" / told["run_id"]
    assert Path(told["checkpoint"]).is_file()
    listed = run_json(capsys, "runs")["runs"]
    (own,) = [run for run in listed if not run["demo"]]
    assert own["run_id"] == told["run_id"]
    assert own["test_accuracy"] == told["metrics"]["test_accuracy"]


@pytest.mark.parametrize("attention", ["none", "eca", "self_attention", "cbam"])
def test_without_a_network_it_is_that_of_the_apps_preset(
    attention: str, private_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnlab.cli.train._train_here", lambda folder, **_: print(folder.config.to_json()) or 0)
    assert main(["train", "--attention", attention]) == 0
    assert RunConfig.from_json(capsys.readouterr().out) == as_new_run(one_minute(attention))
    assert main(["train", "--attention", "eca", "--backbone", "resnet_cifar"]) == 0
    assert RunConfig.from_json(capsys.readouterr().out).model.options == {}
    assert main(["train", "--attention", "eca", "--backbone", "resnet_cifar", "--option", "stages=3"]) == 0
    assert RunConfig.from_json(capsys.readouterr().out).model.options == {"stages": "3"}, "a word, as it is offered"


def test_smaller_images_get_a_network_that_takes_them(
    private_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnlab.cli.train._train_here", lambda folder, **_: print(folder.config.to_json()) or 0)
    assert main(["train", "--image-size", "16"]) == 0
    assert "blocks" not in RunConfig.from_json(capsys.readouterr().out).model.options
    assert main(["train", "--image-size", "16", "--option", "blocks=3"]) == 0  # asked for, so it is refused with its reason
    assert RunConfig.from_json(capsys.readouterr().out).model.options["blocks"] == 3


@pytest.mark.parametrize("queued", [(), ("--executor", "thread")])
def test_a_time_budget_settles_the_epochs_for_all_seeds(
    queued: tuple[str, ...], capsys: pytest.CaptureFixture[str], private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnlab.cli.train.process_start", time.monotonic)
    monkeypatch.setattr("attnlab.queue.plan.process_start", time.monotonic)  # that of the tests is long ago
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "process")  # so that it is given back after the test
    small = [*DRAWN, *SHORT[:-4]]
    assert main(["train", *small, "--epochs", "2", "--time-budget", "10h", "--json", *queued]) == 0
    output = capsys.readouterr()
    told = json.loads(output.out)
    assert told["config"]["training"]["epochs"] == 2
    assert "All 2 epochs fit into 10 h on this machine" in output.err
    assert RunFolder(Path(told["folder"])).progress()["total_steps"] == told["metrics"]["step"]
    assert main(["train", *small, "--epochs", "2", "--seed", "1", "--time-budget", "10h", *queued]) == 0
    assert "2 epochs, the same number as in earlier runs of these settings" in capsys.readouterr().err
    assert main(["train", *small, "--epochs", "3", "--time-budget", "1s", *queued]) == 2
    assert "Not one epoch fits into 1 s on this machine" in capsys.readouterr().err
    assert len(list((private_home / "runs").iterdir())) == 2


def test_a_grid_is_fitted_to_a_time_and_all_rows_share_the_epochs(
    capsys: pytest.CaptureFixture[str], private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnlab.cli.grid.process_start", time.monotonic)
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "thread")
    scale = ["--dataset", "digits", "--rows", "none", "eca", "--seeds", "2", "--subset", "60", "--test-subset", "20"]
    command = ["reproduce", "table1", *scale, "--epochs", "4", "--width", "2", "--batch-size", "16"]
    assert main([*command, "--time-budget", "1s", "--no-run"]) == 2
    message = capsys.readouterr().err
    assert "Not one epoch of all 4 runs fits into 1 s on this machine" in message
    told = run_json(capsys, *command, "--time-budget", "10h", "--no-run")
    grid = load_grid(private_home, told["grid_id"])
    assert {row.config.training.epochs for row in grid.rows} == {4}
    assert told["left_seconds"] == pytest.approx(2 * sum((grid.estimates or {}).values()))
    would = run_json(capsys, "grid", "estimate", grid.grid_id, "--time-budget", "10h")
    assert would["epochs"] == 4 and would["seconds"] > 0
    finished_run(private_home, next(iter(grid.wanted.values())), 0.5)
    assert main(["grid", "run", grid.grid_id, "--time-budget", "5m"]) == 2
    assert "has runs already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--time-budget", "soon"], "write 60 for seconds, or 5m, or 1h30m"),
        (["grid", "new", "g", "--vary", "epochs=1,2", "--time-budget", "5m"], "contradict each other"),
        (["grid", "new", "g", "--time-budget", "-5"], "not a time"),
    ],
)
def test_a_budget_that_is_none_is_told(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], private_home: Path
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not (private_home / "runs").exists() and not (private_home / "grids").exists()


def test_an_impossible_batch_is_refused_in_words_before_the_training(
    private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--width", "8", "--batch-size", "1", "--image-size", "32"]
    assert main(["train", *DRAWN, "--epochs", "1", "--backbone", "resnet18", *small]) == 2
    err = capsys.readouterr().err
    assert "Set training.batch_size to 2 or more" in err and "Expected more than 1" not in err
    assert not list((private_home / "runs").glob("*/config.json"))


def test_a_config_file_gives_the_same_run_and_options_change_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = run_json(capsys, "train", *SMALL, "--option", "dropout=0.1")
    again = run_json(capsys, "train", "--again", "--config", str(Path(first["folder"]) / "config.json"))
    assert again["config"] == first["config"]
    assert again["metrics"]["test_loss"] == first["metrics"]["test_loss"]
    assert again["run_id"] == f"{first['run_id']}-2"
    other = run_json(capsys, "train", "--config", str(Path(first["folder"]) / "config.json"), "--seed", "5")
    assert other["config"] == first["config"] | {"seed": 5}


@pytest.mark.parametrize("queued", [(), ("--executor", "thread")])
def test_settings_that_have_been_trained_are_told_and_trained_again_only_when_asked(
    queued: tuple[str, ...], private_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "process")  # so that it is given back after the test
    config = RunConfig().changed(model__attention="eca", dataset__options={"train_images": 60, "test_images": 20})
    config = config.changed(training__epochs=1, model__width=2, dataset__subset=40, dataset__test_subset=20)
    (private_home.parent / "config.json").write_text(config.to_json())
    command = ["train", "--config", str(private_home.parent / "config.json"), *queued]
    run = finished_run(private_home, config, 0.75)
    assert main(command) == 2
    told = capsys.readouterr().err
    assert f"trained already: {run.run_id}, test accuracy 75.0%" in told and "--seed 1 is free" in told and "--again" in told
    run.write_end(RunState.STOPPED, 1)
    assert main(command) == 2
    assert f"attnlab resume {run.run_id}" in capsys.readouterr().err
    assert [path.name for path in (private_home / "runs").iterdir()] == [run.run_id]
    assert main([*command, "--again"]) == 0
    assert sorted(path.name for path in (private_home / "runs").iterdir()) == [run.run_id, f"{run.run_id}-2"]


def test_a_new_run_draws_lesions_anywhere_and_a_config_of_an_earlier_one_stays_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lesions = ["--dataset", "lesions", "--image-size", "24", *SMALL]
    new = run_json(capsys, "train", *lesions)["config"]["dataset"]["options"]
    assert new == {"train_images": 100, "test_images": 40, "place": "anywhere"}
    middle = run_json(capsys, "train", *lesions, "--dataset-option", "place=centre")["config"]["dataset"]["options"]
    assert middle["place"] == "centre"
    earlier = RunConfig.model_validate({"dataset": {"name": "lesions", "image_size": 24, "options": {"train_images": 60}}})
    (tmp_path / "config.json").write_text(earlier.to_json())
    again = run_json(capsys, "train", "--config", str(tmp_path / "config.json"), *SHORT)
    assert again["config"]["dataset"]["options"] == {"train_images": 60}


def test_new_runs_have_bottlenecks_of_four_and_a_config_of_an_earlier_one_stays_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    monkeypatch.setattr("attnlab.cli.train._train_here", lambda folder, **_: print(folder.config.to_json()) or 0)

    def options(*arguments: str) -> object:
        assert main(["train", *arguments]) == 0
        return RunConfig.from_json(capsys.readouterr().out).model.attention_options

    assert options("--attention", "eca+cbam") == {"cbam": {"min_hidden": 4}}
    assert options("--attention", "squeeze_excite", "--backbone", "resnet18") == {"squeeze_excite": {"min_hidden": 4}}
    given = ("--attention-option", "cbam.min_hidden=1", "--attention-option", "cbam.reduction=8")
    assert options("--attention", "cbam", *given) == {"cbam": {"min_hidden": 1, "reduction": 8}}
    (tmp_path / "config.json").write_text(RunConfig(model=ModelConfig(attention="cbam")).to_json())
    assert options("--config", str(tmp_path / "config.json")) == {}
    grid = run_json(capsys, "grid", "new", "Bottlenecks", "--vary", "attention=none,cbam", "--seeds", "1")["grid_id"]
    rows = load_grid(private_home, grid).rows
    assert [row.config.model.attention_options for row in rows] == [{}, {"cbam": {"min_hidden": 4}}]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--attention", "attention"], "known: none"),
        (["train", "--backbone", "alexnet"], "alexnet"),
        (["train", "--lr", "-1"], "training.lr"),
        (["train", "--lr", "fast"], "--lr"),
        (["train", "--optimizer", "sgdd"], "sgd"),
        (["train", "--epoch", "3"], "--epochs"),
        (["train", "--option", "blocks"], "option=value"),
        (["train", "--backbone", "vit", "--placement", "block_end"], "vit has no place for an attention variant"),
        (["train", "--attention", "halo", "--placement", "block_end"], "takes the place of the network's convolutions"),
        (["grid", "new", "g", "--vary", "backbone=vit", "placement=block_end"], "vit has no place for an attention variant"),
        (["open", "timm/resnet18", "--weights", "random", "--option", "num_classes=-3"], "num_classes=-3 does not give"),
        (["open", "timm/resnet18", "--weights", "random", "--option", "in_chans=99"], "a picture has 1 (grey) or 3"),
        (["open", "timm/resnet18", "--weights", "random", "--dataset", ""], "the name of the data set is empty"),
        (["tensorboard", "run", "--to", ""], "--to: the path is empty"),
        (["grid", "export", "grid", "--to", " "], "--to: the path is empty"),
        (["lesson", "handout", "melanoma", "--out", ""], "--out: the path is empty"),
        (["train", "--config", ""], "--config: the path is empty"),
        (["train", "--attention-option", "kernel_size=5"], "variant.option=value"),
        (["train", "--attention-option", "eca.kernel_size=5"], "add --attention eca"),
        (["train", "--seed", "1.5"], "--seed: 1.5 is not a whole number"),
        (["train", "--test-subset", "30.5"], "--test-subset: 30.5 is not a whole number"),
        (["league", "--seeds", "2.5"], "2.5 is not a whole number"),
        (["train", "--option", "colour=red", *SMALL], "colour"),
        (["train", "--dataset", "nowhere.zip"], "nowhere.zip"),
        (["train", "--config", "nowhere.json"], "nowhere.json"),
        (["train", "--config", "/dev/zero"], "/dev/zero has more than"),
        (["grid", "import", "/dev/zero"], "/dev/zero has more than"),
        (["train", "--loss", "focal", "--loss-head", "relu_softmax"], "relu_softmax"),
        (["trian"], "train"),
        (["resume", "nobody"], "nobody"),
        (["resume", "../runs"], "no run"),
    ],
)
def test_mistakes_are_named_on_stderr_with_code_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str], private_home: Path
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert named in told.err and "Traceback" not in told.err
    assert not list((private_home / "runs").glob("[!.]*"))


def test_config_file_with_a_misspelt_key_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"training": {"epoch": 3}}')
    assert main(["train", "--config", str(file)]) == 2
    assert "training.epoch" in capsys.readouterr().err


def test_every_setting_has_a_name_of_its_own_and_reaches_its_place() -> None:
    names = [setting.name for setting in settings()]
    assert len(set(names)) == len(names)
    assert not {"config", "title", "note", "json"} & set(names)
    paths = {setting.path for setting in settings()}
    tree = RunConfig().model_dump()
    assert {f"{section}.{field}" for section, fields in tree.items() if isinstance(fields, dict) for field in fields} <= paths
    given = {"training.lr": 0.5, "model.options": ["widths=[8, 16]", "mode=fast"], "seed": 3}
    assert RunConfig.model_validate(change({}, given)) == RunConfig().changed(
        training__lr=0.5, model__options={"widths": [8, 16], "mode": "fast"}, seed=3
    )


def test_the_help_of_train_names_what_a_run_begins_with() -> None:
    command = [sys.executable, "-m", "attnlab", "train", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}).stdout
    begun = one_minute("none")
    for name, value in (("--epochs", begun.training.epochs), ("--lr", begun.training.lr), ("--width", begun.model.width)):
        (line,) = [line for line in told.splitlines() if re.search(rf"{name}\b", line) and "default" in line]
        assert f"(default: {value})" in line


def test_list_names_what_is_registered(capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, "list")
    assert {"eca", "cbam", "conv_autoencoder"} <= {variant["name"] for variant in told["variants"]}
    assert "small_cnn" in {network["name"] for network in told["networks"]}
    assert "digits" in {dataset["name"] for dataset in told["datasets"]}
    assert main(["list"]) == 0
    assert "squeeze_excite" in capsys.readouterr().out


def test_reindex_counts_the_runs_and_names_the_broken(capsys: pytest.CaptureFixture[str], private_home: Path) -> None:
    RunFolder.create(private_home / "runs", RunConfig())
    (private_home / "runs" / "broken").mkdir()
    assert main(["reindex"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("1 runs")
    assert "broken" in told.err


def test_reindex_leaves_the_index_to_an_app_that_runs(capsys: pytest.CaptureFixture[str], private_home: Path) -> None:
    lock = home_lock(private_home)
    lock.acquire()
    try:
        assert main(["reindex"]) == 2
    finally:
        lock.release()
    assert "keeps the index" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_stops_with_a_checkpoint_and_resume_ends_the_run(capsys: pytest.CaptureFixture[str], private_home: Path) -> None:
    arguments = ["60" if was == "1" else was for was in SMALL]  # epochs
    process = subprocess.Popen(
        [sys.executable, "-m", "attnlab", "train", "--json", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def at_work() -> bool:
        assert process.poll() is None
        return any(folder.progress().get("step", 0) > 2 for folder in map(RunFolder, (private_home / "runs").glob("digits*")))

    wait_until(at_work, "a run at work")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    told = json.loads(out)
    assert told["state"] == "stopped"
    assert f"resume {told['run_id']}" in err

    folder = RunFolder(Path(told["folder"]))
    assert folder.observe().state is RunState.STOPPED
    assert any(folder.checkpoints_path.iterdir())
    done = folder.progress()["step"]
    assert main(["resume", told["run_id"], "--json"]) == 0
    ended = json.loads(capsys.readouterr().out)
    assert ended["state"] == "finished" and ended["metrics"]["step"] == 60 * 4 > done
    assert main(["resume", told["run_id"]]) == 2
    assert "finished" in capsys.readouterr().err


def test_a_resume_that_fails_at_its_first_step_deletes_nothing(
    private_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was interrupted before its first checkpoint, whose images have been moved since."""
    folder = RunFolder.create(private_home / "runs", RunConfig().changed(dataset__name=str(tmp_path / "moved")), title="mine")
    folder.write_end(RunState.INTERRUPTED, folder.begin_attempt(), reason="its process died")
    assert main(["resume", folder.run_id]) != 0
    assert "moved" in capsys.readouterr().err
    assert folder.observe().state is RunState.FAILED and folder.meta()["title"] == "mine"


def test_runs_are_renamed_compared_and_deleted(private_home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = [
        finished_run(private_home, RunConfig().changed(model__attention=attention, seed=seed), accuracy)
        for attention, seed, accuracy in (("none", 0, 0.5), ("none", 1, 0.6), ("eca", 0, 0.7), ("eca", 1, 0.82))
    ]
    assert main(["rename", made[0].run_id, "the first"]) == 0
    assert made[0].meta()["title"] == "the first"
    assert main(["compare", "--dataset", "digits", "--to", str(tmp_path / "table.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8")))
    mine = {row["variant"]: row for row in rows if row["n"] == "2"}
    assert [float(mine[name]["test accuracy (%)"]) for name in mine] == pytest.approx([76, 55])
    assert main(["compare", "--dataset", "nowhere"]) == 2
    assert "no finished run on 'nowhere'" in capsys.readouterr().err
    assert main(["stop", made[1].run_id]) == 2  # it is over
    assert main(["delete", made[3].run_id]) == 0
    assert not made[3].path.exists() and made[2].path.exists()
    assert main(["restore"]) == 0
    assert made[3].run_id in capsys.readouterr().out
    assert main(["restore", made[3].run_id]) == 0
    assert made[3].path.exists()
    assert main(["restore", made[3].run_id]) == 2
    assert "the bin has no run" in capsys.readouterr().err


def test_a_comparison_knows_the_folders_as_they_are_now_also_beside_a_running_app(
    private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [finished_run(private_home, RunConfig().changed(model__attention=name), 0.944) for name in ("none", "eca")]
    with open_store() as store:
        assert {run.run_id for run in store.runs()} >= {run.run_id for run in made}
    with home_lock(private_home):  # as an app holds it
        finished_run(private_home, RunConfig().changed(model__attention="cbam"), 0.5)
        made[0].remove()
        assert main(["compare", "--dataset", "digits"]) == 0
    rows = {row["variant"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    mine = {name.split(" ")[0]: row for name, row in rows.items() if row["test accuracy (%)"] in ("94.4", "50.0")}
    assert {"eca", "cbam"} <= set(mine) and "none" not in mine


@pytest.mark.parametrize("word", ["pictures", "{path}", "{relative}"])
def test_a_comparison_takes_the_data_set_in_the_words_of_train(
    word: str, private_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    finished_run(private_home, RunConfig().changed(dataset__name=str(tmp_path / "pictures")), 0.5)
    assert main(["compare", "--dataset", word.format(path=tmp_path / "pictures", relative="./pictures/")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(("kind", "begin"), [("markdown", "| variant | test accuracy (%)"), ("latex", r"\begin{table}")])
def test_a_comparison_is_printed_for_a_text(
    kind: str, begin: str, private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished_run(private_home, RunConfig().changed(dataset__name="cifar10"), 0.9439999)
    assert main(["compare", "--dataset", "cifar10", "--format", kind]) == 0
    out = capsys.readouterr().out
    assert out.startswith(begin) and "94.4" in out and "94.39" not in out


def test_help_and_the_list_of_runs_come_without_torch() -> None:
    script = "import sys; from attnlab.cli.app import main; main(['--help']); main(['runs']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, env=dict(os.environ)).returncode == 0


@pytest.mark.data
@pytest.mark.parametrize("archive", ["cifar10-mini.tar.gz"])
def test_train_on_an_archive_of_images(archive: str, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, "train", *SHORT, "--dataset", str(shared_data / archive))
    assert told["metrics"]["test_accuracy"] >= 0
    summary = RunFolder(Path(told["folder"])).dataset_summary()
    assert summary is not None and len(summary["class_names"]) == 10


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Images in folders of parts, ten of them of a format that is not read."""
    for part, images in (("training_set", 10), ("test_set", 4)):
        for level, name in enumerate(("cats", "dogs")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for i in range(images):
                Image.new("RGB", (16, 16), (100 * level + i, 9, 9)).save(folder / f"{i}.png")
    for i in range(10):
        (tmp_path / "pets" / "training_set" / "dogs" / f"IMG_{i}.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(9))
    return tmp_path / "pets"


def test_read_says_how_images_are_read(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, "read", "--dataset", str(own))
    assert told["class_names"] == ["cats", "dogs"]
    assert [part["counts"] for part in told["parts"]] == [
        {"cats": 9, "dogs": 9},
        {"cats": 1, "dogs": 1},
        {"cats": 4, "dogs": 4},
    ]
    assert [(entry["count"], len(entry["names"])) for entry in told["left_out"]] == [(10, 3)]
    assert main(["read", "--dataset", str(own)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("The folders training_set (for training) and test_set (for testing) are parts of the data set")
    assert "left out: 10 files: HEIC under the name of another format (" in text
    assert "--dataset-option layout=classes" in text
    assert main(["read", "--dataset", str(own), "--dataset-option", "layout=classes"]) == 0
    assert capsys.readouterr().out.startswith("Each folder is a class: test_set and training_set.")


def test_train_says_it_before_and_keeps_it(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--image-size", "32", "--width", "4", "--batch-size", "8", "--epochs", "1", "--device", "cpu"]
    assert main(["train", "--dataset", str(own), *short]) == 0
    text = capsys.readouterr().out
    assert text.index("are parts of the data set") < text.index("left out: 10 files") < text.index("test accuracy")
    assert text.count("left out") == 1
    told = run_json(capsys, "train", "--dataset", str(own), *short, "--seed", "1")
    assert told["reading"]["left_out"][0]["count"] == 10


def test_what_cannot_be_read_comes_with_the_ways_that_remain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGB", (16, 16), (i, 9, 9)).save(tmp_path / name / f"{i}.png")
    assert main(["train", "--dataset", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "nothing says which class they show" in told
    assert "--dataset-option layout=classes" in told


def test_the_command_of_the_app_hands_what_follows_two_dashes_to_streamlit() -> None:
    _, bound, _ = app.parse_args(["app", "--port", "8600", "--no-browser", "--", "--server.baseUrlPath", "lab"])
    assert bound.args == ("--server.baseUrlPath", "lab")
    assert bound.kwargs == {"port": 8600, "browser": False}
    with pytest.raises(CycloptsError, match="--port"):
        app.parse_args(["app", "--prot", "8600"])
