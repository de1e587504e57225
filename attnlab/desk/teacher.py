"""The teacher's token of a classroom: where it comes from, and which browsers it was entered in.

``ATTNLAB_TEACHER_TOKEN``, or else a random one that is made once and kept in ``teacher_token`` of the home, readable by the
owner of the machine only. A browser in which it was entered is remembered by a hash of both, so a new token forgets them all.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
from pathlib import Path

from attnlab.desk.guesses import Guesses
from attnlab.desk.permissions import NotAllowed
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json

TOKEN = "ATTNLAB_TEACHER_TOKEN"
SHORTEST = 12
"""Characters of a token that somebody chose; shorter ones are guessed too easily."""

TRIES, ALL_TRIES = 5, 60
"""Wrong tokens that one browser, and all browsers together, may enter within a minute before they have to wait."""

_FILE, _BROWSERS = "teacher_token", "teachers.json"


def teacher_token(home: Path) -> str:
    """The token of this home; the first call makes it.

    Raises:
        ValueError: when the environment names one that is too short.
        OSError: when it cannot be read or stored.
    """
    chosen = os.environ.get(TOKEN, "").strip()
    if chosen:
        if len(chosen) < SHORTEST:
            raise ValueError(f"{TOKEN} has {len(chosen)} characters; it needs at least {SHORTEST}, so that nobody guesses it")
        return chosen
    path = home / _FILE
    home.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(16))
    except FileExistsError:
        pass
    token = path.read_text().strip()
    if len(token) < SHORTEST:  # cut off by a full disk
        path.unlink()
        return teacher_token(home)
    return token


class TeachersDoor:
    """Knows the browsers in which the token was entered, and counts wrong ones. Any thread may use it.

    Args:
        home: as `attnlab.paths.home`.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._guesses = Guesses("tokens", TRIES, ALL_TRIES)
        self._inside: set[str] | None = None

    def is_teacher(self, browser: str) -> bool:
        """Whether the token was entered in this browser.

        Args:
            browser: as `attnlab.desk.permissions.browser_of`.
        """
        if not browser:
            return False
        with self._lock:
            return self._mark(browser) in self._known()

    def enter(self, browser: str, token: str) -> None:
        """Lets a browser in as the teacher's.

        Raises:
            NotAllowed: when the token is wrong, or too many wrong ones were entered before.
        """
        with self._lock:
            self._guesses.ask(browser)
            if not hmac.compare_digest(_digest(token.strip()), _digest(teacher_token(self._home))):
                self._guesses.wrong(browser)
                raise NotAllowed("This is not the teacher's token. The command that started the server has printed it.")
            self._known().add(self._mark(browser))
            self._save()

    def leave(self, browser: str) -> None:
        """Makes a browser an ordinary one again."""
        with self._lock:
            self._known().discard(self._mark(browser))
            self._save()

    def _mark(self, browser: str) -> str:
        return hmac.new(teacher_token(self._home).encode(), browser.encode(), hashlib.sha256).hexdigest()

    def _known(self) -> set[str]:
        if self._inside is None:
            try:
                listed = (read_json(self._home / _BROWSERS) or {}).get("browsers", [])
            except FolderError:  # damaged: the teacher enters the token again
                listed = []
            self._inside = {str(mark) for mark in listed} if isinstance(listed, list) else set()
        return self._inside

    def _save(self) -> None:
        write_json(self._home / _BROWSERS, {"browsers": sorted(self._known())})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
