"""Who may do what: every action with every role, every door of the desk, and no page that goes around it."""

from __future__ import annotations

import ast
import inspect
import io
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attnlab.config import DatasetConfig, RunConfig
from attnlab.desk import desk as desk_module
from attnlab.desk import guesses, teacher
from attnlab.desk.desk import Desk, teachers_door
from attnlab.desk.limits import LIMITS, Limits
from attnlab.desk.permissions import Action, Mode, Needed, NotAllowed, Person, browser_of, server_mode
from attnlab.desk.teacher import TeachersDoor, teacher_token
from attnlab.experiments import managers
from attnlab.experiments.grid import GridRow, load_grid, make_grid
from attnlab.experiments.grid_queue import feed
from attnlab.explain.honesty.process import Measurement
from attnlab.queue.manager import Manager
from attnlab.queue.settings import ExecutorSettings, load_settings
from attnlab.runs.errors import RequestRefused, UnknownRun
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from tests.conftest import ROOT
from tests.example_runs import finished_run
from tests.queue.test_manager import Never

OWNER, OTHER = browser_of("a" * 43), browser_of("b" * 43)
ROLES = {
    "personal": Person(Mode.PERSONAL),
    "owner": Person(Mode.CLASSROOM, OWNER),
    "other student": Person(Mode.CLASSROOM, OTHER),
    "without cookies": Person(Mode.CLASSROOM),
    "teacher": Person(Mode.CLASSROOM, browser_of("c" * 43), teacher=True),
}
MAY = {
    Needed.NOTHING: {"personal", "owner", "other student", "teacher"},
    Needed.OWN: {"personal", "owner", "teacher"},
    Needed.TEACHER: {"personal", "teacher"},
}


@pytest.mark.parametrize("action", Action)
def test_every_action_with_every_role(action: Action) -> None:
    for role, person in ROLES.items():
        assert person.may(action, OWNER) == (role in MAY[action.needed]), role
        if role in MAY[action.needed]:
            person.ask(action, OWNER)
        else:
            with pytest.raises(NotAllowed, match="cookies" if role == "without cookies" else "Only"):
                person.ask(action, OWNER)


@pytest.mark.parametrize("action", [action for action in Action if action.needed is Needed.OWN])
def test_what_has_no_owner_belongs_to_no_student(action: Action) -> None:
    assert {role for role, person in ROLES.items() if person.may(action, "")} == {"personal", "teacher"}


def test_the_mode_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, mode in (("", Mode.PERSONAL), (" Classroom ", Mode.CLASSROOM), ("personal", Mode.PERSONAL)):
        monkeypatch.setenv("ATTNLAB_MODE", text)
        assert server_mode() is mode
    monkeypatch.setenv("ATTNLAB_MODE", "school")
    with pytest.raises(ValueError, match="personal or classroom"):
        server_mode()


# The desk


@dataclass
class Room:
    """A home with a manager that starts nothing, and what a student made there."""

    manager: Manager
    home: Path
    queued: str
    ended: str
    grid: str

    def desk(self, role: str) -> Desk:
        return Desk(ROLES[role])


@pytest.fixture
def room(private_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Room]:
    monkeypatch.setattr("attnlab.paths.DEMO_RUNS", tmp_path / "none")
    # A thread that trains what is queued would outlive the test and draw from the random numbers of those that follow.
    monkeypatch.setattr("attnlab.desk.desk.make_executor", lambda settings: Never(slots=0))
    made = Manager(private_home, Never(slots=0), feeders=(feed,))
    monkeypatch.setattr(managers, "_managers", {private_home: made})
    ended = finished_run(private_home, RunConfig(seed=5), 0.9)
    ended.describe(owner=OWNER)
    ended.write_end(RunState.STOPPED, 1)
    made.store.sync()
    mine = Desk(ROLES["owner"])
    queued = mine.submit(RunConfig(seed=1))
    grid = mine.start_grid(make_grid([GridRow("a", RunConfig(seed=9))], [9], title="theirs"))
    yield Room(made, private_home, queued, ended.run_id, grid.grid_id)
    made.shutdown()


def measurement(room: Room) -> Measurement:
    made = Measurement(RunFolder(room.manager.get(room.ended).folder), 50)
    made.path.mkdir(parents=True)
    return made


def small_archive() -> io.BytesIO:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.png"), io.BytesIO())
    content.seek(0)
    return content


def deleted_run(room: Room) -> str:
    room.manager.delete(room.queued)
    return room.queued


TOUCHING: dict[str, tuple[Action, Callable[[Room, Desk], Any]]] = {
    "submit": (Action.START, lambda room, desk: desk.submit(RunConfig(seed=2))),
    "submit_many": (Action.START, lambda room, desk: desk.submit_many(RunConfig(), [2])),
    "stop": (Action.STOP, lambda room, desk: desk.stop(room.queued)),
    "pause": (Action.PAUSE, lambda room, desk: desk.pause(room.queued)),
    "resume": (Action.RESUME, lambda room, desk: desk.resume(room.ended)),
    "rename": (Action.RENAME, lambda room, desk: desk.rename(room.ended, "x")),
    "delete": (Action.DELETE, lambda room, desk: desk.delete(room.ended)),
    "restore": (Action.RESTORE, lambda room, desk: desk.restore(deleted_run(room))),
    "move": (Action.MOVE, lambda room, desk: desk.move(room.queued, 1)),
    "stop_measuring": (Action.STOP_MEASURING, lambda room, desk: desk.stop_measuring(room.ended, measurement(room))),
    "start_grid": (Action.CHANGE_GRID, lambda room, desk: desk.start_grid(load_grid(room.home, room.grid))),
    "save_grid": (Action.CHANGE_GRID, lambda room, desk: desk.save_grid(load_grid(room.home, room.grid))),
    "submit_new": (Action.START, lambda room, desk: desk.submit_new(RunConfig(), [2], 60.0, chosen=True)),
    "pause_grid": (Action.CHANGE_GRID, lambda room, desk: desk.pause_grid(room.grid)),
    "stop_grid": (Action.CHANGE_GRID, lambda room, desk: desk.stop_grid(room.grid)),
    "keep_upload": (Action.UPLOAD, lambda room, desk: desk.keep_upload("a.tar", small_archive())),
    "path": (Action.READ_PATH, lambda room, desk: desk.path("/usr/share")),
    "answer": (Action.ANSWER, lambda room, desk: desk.answer({"gate-a": "B"}, kind="question", time="before")),
    "class_answers": (Action.SEE_RESULTS, lambda room, desk: desk.class_answers()),
    "handout": (Action.HAND_OUT, lambda room, desk: desk.handout("is-it-a-difference")),
    "erase_answers": (Action.ERASE_ANSWERS, lambda room, desk: desk.erase_answers()),
    "change_executor": (Action.SETTINGS, lambda room, desk: desk.change_executor(ExecutorSettings(executor="thread"))),
}
"""What a method of the desk does, and what it asks for."""

STARTING = {"measure": Action.MEASURE, "open_checkpoint": Action.OPEN_CHECKPOINT, "start_search": Action.START_SEARCH}
STARTING |= {
    "open_network": Action.OPEN_NETWORK,
    "measure_league": Action.MEASURE_COSTS,
    "pause_search": Action.CHANGE_SEARCH,
    "plan": Action.START,
    "row_speeds": Action.CHANGE_GRID,
}
"""They need a network or a search; whoever may not is refused before either is looked at."""

READING = {
    "may",
    "mine",
    "runs",
    "broken",
    "get",
    "live",
    "deleted",
    "version",
    "trouble",
    "search_thread",
    "waits",
    "lesson",
    "same_settings",
    "my_answers",
    "predicted",
}


def test_every_method_of_the_desk_is_known_here() -> None:
    public = {name for name, _ in inspect.getmembers(Desk) if not name.startswith("_")}
    assert public == {*TOUCHING, *STARTING, *READING}, "say in this test what the new one asks for"


@pytest.mark.parametrize("name", TOUCHING)
@pytest.mark.parametrize("role", ROLES)
def test_the_desk_refuses_what_is_not_allowed_and_does_the_rest(room: Room, name: str, role: str) -> None:
    action, act = TOUCHING[name]
    before = {run.run_id: (run.state, run.title) for run in room.manager.runs()}
    if role in MAY[action.needed]:
        act(room, room.desk(role))
        return
    with pytest.raises(NotAllowed):
        act(room, room.desk(role))
    if name != "restore":
        assert {run.run_id: (run.state, run.title) for run in room.manager.runs()} == before


@pytest.mark.parametrize("name", STARTING)
def test_the_desk_asks_before_it_starts_anything(room: Room, name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {"measure": (room.ended, None), "start_search": (None,), "pause_search": (None,)}
    arguments["measure_league"] = (None, None)
    arguments |= {"plan": (RunConfig(), None), "row_speeds": (load_grid(room.home, room.grid), None)}
    arguments["open_network"] = ("timm/resnet18", None)
    dataset = {"dataset": DatasetConfig()}
    named: dict[str, Any] = {"open_checkpoint": dataset, "open_network": dataset, "plan": {"fresh": True, "tell": None}}
    extra = named.get(name, {})
    for role, person in ROLES.items():
        if role not in MAY[STARTING[name].needed]:
            with pytest.raises(NotAllowed):
                getattr(Desk(person), name)(*arguments.get(name, ({},)), **extra)


def test_what_a_student_starts_is_the_students(room: Room) -> None:
    assert room.manager.get(room.queued).owner == OWNER
    assert load_grid(room.home, room.grid).owner == OWNER
    room.manager.stop(room.queued)
    room.manager.tick()
    (cell,) = [run for run in room.manager.runs() if run.config.seed == 9]
    assert cell.owner == OWNER


def test_a_table_of_one_student_does_not_touch_the_runs_of_another(room: Room) -> None:
    theirs = room.desk("other student").submit(RunConfig(seed=9))
    room.desk("owner").stop_grid(room.grid)
    assert room.manager.get(theirs).state is RunState.QUEUED
    room.manager.stop(theirs)
    room.desk("owner").start_grid(load_grid(room.home, room.grid))
    assert room.manager.get(theirs).state is RunState.STOPPED


def test_a_student_reads_no_path_but_the_own_uploads(room: Room, tmp_path: Path) -> None:
    kept = room.desk("owner").keep_upload("a.tar", small_archive())
    assert room.desk("owner").path(str(kept)) == kept
    on_it = RunConfig(dataset=DatasetConfig(name=str(kept)), seed=3)
    run = room.desk("owner").submit(on_it)
    for role in ("other student", "without cookies"):
        with pytest.raises(NotAllowed):
            room.desk(role).path(str(kept))
        with pytest.raises(NotAllowed):
            room.desk(role).submit(on_it)
    for text in (str(tmp_path), "relative", "~/x", f"{kept}/../../teacher_token", "../uploads", "digits/.."):
        with pytest.raises(NotAllowed):
            room.desk("owner").path(text)
        with pytest.raises(NotAllowed):
            room.desk("owner").submit(RunConfig(dataset=DatasetConfig(name=text), seed=4))
    seen = {role: run in [record.run_id for record in room.desk(role).runs()] for role in ROLES}
    assert seen == {"personal": True, "owner": True, "other student": False, "without cookies": False, "teacher": True}
    with pytest.raises(UnknownRun):
        room.desk("other student").get(run)
    with pytest.raises(UnknownRun):
        room.desk("other student").stop(run)


def test_the_limits_of_a_classroom_hold_for_students_alone(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teachers = room.desk("other student"), room.desk("teacher")
    many = range(20, 20 + LIMITS.live_runs + 1)
    for start, words in (
        (lambda desk: desk.submit_many(RunConfig(), many), "runs that train or wait"),
        (lambda desk: desk.submit(RunConfig().changed(training__epochs=1000)), "images in all"),
        (lambda desk: desk.submit(RunConfig().changed(dataset__image_size=256)), "128 pixels"),
        (lambda desk: desk.start_grid(make_grid([GridRow("a", RunConfig())], range(50), title="large")), "at most|may have"),
    ):
        with pytest.raises(NotAllowed, match=words):
            start(student)
        start(teachers)
    assert not [run for run in room.manager.runs() if run.owner == OTHER]
    student.submit_many(RunConfig(), many[:-1])
    with pytest.raises(NotAllowed, match="runs that train or wait"):
        student.submit(RunConfig(seed=99))
    live = len(room.manager.live())
    monkeypatch.setattr(desk_module, "LIMITS", Limits(all_live_runs=live + 2))
    third = Desk(Person(Mode.CLASSROOM, browser_of("a third browser")))
    with pytest.raises(NotAllowed, match=f"{live + 2} runs may train or wait at the same time, those of all browsers together"):
        third.submit_many(RunConfig(), [90, 91, 92])
    assert len(room.manager.live()) == live
    stopped = third.submit_many(RunConfig(), [90, 91])[0]
    third.stop(stopped)
    teachers.submit(RunConfig(seed=93))
    with pytest.raises(NotAllowed, match="those of all browsers together"):
        third.resume(stopped)
    monkeypatch.setattr(desk_module, "LIMITS", Limits(upload_bytes=100, uploads=1))
    with pytest.raises(NotAllowed, match="at most"):
        student.keep_upload("a.tar", small_archive())
    monkeypatch.setattr(desk_module, "LIMITS", Limits(uploads=1))
    student.keep_upload("a.tar", small_archive())
    with pytest.raises(NotAllowed, match="1 files"):
        student.keep_upload("b.tar", small_archive())
    room.desk("owner").keep_upload("b.tar", small_archive())


def test_a_run_of_a_student_ends_when_it_has_trained_too_long(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.manager.executor, "slots", 1)
    room.manager.tick()
    folder = RunFolder(room.manager.get(room.queued).folder)
    with folder.lock():
        folder.begin_attempt(1)
        folder.write_progress({"attempt": 1, "phase": "training", "seconds": LIMITS.seconds - 1})
        room.manager.tick()
        assert folder.requested() is None
        folder.write_progress({"attempt": 1, "phase": "training", "seconds": LIMITS.seconds + 1})
        room.manager.tick()
        assert folder.requested() == "stop"


def test_shipped_runs_are_changed_by_nobody(room: Room, tmp_path: Path) -> None:
    shutil.copytree(room.manager.get(room.ended).folder, tmp_path / "none" / "shipped-run")
    for role in ROLES:
        with pytest.raises(RequestRefused, match="shipped"):
            room.desk(role).delete("shipped-run")


# The teacher's token


def test_the_token_is_made_once_and_for_the_owner_of_the_machine_alone(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATTNLAB_TEACHER_TOKEN", raising=False)
    token = teacher_token(private_home)
    assert len(token) >= 20 and teacher_token(private_home) == token
    assert stat.S_IMODE((private_home / "teacher_token").stat().st_mode) == 0o600
    monkeypatch.setenv("ATTNLAB_TEACHER_TOKEN", "chosen by the school")
    assert teacher_token(private_home) == "chosen by the school"
    monkeypatch.setenv("ATTNLAB_TEACHER_TOKEN", "short")
    with pytest.raises(ValueError, match="at least"):
        teacher_token(private_home)


def test_a_browser_is_the_teachers_after_the_token_also_after_a_restart(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = TeachersDoor(private_home)
    with pytest.raises(NotAllowed, match="not the teacher's token"):
        door.enter(OWNER, "guess")
    assert not door.is_teacher(OWNER)
    door.enter(OWNER, f" {teacher_token(private_home)} ")
    again = TeachersDoor(private_home)
    assert again.is_teacher(OWNER) and not again.is_teacher(OTHER) and not again.is_teacher("")
    monkeypatch.setenv("ATTNLAB_TEACHER_TOKEN", "another long token")
    assert not again.is_teacher(OWNER), "a new token forgets the browsers of the old one"
    monkeypatch.delenv("ATTNLAB_TEACHER_TOKEN")
    again.leave(OWNER)
    assert not TeachersDoor(private_home).is_teacher(OWNER)


def test_guessing_the_token_ends_soon(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door, token = TeachersDoor(private_home), teacher_token(private_home)
    for _ in range(teacher.TRIES):
        with pytest.raises(NotAllowed, match="not the teacher's"):
            door.enter(OTHER, "guess")
    with pytest.raises(NotAllowed, match="Too many"):
        door.enter(OTHER, token)
    door.enter(OWNER, token)  # another browser is not locked out by it
    for number in range(teacher.ALL_TRIES):
        with pytest.raises(NotAllowed):
            door.enter(browser_of(f"new browser {number}"), "guess")
    with pytest.raises(NotAllowed, match="Too many"):
        door.enter(browser_of("one more"), token)
    monkeypatch.setattr(guesses, "WINDOW_SECONDS", 0.0)
    door.enter(OTHER, token)


def test_a_server_knows_the_teachers_of_a_home_in_one_place(private_home: Path) -> None:
    assert teachers_door(private_home) is teachers_door(private_home)


# No way around the desk

GOING_AROUND = {
    "attnlab.experiments.managers",
    "attnlab.experiments.grid_queue",
    "attnlab.queue.executors.make",
    "attnlab.queue.manager",
    "attnlab.runs.bin",
    "attnlab.data.uploads",
}
"""Modules that change something, with what pages may take from them all the same."""
HARMLESS = {"KEPT_DAYS", "SUFFIXES"}
CHANGING = {
    *("save_grid", "remove_grid", "save_search", "run_search", "start_search", "search_thread", "save_settings"),
    *("note_budget", "plan_in_queue", "row_speeds", "measure_beside"),
    *("import_checkpoint", "keep_upload", "own_upload", "make_demo", "write_json", "write_file"),
}
"""Functions that change something, in modules that pages read from."""
METHODS = {"_Desk__manager", "enqueue", "dequeue", "request", "write_end", "begin_attempt", "write_progress"}
"""Of the manager behind the desk, and of run folders."""


def pages() -> list[Path]:
    return [*(ROOT / "attnlab" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"]


@pytest.mark.parametrize("file", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_goes_around_the_desk(file: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            taken = {alias.name for alias in node.names}
            found += [f"{node.module}: {name}" for name in taken & CHANGING]
            if node.module in GOING_AROUND:
                found += [f"{node.module}: {name}" for name in taken - HARMLESS]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in GOING_AROUND]
        elif isinstance(node, ast.Attribute) and node.attr in METHODS:
            found.append(f"line {node.lineno}: .{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            widget = node.func.attr in ("file_uploader", "camera_input")
            if widget and file.name != "uploads.py":
                found.append(f"line {node.lineno}: {node.func.attr} instead of that of attnlab.ui.uploads")
            if node.func.attr == "download_button" and file.name != "hidden.py":
                found.append(f"line {node.lineno}: {node.func.attr} instead of that of attnlab.ui.hidden")
    assert found == [], "pages ask attnlab.desk.desk, which asks whether the person may"


def test_the_address_of_a_cluster_comes_from_the_environment_alone(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, room: Room
) -> None:
    room.desk("teacher").change_executor(ExecutorSettings(executor="thread", ray_address="http://elsewhere"))
    assert "elsewhere" not in (private_home / "settings.json").read_text()
    (private_home / "settings.json").write_text('{"executor": "ray", "ray_address": "http://elsewhere"}')
    assert load_settings(private_home).ray_address == "http://127.0.0.1:8265"
    monkeypatch.setenv("ATTNLAB_RAY_ADDRESS", "http://cluster")
    assert load_settings(private_home).ray_address == "http://cluster"
