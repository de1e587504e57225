"""Rooms: codes, what is kept over a restart, damaged files, limits, and many students at once."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from attnlab.config import RunConfig
from attnlab.desk.permissions import browser_of
from attnlab.rooms import room as room_module
from attnlab.rooms import rooms as module
from attnlab.rooms.board import board
from attnlab.rooms.files import room_zip
from attnlab.rooms.room import LETTERS, Room, RoomError
from attnlab.rooms.rooms import Rooms, rooms_of
from attnlab.runs.records import RunRecord, RunState

TEACHER = browser_of("teacher")
STUDENTS = [browser_of(f"student {number}") for number in range(30)]


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    return Rooms(tmp_path)


def opened(rooms: Rooms, students: int = 3) -> Room:
    """A room with so many students."""
    code = rooms.make(TEACHER).code
    for browser in STUDENTS[:students]:
        rooms.enter(code, browser)
    return rooms.get(code)


def test_codes_are_six_letters_that_look_like_nothing_else_and_follow_no_order(rooms: Rooms) -> None:
    codes = [rooms.make(TEACHER).code for _ in range(40)]
    assert len(set(codes)) == 40
    assert all(re.fullmatch(f"[{LETTERS}]{{6}}", code) for code in codes)
    assert not set(LETTERS) & set("AEIOU0O1ILQY"), "none is mistaken for another, and none makes words"
    assert codes != sorted(codes) and codes != sorted(codes, reverse=True)


@pytest.mark.parametrize("typed", ["{}", " {} ", "{low}", "{a}-{b}", "{a} {b}"])
def test_a_code_is_found_however_it_is_typed(rooms: Rooms, typed: str) -> None:
    code = rooms.make(TEACHER).code
    assert rooms.get(typed.format(code, low=code.lower(), a=code[:3], b=code[3:])).code == code


@pytest.mark.parametrize("typed", ["", "A", "BCDFGH", "../../etc", "💥" * 1000, "\x00"])
def test_any_other_code_is_no_room(rooms: Rooms, typed: str) -> None:
    opened(rooms)
    with pytest.raises(RoomError, match="no room with this code"):
        rooms.get(typed)


def test_members_get_a_number_and_a_seed_of_their_own_and_keep_them(rooms: Rooms) -> None:
    code = opened(rooms, 3).code
    rooms.leave(STUDENTS[0])
    assert rooms.of(STUDENTS[0]) is None
    members = rooms.enter(code, STUDENTS[0]).members
    assert [member.number for member in members.values()] == [1, 2, 3]
    seeds = {member.seed for member in members.values()}
    other = opened(rooms, 3)
    assert rooms.of(STUDENTS[0]) == other, "a browser is in one room at a time"
    assert len(seeds) == 3 and not seeds & {member.seed for member in other.members.values()}


def test_everything_but_who_looks_where_survives_a_restart(tmp_path: Path) -> None:
    before = Rooms(tmp_path)
    code = opened(before).code
    before.change(code, lesson="what-is-attention", step=3, variants=("none", "cbam"), epochs=2, follows=True)
    before.show(code, "inspect", "img=3")
    before.ask(code, "spatial-7")
    before.predict(STUDENTS[1], "0.250_0.500")
    before.reveal(code)
    before.look_around(STUDENTS[2], alone=True)
    before.started(STUDENTS[0], ["a-run"])
    after = Rooms(tmp_path)
    assert after.get(code) == before.get(code)
    room = after.get(code)
    assert room.question is not None and room.question.revealed
    assert room.question.said == {STUDENTS[1]: "0.250_0.500"} and room.runs == ("a-run",)
    assert not after.damaged and not after.seen(code)


BROKEN = {
    "half": '{"code": "BCDF',
    "list": "[1, 2]",
    "kind": '{"code": "BCDFGH", "made": "yesterday", "first_seed": 1}',
    "code": '{"code": "AAAAAA", "made": 1.0, "first_seed": 1}',
    "other name": '{"code": "BCDFGH", "made": 1.0, "first_seed": 1}',
    "asks nothing": '{"code": "ZZZZZZ", "made": 1.0, "first_seed": 1, "asking": true}',
    "bytes": "\udcff\udcfe",
    "numbers": '{"code": "ZZZZZZ", "made": 1e999, "first_seed": 1}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_file_is_left_out_with_a_sentence_and_the_others_stay(tmp_path: Path, kind: str) -> None:
    good = opened(Rooms(tmp_path)).code
    broken = tmp_path / "rooms" / "ZZZZZZ.json"
    broken.write_bytes(BROKEN[kind].encode("utf-8", "surrogateescape"))
    rooms = Rooms(tmp_path)
    assert [room.code for room in rooms.every()] == [good]
    assert list(rooms.damaged) == ["ZZZZZZ.json"] and "rooms/ZZZZZZ.json" in rooms.damaged["ZZZZZZ.json"]
    rooms.make(TEACHER)
    assert broken.exists(), "nobody throws it away"


def test_a_file_that_cannot_be_written_changes_nothing(rooms: Rooms, tmp_path: Path) -> None:
    code = opened(rooms).code
    (tmp_path / "rooms" / f"{code}.json").unlink()
    (tmp_path / "rooms").rmdir()
    (tmp_path / "rooms").write_text("a file in its place")
    before = rooms.get(code)
    with pytest.raises(OSError, match=r"rooms|File exists"):
        rooms.ask(code, "spatial-7")
    assert rooms.get(code) == before


def test_a_whole_class_enters_and_predicts_at_once(rooms: Rooms) -> None:
    code = rooms.make(TEACHER).code
    rooms.ask(code, "spatial-7")
    at_once = Barrier(len(STUDENTS))

    def student(browser: str) -> None:
        at_once.wait()
        rooms.enter(code, browser)
        rooms.look_at(browser, "Room")
        rooms.predict(browser, "0.5_0.5")
        rooms.predict(browser, "0.1_0.1")  # only the first counts

    with ThreadPoolExecutor(len(STUDENTS)) as pool:
        list(pool.map(student, STUDENTS))
    room = rooms.get(code)
    assert {member.number for member in room.members.values()} == set(range(1, 31))
    assert room.question is not None and set(room.question.said.values()) == {"0.5_0.5"} and len(room.question.said) == 30
    assert len(rooms.seen(code)) == 30


def test_the_limits_of_a_room_and_of_a_home(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MEMBERS", 2)
    monkeypatch.setattr(module, "MOST_QUESTIONS", 2)
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    monkeypatch.setattr(module, "MOST_ROOMS", 1)
    code = opened(rooms, 2).code
    with pytest.raises(RoomError, match="full"):
        rooms.enter(code, STUDENTS[2])
    for item in ("spatial-7", "cbam-6"):
        rooms.ask(code, item)
    with pytest.raises(RoomError, match="asked 2 questions"):
        rooms.ask(code, "gates-3")
    rooms.started(STUDENTS[0], ["a", "b", "c"])
    assert len(rooms.get(code).runs) == 2
    with pytest.raises(RoomError, match="1 rooms"):
        rooms.make(TEACHER)
    with pytest.raises(ValueError, match="step"):
        rooms.change(code, step=0)
    assert rooms.show(code, "inspect", "x" * (room_module.MOST_LINK + 1)).view.link == "", "of any length"
    rooms.predict(STUDENTS[0], "9" * 1000)
    assert max(len(said) for said in rooms.get(code).question.said.values()) <= 40


def test_a_question_takes_predictions_until_it_is_revealed(rooms: Rooms) -> None:
    code = opened(rooms).code
    with pytest.raises(RoomError, match="too late"):
        rooms.predict(STUDENTS[0], "1")
    rooms.ask(code, "spatial-7")
    rooms.predict(STUDENTS[0], "0.1_0.1")
    rooms.reveal(code)
    with pytest.raises(RoomError, match="too late"):
        rooms.predict(STUDENTS[1], "0.1_0.1")
    rooms.close_question(code)
    assert rooms.get(code).question is None and len(rooms.get(code).asked) == 1
    with pytest.raises(RoomError, match="asks nothing"):
        rooms.reveal(code)
    with pytest.raises(RoomError, match="in no room"):
        rooms.predict(STUDENTS[9], "1")


def test_a_view_is_counted_once_however_often_it_is_shown(rooms: Rooms) -> None:
    code = opened(rooms).code
    assert rooms.show(code, "", "").view.serial == 1, "the first page is a view too"
    assert rooms.show(code, "", "").view.serial == 1
    assert rooms.show(code, "inspect", "img=1").view.serial == 2


def test_an_ended_room_holds_nobody_and_is_gone_when_it_is_erased(rooms: Rooms, tmp_path: Path) -> None:
    code = opened(rooms).code
    rooms.end(code)
    assert rooms.of(STUDENTS[0]) is None and rooms.led_by(TEACHER) is None
    for act in (lambda: rooms.enter(code, STUDENTS[0]), lambda: rooms.ask(code, "spatial-7"), lambda: rooms.end(code)):
        with pytest.raises(RoomError, match="ended"):
            act()
    rooms.erase(code)
    assert not list((tmp_path / "rooms").iterdir())
    with pytest.raises(RoomError, match="no room"):
        rooms.get(code)


def test_a_server_has_the_rooms_of_a_home_once(tmp_path: Path) -> None:
    assert rooms_of(tmp_path) is rooms_of(tmp_path)


# The board, and the download


def record(attention: str, seed: int, accuracy: float | None, owner: str = STUDENTS[0], epochs: int = 4) -> RunRecord:
    config = RunConfig(seed=seed).changed(model__attention=attention, training__epochs=epochs)
    state = RunState.FINISHED if accuracy is not None else RunState.QUEUED
    return RunRecord(config.run_id, config.group, "my name", config, state, Path(), owner=owner, test_accuracy=accuracy)


def test_thirty_students_with_one_seed_each_are_mean_and_spread() -> None:
    plain = [record("none", seed, 0.80 + 0.001 * (seed % 5)) for seed in range(10)]
    better = [record("eca", seed, 0.85 + 0.001 * (seed % 3)) for seed in range(10)]
    found = board([*better, *plain, record("eca", 10, None), record("cbam", 0, 0.5), record("srm", 0, 0.5, epochs=9)])
    rows = {row.name.removesuffix(" · epochs 4"): row for row in found.rows}
    assert found.rows[0].plain and rows["plain"].group.n == 10 and rows["plain"].group.mean == pytest.approx(0.802)
    assert rows["eca"].training == 1 and rows["eca"].difference.startswith("+4.9 points (")
    assert found.enough[0].startswith("With 10 seeds of each, a difference above ")
    assert any(text.startswith("eca · epochs 4: the class has enough. It is better than") for text in found.enough)
    (other,) = [row for name, row in rows.items() if name.startswith("srm")]
    assert other.compared is None and "waits" in other.difference, "nine epochs are not compared with four"


def test_too_few_seeds_are_said_to_be_too_few() -> None:
    assert "as soon as two seeds" in board([record("none", 0, 0.8), record("eca", 0, 0.9)]).enough[0]
    assert board([]).rows == ()
    apart = [0.01, -0.02, 0.015, -0.004]
    runs = [record("none", seed, 0.8) for seed in range(4)]
    runs += [record("eca", seed, 0.8 + each) for seed, each in enumerate(apart)]
    assert any("not enough yet" in text or "not significant" in text for text in board(runs).enough)


def test_the_download_has_all_that_was_made_and_nothing_by_which_a_person_is_known(rooms: Rooms) -> None:
    code = opened(rooms, 2).code
    rooms.ask(code, "spatial-7")
    rooms.predict(STUDENTS[1], "0.250_0.500")
    runs = [record("none", 101, 0.8, STUDENTS[0]), record("eca", 102, 0.9, STUDENTS[1]), record("eca", 1, None, TEACHER)]
    packed = zipfile.ZipFile(io.BytesIO(room_zip(rooms.get(code), runs)))
    texts = {name: packed.read(name).decode() for name in packed.namelist()}
    assert set(texts) == {"room.json", "students.csv", "predictions.csv", "runs.csv", "board.csv", "board.txt"}
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in texts.items() if name.endswith("csv")}
    (said,) = tables["predictions.csv"]
    assert (said["student"], said["x"], said["y"], said["item"]) == ("2", "0.250", "0.500", "spatial-7")
    assert [row["student"] for row in tables["runs.csv"]] == ["1", "2", "teacher"]
    assert json.loads(texts["room.json"])["questions"][0]["answers"] == 1
    for known in (*STUDENTS, TEACHER, "my name"):
        assert not any(known in text for text in texts.values())
