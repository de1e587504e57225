"""Work that a page starts and does not wait for: a thread of its own, whose progress the page shows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

import streamlit as st

Result = TypeVar("Result")
PATIENCE = 0.5
"""A page waits this many seconds for work that may be done at once, before it goes on and shows the progress."""
_EVERY = 0.5


class JobStopped(Exception):
    """The work was stopped on request."""


class Job(Generic[Result]):
    """Computes one result in a thread. All sessions may share it.

    Attributes:
        done, total: how far it is; a total of 0 while that is not known.
    """

    def __init__(self, work: Callable[[Callable[[int, int], None]], Result]) -> None:
        """Starts it.

        Args:
            work: calls the function that it is given with its progress, (done, total), and nothing of Streamlit.
        """
        self.done = 0
        self.total = 0
        self._result: Result | None = None
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._stopping = False
        threading.Thread(target=self._run, args=(work,), name="attnlab-page", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def stop(self) -> None:
        """Ends the work when it next tells its progress; `result` then raises `JobStopped`."""
        self._stopping = True

    def result(self, patience: float | None = None) -> Result | None:
        """What was computed; `None` if it is not there within so many seconds (`PATIENCE` when `None`).

        Raises:
            Exception: the one that ended the work.
        """
        self._ended.wait(PATIENCE if patience is None else patience)
        if self._error is not None:
            raise self._error
        return self._result

    def wait(self) -> Result:
        """What was computed, however long it takes.

        Raises:
            Exception: the one that ended the work.
        """
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return cast("Result", self._result)

    def _run(self, work: Callable[[Callable[[int, int], None]], Result]) -> None:
        def tell(done: int, total: int) -> None:
            if self._stopping:
                raise JobStopped
            self.done, self.total = done, total

        try:
            self._result = work(tell)
        except Exception as error:  # whatever it is, the page shows it
            self._error = error
        self._ended.set()


def show_progress(jobs: Sequence[Job[Result]], text: str) -> None:
    """How far the work is, until it has ended; then the page is drawn again. Nothing where all of it has ended.

    It takes one place on the page in both cases, so that what comes after it stays as a person has set it.
    """
    with st.container():
        if not all(job.ended for job in jobs):
            st.fragment(_progress, run_every=_EVERY)(jobs, text)


def _progress(jobs: Sequence[Job[Result]], text: str) -> None:
    if all(job.ended for job in jobs):
        st.rerun()
    done, total = sum(job.done for job in jobs), sum(job.total for job in jobs)
    st.progress(done / total if total else 0.0, text=f"{text}: {done:,} of {total:,}" if total else text)
