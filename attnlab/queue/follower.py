"""Follows active runs: updates the index, ends runs that do not respond to a request, writes the end of those that died."""

from __future__ import annotations

import logging
import time

from filelock import Timeout

from attnlab.queue.executors.base import Answer, Executor, Job, JobState
from attnlab.runs.folder import Request, RunFolder, ended_unexpectedly
from attnlab.runs.ownership import is_locked
from attnlab.runs.records import RunRecord, RunState
from attnlab.runs.store import Store

_log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""How long a run may take to respond to a request before it gets SIGTERM; as long again before SIGKILL."""

ACTIVE = (RunState.STARTING, RunState.RUNNING)
"""The states of a run that has a worker."""


class Follower:
    """Looks after runs that have, or had, a worker. Only for the thread that runs the queue.

    Args:
        grace: in seconds, see `GRACE_SECONDS`.
    """

    def __init__(self, store: Store, executor: Executor, grace: float) -> None:
        self._store = store
        self._executor = executor
        self._grace = grace
        self._request_times: dict[Job, float] = {}
        self._signals: dict[Job, int] = {}

    def follow(self, record: RunRecord) -> None:
        """Looks once at an active run."""
        folder = RunFolder(record.folder)
        self._store.refresh(folder)
        job = Job(record.folder, record.attempt)
        end = folder.end()
        if end is not None and end["attempt"] >= record.attempt:
            self._forget(job)
            return
        if record.config.recorded:  # somebody's own program: it is watched, and never asked or signalled
            if not is_locked(folder.lock_path):
                self.settle(job, Answer(JobState.GONE), again=False)
            return
        answer = self._executor.poll(job)
        if answer.state is JobState.GONE:
            self.settle(job, answer)
        elif (request := folder.requested()) is not None:
            self._insist(job, request)

    def settle(self, job: Job, answer: Answer, *, again: bool = True) -> None:
        """Writes the end of an attempt whose process is gone, unless the process has written it.

        Args:
            again: whether another attempt may succeed. The run is then put back in the queue, as often as the executor
                allows for workers that get lost through no fault of the run.
        """
        folder = RunFolder(job.run_dir)
        lock = folder.lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return  # a process is training it after all
        try:
            end = folder.end()
            if end is None or end["attempt"] < job.attempt:
                state, reason = _how_it_ended(folder, job, answer)
                folder.write_end(state, job.attempt, reason=reason)
                folder.dequeue()
                folder.clear_request()
                if again and state in (RunState.INTERRUPTED, RunState.FAILED) and job.attempt <= self._executor.retries:
                    folder.enqueue(self._store.last_place() + 1)
        finally:
            lock.release()
        self._forget(job)
        self._store.refresh(folder)

    def _insist(self, job: Job, request: Request) -> None:
        """Ends a run that does not respond: with SIGTERM after the grace period, with SIGKILL after a second one."""
        waited = time.monotonic() - self._request_times.setdefault(job, time.monotonic())
        signals = self._signals.get(job, 0)
        if waited > self._grace * (signals + 1):
            self._signals[job] = signals + 1
            _log.warning("%s has not responded to the request to %s for %.0f s", job.run_dir.name, request, waited)
            self._executor.cancel(job, force=signals > 0)

    def _forget(self, job: Job) -> None:
        self._request_times.pop(job, None)
        self._signals.pop(job, None)


def _how_it_ended(folder: RunFolder, job: Job, answer: Answer) -> tuple[RunState, str]:
    """(state, reason) of an attempt that did not write its end."""
    request, owner = folder.requested(), folder.owner()
    if request is not None:
        return (RunState.PAUSED if request == "pause" else RunState.STOPPED), "its process did not respond and was killed"
    if owner is not None and owner["attempt"] >= job.attempt:
        if answer.detail:
            return RunState.INTERRUPTED, f"{answer.detail}; it can be resumed"
        return RunState.INTERRUPTED, ended_unexpectedly(folder.config)
    return RunState.FAILED, f"the worker could not start: {answer.detail or 'its process is gone'}"
