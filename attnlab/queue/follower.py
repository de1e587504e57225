"""Follows the runs at work: takes in what they tell, ends those that do not heed, writes the end of those that died."""

from __future__ import annotations

import logging
import time

from filelock import Timeout

from attnlab.queue.executors.base import Answer, Executor, Job, JobState
from attnlab.runs.folder import Request, RunFolder
from attnlab.runs.records import RunRecord, RunState
from attnlab.runs.store import Store

_log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""How long a run may take to heed a request to stop before it gets SIGTERM; as long again before SIGKILL."""

AT_WORK = (RunState.STARTING, RunState.RUNNING)


class Follower:
    """Looks after runs that a worker has, or had. For the thread that keeps the queue alone.

    Args:
        grace: seconds by this process's monotonic clock, see `GRACE_SECONDS`.
    """

    def __init__(self, store: Store, executor: Executor, grace: float) -> None:
        self._store = store
        self._executor = executor
        self._grace = grace
        self._asked: dict[Job, float] = {}
        self._signals: dict[Job, int] = {}

    def follow(self, record: RunRecord) -> None:
        """One look at a run at work."""
        folder = RunFolder(record.folder)
        self._store.refresh(folder)
        job = Job(record.folder, record.attempt)
        end = folder.end()
        if end is not None and end["attempt"] >= record.attempt:
            self._forget(job)
            return
        answer = self._executor.poll(job)
        if answer.state is JobState.GONE:
            self.settle(job, answer)
        elif (asked := folder.requested()) is not None:
            self._insist(job, asked)

    def settle(self, job: Job, answer: Answer, *, again: bool = True) -> None:
        """Writes the end of an attempt whose process is gone, unless it did so itself.

        Args:
            again: the next attempt may go better. Where the executor's workers get lost by no fault of the run, it is
                put back into the queue, as often as the executor says.
        """
        folder = RunFolder(job.run_dir)
        lock = folder.lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return  # somebody works on it after all
        try:
            end = folder.end()
            if end is None or end["attempt"] < job.attempt:
                state, reason = _fate(folder, job, answer)
                folder.write_end(state, job.attempt, reason=reason)
                folder.dequeue()
                folder.clear_request()
                if again and state in (RunState.INTERRUPTED, RunState.FAILED) and job.attempt <= self._executor.retries:
                    folder.enqueue(self._store.last_place() + 1)
        finally:
            lock.release()
        self._forget(job)
        self._store.refresh(folder)

    def _insist(self, job: Job, asked: Request) -> None:
        """A run that does not heed is ended after the grace, first politely."""
        since = time.monotonic() - self._asked.setdefault(job, time.monotonic())
        sent = self._signals.get(job, 0)
        if since > self._grace * (sent + 1):
            self._signals[job] = sent + 1
            _log.warning("%s does not heed the request to %s for %.0f s", job.run_dir.name, asked, since)
            self._executor.cancel(job, force=sent > 0)

    def _forget(self, job: Job) -> None:
        self._asked.pop(job, None)
        self._signals.pop(job, None)


def _fate(folder: RunFolder, job: Job, answer: Answer) -> tuple[RunState, str]:
    """What became of an attempt that ended without a word."""
    asked, owner = folder.requested(), folder.owner()
    if asked is not None:
        return (RunState.PAUSED if asked == "pause" else RunState.STOPPED), "it had to be ended by force"
    if owner is not None and owner["attempt"] >= job.attempt:
        return RunState.INTERRUPTED, f"{answer.detail or 'its process ended without a word'}; it can be resumed"
    return RunState.FAILED, f"the worker could not start: {answer.detail or 'its process is gone'}"
