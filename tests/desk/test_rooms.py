"""Who may do what in a room: every method with every role, codes that are guessed, and what counts as a run of the room."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnlab.config import RunConfig
from attnlab.desk import guesses
from attnlab.desk.desk import Desk
from attnlab.desk.permissions import Action, Mode, NotAllowed, Person, browser_of
from attnlab.desk.rooms import ALL_TRIES, TRIES, RoomsDesk
from attnlab.experiments import managers
from attnlab.experiments.grid import GridRow, make_grid
from attnlab.queue.manager import Manager
from attnlab.rooms.room import Room, RoomError
from attnlab.rooms.rooms import rooms_of
from attnlab.runs.records import RunState
from tests.desk.test_permissions import MAY, OWNER, ROLES
from tests.example_runs import finished_run
from tests.queue.test_manager import Never


@pytest.fixture
def queue(private_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Manager:
    monkeypatch.setattr("attnlab.paths.DEMO_RUNS", tmp_path / "none")
    made = Manager(private_home, Never(slots=0))
    monkeypatch.setattr(managers, "_managers", {private_home: made})
    return made


@pytest.fixture
def code(queue: Manager) -> str:
    """A room with one student, in which a prediction is asked."""
    made = desk("teacher").make().code
    desk("owner").enter(made)
    desk("teacher").ask(made, "spatial-7")
    return made


def desk(role: str) -> RoomsDesk:
    return RoomsDesk(Desk(ROLES[role]))


def student(name: str) -> RoomsDesk:
    return RoomsDesk(Desk(Person(Mode.CLASSROOM, browser_of(name))))


def kept(code: str) -> Room:
    return rooms_of(managers.get_manager().home).get(code)


METHODS: dict[str, tuple[Action, Callable[[RoomsDesk, str], Any]]] = {
    "leave": (Action.ENTER_ROOM, lambda rooms, code: rooms.leave()),
    "look_around": (Action.ENTER_ROOM, lambda rooms, code: rooms.look_around(alone=True)),
    "look_at": (Action.ENTER_ROOM, lambda rooms, code: rooms.look_at("Home")),
    "every": (Action.SEE_MEMBERS, lambda rooms, code: rooms.every()),
    "damaged": (Action.SEE_MEMBERS, lambda rooms, code: rooms.damaged()),
    "get": (Action.SEE_MEMBERS, lambda rooms, code: rooms.get(code)),
    "members": (Action.SEE_MEMBERS, lambda rooms, code: rooms.members(code)),
    "number_of": (Action.SEE_MEMBERS, lambda rooms, code: rooms.number_of(kept(code), OWNER)),
    "present": (Action.SEE_MEMBERS, lambda rooms, code: rooms.present(code)),
    "make": (Action.MAKE_ROOM, lambda rooms, code: rooms.make()),
    "change": (Action.LEAD_ROOM, lambda rooms, code: rooms.change(code, epochs=2)),
    "show": (Action.LEAD_ROOM, lambda rooms, code: rooms.show(code, "inspect", "")),
    "ask": (Action.LEAD_ROOM, lambda rooms, code: rooms.ask(code, "cbam-6")),
    "reveal": (Action.LEAD_ROOM, lambda rooms, code: rooms.reveal(code)),
    "close_question": (Action.LEAD_ROOM, lambda rooms, code: rooms.close_question(code)),
    "end": (Action.END_ROOM, lambda rooms, code: rooms.end(code)),
    "download": (Action.DOWNLOAD_ROOM, lambda rooms, code: rooms.download(code)),
    "erase": (Action.ERASE_ROOM, lambda rooms, code: rooms.erase(code)),
}
AS_A_MEMBER = {"enter", "predict"}
READING = {"leads", "mine", "me", "my_prediction", "predicted", "runs", "board"}


def test_every_method_is_known_here() -> None:
    public = {name for name, _ in inspect.getmembers(RoomsDesk) if not name.startswith("_")}
    assert public == {*METHODS, *AS_A_MEMBER, *READING}, "say in this test what the new one asks for"


@pytest.mark.parametrize("name", METHODS)
def test_every_role_may_do_what_it_may_and_nothing_else(code: str, name: str) -> None:
    action, act = METHODS[name]
    before = kept(code)
    for role in ROLES:
        if role not in MAY[action.needed]:
            with pytest.raises(NotAllowed, match="cookies" if role == "without cookies" else "Only the teacher"):
                act(desk(role), code)
    assert kept(code) == before
    if name == "erase":
        desk("teacher").end(code)
    act(desk("teacher"), code)


def test_a_student_enters_predicts_and_sees_no_prediction_of_others_before_it_is_revealed(code: str) -> None:
    rooms = student("another")
    rooms.enter(code.lower())
    rooms.predict("0.100_0.100")
    assert rooms.my_prediction() == "0.100_0.100" and desk("owner").my_prediction() is None
    room = rooms.mine()
    assert room is not None and rooms.predicted(room) == []
    desk("teacher").reveal(code)
    assert rooms.predicted(rooms.mine()) == ["0.100_0.100"]
    with pytest.raises(NotAllowed, match="cookies"):
        desk("without cookies").enter(code)
    with pytest.raises(RoomError, match="leads rooms"):
        desk("teacher").enter(code)
    assert desk("without cookies").mine() is None


def test_guessing_codes_ends_soon_and_holds_up_nobody_else(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guesser = student("guesser")
    for _ in range(TRIES):
        with pytest.raises(RoomError, match="no room"):
            guesser.enter("BBBBBB")
    with pytest.raises(NotAllowed, match="Too many wrong codes"):
        guesser.enter(code)
    student("somebody else").enter(code)
    for number in range(ALL_TRIES):
        with pytest.raises((RoomError, NotAllowed)):
            student(f"fresh cookie {number}").enter("BBBBBB")
    with pytest.raises(NotAllowed, match="Too many wrong codes"):
        student("one more cookie").enter(code)
    monkeypatch.setattr(guesses, "WINDOW_SECONDS", 0.0)
    guesser.enter(code)


def test_runs_that_members_and_the_leader_start_count_and_no_others(code: str, queue: Manager) -> None:
    Desk(ROLES["owner"]).submit(RunConfig(seed=1))
    Desk(ROLES["teacher"]).submit(RunConfig(seed=2))
    Desk(ROLES["other student"]).submit(RunConfig(seed=3))
    Desk(ROLES["owner"]).start_grid(make_grid([GridRow("a", RunConfig())], [3, 5], title="a table"))
    desk("owner").leave()
    Desk(ROLES["owner"]).submit(RunConfig(seed=4))
    room = desk("teacher").get(code)
    assert room.runs == tuple(RunConfig(seed=seed).run_id for seed in (1, 2, 5)), "the table's seed 3 was there before"
    assert {record.config.seed for record in desk("teacher").runs(room)} == {1, 2}, "the table's turn comes later"
    assert desk("teacher").board(room).rows[0].training == 2
    assert desk("teacher").members(code)[0][2] == 1


def test_a_room_is_erased_with_its_runs_once_nothing_trains(code: str, queue: Manager, private_home: Path) -> None:
    done = finished_run(private_home, RunConfig(seed=5), 0.9)
    done.describe(owner=OWNER)
    other = finished_run(private_home, RunConfig(seed=6), 0.9)
    queue.store.sync()
    rooms_of(private_home).started(OWNER, [done.run_id])
    teacher = desk("teacher")
    with pytest.raises(RoomError, match="End the room"):
        teacher.erase(code)
    teacher.end(code)
    with done.lock():
        done.begin_attempt()
        queue.store.sync()
        with pytest.raises(RoomError, match="still training"):
            teacher.erase(code)
        assert done.requested() == "stop"
    done.write_end(RunState.STOPPED, 2)
    queue.store.sync()
    teacher.erase(code)
    assert not (private_home / "rooms" / f"{code}.json").exists()
    assert [record.run_id for record in queue.runs()] == [other.run_id], "what was not started in the room stays"
    assert [deleted.run_id for deleted in queue.deleted()] == [done.run_id]


def test_a_browser_that_starts_to_lead_takes_the_room_over(code: str) -> None:
    other = RoomsDesk(Desk(Person(Mode.CLASSROOM, browser_of("the projector"), teacher=True)))
    assert other.mine() is None
    other.change(code, follows=True)
    assert other.mine() is not None and desk("teacher").mine() is None
    with pytest.raises(RoomError, match="cannot change its members"):
        other.change(code, members={})
