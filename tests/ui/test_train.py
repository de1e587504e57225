"""Train: the form follows the registries, mistakes are told in words, and what is started is trained."""

import json
import shutil
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attnlab.attention import list_attention
from attnlab.config import ProtocolConfig, RunConfig, TrainingConfig
from attnlab.data import PathOptions, list_datasets
from attnlab.experiments import managers
from attnlab.experiments.managers import get_manager
from attnlab.models import REPORT_ROWS, list_models, report_config
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.manager import Manager
from attnlab.queue.settings import ExecutorSettings, load_settings, save_settings
from attnlab.runs.records import RunState
from attnlab.training.presets import one_minute
from attnlab.ui.form import own_images
from attnlab.ui.form.draft import EXACTLY, FITTED
from attnlab.ui.form.run_form import FROM_PATH, parse_seeds
from attnlab.ui.inspect import own_image
from attnlab.ui.open_checkpoint import page as open_checkpoint
from attnlab.ui.run_cache import source_stamp
from tests.example_runs import finished_run
from tests.pages import ROOT, open_page, seen, texts
from tests.queue.test_manager import Never
from tests.waiting import PATIENCE

PAGE = "pages/train.py"


def drafted(app: AppTest) -> RunConfig:
    return RunConfig.model_validate(app.session_state["draft"])


def make_tiny(app: AppTest) -> None:
    """Seconds of work: 80 images, exactly one epoch, a network of width 4."""
    app.segmented_control("form.budget").set_value(EXACTLY)
    for key, value in {
        "form.dataset.subset": 80,
        "form.dataset.test_subset": 20,
        "form.model.width": 4,
        "form.training.epochs": 1,
        "form.training.batch_size": 16,
    }.items():
        app.number_input(key).set_value(value)
    app.run()


def test_the_form_offers_what_is_registered(app: AppTest) -> None:
    open_page(app, PAGE)
    assert app.multiselect("form.variants").options == [variant.title for variant in list_attention().values()]
    assert app.selectbox("form.model.backbone").options == [network.title for network in list_models().values()]
    assert app.selectbox("form.source").options == [*(info.title for info in list_datasets().values()), FROM_PATH]
    keys = {widget.key for kind in (app.selectbox, app.number_input, app.toggle) for widget in kind}
    hidden = {"focal_alpha", "focal_gamma", "momentum", "plateau_patience"}  # they belong to another loss, optimizer, schedule
    assert {f"form.training.{name}" for name in set(TrainingConfig.model_fields) - hidden} <= keys
    assert {f"form.protocol.{name}" for name in ProtocolConfig.model_fields} <= keys


def test_it_begins_with_the_one_minute_run(app: AppTest) -> None:
    open_page(app, PAGE)
    assert drafted(app) == one_minute()


def test_a_link_brings_its_variant(app: AppTest) -> None:
    app.query_params["attention"] = "cbam"
    open_page(app, PAGE)
    assert drafted(app) == one_minute("cbam")


@pytest.mark.parametrize("protocol", ["published", "described"])
def test_presets_fill_in_a_row_of_the_report(app: AppTest, protocol: str) -> None:
    open_page(app, PAGE)
    app.segmented_control("train.preset").set_value(protocol).run()
    app.selectbox("train.row").set_value("CNN + CBAM spatial + ECA").run()
    assert drafted(app) == report_config("CNN + CBAM spatial + ECA", protocol)
    assert f"{REPORT_ROWS['CNN + CBAM spatial + ECA'].parameters[protocol]:,}" in texts(app)


def test_variants_are_composed_in_the_order_they_are_chosen_and_defaults_stay_unnamed(app: AppTest) -> None:
    open_page(app, PAGE)
    app.multiselect("form.variants").set_value(["cbam_spatial", "eca"]).run()
    assert drafted(app).model.attention == "cbam_spatial+eca"
    assert drafted(app).model.attention_options == {}
    kernel = app.selectbox("form.model.attention.eca.kernel_size")
    kernel.set_value(list(list_attention()["eca"].options["kernel_size"]).index(5)).run()
    assert drafted(app).model.attention_options == {"eca": {"kernel_size": 5}}
    app.multiselect("form.variants").set_value(["eca", "cbam"]).run()
    assert drafted(app).model.attention_options["cbam"] == {"min_hidden": 4}, "what a new run of CBAM starts with"
    least = app.selectbox("form.model.attention.cbam.min_hidden")
    least.set_value(list_attention()["cbam"].options["min_hidden"].index(1)).run()
    assert "cbam" not in drafted(app).model.attention_options
    app.multiselect("form.variants").set_value([]).run()
    assert drafted(app).model.attention == "none"


def test_the_same_settings_again_are_told_and_another_seed_is_offered(app: AppTest, private_home: Path) -> None:
    trained = finished_run(private_home, one_minute(), 0.9)
    get_manager().store.sync()
    open_page(app, PAGE)
    app.segmented_control("form.budget").set_value(EXACTLY).run()
    assert "It gets seed 1: these settings have been trained with seed 0" in seen(app)
    app.text_input("form.seeds").set_value("0").run()
    app.button("train.start").click().run()
    assert [run.run_id for run in get_manager().runs()] == [trained.run_id], "nothing was started"
    assert "seed 0** has been trained already" in seen(app)
    get_manager().change_executor(Never())
    app.button("train.other_seed").click().run()
    assert sorted(run.config.seed for run in get_manager().runs()) == [0, 1]
    app.text_input("form.seeds").set_value("").run()
    app.button("train.start").click().run()
    assert len(get_manager().runs()) == 2, "it waits already, so a second click asks"
    assert "exists already: it is" in seen(app)
    app.button("train.other_seed").click().run()
    assert sorted(run.config.seed for run in get_manager().runs()) == [0, 1, 2]
    app.text_input("form.seeds").set_value("1-4").run()
    app.button("train.start").click().run()
    app.button("train.other_seed").click().run()
    assert sorted(run.config.seed for run in get_manager().runs()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        ("number_input", "form.training.epochs", None, "training.epochs"),
        ("number_input", "form.training.lr", 0.0, "training.lr: Input should be greater than 0"),
        ("text_input", "form.seeds", "one", "neither a number nor a range"),
    ],
)
def test_mistakes_are_told_in_words_and_nothing_can_be_started(app: AppTest, kind: str, key: str, value, words: str) -> None:
    open_page(app, PAGE)
    getattr(app, kind)(key).set_value(value).run()
    assert words in seen(app)
    assert app.button("train.start").disabled


def test_a_network_that_cannot_be_built_is_told_before_it_is_started(app: AppTest) -> None:
    open_page(app, PAGE)
    app.number_input("form.dataset.image_size").set_value(8).run()
    assert "at least" in app.error[0].value
    assert app.button("train.start").disabled


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", (0,)), ("0-4", (0, 1, 2, 3, 4)), ("3, 1, 3", (3, 1)), ("7;0-1", (7, 0, 1)), (" 5 ", (5,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "4-2", "0-1000000", "1.5", "0-40, 50-90"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="seeds"):
        parse_seeds(text)


@pytest.mark.slow
def test_what_is_started_is_trained_and_shown(app: AppTest) -> None:
    open_page(app, PAGE)
    make_tiny(app)
    app.text_input("form.seeds").set_value("0-1").run()
    app.button("train.start").click().run()
    assert not app.exception
    runs = get_manager().runs()
    started = sorted(run.run_id for run in runs if not run.demo)
    assert len(started) == 2
    assert sorted(app.query_params["run"]) == started  # a reload finds them again
    for run_id in started:
        assert get_manager().wait(run_id, PATIENCE).state is RunState.FINISHED
    app.run()
    shown = [json.loads(element.proto.json) for element in app.get("bidi_component")]
    chart = next(data for data in shown if "runs" in data)
    assert sorted(run["id"] for run in chart["runs"]) == started
    assert "test accuracy" in texts(app)


@pytest.mark.data
@pytest.mark.parametrize("backbone", ["attention_vgg16", "gated_cnn", "pay_attention_vgg", "resnet18", "resnet_cifar"])
@pytest.mark.slow
def test_every_network_of_the_sources_is_trained_on_real_pictures(app: AppTest, shared_data: Path, backbone: str) -> None:
    open_page(app, PAGE)
    app.selectbox("form.source").set_value(FROM_PATH).run()
    (path,) = [field for field in app.text_input if "path" in (field.key or "")]
    path.set_value(str(shared_data / "cifar10-mini.tar.gz")).run()
    app.selectbox("form.model.backbone").set_value(backbone).run()
    make_tiny(app)
    assert not app.error
    app.button("train.start").click().run()
    (run,) = [run for run in get_manager().runs() if not run.demo]
    done = get_manager().wait(run.run_id, PATIENCE)
    assert (done.state, done.config.model.backbone, done.reason) == (RunState.FINISHED, backbone, "")


def test_runs_can_be_renamed_and_deleted(app: AppTest, private_home: Path) -> None:
    folder = finished_run(private_home, RunConfig(), 0.9)
    get_manager().store.sync()
    open_page(app, PAGE)
    app.text_input(f"train.title.{folder.run_id}").set_value("My *best* run").run()
    assert get_manager().get(folder.run_id).title == "My *best* run"
    assert r"My \*best\* run" in texts(app)  # a name is text, not Markdown
    app.button(f"train.delete.{folder.run_id}").click().run()
    assert folder.path.exists(), "it asks first"
    app.button(f"train.keep.{folder.run_id}").click().run()
    assert folder.path.exists()
    app.button(f"train.delete.{folder.run_id}").click().run()
    app.button(f"train.bin.{folder.run_id}").click().run()
    assert not folder.path.exists()
    assert get_manager().runs() == []
    app.button(f"train.restore.0.{folder.run_id}").click().run()
    assert folder.path.exists() and get_manager().get(folder.run_id).title == "My *best* run"


def test_a_failure_is_shown_with_its_reason_and_can_be_resumed(app: AppTest, private_home: Path) -> None:
    folder = finished_run(private_home, RunConfig(), 0.9)
    folder.write_end(RunState.FAILED, 1, reason="loss became NaN at step 7")
    get_manager().store.sync()
    open_page(app, PAGE)
    assert "loss became NaN at step 7" in texts(app)
    assert any(button.key == f"train.resume.{folder.run_id}" for button in app.button)


def test_of_a_long_queue_a_page_is_shown_at_a_time(app: AppTest, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Manager(private_home, Never(slots=0))
    monkeypatch.setattr(managers, "_managers", {private_home: queue})
    run_ids = queue.submit_many(RunConfig(), range(45))
    open_page(app, PAGE)

    def waiting() -> list[str]:
        return [button.key.rpartition(".")[2] for button in app.button if (button.key or "").startswith("train.stop.")]

    assert waiting() == run_ids[:20]
    assert "position 20 in the queue" in texts(app) and "position 21 in the queue" not in texts(app)
    app.number_input("train.waiting.page").set_value(3).run()
    assert waiting() == run_ids[40:]


def test_the_chart_is_sent_only_what_is_new(app: AppTest, private_home: Path) -> None:
    folder = finished_run(private_home, RunConfig(), 0.9)
    get_manager().store.sync()
    open_page(app, PAGE)

    def sent() -> dict:
        (element,) = [each for each in app.get("bidi_component") if "runs" in json.loads(each.proto.json)]
        (run,) = json.loads(element.proto.json)["runs"]
        return run

    assert (sent()["since"], sent()["step"]) == (0, [1, 2])
    with folder.metrics_path.open("a") as lines:
        lines.write(json.dumps({"kind": "step", "step": 3, "epoch": 3, "loss": 0.2, "lr": 0.1}) + "\n")
    app.run()
    assert (sent()["since"], sent()["step"], sent()["loss"]) == (2, [3], [0.2])


@pytest.mark.slow
def test_the_time_is_estimated_from_a_few_steps(app: AppTest) -> None:
    open_page(app, PAGE)
    make_tiny(app)
    app.text_input("form.seeds").set_value("0-2").run()
    app.button("train.estimate").click().run()
    assert not app.exception
    assert "1 epoch takes about" in seen(app)
    assert "All 3 runs take about" in seen(app)
    assert [run for run in get_manager().runs() if not run.demo] == []


@pytest.mark.slow
def test_a_run_gets_the_epochs_that_fit_and_its_seeds_share_them(app: AppTest) -> None:
    open_page(app, PAGE)
    make_tiny(app)
    app.segmented_control("form.budget").set_value(FITTED).run()
    app.number_input("form.budget.seconds").set_value(36000).run()
    app.number_input("form.training.epochs").set_value(2).run()
    app.text_input("form.seeds").set_value("0-1").run()
    app.button("train.start").click().run()
    assert not app.exception
    assert "All 2 epochs fit into 10 h on this machine" in seen(app)
    runs = [run for run in get_manager().runs() if not run.demo]
    assert {(run.config.seed, run.config.training.epochs) for run in runs} == {(0, 2), (1, 2)}
    assert sorted(app.query_params["run"]) == sorted(run.run_id for run in runs)
    app.text_input("form.seeds").set_value("5").run()
    app.button("train.start").click().run()
    assert "2 epochs, the same number as in earlier runs of these settings" in seen(app)
    for run in get_manager().live():
        get_manager().wait(run.run_id, PATIENCE)


@pytest.mark.slow
def test_a_time_too_short_for_one_epoch_is_told_and_nothing_is_started(app: AppTest) -> None:
    open_page(app, PAGE)
    app.number_input("form.budget.seconds").set_value(10).run()
    app.number_input("form.model.width").set_value(64).run()  # minutes for one epoch
    app.button("train.start").click().run()
    assert "Not one epoch fits into 10 s on this machine" in seen(app)
    assert [run for run in get_manager().runs() if not run.demo] == []


def test_the_transformer_is_a_preset_with_the_setting_that_was_measured(app: AppTest) -> None:
    open_page(app, PAGE)
    app.segmented_control("train.preset").set_value("transformer").run()
    assert not app.exception
    assert app.selectbox("form.model.backbone").value == "vit" and app.number_input("form.model.width").value == 64
    assert (app.segmented_control("form.budget").value, app.number_input("form.training.epochs").value) == (FITTED, 6)
    app.segmented_control("train.preset").set_value("one minute").run()
    assert app.selectbox("form.model.backbone").value == "small_cnn"


def test_only_the_presets_of_a_minute_are_fitted_to_a_time(app: AppTest) -> None:
    open_page(app, PAGE)
    assert (app.segmented_control("form.budget").value, app.number_input("form.budget.seconds").value) == (FITTED, 60)
    app.segmented_control("train.preset").set_value("published").run()
    assert app.segmented_control("form.budget").value == EXACTLY
    assert not [field for field in app.number_input if field.key == "form.budget.seconds"]


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A folder with a table whose columns have other names, images in two classes, and one that is not there."""
    folder = tmp_path / "flowers"
    folder.mkdir()
    lines = ["file,kind"]
    for number in range(20):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((24, 24, 3), 10 * number, np.uint8))
        lines.append(f"{number},{'rose' if number % 2 else 'tulip'}")
    (folder / "flowers.csv").write_text("\n".join([*lines, "lost,rose"]))
    return folder


def test_a_path_is_a_data_set_and_no_path_is_a_mistake(app: AppTest, flowers: Path) -> None:
    open_page(app, PAGE)
    app.selectbox("form.source").set_value(FROM_PATH).run()
    assert app.button("train.start").disabled
    app.text_input("form.path").set_value("/nowhere/flowers.zip").run()
    assert "there is no file or folder '/nowhere/flowers.zip'" in seen(app)
    assert app.button("train.start").disabled
    app.text_input("form.path").set_value(f" {flowers} ").run()
    assert drafted(app).dataset.name == str(flowers)
    assert "flowers.csv names the pictures (column file) and their classes (column kind)." in seen(app)
    assert "20 pictures · 2 classes (rose: 10, tulip: 10)" in seen(app)
    assert "lost (line 22)" in app.code[0].value, "what is left out, and why"
    assert not app.button("train.start").disabled


def test_another_way_to_read_a_path_is_chosen_and_taken_back(app: AppTest, tmp_path: Path) -> None:
    for number, name in enumerate(("training_set", "test_set")):
        for kind in ("cats", "dogs"):
            folder = tmp_path / "pets" / name / kind
            folder.mkdir(parents=True)
            for i in range(8 - 4 * number):
                cv2.imwrite(str(folder / f"{i}.png"), np.full((24, 24, 3), 10 * i, np.uint8))
    open_page(app, PAGE)
    app.selectbox("form.source").set_value(FROM_PATH).run()
    app.text_input("form.path").set_value(str(tmp_path / "pets")).run()
    assert "training_set (for training) and test_set (for testing) are parts" in seen(app)

    def read_as(words: str) -> None:
        (box,) = [box for box in app.selectbox if str(box.key).startswith("form.read_as.")]
        box.set_value(next(at for at, option in enumerate(box.options) if option.startswith(words))).run()

    read_as("Each folder is a class")
    assert drafted(app).dataset.options == {"layout": "classes"}
    assert "2 classes (test_set: 8, training_set: 16)" in seen(app)
    read_as("The folders training_set")
    assert drafted(app).dataset.options == {"layout": "splits"}
    assert "2 classes (cats: 12, dogs: 12)" in seen(app)


def test_added_images_are_seen(app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("_a_", ":b:", "c\udce4"):  # the bytes of the last one are not UTF-8
        (tmp_path / "set" / kind).mkdir(parents=True)
        for i in range(8):
            picture = cv2.imencode(".png", np.full((24, 24, 3), 10 * i, np.uint8))[1]
            (tmp_path / "set" / kind / f"{i}.png").write_bytes(picture.tobytes())
    open_page(app, PAGE)
    app.selectbox("form.source").set_value(FROM_PATH).run()
    app.text_input("form.path").set_value(str(tmp_path / "set")).run()
    assert "(:b:: 8, _a_: 8, c\ufffd: 8)" in seen(app)
    assert r"\_a\_" in texts(app) and "\\:\u2060b\\:" in texts(app), "names are text, not Markdown"
    cv2.imwrite(str(tmp_path / "set" / "_a_" / "new.png"), np.zeros((24, 24, 3), np.uint8))
    source_stamp.clear()  # instead of waiting for two seconds
    app.run()
    assert "(:b:: 8, _a_: 9, c\ufffd: 8)" in seen(app)


def test_a_table_is_read_by_the_columns_that_are_chosen_and_they_stay(app: AppTest, flowers: Path) -> None:
    open_page(app, PAGE)
    app.selectbox("form.source").set_value(FROM_PATH).run()
    app.text_input("form.path").set_value(str(flowers)).run()
    keys = {
        str(widget.key).split(".")[3]
        for kind in (app.selectbox, app.toggle, app.text_input, app.number_input)
        for widget in kind
        if str(widget.key).startswith("form.dataset.path.")
    }
    assert keys == set(PathOptions.model_fields), "every option of a path is on the form"
    assert app.selectbox("form.dataset.path.label_column.file|kind").value == "kind", "what was found is chosen"
    app.selectbox("form.dataset.path.image_column.file|kind").set_value("file").run()
    app.text_input("form.dataset.path.class_names").set_value("rose = a rose").run()
    assert "(a rose: 10, tulip: 10)" in seen(app)
    assert not app.button("train.start").disabled
    chosen = drafted(app).dataset
    assert chosen.options == {"class_names": {"rose": "a rose"}}, "what is found anyway is not an option"
    app.selectbox("form.source").set_value("digits").run()
    assert drafted(app).dataset == one_minute().dataset, "its own options, not those of the table"
    app.selectbox("form.source").set_value(FROM_PATH).run()
    assert drafted(app).dataset == chosen
    app.text_input("form.dataset.path.balance").set_value("some").run()
    assert "balance" in app.error[0].value and app.button("train.start").disabled


def test_an_upload_is_kept_by_its_content(app: AppTest, private_home: Path, flowers: Path) -> None:
    open_page(app, PAGE)
    app.selectbox("form.source").set_value(FROM_PATH).run()
    app.text_input("form.path").set_value("/typed/before").run()
    app.file_uploader("form.upload").set_value(("notes.zip", b"bytes", "application/zip")).run()
    assert "notes.zip is neither a folder nor a supported archive" in seen(app)
    assert app.text_input("form.path").value == "/typed/before"
    content = Path(shutil.make_archive(str(flowers), "gztar", flowers)).read_bytes()
    app.file_uploader("form.upload").set_value(("../my flowers.tar.gz", content, "application/gzip")).run()
    kept = Path(drafted(app).dataset.name)
    assert kept.parent == private_home / "uploads"
    assert kept.name.startswith("my_flowers-") and kept.name.endswith(".tar.gz")
    assert kept.read_bytes() == content
    assert [file.name for file in kept.parent.iterdir()] == [kept.name]
    app.text_input("form.path").set_value(str(flowers)).run()
    assert drafted(app).dataset.name == str(flowers), "a path that is typed later counts, though the upload is still there"


def test_what_was_measured_of_a_variant_stands_beside_its_options(app: AppTest) -> None:
    app.query_params["attention"] = "eca"
    open_page(app, PAGE)
    assert "What the fast kernel needs" not in texts(app)
    app.multiselect("form.variants").set_value(["self_attention"]).run()
    assert "What the fast kernel needs" in texts(app)


def test_a_damaged_checkpoint_is_told_of_the_run_that_went_on(app: AppTest, private_home: Path) -> None:
    folder = finished_run(private_home, RunConfig(), 0.9)
    folder.begin_attempt()
    folder.write_progress(folder.progress() | {"attempt": 2, "recovered": "A checkpoint could not be used (cut off)."})
    folder.write_end(RunState.FINISHED, 2, result=folder.end()["result"])
    get_manager().store.sync()
    open_page(app, PAGE)
    assert r"A checkpoint could not be used \(cut off\)\." in texts(app)


def test_no_page_offers_a_larger_upload_than_the_server_takes() -> None:
    taken = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]["maxUploadSize"]
    assert max(own_images.MOST_MEGABYTES, open_checkpoint.MOST_MEGABYTES, own_image.MOST_MEGABYTES) <= taken


def test_where_runs_train_is_chosen_and_kept(app: AppTest, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_page(app, PAGE)
    assert app.radio("train.where.executor").disabled  # the environment of these tests decides
    monkeypatch.delenv("ATTNLAB_EXECUTOR")
    save_settings(private_home, ExecutorSettings(executor="thread"))
    app.run()
    monkeypatch.setenv("ATTNLAB_RAY_ADDRESS", "http://cluster:8265")
    app.radio("train.where.executor").set_value("ray").run()
    assert "http://cluster:8265" in seen(app)
    assert not any("address" in str(field.key) for field in app.text_input), "only who starts the app names the cluster"
    app.radio("train.where.executor").set_value("process").run()
    app.button("train.where.save").click().run()
    assert load_settings(private_home).executor == "process"
    assert isinstance(get_manager().executor, WorkerProcessExecutor)
    assert any("new runs train in" in message.value for message in app.success)


def test_the_form_says_which_variants_can_start_as_the_identity_and_asks_for_stages_only_where_they_matter(
    app: AppTest,
) -> None:
    def keys() -> set[str]:
        return {str(box.key) for box in app.selectbox}

    open_page(app, PAGE)
    app.multiselect("form.variants").set_value(["gct"]).run()
    assert app.selectbox("form.model.attention_start").options == ["published", "identity"]
    app.selectbox("form.model.attention_start").set_value("identity").run()
    assert not app.exception and "form.model.small_cnn.stages" in keys()
    app.selectbox("form.model.placement").set_value("before_classifier").run()
    assert not app.exception and "form.model.small_cnn.stages" not in keys(), "there is one place, after all stages"
    app.multiselect("form.variants").set_value(["gct", "eca"]).run()
    assert "form.model.attention_start" not in keys()
    assert "ECA cannot start as the identity, because its gates are sigmoids" in texts(app)
    assert not app.error, "the start is the published one again"
