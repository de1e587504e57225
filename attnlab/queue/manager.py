"""The thread that keeps the queue: starts runs, follows them, ends those that do not heed, takes their metrics in.

There is one for each home in a process, and of all processes only the one that holds the home's lock does the work;
the others leave requests in the run folders, where it finds them, and take over when it is gone. Whoever takes over,
also after a restart, adopts the runs that are still at work and marks those whose process died as interrupted.
Nothing here imports torch, and nothing calls the user interface.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from filelock import Timeout

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Executor, Job, JobState
from attnlab.queue.follower import AT_WORK, GRACE_SECONDS, Follower
from attnlab.runs.errors import FolderError, RequestRefused
from attnlab.runs.files import disk_full, read_json, write_json
from attnlab.runs.folder import Request, RunFolder
from attnlab.runs.ownership import identity
from attnlab.runs.records import RunRecord, RunState
from attnlab.runs.store import Store, home_lock

_log = logging.getLogger(__name__)

_LIVE_TICK, _IDLE_TICK, _TAKE_OVER_TICK = 0.2, 1.0, 2.0


class Manager:
    """Queue and runs of a home. Every method may be called from any thread and returns at once, but for `wait`.

    Args:
        home: as `attnlab.paths.home`.
        executor: what starts the worker.
        feeders: called with the manager on every round, in this order; each may hand further runs to the queue.
        grace: seconds, see `GRACE_SECONDS`.

    Attributes:
        store: for reading.
        trouble: what keeps the queue from going on (a full disk), in a sentence; empty when nothing does.
    """

    def __init__(
        self,
        home: Path,
        executor: Executor,
        *,
        feeders: Sequence[Callable[[Manager], None]] = (),
        grace: float = GRACE_SECONDS,
    ) -> None:
        self.home = home
        self.executor = executor
        self._feeders = tuple(feeders)
        self.grace = grace
        self.trouble = ""
        self._home_lock = home_lock(home)
        self.lock = threading.RLock()
        """Held while the queue is looked at and changed, so that nothing is handed over of what was just paused."""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.store = Store(home, write=self._take_home())
        self._follower = Follower(self.store, executor, grace)
        if self.keeps_queue:
            self._recover()
        self._thread = threading.Thread(target=self._loop, name="attnlab-manager", daemon=True)
        self._thread.start()

    @property
    def keeps_queue(self) -> bool:
        """Whether this process runs the queue of the home; another does otherwise."""
        return self._home_lock.is_locked

    @property
    def keeper(self) -> str:
        """Who runs the queue, in words."""
        if self.keeps_queue:
            return "this process runs the queue"
        who = read_json(self.home / "keeper.json") or {}
        return f"another process ({who.get('pid', 'unknown')}) runs the queue of {self.home}; what you ask for is handed to it"

    # Asking for runs

    def submit(self, config: RunConfig, title: str = "", note: str = "") -> str:
        """Puts a run at the end of the queue. Returns its run id.

        Raises:
            RunRefused: when it asks for what the executor will never have.
        """
        self.executor.admit(config)
        return self.enqueue(config, title, note)

    def enqueue(self, config: RunConfig, title: str = "", note: str = "") -> str:
        """As `submit`, for a run that was admitted before."""
        with self.lock:
            folder = RunFolder.create(self.store.runs_path, config, title=title, note=note, queued=self.store.last_place() + 1)
            self._took(folder)
            return folder.run_id

    def submit_many(self, config: RunConfig, seeds: Iterable[int], title: str = "") -> list[str]:
        """One run for each seed, in that order."""
        return [self.submit(config.changed(seed=seed), title) for seed in seeds]

    def adopt(self, folder: RunFolder) -> str:
        """Shows at once a run that was made beside the queue, as an opened checkpoint is. Returns its run id."""
        with self.lock:
            self._took(folder)
            return folder.run_id

    def stop(self, run_id: str) -> None:
        """Ends a run after the step at hand, with a checkpoint; takes a waiting one from the queue.

        Raises:
            RequestRefused: when it is over.
        """
        self._request(run_id, "stop")

    def pause(self, run_id: str) -> None:
        """As `stop`; the run then counts as paused and the queue goes on with the next.

        Raises:
            RequestRefused: when it is over.
        """
        self._request(run_id, "pause")

    def resume(self, run_id: str) -> None:
        """Puts a run that was paused, stopped, interrupted or has failed at the end of the queue; it goes on where it was.

        Raises:
            RequestRefused: when it is live or finished, or shipped.
        """
        with self.lock:
            folder = self._own(run_id)
            state = self._state(folder)
            if not state.resumable:
                raise RequestRefused(f"{run_id} is {state}; only a paused, stopped, interrupted or failed run can be resumed")
            folder.enqueue(self.store.last_place() + 1)
            self._took(folder)

    def rename(self, run_id: str, title: str) -> None:
        """Changes what the run is called; an empty title brings back the run id."""
        with self.lock:
            folder = self._own(run_id)
            folder.describe(title=title.strip())
            self._took(folder)

    def annotate(self, run_id: str, note: str) -> None:
        """Changes the note."""
        with self.lock:
            folder = self._own(run_id)
            folder.describe(note=note)
            self._took(folder)

    def delete(self, run_id: str) -> None:
        """Removes a run and all its files.

        Raises:
            RequestRefused: while it is at work, or when it is shipped.
        """
        with self.lock:
            folder = self._own(run_id)
            state = self._state(folder)
            lock = folder.lock()
            try:
                lock.acquire(timeout=0)
            except Timeout:
                state = RunState.RUNNING
            if state in AT_WORK:
                lock.release()
                raise RequestRefused(f"{run_id} is {state}; stop it before you delete it")
            try:
                folder.remove()
            finally:
                lock.release()
            if self.keeps_queue:
                self.store.forget(run_id)

    def move(self, run_id: str, position: int) -> None:
        """Gives a waiting run a place in the queue; 1 is next.

        Raises:
            RequestRefused: when it does not wait.
        """
        with self.lock:
            waiting = [record.run_id for record in self.queue()]
            if run_id not in waiting:
                raise RequestRefused(f"{run_id} is not in the queue")
            waiting.remove(run_id)
            waiting.insert(max(0, position - 1), run_id)
            for order, waiting_id in enumerate(waiting):
                folder = self._own(waiting_id)
                folder.enqueue(float(order))
                self._took(folder)

    # Looking

    def runs(self) -> list[RunRecord]:
        """All runs, newest first, the shipped ones last."""
        return self.store.runs()

    def get(self, run_id: str) -> RunRecord:
        """One run.

        Raises:
            UnknownRun: when there is none of this name.
        """
        return self.store.get(run_id)

    def live(self) -> list[RunRecord]:
        """Runs at work, then those that wait, in the queue's order."""
        records = [record for record in self.runs() if record.state.live and not record.demo]
        return sorted(records, key=lambda record: (record.queue_position or 0, record.created))

    def queue(self) -> list[RunRecord]:
        """Runs that wait, the next one first."""
        return [record for record in self.live() if record.state is RunState.QUEUED]

    def wait(self, run_id: str, timeout: float, *states: RunState) -> RunRecord:
        """Blocks until the run is no longer live, or in one of ``states`` if any are given.

        Raises:
            TimeoutError: saying in which state it still is.
        """
        deadline = time.monotonic() + timeout
        while True:
            record = self.get(run_id)
            if record.state in states if states else not record.state.live:
                return record
            if time.monotonic() > deadline:
                raise TimeoutError(f"{run_id} is still {record.state} (step {record.step}) after {timeout:g} s")
            time.sleep(0.02)

    # Life

    def wake(self) -> None:
        """Has the thread look at once, after something was changed beside the queue."""
        self._wake.set()

    def change_executor(self, executor: Executor) -> None:
        """Trains from now on elsewhere.

        Raises:
            RequestRefused: while runs are at work, or where another process runs the queue.
        """
        with self.lock:
            if not self.keeps_queue:
                raise RequestRefused(f"{self.keeper}; change it there")
            if at_work := self.store.in_states(*AT_WORK):
                raise RequestRefused(f"{len(at_work)} runs are at work; pause them, or wait until they have ended")
            self.executor.close()
            self.executor = executor
            self._follower = Follower(self.store, executor, self.grace)
            self._wake.set()

    def warm(self) -> None:
        """Makes the worker ready, so that the next run begins at once."""
        if self.keeps_queue:
            self.executor.warm()

    def shutdown(self) -> None:
        """Ends the thread and what is idle, and lets go of the home. Runs at work go on; the next manager adopts them."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        with self.lock:
            self.executor.close()
            self.store.close()
            self._home_lock.release()

    def tick(self) -> None:
        """One round: look, follow, start. The thread does it all the time; a test may do it by hand."""
        with self.lock:
            self.store.sync()
            for record in self.store.in_states(RunState.QUEUED):
                folder = RunFolder(record.folder)
                if (asked := folder.requested()) is not None:
                    self._take_out(folder, asked)
            for record in self.store.in_states(*AT_WORK):
                self._follower.follow(record)
            for feed in self._feeders:
                feed(self)
            self._start_next()

    def _loop(self) -> None:
        while not self._closing.is_set():
            try:
                if self.keeps_queue:
                    self.tick()
                    pause = _LIVE_TICK if self.store.in_states(*AT_WORK) else _IDLE_TICK
                else:
                    pause = _TAKE_OVER_TICK
                    self._try_to_take_over()
                self.trouble = self.executor.trouble if self.keeps_queue else ""
            except (OSError, sqlite3.Error, FolderError) as error:
                pause = _IDLE_TICK
                full = disk_full(self.home)
                trouble = "the disk is full; the queue waits until there is space" if full else f"the queue waits: {error}"
                if trouble != self.trouble:
                    _log.warning("%s", trouble, exc_info=error)
                self.trouble = trouble
            except Exception as error:
                self.trouble = f"the queue has ended by an error of the program; restart the app ({error!r})"
                raise
            self._wake.wait(pause)
            self._wake.clear()

    def _take_home(self) -> bool:
        try:
            self._home_lock.acquire(timeout=0)
        except Timeout:
            return False
        write_json(self.home / "keeper.json", {"pid": os.getpid(), "process": identity()})
        return True

    def _try_to_take_over(self) -> None:
        with self.lock:
            if self._take_home():
                self.store.keep_index()
                self._recover()

    def _recover(self) -> None:
        """What was at work when the last keeper went is now what its files say."""
        self.store.index.forget_work()
        self.store.sync()

    def _request(self, run_id: str, what: Request) -> None:
        with self.lock:
            folder = self._own(run_id)
            state = self._state(folder)
            if not state.live:
                raise RequestRefused(f"{run_id} is {state}; there is nothing to {what}")
            folder.request(what)
            if state is RunState.QUEUED and self.keeps_queue:
                self._take_out(folder, what)
            self._wake.set()

    def _take_out(self, folder: RunFolder, asked: Request) -> None:
        """A run leaves the queue without having been started."""
        owner = folder.owner()
        state = RunState.PAUSED if asked == "pause" else RunState.STOPPED
        folder.write_end(state, owner["attempt"] if owner else 0, reason="taken out of the queue")
        folder.dequeue()
        folder.clear_request()
        self.store.refresh(folder)

    def _took(self, folder: RunFolder) -> None:
        """Shows at once what was changed in a folder, where this process keeps the index."""
        if self.keeps_queue:
            self.store.refresh(folder)
        self._wake.set()

    def _state(self, folder: RunFolder) -> RunState:
        """The state now. Only the index of who keeps the queue knows that a run is being started."""
        if not self.keeps_queue:
            return folder.observe().state
        self.store.refresh(folder)
        return self.store.get(folder.run_id).state

    def _own(self, run_id: str) -> RunFolder:
        folder = self.store.folder(run_id)
        if folder.path.parent != self.store.runs_path:
            raise RequestRefused(f"{run_id} is a shipped run; it can only be looked at")
        return folder

    def _start_next(self) -> None:
        free = self.executor.slots - len(self.store.in_states(*AT_WORK))
        for record in self.store.in_states(RunState.QUEUED)[: max(0, free)]:
            job = Job(record.folder, record.attempt + 1)
            if self.store.index.change(
                record.run_id,
                RunState.STARTING,
                attempt=record.attempt,
                expected=(RunState.QUEUED,),
                new_attempt=job.attempt,
            ):
                try:
                    self.executor.start(job)
                except OSError as error:
                    self._follower.settle(job, Answer(JobState.GONE, f"no worker could be started: {error}"), again=False)
