"""Trains in this process. For machines where a second process does not fit, and for tests."""

from __future__ import annotations

import threading

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState, ask_folder


class ThreadExecutor:
    """Jobs in a thread of this process, one at a time. For machines where a second process does not fit, and tests."""

    slots = 1
    retries = 0
    trouble = ""

    def __init__(self) -> None:
        self._threads: dict[Job, threading.Thread] = {}

    def admit(self, config: RunConfig) -> None:
        """As for `attnlab.queue.executors.process.WorkerProcessExecutor`."""

    def warm(self) -> None:
        from attnlab.worker.main import load

        threading.Thread(target=load, name="attnlab-warm", daemon=True).start()

    def start(self, job: Job) -> None:
        from attnlab.worker.main import run

        thread = threading.Thread(target=run, args=(job.run_dir,), kwargs={"attempt": job.attempt}, daemon=True)
        thread.name = f"attnlab-run-{job.run_dir.name}"
        self._threads = {known: thread for known, thread in self._threads.items() if thread.is_alive()} | {job: thread}
        thread.start()

    def poll(self, job: Job) -> Answer:
        thread = self._threads.get(job)
        if thread is not None and thread.is_alive():
            return Answer(JobState.RUNNING)
        return ask_folder(job)

    def cancel(self, job: Job, *, force: bool = False) -> None:
        """A thread cannot be ended from outside; the request in the folder is all there is."""

    def close(self) -> None:
        """Nothing is kept."""
