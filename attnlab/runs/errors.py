"""Why a request about a run is refused. Each message is written for the person who made the request."""

from __future__ import annotations


class FolderError(ValueError):
    """A file of a run folder cannot be used; the message names it and says why."""


class UnknownRun(ValueError):
    """There is no run of this name."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r}; `attnlab runs` lists them")
        self.run_id = run_id


class RequestRefused(ValueError):
    """The request does not fit the state of the run; the message says why."""


class RunRefused(ValueError):
    """No worker of this executor could ever train the run; the message says what would be possible."""
