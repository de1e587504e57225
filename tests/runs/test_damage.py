"""One bad folder never takes the others down: it is left out, or says what is wrong with it when it is opened."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab.config import RunConfig
from attnlab.explain import OpenError, open_run
from attnlab.queue.manager import Manager
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history
from attnlab.runs.records import RunState
from attnlab.runs.store import Store
from tests import damage
from tests.queue.test_manager import Never

ODD = [
    *(
        (f"{file} with {kind}", file, damage.write(content))
        for file in damage.JSON_FILES
        for kind, content in damage.WRONG_CONTENTS.items()
    ),
    *(
        (f"{file}: {act.__name__}", file, act)
        for file in (*damage.JSON_FILES, "control", "metrics.jsonl", "lock")
        for act in damage.NOT_A_FILE
    ),
]


@pytest.fixture
def manager(private_home: Path) -> Manager:
    made = Manager(private_home, Never(slots=0))
    made._closing.set()  # the tests call `tick`
    made.wake()
    made._thread.join()
    return made


def test_whatever_is_in_the_files_the_others_are_listed_and_the_queue_goes_on(small_maps_run: Path, private_home: Path) -> None:
    names = {}
    for number, (kind, file, act) in enumerate(ODD):
        names[f"bad-{number}"] = kind
        act(damage.copy_run(small_maps_run, private_home, f"bad-{number}") / file)
    damage.copy_run(small_maps_run, private_home, "good")
    manager = Manager(private_home, Never(slots=0))
    try:
        while not manager._complete:
            manager.tick()
        listed = {record.run_id for record in manager.runs()}
        broken = manager.store.broken()
        assert "good" in listed and not manager.trouble
        for name, kind in names.items():
            assert (name in listed) != (name in broken), kind
            if name in broken:
                assert str(private_home) not in broken[name], "where the home lies is nobody's business"
        assert all(record.state.value for record in manager.runs())
        assert manager.submit(RunConfig().changed(seed=7))
        manager.tick()
        for record in manager.runs():
            history(record)
    finally:
        manager.shutdown()


@pytest.mark.parametrize("content", [b'{"state": "exploded"}', b"{}"])
def test_an_end_of_another_kind_leaves_the_run_out_with_the_reason(
    content: bytes, small_maps_run: Path, private_home: Path
) -> None:
    (damage.copy_run(small_maps_run, private_home, "bad") / "end.json").write_bytes(content)
    store = Store(private_home, write=True)
    store.sync()
    assert [record.run_id for record in store.runs() if not record.demo] == []
    assert "bad/end.json" in store.broken()["bad"] and "state" in store.broken()["bad"]
    shutil.copy(small_maps_run / "end.json", private_home / "runs" / "bad" / "end.json")
    store.sync()
    assert [record.run_id for record in store.runs() if not record.demo] == ["bad"] and not store.broken()
    store.close()


@pytest.mark.parametrize("act", [*damage.CHANGED_BYTES, damage.make_folder], ids=lambda act: act.__name__)
def test_a_damaged_index_is_rebuilt(act: Callable[[Path], None], small_maps_run: Path, private_home: Path) -> None:
    damage.copy_run(small_maps_run, private_home, "good")
    first = Manager(private_home, Never(slots=0))
    assert first.get("good").state is RunState.FINISHED
    first.shutdown()
    act(private_home / "attnlab.db")
    again = Manager(private_home, Never(slots=0))
    try:
        again.tick()
        assert "good" in [record.run_id for record in again.runs()]
    finally:
        again.shutdown()


def test_a_row_of_the_index_that_makes_no_sense_is_read_again(small_maps_run: Path, manager: Manager) -> None:
    damage.copy_run(small_maps_run, manager.home, "good")
    manager.tick()
    with sqlite3.connect(manager.home / "attnlab.db") as db:
        db.execute('UPDATE runs SET config = \'{"seed": "x"}\', version = version + 100')
        db.execute("UPDATE counter SET value = value + 100")
    db.close()
    assert "good" not in [record.run_id for record in manager.runs() if not record.demo]
    manager.tick()
    assert "good" in [record.run_id for record in manager.runs()]
    manager.shutdown()


def test_an_index_that_is_deleted_or_overwritten_under_the_app_comes_back(small_maps_run: Path, manager: Manager) -> None:
    damage.copy_run(small_maps_run, manager.home, "good")
    manager.tick()
    for suffix in ("", "-wal", "-shm"):
        (manager.home / f"attnlab.db{suffix}").unlink(missing_ok=True)
    manager.tick()
    assert "good" in [record.run_id for record in manager.runs()]
    assert (manager.home / "attnlab.db").is_file()
    manager.shutdown()


@pytest.mark.parametrize("act", damage.CHANGED_BYTES, ids=lambda act: act.__name__)
@pytest.mark.parametrize("file", ["best.safetensors", "probes.npz", "snapshots"])
def test_damaged_weights_and_maps_are_refused_by_name(
    file: str, act: Callable[[Path], None], small_maps_run: Path, tmp_path: Path
) -> None:
    folder = RunFolder(shutil.copytree(small_maps_run, tmp_path / "run"))
    path = folder.path / file
    path = max(path.iterdir()) if path.is_dir() else path
    act(path)
    if file == "best.safetensors":
        with pytest.raises(OpenError, match=r"run/best\.safetensors"):
            open_run(folder.path)
        with pytest.raises(FolderError, match=r"run/best\.safetensors"):
            folder.weights()
        assert open_run(folder.path, "last").model is not None
    elif file == "probes.npz":
        with pytest.raises(FolderError, match=r"run/probes\.npz"):
            folder.probes()
    else:
        with pytest.raises(FolderError, match=path.name):
            folder.snapshot(folder.snapshot_steps()[-1])
        snapshots, problems = folder.readable_snapshots()
        assert len(snapshots) == len(folder.snapshot_steps()) - 1 and path.name in problems[0]


def test_deleted_best_weights_are_told_from_those_that_were_never_there(small_maps_run: Path, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(small_maps_run, tmp_path / "run"))
    folder.best_path.unlink()
    assert folder.best_or_last == "best"
    with pytest.raises(OpenError, match="was deleted"):
        open_run(folder.path)


@pytest.mark.parametrize("act", damage.CHANGED_BYTES, ids=lambda act: act.__name__)
@pytest.mark.parametrize("file", [checkpoints.STATE, checkpoints.SCALARS, checkpoints.MANIFEST, checkpoints.BEST])
def test_a_damaged_checkpoint_is_not_opened(
    file: str, act: Callable[[Path], None], small_maps_run: Path, tmp_path: Path
) -> None:
    folder = RunFolder(shutil.copytree(small_maps_run, tmp_path / "run"))
    newest = checkpoints.find(folder.checkpoints_path).path
    assert newest is not None
    act(newest / file)
    assert checkpoints.find(folder.checkpoints_path).path != newest
    with pytest.raises(OpenError):
        open_run(folder.path, int(newest.name.split("-")[0]))


def test_lines_of_metrics_that_are_damaged_are_left_out_and_a_resumed_run_drops_only_them(tmp_path: Path) -> None:
    from attnlab.runs.metrics_log import read_rows, truncate

    path = tmp_path / "metrics.jsonl"
    rows = [{"kind": "step", "step": step, "epoch": 1, "loss": 1.0} for step in range(1, 6)]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    lines[1] = b'{"kind": "step", "step": "2", "epoch": 1, "loss": 1.0}\n'
    lines[2] = b'{"kind": "step", "step": 3, "epoch": 1, "loss": NaN}\n'
    path.write_bytes(b"".join(lines) + b"\x00\xff\n" + b"[" * 100_000 + b"\n")
    assert [row["step"] for row in read_rows(path)] == [1, 4, 5]
    truncate(path, step=4, epoch=0)
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 4]
