"""Keeps a process with torch loaded, so that a run begins at once and a crash ends one run, not the app.

The process is a plain child by `subprocess` (`multiprocessing` would run the app's script again) in a session of its
own: it finishes its run when the app ends, and a new app takes the run up from its folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState, ask_folder
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import is_locked, send_signal

_CLOSE_SECONDS = 2.0


class WorkerProcessExecutor:
    """Jobs in warm child processes, one at a time in each.

    Args:
        slots: processes.
    """

    retries = 0
    trouble = ""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._children: dict[Job, _Child] = {}

    def admit(self, config: RunConfig) -> None:
        """What this machine lacks is said by the run itself."""

    def warm(self) -> None:
        with self._lock:
            self._sort_out()
            if not self._idle and not self._children:
                self._idle.append(_Child())

    def start(self, job: Job) -> None:
        with self._lock:
            self._sort_out()
            child = self._idle.pop() if self._idle else _Child()
            self._children[job] = child
            child.begin(job)

    def poll(self, job: Job) -> Answer:
        with self._lock:
            child = self._children.get(job)
            self._sort_out()
        if child is not None and child.job == job:
            code = child.process.poll()
            if code is None:
                return Answer(JobState.RUNNING if is_locked(RunFolder(job.run_dir).lock_path) else JobState.PENDING)
            return Answer(JobState.GONE, _ending(code, child))
        return ask_folder(job)

    def cancel(self, job: Job, *, force: bool = False) -> None:
        number = signal.SIGKILL if force else signal.SIGTERM
        with self._lock:
            child = self._children.get(job)
        if child is not None and child.job == job:
            child.process.send_signal(number)
        else:
            owner = RunFolder(job.run_dir).owner()
            if owner is not None and owner["attempt"] == job.attempt and owner["process"]["pid"] != os.getpid():
                send_signal(owner["process"], number)

    def close(self) -> None:
        with self._lock:
            for child in [*self._idle, *self._children.values()]:
                child.let_go()
            self._idle.clear()
            self._children.clear()

    def _sort_out(self) -> None:
        """Children that finished their job are idle again; dead ones are dropped with the next job of theirs."""
        for job, child in list(self._children.items()):
            if child.job != job:
                del self._children[job]
                if child.reusable and child.process.poll() is None:
                    self._idle.append(child)
        self._idle = [child for child in self._idle if child.process.poll() is None]


class _Child:
    """A worker process. It prints a line of JSON when a job is done; a thread of ours reads them."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.reusable = True
        self.last_words = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "attnlab.worker.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths.python_path()},
            start_new_session=True,
        )
        threading.Thread(target=self._listen, name="attnlab-listen", daemon=True).start()
        threading.Thread(target=self._hear, name="attnlab-stderr", daemon=True).start()

    def begin(self, job: Job) -> None:
        assert self.process.stdin is not None
        self.job = job
        with suppress(BrokenPipeError):  # it has just died; the next poll says so
            self.process.stdin.write(json.dumps({"run": str(job.run_dir), "attempt": job.attempt}).encode() + b"\n")
            self.process.stdin.flush()

    def let_go(self) -> None:
        """Without its input the process ends when its job is done. An idle one is waited for."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.job is None:
            try:
                self.process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.reusable = json.loads(line)["reusable"]
            self.job = None

    def _hear(self) -> None:
        """What it prints outside a run is kept for the sentence that says why it died."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.last_words = line.decode(errors="replace").strip() or self.last_words


def _ending(code: int, child: _Child) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by signal {-code} ({name})" + (", often for lack of memory" if code == -9 else "")
    return f"its process ended with code {code}" + (f": {child.last_words}" if child.last_words else "")
