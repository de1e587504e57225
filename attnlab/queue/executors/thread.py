"""Trains in a thread of this process."""

from __future__ import annotations

import threading

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState, ask_folder
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.training.budget import Speed
from attnlab.worker.timing import Tell

_SPARE_SECONDS = 3.0
"""How long the process that has measured stays: a machine with this executor has hardly room for it."""


class ThreadExecutor:
    """One job at a time, in a thread of this process. For machines too small for a second process, and for tests."""

    slots = 1
    retries = 0
    trouble = ""

    def __init__(self) -> None:
        self._threads: dict[Job, threading.Thread] = {}
        self._measuring = WorkerProcessExecutor()
        self._measured: threading.Timer | None = None

    def admit(self, config: RunConfig) -> None:
        """Admits every run; one that this machine cannot train fails with the reason."""

    def warm(self) -> None:
        from attnlab.worker.session import load

        threading.Thread(target=load, name="attnlab-warm", daemon=True).start()

    def start(self, job: Job) -> None:
        from attnlab.worker.session import run

        thread = threading.Thread(target=run, args=(job.run_dir,), kwargs={"attempt": job.attempt}, daemon=True)
        thread.name = f"attnlab-run-{job.run_dir.name}"
        self._threads = {other: thread for other, thread in self._threads.items() if thread.is_alive()} | {job: thread}
        thread.start()

    def poll(self, job: Job) -> Answer:
        thread = self._threads.get(job)
        if thread is not None and thread.is_alive():
            return Answer(JobState.RUNNING)
        return ask_folder(job)

    def cancel(self, job: Job, *, force: bool = False) -> None:
        """Does nothing: a thread cannot be ended from outside, only asked to stop by the request in the folder."""

    def measure(self, config: RunConfig, tell: Tell, *, seconds: float = 1.5) -> Speed:
        """In a process all the same: a second training in this one would draw from the random numbers of the run's.

        It stays for a moment, since the rows of a table are measured one after the other.
        """
        if self._measured is not None:
            self._measured.cancel()
        try:
            return self._measuring.measure(config, tell, seconds=seconds)
        finally:
            self._measured = threading.Timer(_SPARE_SECONDS, self._measuring.close)
            self._measured.daemon = True
            self._measured.start()

    def close(self) -> None:
        if self._measured is not None:
            self._measured.cancel()
        self._measuring.close()
