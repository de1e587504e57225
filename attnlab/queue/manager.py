"""The manager: the queue of a home, run by a background thread that starts runs and follows them.

Each process has one manager per home, but only the process that holds the home's lock runs the queue: it *owns* the
queue. The others leave their requests in the run folders, where the owner finds them, and one of them takes over when
the owner is gone. The new owner, also after a restart, adopts runs that are still being trained and marks those whose
process died as interrupted. Nothing here imports torch or calls the user interface.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from attnlab.config import RunConfig
from attnlab.files import disk_full, require_space, why_not_written
from attnlab.queue.executors.base import Answer, Executor, Job, JobState
from attnlab.queue.follower import ACTIVE, GRACE_SECONDS, Follower
from attnlab.runs.bin import Bin, Deleted
from attnlab.runs.errors import FolderError, RequestRefused, RunRefused
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import Request, RunFolder, clear_left_behind, refuse_recorded
from attnlab.runs.ownership import folder_lock, identity
from attnlab.runs.records import RunRecord, RunState
from attnlab.runs.store import Store

_log = logging.getLogger(__name__)

_ACTIVE_SECONDS, _IDLE_SECONDS, _TAKE_OVER_SECONDS = 0.2, 1.0, 2.0
"""Between two rounds: while runs are active, while none is, and while another process owns the queue."""

_READ_AT_ONCE = 200
"""Run folders that are read in one round, so that a request never waits longer than that."""
_RETURN_SECONDS = 10.0

_OWNER_FILE = "queue_owner.json"


class Manager:
    """The queue and the runs of a home. Any thread may call any method; all return at once, except `wait` and `shutdown`.

    Args:
        home: as `attnlab.paths.home`.
        executor: starts the workers.
        feeders: called with the manager in every round, in this order; each may add runs to the queue.
        grace: in seconds, see `GRACE_SECONDS`.

    Attributes:
        store: for reading.
        bin: the deleted runs.
        trouble: why the queue cannot go on (for example a full disk), in a sentence; empty when it can.
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
        self.bin = Bin(home)
        self._home_lock = folder_lock(home / "lock")
        self.lock = threading.RLock()
        """Held while the queue is read and changed, so that no run is started that was paused a moment ago."""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._complete = False
        """Whether the index holds every run; before, a grid could start a cell again that has been trained."""
        self._return_at = 0.0
        self.store = Store(home, write=False)
        self._follower = Follower(self.store, executor, grace)
        self._carefully(self._take_over)
        self._thread = threading.Thread(target=self._loop, name="attnlab-manager", daemon=True)
        self._thread.start()

    @property
    def owns_queue(self) -> bool:
        """Whether this process runs the queue of the home; otherwise another one does."""
        return self._home_lock.is_locked

    @property
    def queue_owner(self) -> str:
        """Which process runs the queue, in words."""
        if self.owns_queue:
            return "this process runs the queue"
        try:
            pid = (read_json(self.home / _OWNER_FILE) or {}).get("pid", "unknown")
        except FolderError:
            pid = "unknown"
        return f"another process ({pid}) runs the queue of {self.home}; your requests are passed on to it"

    # Requests

    def submit(self, config: RunConfig, title: str = "", note: str = "", *, owner: str = "") -> str:
        """Puts a new run at the end of the queue. Returns its run id.

        Args:
            owner: see `RunFolder.create`.

        Raises:
            RunRefused: when the executor could never train it.
        """
        self.executor.admit(config)
        return self.enqueue(config, title, note, owner=owner)

    def enqueue(self, config: RunConfig, title: str = "", note: str = "", *, owner: str = "") -> str:
        """Like `submit`, without asking the executor again whether it could train the run."""
        with self._changing():
            place = self.store.last_place() + 1
            about: dict[str, Any] = {"title": title, "note": note, "owner": owner, "queued": place}
            folder = RunFolder.create(self.store.runs_path, config, after=self.store.newest(), **about)
            self._folder_changed(folder)
            return folder.run_id

    def submit_many(
        self, config: RunConfig, seeds: Iterable[int], title: str = "", note: str = "", *, owner: str = ""
    ) -> list[str]:
        """One run per seed, in that order. Returns their run ids.

        Raises:
            RunRefused: when the executor could never train one of them.
            RequestRefused: when one of them cannot be written; none of them is queued then.
        """
        run_ids: list[str] = []
        try:
            for seed in seeds:
                run_ids.append(self.submit(config.changed(seed=seed), title, note, owner=owner))
        except (RunRefused, RequestRefused):
            for run_id in run_ids:
                self._own_folder(run_id).remove()
                self.wake()
            raise
        return run_ids

    def adopt(self, folder: RunFolder) -> str:
        """Adds a run that did not go through the queue, such as an opened checkpoint, to the index. Returns its run id."""
        with self._changing():
            self._folder_changed(folder)
            return folder.run_id

    def stop(self, run_id: str) -> None:
        """Ends a run after its current step, with a checkpoint; removes a waiting one from the queue.

        Raises:
            RequestRefused: when it has already ended.
        """
        self._request(run_id, "stop")

    def pause(self, run_id: str) -> None:
        """Like `stop`, but the run then counts as paused. The queue goes on with the next run.

        Raises:
            RequestRefused: when it has already ended.
        """
        self._request(run_id, "pause")

    def resume(self, run_id: str) -> None:
        """Puts a paused, stopped, interrupted or failed run at the end of the queue, to go on from its last checkpoint.

        Raises:
            RequestRefused: when it is live, finished or shipped.
        """
        with self._changing():
            folder = self._own_folder(run_id)
            state = self._state(folder)
            refuse_recorded(folder)
            if not state.resumable:
                raise RequestRefused(f"{run_id} is {state}; only a paused, stopped, interrupted or failed run can be resumed")
            folder.enqueue(self.store.last_place() + 1)
            self._folder_changed(folder)

    def rename(self, run_id: str, title: str) -> None:
        """Changes the title of a run; with an empty one it is called by its run id again."""
        with self._changing():
            folder = self._own_folder(run_id)
            folder.describe(title=title.strip())
            self._folder_changed(folder)

    def delete(self, run_id: str) -> None:
        """Moves a run with all its files to the bin, from where `restore` brings it back.

        Raises:
            RequestRefused: while it is starting or running, or when it is shipped.
            OSError: when it cannot be moved; it then stays as it was.
        """
        with self._changing():
            folder = self._own_folder(run_id)
            state = self._state(folder)
            lock = folder.lock()
            try:
                lock.acquire(timeout=0)
            except Timeout:
                state = RunState.RUNNING
            if state in ACTIVE:
                lock.release()
                raise RequestRefused(f"{run_id} is {state}; stop it before you delete it")
            try:
                folder.dequeue()
                self.bin.put(folder)
            finally:
                lock.release()
            if self.store.writes:
                self.store.forget(run_id)
            self.bin.empty()

    def deleted(self) -> list[Deleted]:
        """The runs in the bin, the last deleted first."""
        return self.bin.deleted()

    def restore(self, run_id: str) -> str:
        """Brings a deleted run back. Returns its run id, which is another one when its own has been taken since.

        Raises:
            RequestRefused: when the bin has none of this name.
        """
        with self._changing():
            shipped = [record.run_id for record in self.runs() if record.demo]
            folder = self.bin.restore(run_id, shipped)
            self._folder_changed(folder)
            return folder.run_id

    def move(self, run_id: str, position: int) -> None:
        """Moves a run within the queue; position 1 is next.

        Raises:
            RequestRefused: when it is not in the queue.
        """
        with self._changing():
            waiting = [record.run_id for record in self.queue()]
            if run_id not in waiting:
                raise RequestRefused(f"{run_id} is not in the queue")
            waiting.remove(run_id)
            waiting.insert(max(0, position - 1), run_id)
            for order, waiting_id in enumerate(waiting):
                folder = self._own_folder(waiting_id)
                folder.enqueue(float(order))
                self._folder_changed(folder)

    # Reading

    def runs(self) -> list[RunRecord]:
        """All runs, newest first, the shipped ones last."""
        return self.store.runs()

    def get(self, run_id: str) -> RunRecord:
        """One run.

        Raises:
            UnknownRun: when there is no run of this name.
        """
        return self.store.get(run_id)

    def live(self) -> list[RunRecord]:
        """Starting and running runs, then those that wait, in the order of the queue."""
        records = [record for record in self.runs() if record.state.live and not record.demo]
        return sorted(records, key=lambda record: (record.queue_position or 0, record.created))

    def queue(self) -> list[RunRecord]:
        """The runs that wait, the next one first."""
        return [record for record in self.live() if record.state is RunState.QUEUED]

    def wait(self, run_id: str, timeout: float, *states: RunState) -> RunRecord:
        """Blocks until the run is no longer live, or is in one of ``states`` if any are given.

        Raises:
            TimeoutError: when it takes longer than ``timeout`` seconds; the message names the state.
        """
        deadline = time.monotonic() + timeout
        while True:
            record = self.get(run_id)
            if record.state in states if states else not record.state.live:
                return record
            if time.monotonic() > deadline:
                raise TimeoutError(f"{run_id} is still {record.state} (step {record.step}) after {timeout:g} s")
            time.sleep(0.02)

    # The thread and its executor

    def wake(self) -> None:
        """Makes the thread look at the folders now, after something was changed in them directly."""
        self._wake.set()

    def change_executor(self, executor: Executor) -> None:
        """Trains later runs with another executor.

        Raises:
            RequestRefused: while runs are starting or running, or when another process runs the queue.
        """
        with self.lock:
            if not self.owns_queue:
                raise RequestRefused(f"{self.queue_owner}; change it there")
            if active := self._training():
                count = "1 run is" if len(active) == 1 else f"{len(active)} runs are"
                raise RequestRefused(f"{count} still training; pause them or wait until they have ended")
            self.executor.close()
            self.executor = executor
            self._follower = Follower(self.store, executor, self.grace)
            self._wake.set()

    def add_feeder(self, feeder: Callable[[Manager], None]) -> None:
        """Calls ``feeder`` too in every round, unless it is called already."""
        if feeder in self._feeders:  # asked by every page of every browser, so without waiting for a round to end
            return
        with self.lock:
            if feeder not in self._feeders:
                self._feeders = (*self._feeders, feeder)

    def warm(self) -> None:
        """Prepares a worker, so that the next run begins at once."""
        if self.owns_queue:
            self.executor.warm()

    def shutdown(self) -> None:
        """Ends the thread and idle workers, and releases the home. Active runs go on; the next manager adopts them."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        with self.lock:
            self.executor.close()
            self.store.close()
            self._home_lock.release()

    def tick(self) -> None:
        """One round of the thread: read the folders, follow active runs, start the next ones. Tests call it directly.

        What is wrong with one run does not keep the others from being followed.

        Raises:
            OSError: at the end of the round, when the disk is full or may not be written; nothing new was started then.
            sqlite3.Error: when the index cannot be read or written.
        """
        with self.lock:
            self._use_file_again()
            self._complete = self.store.follow(_READ_AT_ONCE)
        problems: list[OSError] = []
        with self.lock:
            for run_id in self.store.just_read:  # whoever asks from another process changes the folder
                record = self.store.known(run_id)
                if record is not None and record.state is RunState.QUEUED:
                    with self._apart(record, problems):
                        self._was_asked_to_leave(RunFolder(record.folder))
            for record in self.store.in_states(*ACTIVE):
                with self._apart(record, problems):
                    self._follower.follow(record)
            if problems:
                raise problems[0]
            require_space(self.home, 0)
            if self._complete:
                for feed in self._feeders:
                    feed(self)
            self._start_next()

    def _loop(self) -> None:
        while not self._closing.is_set():
            pause = _IDLE_SECONDS
            if self._carefully(self._round):
                active = self.owns_queue and self.store.in_states(*ACTIVE)
                pause = _ACTIVE_SECONDS if active else _IDLE_SECONDS if self.owns_queue else _TAKE_OVER_SECONDS
            if self._complete or not self.store.writes:
                self._wake.wait(pause)
                self._wake.clear()

    def _round(self) -> None:
        if not self.owns_queue:
            if self.store.writes:  # in memory, since the home cannot be written
                self._complete = self.store.follow(_READ_AT_ONCE)
            self._take_over()
        if self.owns_queue:
            self.tick()

    def _carefully(self, act: Callable[[], None]) -> bool:
        """Calls ``act``; what goes wrong becomes `trouble`, and the next round tries again. Returns whether all went well."""
        try:
            act()
        except sqlite3.Error as error:
            self.store.keep_index_in_memory()
            trouble = f"The index of the runs cannot be used ({error}); it is kept in memory for now."
        except OSError as error:
            if not self.owns_queue and not self.store.writes:
                self.store.keep_index_in_memory()
            trouble = f"The queue waits: {why_not_written(error, self.home)}."
        except FolderError as error:
            trouble = f"The queue waits: {error}."
        except Exception as error:
            _log.exception("the queue met an internal error")
            trouble = f"The queue met an internal error and tries again ({error!r})."
        else:
            self.trouble = self.executor.trouble if self.owns_queue else ""
            return True
        if trouble != self.trouble:
            _log.warning("%s", trouble)
        self.trouble = trouble
        return False

    @contextmanager
    def _apart(self, record: RunRecord, problems: list[OSError]) -> Iterator[None]:
        """Keeps what is wrong with one run from the others. A run whose files cannot be used is left out with the reason."""
        try:
            yield
        except FolderError:
            self.store.refresh(RunFolder(record.folder))
        except OSError as error:
            if record.folder.exists():
                problems.append(error)

    def _acquire_home(self) -> bool:
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            self._home_lock.acquire(timeout=0)
        except Timeout:
            return False
        with suppress(OSError):  # it only names this process to others
            write_json(self.home / _OWNER_FILE, {"pid": os.getpid(), "process": identity()})
        return True

    def _take_over(self) -> None:
        """Begins to run the queue if nobody does: the states of runs that were active under the last owner come from files."""
        with self.lock:
            if not self._acquire_home():
                return
            self.bin.empty()
            clear_left_behind(self.store.runs_path)
            self.store.take_over_index()
            try:
                self.store.index.forget_active()
            except sqlite3.Error:  # a full disk
                self.store.keep_index_in_memory()
                self.store.index.forget_active()
            self._complete = self.store.follow(_READ_AT_ONCE)

    def _use_file_again(self) -> None:
        """Goes back to an index in a file where it had to be kept in memory, or the file was deleted."""
        if not self.store.in_file and time.monotonic() > self._return_at and not disk_full(self.home):
            self._return_at = time.monotonic() + _RETURN_SECONDS
            self.store.return_to_file()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Around a change that a person asks for: what cannot be written is refused, with the reason."""
        with self.lock:
            try:
                yield
            except OSError as error:
                raise RequestRefused(f"Nothing was changed: {why_not_written(error, self.home)}.") from error

    def _request(self, run_id: str, what: Request) -> None:
        with self._changing():
            folder = self._own_folder(run_id)
            state = self._state(folder)
            if not state.live:
                raise RequestRefused(f"{run_id} is {state}; there is nothing to {what}")
            refuse_recorded(folder)
            folder.request(what)
            if state is RunState.QUEUED and self.owns_queue:
                self._remove_from_queue(folder, what)
            self._wake.set()

    def _was_asked_to_leave(self, folder: RunFolder) -> bool:
        """Whether somebody has asked a waiting run to stop or pause; it then does."""
        request = folder.requested()
        if request is not None:
            self._remove_from_queue(folder, request)
        return request is not None

    def _remove_from_queue(self, folder: RunFolder, request: Request) -> None:
        """Ends a run that has not been started."""
        owner = folder.owner()
        state = RunState.PAUSED if request == "pause" else RunState.STOPPED
        folder.write_end(state, owner["attempt"] if owner else 0, reason="removed from the queue")
        folder.dequeue()
        folder.clear_request()
        self.store.refresh(folder)

    def _folder_changed(self, folder: RunFolder) -> None:
        """Brings the index up to date at once, where this process maintains it."""
        if self.store.writes:
            self.store.refresh(folder)
        self._wake.set()

    def _state(self, folder: RunFolder) -> RunState:
        """The state now. That a run is being started is known only to the index of the process that owns the queue."""
        if not self.owns_queue:
            return folder.observe().state
        self.store.refresh(folder)
        return self.store.get(folder.run_id).state

    def _training(self) -> list[RunRecord]:
        """The runs that this queue has workers for; a program that records a run of its own takes no place."""
        return [record for record in self.store.in_states(*ACTIVE) if not record.config.recorded]

    def _own_folder(self, run_id: str) -> RunFolder:
        """The folder of a run that may be changed."""
        folder = self.store.folder(run_id)
        if folder.path.parent != self.store.runs_path:
            raise RequestRefused(f"{run_id} is a shipped run; it cannot be changed")
        return folder

    def _start_next(self) -> None:
        free = self.executor.slots - len(self._training())
        for record in self.store.in_states(RunState.QUEUED, most=max(0, free)):
            if self._was_asked_to_leave(RunFolder(record.folder)):
                continue
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
                except Exception as error:  # whatever it is, it concerns this run alone
                    if not isinstance(error, OSError):
                        _log.exception("an internal error kept %s from being started", record.run_id)
                    why = str(error) if isinstance(error, OSError) else f"an internal error, {error!r}"
                    self._follower.settle(job, Answer(JobState.GONE, f"no worker could be started: {why}"), again=False)
