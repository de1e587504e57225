"""Every page stays up when a run on it is damaged, and the page says what is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.experiments.managers import get_manager
from attnlab.ui.shell import PAGES
from tests import damage
from tests.pages import INSPECT, open_page, seen

FILES = (*damage.JSON_FILES, "metrics.jsonl", "probes.npz", "best.safetensors")
UNKNOWN = '"attention": "no_such_variant"'


@pytest.mark.slow
@pytest.mark.parametrize("page", [file for file, *_ in PAGES])
def test_every_page_opens_with_runs_that_are_damaged_in_every_file(
    page: str, app: AppTest, small_maps_run: Path, private_home: Path
) -> None:
    for file in FILES:
        damage.cut(damage.copy_run(small_maps_run, private_home, f"cut-{file}") / file) if (
            small_maps_run / file
        ).exists() else None
        kind = "other kinds" if file.endswith("json") else "no text"
        damage.write(damage.WRONG_CONTENTS[kind])(damage.copy_run(small_maps_run, private_home, f"odd-{file}") / file)
    rename_variant(damage.copy_run(small_maps_run, private_home, "unknown"))
    damage.copy_run(small_maps_run, private_home, "good")
    open_page(app, page)


def rename_variant(run: Path) -> None:
    config = (run / "config.json").read_text()
    assert '"attention": "eca+self_attention"' in config
    (run / "config.json").write_text(config.replace('"attention": "eca+self_attention"', UNKNOWN))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (rename_variant, "no_such_variant"),
        (lambda run: damage.write(b"not json")(run / "dataset.json"), "dataset.json"),
        (lambda run: damage.write(b"{}")(run / "dataset.json"), "dataset.json"),
        (lambda run: damage.flip_byte(run / "best.safetensors"), "newest checkpoint"),
        (lambda run: damage.delete(run / "best.safetensors"), "newest checkpoint"),
    ],
)
def test_inspect_says_what_is_wrong_with_a_run_and_compare_shows_the_others(
    act: Callable[[Path], None], said: str, app: AppTest, small_maps_run: Path, private_home: Path
) -> None:
    act(damage.copy_run(small_maps_run, private_home, "bad"))
    damage.copy_run(small_maps_run, private_home, "good")
    get_manager().store.sync()
    app.query_params["run"] = "bad"
    open_page(app, INSPECT)
    assert app.selectbox(key="inspect.run").value == "bad"
    assert said in seen(app)
    open_page(app, "pages/compare.py")
    assert app.dataframe


@pytest.mark.parametrize("file", ["probes.npz", "snapshots", "dataset.json"])
def test_what_was_kept_during_training_says_which_file_is_damaged(
    file: str, app: AppTest, small_maps_run: Path, private_home: Path
) -> None:
    run = damage.copy_run(small_maps_run, private_home, "bad")
    path = run / file
    damage.cut(max(path.iterdir()) if path.is_dir() else path)
    get_manager().store.sync()
    app.query_params["run"] = "bad"
    open_page(app, INSPECT)
    app.segmented_control[0].select("learned").run() if hasattr(app, "segmented_control") else None
    assert not app.exception


def test_train_lists_folders_that_cannot_be_read(app: AppTest, small_maps_run: Path, private_home: Path) -> None:
    damage.write(b"{}")(damage.copy_run(small_maps_run, private_home, "bad") / "end.json")
    get_manager().store.sync()
    open_page(app, "pages/train.py")
    assert "bad/end.json" in "\n".join(code.value for code in app.code)


def test_home_opens_with_damaged_shipped_runs(
    app: AppTest, small_maps_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    for file in ("config.json", "dataset.json", "probes.npz", "snapshots"):
        run = damage.copy_run(small_maps_run, tmp_path / "made", file)
        path = run / file
        damage.cut(max(path.iterdir()) if path.is_dir() else path)
    (tmp_path / "made" / "runs").rename(shipped)
    monkeypatch.setattr(paths, "DEMO_RUNS", shipped)
    monkeypatch.setattr("attnlab.ui.home.demo_strip.DEMO_RUNS", shipped)
    open_page(app, "pages/home.py")


@pytest.mark.slow
@pytest.mark.parametrize("value", ["9" * 5000, "-1", "💥" * 2000, "../../etc/passwd"])
def test_a_link_with_absurd_values_opens_the_page(value: str, app: AppTest, run_id: str) -> None:
    get_manager().store.sync()
    for query in ("img", "probe", "picture", "beside", "outcome", "class", "draw", "strength", "surgery", "run"):
        app.query_params[query] = value
    open_page(app, INSPECT)
