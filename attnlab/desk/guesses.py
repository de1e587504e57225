"""Slows down whoever guesses what is secret: the teacher's token, and the codes of rooms."""

from __future__ import annotations

import threading
import time
from collections import deque

from attnlab.desk.permissions import NotAllowed

WINDOW_SECONDS = 60.0


class Guesses:
    """Counts wrong guesses. Any thread may use it.

    Args:
        what: in the plural, as "tokens".
        each, all_together: wrong ones that one browser, and all browsers together, may make within `WINDOW_SECONDS` before they
            have to wait. Who deletes cookies is a new browser, but counts among all.
    """

    def __init__(self, what: str, each: int, all_together: int) -> None:
        self._what, self._each, self._all = what, each, all_together
        self._lock = threading.Lock()
        self._wrong: deque[tuple[float, str]] = deque()

    def ask(self, browser: str) -> None:
        """
        Raises:
            NotAllowed: when this browser has to wait, or keeps no cookies.
        """
        with self._lock:
            now = time.monotonic()
            while self._wrong and now - self._wrong[0][0] > WINDOW_SECONDS:
                self._wrong.popleft()
            mine = sum(who == browser for _, who in self._wrong)
            if not browser or mine >= self._each or len(self._wrong) >= self._all:
                raise NotAllowed(f"Too many wrong {self._what} were entered. Wait a minute, then try again.")

    def wrong(self, browser: str) -> None:
        """One more."""
        with self._lock:
            self._wrong.append((time.monotonic(), browser))
