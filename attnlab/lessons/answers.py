"""What was answered and predicted on this server, without names: one line of JSON for each answer, in a file of the home.

A person is a hash of the number of their browser, made with a secret of this file alone, so answers cannot be joined with the
owner of a run. Each answers an item once at a time; a second answer is not kept. No torch.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from attnlab.files import write_file
from attnlab.lessons.lesson import Name

_lock = threading.Lock()


class Answer(BaseModel):
    """One answer.

    Attributes:
        kind: question or prediction. item: of the bank.
        time: before or after the lessons, for questions; empty for predictions.
        value: the letter; or of a prediction ``u_v`` in [0, 1], the index of the class, or one, other or same.
        person: see `anonymous`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["question", "prediction"]
    item: Name
    time: Literal["", "before", "after"] = ""
    value: str
    person: str

    @property
    def place(self) -> tuple[float, float] | None:
        """(u, v) in [0, 1] of a click; `None` for another answer."""
        parts = self.value.split("_")
        try:
            u, v = map(float, parts) if len(parts) == 2 else (-1.0, -1.0)
        except ValueError:
            return None
        return (u, v) if 0 <= u <= 1 and 0 <= v <= 1 else None


def answers_file(home: Path) -> Path:
    """Where they lie."""
    return home / "answers" / "answers.jsonl"


def anonymous(home: Path, browser: str) -> str:
    """What a browser is called here: 16 hexadecimal digits that say nothing by which it is known elsewhere."""
    secret = home / "answers" / "secret"
    with _lock:
        if not secret.exists():
            secret.parent.mkdir(parents=True, exist_ok=True)
            write_file(secret, lambda stream: stream.write(secrets.token_bytes(32)))
    return hashlib.sha256(secret.read_bytes() + browser.encode()).hexdigest()[:16]


def read_answers(home: Path) -> list[Answer]:
    """All answers, in their order; lines that cannot be read are left out."""
    file = answers_file(home)
    if not file.is_file():
        return []
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(Answer.model_validate_json(line))
        except ValidationError:
            continue  # half of a line, after a power failure
    return found


def add_answers(home: Path, answers: Sequence[Answer]) -> int:
    """Keeps answers, where their person has not answered the item at that time yet. Returns how many were kept.

    Raises:
        OSError: when they cannot be written.
    """
    file = answers_file(home)
    with _lock:
        known = {(each.kind, each.item, each.time, each.person) for each in read_answers(home)}
        new = []
        for answer in answers:
            key = (answer.kind, answer.item, answer.time, answer.person)
            if key not in known:
                known.add(key)
                new.append(answer)
        if new:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as stream:
                stream.write("".join(json.dumps(answer.model_dump()) + "\n" for answer in new))
    return len(new)


def erase_answers(home: Path) -> None:
    """Removes all answers, and the secret, so that nothing kept elsewhere could be joined with later ones."""
    with _lock:
        for name in ("answers.jsonl", "secret"):
            (home / "answers" / name).unlink(missing_ok=True)
