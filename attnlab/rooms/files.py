"""Everything that was made in a room as one file, without names, cookies or anything by which a browser is known."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence

from attnlab.experiments.groups import GroupComparison
from attnlab.rooms.board import board
from attnlab.rooms.room import Room
from attnlab.runs.naming import attention_name
from attnlab.runs.records import RunRecord

TEACHER = "teacher"


def room_zip(room: Room, runs: Sequence[RunRecord]) -> bytes:
    """A ZIP with ``room.json`` (its settings), ``students.csv``, ``predictions.csv``, ``runs.csv`` and ``board.csv``.

    Args:
        runs: those of the room.
    """
    numbers = {browser: str(member.number) for browser, member in room.members.items()}
    about = {
        "code": room.code,
        "made": room.made,
        "ended": room.ended,
        "lesson": room.lesson,
        "variants": list(room.variants),
        "epochs": room.epochs,
        "questions": [{"item": asked.item, "revealed": asked.revealed, "answers": len(asked.said)} for asked in room.asked],
    }
    predictions = (
        (number, asked.item, numbers.get(browser, ""), value, *_place(value))
        for number, asked in enumerate(room.asked, 1)
        for browser, value in asked.said.items()
    )
    trained = (
        (
            run.run_id,
            numbers.get(run.owner, TEACHER),
            attention_name(run.config),
            run.config.seed,
            run.config.training.epochs,
            run.state.value,
            run.test_accuracy,
            run.seconds,
        )
        for run in sorted(runs, key=lambda run: run.created)
    )
    rows = board(runs)
    files = {
        "room.json": json.dumps(about, indent=1),
        "students.csv": _csv(
            ("student", "seed", "left"), ((member.number, member.seed, not member.here) for member in room.members.values())
        ),
        "predictions.csv": _csv(("question", "item", "student", "answer", "x", "y"), predictions),
        "runs.csv": _csv(("run", "student", "variant", "seed", "epochs", "state", "test_accuracy", "seconds"), trained),
        "board.csv": _csv(
            ("variant", "n", "mean", "std", "difference_to_plain", "low", "high"),
            ((row.name, row.group.n, row.group.mean, row.group.std, *_difference(row.compared)) for row in rows.rows),
        ),
        "board.txt": "\n".join(rows.enough) + "\n",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def _place(value: str) -> tuple[str, str]:
    """A click, from the left and from the top in [0, 1]; empty for another answer."""
    x, _, y = value.partition("_")
    return (x, y) if y else ("", "")


def _difference(compared: GroupComparison | None) -> tuple[float | None, float | None, float | None]:
    if compared is None:
        return None, None, None
    low, high = compared.interval or (None, None)
    return compared.difference, low, high


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()
