"""Trains in a child process that has torch loaded already: a run begins at once, and a crash ends one run, not the app.

The child is started by `subprocess` (`multiprocessing` would run the app's script again) in its own session: it finishes
its run when the app ends, and the next app adopts the run from its folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from queue import Queue
from typing import Any

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState, ask_folder
from attnlab.runs.errors import RunRefused
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import is_locked, send_signal
from attnlab.training.budget import SPEED, Speed
from attnlab.worker.session import NEEDS_LESS
from attnlab.worker.timing import Tell

_CLOSE_SECONDS = 2.0
_SPARE_SECONDS = 120.0
"""A process that has timed a run while another trains is kept for so long: in a class somebody asks again soon, and loading
torch costs more than timing. It holds half a gigabyte, so it does not stay longer.
"""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


class WorkerProcessExecutor:
    """Jobs in warm child processes, one at a time in each.

    Args:
        slots: number of processes.
    """

    retries = 0
    trouble = ""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._children: dict[Job, _Child] = {}

    def admit(self, config: RunConfig) -> None:
        """Admits every run; one that this machine cannot train fails with the reason."""

    def warm(self) -> None:
        with self._lock:
            self._collect_idle()
            if not self._idle and not self._children:
                self._idle.append(_Child())

    def start(self, job: Job) -> None:
        with self._lock:
            self._collect_idle()
            child = self._idle.pop() if self._idle else _Child()
            self._children[job] = child
            child.begin(job)

    def poll(self, job: Job) -> Answer:
        with self._lock:
            child = self._children.get(job)
            self._collect_idle()
        if child is not None and child.job == job:
            code = child.process.poll()
            if code is None:
                return Answer(JobState.RUNNING if is_locked(RunFolder(job.run_dir).lock_path) else JobState.PENDING)
            return Answer(JobState.GONE, _how_it_ended(code, child))
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

    def measure(self, config: RunConfig, tell: Tell, *, seconds: float = 1.5) -> Speed:
        with self._lock:
            self._collect_idle()
            child = self._idle.pop() if self._idle else _Child()
        try:
            speed = child.measure(config, tell, seconds)
        except BaseException:
            if not child.answered:
                child.process.kill()  # it would go on measuring, and somebody else's run would wait for it
            raise
        finally:
            with self._lock:
                keep = child.answered and child.reusable and not self._idle
                if keep:
                    child.idle_since = time.monotonic()
                    self._idle.append(child)
            if not keep:
                child.release()  # it may take a while to end, and the queue asks for the lock in each round
        return speed

    def close(self) -> None:
        with self._lock:
            for child in [*self._idle, *self._children.values()]:
                child.release()
            self._idle.clear()
            self._children.clear()

    def _collect_idle(self) -> None:
        """Makes children that have finished their job idle again, and drops dead ones and those that nobody needs."""
        now = time.monotonic()
        for job, child in list(self._children.items()):
            if child.job != job:
                del self._children[job]
                if child.reusable and child.process.poll() is None:
                    child.idle_since = now
                    self._idle.append(child)
        self._idle = [child for child in self._idle if child.process.poll() is None]
        spare = len(self._idle) + len(self._children) - self.slots
        for child in [child for child in self._idle if now > child.idle_since + _SPARE_SECONDS][: max(0, spare)]:
            self._idle.remove(child)
            child.end_soon()


class _Child:
    """A worker process (`attnlab.worker.main`). Two threads read its replies and its error output."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.idle_since = 0.0
        self.reusable = True
        self.answered = True
        """Whether it has answered what it was asked to measure."""
        self._answers: Queue[dict[str, Any] | None] = Queue()
        self.last_error_line = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "attnlab.worker.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths.python_path()},
            start_new_session=True,
        )
        threading.Thread(target=self._read_replies, name="attnlab-replies", daemon=True).start()
        threading.Thread(target=self._read_errors, name="attnlab-stderr", daemon=True).start()

    def begin(self, job: Job) -> None:
        self.job = job
        self._send({"run": str(job.run_dir), "attempt": job.attempt})

    def measure(self, config: RunConfig, tell: Tell, seconds: float) -> Speed:
        """
        Raises:
            RunRefused: with the reason of the worker, or because it died.
        """
        self.answered = False
        tell("starting a worker", 0.0)
        self._send({"time": config.model_dump(mode="json"), "seconds": seconds})
        while (answer := self._answers.get()) is not None:
            if "doing" in answer:
                tell(answer["doing"], answer["done"])
                continue
            self.answered, self.reusable = True, answer["reusable"]
            if "refused" in answer:
                raise RunRefused(answer["refused"])
            return SPEED.validate_python(answer["speed"])
        raise RunRefused(f"the time could not be measured: {_how_it_ended(self.process.wait(), self)}")

    def _send(self, tree: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has just died; the next poll, or the end of its answers, reports that
            self.process.stdin.write(json.dumps(tree).encode() + b"\n")
            self.process.stdin.flush()

    def end_soon(self) -> None:
        """Closes the input of the process, so that it ends after its job."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def release(self) -> None:
        """As `end_soon`, and waits for an idle process to end."""
        self.end_soon()
        if self.job is None:
            try:
                self.process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _read_replies(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            reply = json.loads(line)
            if "done" in reply and self.job is not None:
                self.reusable = reply["reusable"]
                self.job = None
            else:
                self._answers.put(reply)
        self._answers.put(None)

    def _read_errors(self) -> None:
        """Remembers the last line that was printed outside a run: it may say why the process died."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.last_error_line = line.decode(errors="replace").strip() or self.last_error_line


def _how_it_ended(code: int, child: _Child) -> str:
    if code < 0:
        number = signal.Signals(-code)
        killed = f"its process was killed by signal {-code} ({number.name})"
        if number is signal.SIGKILL:
            return f"{killed}, often for lack of memory: {NEEDS_LESS}"
        return f"{killed}: a library crashed, log.txt of the run says where" if number in _CRASHES else killed
    return f"its process ended with exit code {code}" + (f": {child.last_error_line}" if child.last_error_line else "")
