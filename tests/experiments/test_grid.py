"""Grids: one item in the queue, no cell trained twice, nothing lost when processes die."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab import paths
from attnlab.config import DatasetConfig, ModelConfig, RunConfig, TrainingConfig
from attnlab.data import ImageDataset
from attnlab.experiments.grid import (
    Grid,
    GridError,
    GridRow,
    GridState,
    continued,
    cross,
    list_grids,
    load_grid,
    make_grid,
    progress,
    remove_grid,
    save_grid,
)
from attnlab.experiments.grid_queue import feed, pause_grid, start_grid, stop_grid
from attnlab.queue.executors.base import Answer, JobState
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.records import RunState
from attnlab.worker import session
from attnlab.worker.seeds import waiting_seeds
from attnlab.worker.session import run_with_waiting_seeds
from tests.example_runs import finished_run
from tests.waiting import wait_until

TINY = RunConfig(
    dataset=DatasetConfig(
        name="digits", subset=40, test_subset=20, image_size=16, options={"train_images": 100, "test_images": 40}
    ),
    model=ModelConfig(width=2, options={"hidden": 64, "blocks": 1}),
    training=TrainingConfig(epochs=2, batch_size=16, device="cpu"),
)


def grid_of(seeds: tuple[int, ...] = (0, 1), base: RunConfig = TINY) -> Grid:
    return make_grid(cross(base, {"model__attention": ["none", "eca"]}), seeds, title="Two rows")


class Idle:
    """An executor that starts nothing by itself: a test ends the runs by hand."""

    slots = 1
    retries = 0
    trouble = ""

    def __init__(self) -> None:
        self.started: list[str] = []

    def admit(self, config: RunConfig) -> None: ...

    def warm(self) -> None: ...

    def start(self, job: object) -> None:
        self.started.append(job.run_dir.name)  # type: ignore[attr-defined]

    def poll(self, job: object) -> Answer:
        return Answer(JobState.PENDING)

    def cancel(self, job: object, *, force: bool = False) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def idle(private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setenv("ATTNLAB_STACK", "0")
    manager = Manager(private_home, Idle(), feeders=(feed,))
    yield manager
    manager.shutdown()


def finish(folder: RunFolder, accuracy: float = 0.5, seconds: float = 10.0) -> None:
    """Ends a run as a worker would."""
    with folder.lock():
        attempt = folder.begin_attempt()
        folder.write_end(RunState.FINISHED, attempt, result={"test_accuracy": accuracy, "seconds": seconds})


def until(manager: Manager, condition: Callable[[], bool]) -> None:
    """Lets the queue go on until something is so."""

    def after_a_tick() -> bool:
        manager.tick()
        return condition()

    wait_until(after_a_tick, "the queue goes on")


def test_asking_again_for_a_grid_that_is_at_work_leaves_it_at_work(idle: Manager) -> None:
    """As the estimate of its time does."""
    made = make_grid(cross(TINY, {"model__attention": ["none", "eca"]}), (0, 1), title="Twice")
    started = start_grid(idle, made)
    again = continued(idle.home, make_grid(cross(TINY, {"model__attention": ["none", "eca"]}), (0, 1), title="Twice"))
    assert (again.grid_id, again.state) == (started.grid_id, GridState.ACTIVE)


def test_rows_are_the_product_of_the_choices_and_cells_the_product_with_the_seeds() -> None:
    rows = cross(TINY, {"model__attention": ["none", "eca"], "training__lr": [0.1, 0.01]})
    assert [row.label for row in rows] == [
        "attention none · lr 0.1",
        "attention none · lr 0.01",
        "attention eca · lr 0.1",
        "attention eca · lr 0.01",
    ]
    grid = make_grid(rows, (3, 4), title="Four")
    assert len(grid.cells) == 8
    cell = grid.cells["attention eca · lr 0.01", 4]
    assert (cell.model.attention, cell.training.lr, cell.seed) == ("eca", 0.01, 4)


def test_a_grid_comes_back_from_disk_as_it_was(private_home: Path) -> None:
    grid = replace(grid_of(), estimates={"attention none": 12.5}, state=GridState.PAUSED)
    save_grid(private_home, grid)
    assert load_grid(private_home, grid.grid_id) == grid
    assert list_grids(private_home) == [grid]
    remove_grid(private_home, grid.grid_id)
    assert list_grids(private_home) == []


@pytest.mark.parametrize(
    ("rows", "seeds", "why"),
    [
        ([], [0], "at least one row"),
        ([GridRow("a", TINY)], [], "at least one seed"),
        ([GridRow("a", TINY)], [1, 1], "same seed twice: 1"),
        ([GridRow("a", TINY), GridRow("a", TINY)], [0], "same row twice: a"),
        ([GridRow("a", TINY)], range(10_001), "10,000"),
    ],
)
def test_impossible_grids_are_refused(rows: list[GridRow], seeds: list[int], why: str) -> None:
    with pytest.raises(GridError, match=why):
        make_grid(rows, seeds, title="x")


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "not valid JSON"), ('{"format": 9}', "format 9"), ('{"format": 1, "title": "t", "seeds": [0]}', "rows")],
)
def test_a_damaged_file_is_named(private_home: Path, text: str, why: str) -> None:
    folder = private_home / "grids" / "odd"
    folder.mkdir(parents=True)
    (folder / "grid.json").write_text(text)
    with pytest.raises(GridError, match=why):
        load_grid(private_home, "odd")
    with pytest.raises(GridError, match=r"no grid '\.\./odd'"):
        load_grid(private_home, "../odd")
    assert list_grids(private_home) == []


def test_cells_go_through_the_queue_one_at_a_time_and_finished_ones_are_reused(idle: Manager, private_home: Path) -> None:
    grid = grid_of()
    first, second, third, fourth = grid.cells.values()
    finished_run(private_home, second, 0.7)
    start_grid(idle, grid)
    executor = idle.executor
    assert isinstance(executor, Idle)
    for expected in (first, third, fourth):
        until(idle, lambda e=expected: executor.started[-1:] == [e.run_id])
        assert len(idle.live()) <= 2  # the one at work, and one that waits
        finish(RunFolder(private_home / "runs" / expected.run_id))
    until(idle, lambda: load_grid(private_home, grid.grid_id).state is GridState.DONE)
    assert executor.started == [first.run_id, third.run_id, fourth.run_id]
    assert progress(grid, idle.runs()).finished == 4
    start_grid(idle, grid)  # asked again, there is nothing to do
    until(idle, lambda: load_grid(private_home, grid.grid_id).state is GridState.DONE)
    assert len(executor.started) == 3
    assert len(run_folders(private_home / "runs")) == 4


def test_a_single_run_does_not_wait_behind_a_grid(idle: Manager, private_home: Path) -> None:
    grid = grid_of(seeds=(0, 1, 2, 3))
    start_grid(idle, grid)
    until(idle, lambda: len(idle.queue()) == 1)
    mine = idle.submit(TINY.changed(seed=99))
    assert [record.run_id for record in idle.queue()].index(mine) == 1


def test_pause_keeps_everything_and_resume_goes_on(idle: Manager, private_home: Path) -> None:
    grid = grid_of()
    start_grid(idle, grid)
    until(idle, lambda: len(idle.queue()) == 1)
    pause_grid(idle, grid.grid_id)
    assert idle.queue() == []
    at_work = RunFolder(private_home / "runs" / idle.executor.started[0])  # type: ignore[attr-defined]
    assert at_work.requested() == "pause"
    with at_work.lock():
        at_work.write_end(RunState.PAUSED, at_work.begin_attempt())
        at_work.clear_request()
    for _ in range(5):
        idle.tick()
    assert idle.live() == []
    start_grid(idle, load_grid(private_home, grid.grid_id))
    assert {record.state for record in idle.live()} <= {RunState.QUEUED, RunState.STARTING}
    until(idle, lambda: len(idle.executor.started) == 2)  # type: ignore[attr-defined]
    assert len(run_folders(private_home / "runs")) == 2  # no cell was made anew


def test_time_left_follows_what_was_measured_and_estimates_fill_the_gaps(private_home: Path, idle: Manager) -> None:
    grid = replace(grid_of(), estimates={"attention none": 5.0, "attention eca": 20.0})
    assert progress(grid, []).left_seconds == 50.0
    finished_run(private_home, grid.cells["attention none", 0], 0.5)  # 12 s, so estimates are multiplied by 2.4
    idle.store.sync()
    found = progress(grid, idle.runs())
    assert found.left_seconds == pytest.approx(12.0 + 2 * 2.4 * 20.0)
    assert progress(replace(grid, estimates={}), []).left_seconds is None
    assert [cell.state for cell in found.cells] == ["finished", "waiting", "waiting", "waiting"]


@pytest.mark.slow
def test_nothing_is_lost_or_trained_twice_when_worker_and_server_are_killed(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setenv("ATTNLAB_CHECKPOINT_STEPS", "1")
    monkeypatch.setenv("ATTNLAB_THREADS", "1")
    grid = grid_of(base=TINY.changed(training__epochs=6))
    first = next(iter(grid.cells.values()))
    manager = Manager(private_home, WorkerProcessExecutor(), feeders=(feed,))
    start_grid(manager, grid)
    folder = RunFolder(private_home / "runs" / first.run_id)
    wait_until(lambda: folder.path.exists() and folder.progress().get("step", 0) >= 2, "a run at work")
    owner = folder.owner()
    assert owner is not None
    os.kill(owner["process"]["pid"], signal.SIGKILL)
    manager.shutdown()  # the new one finds a grid in the middle, with a cell whose process is dead
    manager = Manager(private_home, WorkerProcessExecutor(), feeders=(feed,))
    try:
        wait_until(lambda: load_grid(private_home, grid.grid_id).state is GridState.DONE, "the grid done")
        assert progress(grid, manager.runs()).finished == 4
        folders = run_folders(private_home / "runs")
        assert sorted(each.run_id for each in folders) == sorted(config.run_id for config in grid.cells.values())
        attempts = {each.run_id: (each.end() or {})["attempt"] for each in folders}
        assert attempts.pop(first.run_id) == 2
        assert set(attempts.values()) == {1}
        for each in folders:
            steps = [row["step"] for row in each.metrics() if row["kind"] == "step"]
            assert steps == list(range(1, len(steps) + 1))
    finally:
        manager.shutdown()


def test_waiting_seeds_train_together_and_each_keeps_a_whole_folder(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTNLAB_STACK", "1")
    base = TINY.changed(training__device="auto", model__attention="eca")
    folders = [RunFolder.create(private_home / "runs", base.changed(seed=seed), queued=seed) for seed in (0, 1, 2)]
    other = RunFolder.create(private_home / "runs", base.changed(training__lr=0.5), queued=9)
    assert [folder.run_id for folder in waiting_seeds(folders[0])] == [folder.run_id for folder in folders[1:]]
    outcome = run_with_waiting_seeds(folders[0].path)
    assert outcome.state is RunState.FINISHED
    names = {path.name for path in folders[0].path.iterdir()}
    for folder in folders:
        assert {path.name for path in folder.path.iterdir()} == names
        end = folder.end()
        assert end is not None and end["state"] == "finished"
        assert end["result"]["extra"]["stacked"] == 3
        assert folder.observe().state is RunState.FINISHED
        assert len(folder.snapshot_steps()) > 2
        json.dumps(end, allow_nan=False)
    assert len({folder.weights()["classifier.1.weight"].tobytes() for folder in folders}) == 3
    assert other.observe().state is RunState.QUEUED


def test_a_seed_that_is_stopped_while_the_data_are_read_leaves_the_others_at_work(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTNLAB_STACK", "1")
    base = TINY.changed(training__device="auto")
    folders = [RunFolder.create(private_home / "runs", base.changed(seed=seed), queued=seed) for seed in (0, 1, 2)]
    read = session.dataset

    def read_slowly(config: DatasetConfig, progress: Callable[[str, float], None]) -> ImageDataset:
        progress("reading", 0.0)
        folders[0].request("stop")
        progress("reading", 0.5)
        return read(config, progress)

    monkeypatch.setattr(session, "dataset", read_slowly)
    assert run_with_waiting_seeds(folders[0].path).state is RunState.STOPPED
    assert [folder.observe().state for folder in folders] == [RunState.STOPPED, RunState.FINISHED, RunState.FINISHED]
    monkeypatch.setattr(session, "dataset", read)
    assert run_with_waiting_seeds(folders[0].path).state is RunState.FINISHED  # and goes on where it was


@pytest.mark.parametrize("seed", range(6))
def test_no_cell_is_trained_twice_whatever_happens(
    seed: int, private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two grids that share cells, a person who starts one by hand, dying processes, pauses and new servers, in any order."""
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setenv("ATTNLAB_STACK", "0")
    draw = random.Random(seed)
    first = replace(grid_of(seeds=(0, 1)), grid_id="first")
    second = replace(grid_of(seeds=(1, 2)), grid_id="second")
    wanted = first.wanted | second.wanted
    trained: list[str] = []
    manager = Manager(private_home, Idle(), feeders=(feed,))

    def at_work() -> RunFolder | None:
        live = [run for run in manager.live() if run.state is RunState.STARTING]
        return RunFolder(live[0].folder) if live else None

    def end(state: RunState) -> None:
        if (folder := at_work()) is None:
            return
        with folder.lock():
            attempt = folder.begin_attempt()
            folder.write_end(state, attempt, result={"test_accuracy": 0.5} if state is RunState.FINISHED else None)
            folder.clear_request()
        if state is RunState.FINISHED:
            trained.append(folder.config.config_hash)

    def by_hand() -> None:
        config = draw.choice(list(wanted.values()))
        if config.config_hash not in {run.config.config_hash for run in manager.runs()}:
            manager.submit(config)

    def new_server() -> None:
        nonlocal manager
        manager.shutdown()
        manager = Manager(private_home, Idle(), feeders=(feed,))

    def end_grid(action: Callable[[Manager, str], Grid]) -> None:
        grid_id = draw.choice(("first", "second"))
        if load_grid(private_home, grid_id).state is GridState.ACTIVE:
            action(manager, grid_id)

    def go_on() -> None:
        start_grid(manager, load_grid(private_home, draw.choice(("first", "second"))))

    try:
        for grid in (first, second):
            start_grid(manager, grid)
        for _ in range(40):
            act = draw.choice(
                [
                    lambda: end(RunState.FINISHED),
                    lambda: end(RunState.INTERRUPTED),
                    lambda: end_grid(pause_grid),
                    lambda: end_grid(stop_grid),
                    go_on,
                    go_on,
                    by_hand,
                    new_server,
                ]
            )
            act()
            manager.tick()
        while len(trained) < len(wanted) or any(
            load_grid(private_home, name).state is not GridState.DONE for name in ("first", "second")
        ):
            for name in ("first", "second"):
                if load_grid(private_home, name).state is not GridState.DONE:
                    start_grid(manager, load_grid(private_home, name))
            end(RunState.FINISHED)
            manager.tick()
            assert len(trained) <= len(wanted)
    finally:
        manager.shutdown()
    assert sorted(trained) == sorted(wanted)
    assert len(run_folders(private_home / "runs")) == len(wanted)


def test_grids_that_are_made_in_the_same_second_have_names_of_their_own() -> None:
    rows = cross(RunConfig(), {"model__attention": ["none", "eca"]})
    assert len({make_grid(rows, (0,), title="Two rows", created=1e9).grid_id for _ in range(5)}) == 5
