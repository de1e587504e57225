"""Kills the process that owns the queue, at random moments and inside writes of the index: is anything lost, or run twice?

Part of `benchmarks.kill_loop`. The process runs a real manager and makes requests of it without a pause: runs are submitted,
renamed, paused, stopped, resumed and deleted. Before each request it notes what it is about to do, and afterwards that it was
done. It gets SIGKILL, sometimes one of its workers too, and the next one takes over the home and compares what it finds with
the notes: what was done must be there, workers that live must be adopted, runs of dead ones interrupted. In the end every run
is resumed until it has finished.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState, ask_folder
from attnlab.queue.executors.thread import ThreadExecutor
from attnlab.queue.manager import Manager
from attnlab.runs import faults
from attnlab.runs.errors import RequestRefused
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.ownership import is_alive
from attnlab.runs.records import RunState
from attnlab.worker import session

MOST_RUNS, WORKERS = 8, 3
WRITES = 40
"""A process that is to be killed inside a write of the index is killed in one of its first so many."""
SETTLED_SECONDS = 10.0
ENDED = (RunState.PAUSED, RunState.STOPPED, RunState.FINISHED)


class Forking(ThreadExecutor):
    """Trains each run in a process of its own, forked from this one, which has loaded torch."""

    slots = WORKERS

    def __init__(self) -> None:
        super().__init__()
        self._children: dict[Job, int] = {}

    def start(self, job: Job) -> None:
        child = os.fork()
        if not child:
            os.closerange(3, 1024)  # the lock of the home above all, which the child would keep from the next process
            os.setsid()
            with suppress(BaseException):
                session.run(job.run_dir, attempt=job.attempt)
            os._exit(0)
        self._children[job] = child

    def poll(self, job: Job) -> Answer:
        child = self._children.get(job)
        if child is None:
            return ask_folder(job)
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            return Answer(JobState.PENDING)
        del self._children[job]
        return Answer(JobState.GONE)


@dataclass
class Known:
    """What the notes say of a run.

    Attributes:
        title: the last one that it got.
        deleted: whether it was deleted.
        left: the attempt at which it was paused or stopped; `None` when it was resumed since.
        resumed: the attempt after which it was resumed; `None` when it was paused or stopped since.
        unsure: kinds of requests that may or may not have been done.
    """

    title: str = ""
    deleted: bool = False
    left: int | None = None
    resumed: int | None = None
    unsure: set[str] = field(default_factory=set)


def read_notes(path: Path) -> dict[str, Known]:
    """Run id -> what is known of it."""
    runs: dict[str, Known] = {}
    lines = path.read_text().splitlines() if path.exists() else []
    for about, done in pairwise([*lines, "{}"]):
        note = json.loads(about)
        if note.get("done", True):
            continue
        run, kind = note["run"], note["kind"]
        if not (answer := json.loads(done)).get("done"):
            if run:
                runs[run].unsure.add(kind)
            else:  # it may have got the name of one that was deleted
                runs = {name: known for name, known in runs.items() if not known.deleted}
            continue
        if answer["refused"]:
            continue
        if kind == "submit":
            runs[answer["run"]] = Known()
        known = runs.setdefault(answer["run"], Known())
        known.unsure.discard(kind)
        if kind == "rename":
            known.title = note["title"]
        elif kind == "delete":
            known.deleted = True
        elif kind in ("pause", "stop"):
            known.left, known.resumed = answer["attempt"], None
        elif kind == "resume":
            known.left, known.resumed = None, answer["attempt"]
    return runs


def problems_after_takeover(manager: Manager, notes: dict[str, Known], workers: dict[str, tuple[int, bool]]) -> list[str]:
    """What is not as the notes say.

    Args:
        workers: run -> (attempt, whether its worker was killed), of the workers at the moment when the queue lost its process.
    """
    if not manager.owns_queue:
        return ["the queue has no owner"]
    runs = {record.run_id: record for record in manager.runs() if not record.demo}
    bin_ = {deleted.run_id for deleted in manager.deleted()}
    found = [f"{run_id} is damaged: {reason}" for run_id, reason in manager.store.broken().items()]
    for run_id, known in notes.items():
        record = runs.get(run_id)
        if record is None:
            if not known.deleted and "delete" not in known.unsure:
                found.append(f"{run_id} is lost")
            elif run_id not in bin_:
                found.append(f"{run_id} was deleted and is not in the bin")
            continue
        if known.deleted:
            found.append(f"{run_id} was deleted and is there again")
        if known.title and record.title != known.title and "rename" not in known.unsure:
            found.append(f"{run_id} is called {record.title!r} instead of {known.title!r}")
        attempt, killed = workers.get(run_id, (0, False))
        asked = RunFolder(record.folder).requested() is not None
        if known.left is not None and not killed and "resume" not in known.unsure and record.state not in ENDED and not asked:
            found.append(f"{run_id} was paused or stopped and is {record.state}")
        gone_on = record.state.live or killed or {"pause", "stop"} & known.unsure
        if known.resumed is not None and not gone_on and record.attempt <= known.resumed:
            found.append(f"{run_id} was resumed and is {record.state}")
        if attempt and record.attempt != attempt and "resume" not in known.unsure:
            found.append(f"{run_id} was trained in attempt {attempt}, and is now in attempt {record.attempt}")
        if killed and record.state in (RunState.STARTING, RunState.RUNNING):
            found.append(f"the worker of {run_id} is dead, and it is {record.state}")
    return found


def serve(place: Path, config: RunConfig, seed: int, workers: dict[str, tuple[int, bool]], *, last: bool) -> None:
    """Owns the queue: takes over, compares, and makes requests until it is killed. The last one lets every run finish."""
    manager = Manager(place, Forking(), grace=30)
    notes, end = read_notes(place / "notes"), time.monotonic() + SETTLED_SECONDS
    while (problems := problems_after_takeover(manager, notes, workers)) and time.monotonic() < end:
        time.sleep(0.1)  # a worker may be writing its end just now
    (place / "problems").open("a").writelines(f"{problem}\n" for problem in problems)
    (place / "taken-over").touch()
    if last:
        finish_all(manager)
        return
    chance = random.Random(seed)
    written = os.open(place / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(**line: Any) -> None:
        os.write(written, json.dumps(line).encode() + b"\n")

    while True:
        runs = [record for record in manager.runs() if not record.demo]
        kind = chance.choice(["submit", "rename", "pause", "stop", "resume", "delete"])
        if kind == "submit" and len(runs) >= MOST_RUNS:
            kind = "rename"
        run = "" if kind == "submit" or not runs else chance.choice(runs).run_id
        if kind != "submit" and not run:
            continue
        title = f"title {chance.random()}"
        note(done=False, kind=kind, run=run, title=title)
        attempt, refused = (manager.get(run).attempt, False) if run else (0, False)
        try:
            if kind == "submit":
                run = manager.submit(config)
            elif kind == "rename":
                manager.rename(run, title)
            else:
                getattr(manager, kind)(run)
        except RequestRefused:
            refused = True
        note(done=True, kind=kind, run=run, attempt=attempt, refused=refused)
        time.sleep(chance.uniform(0, 0.1))


def finish_all(manager: Manager) -> None:
    """Resumes every run until it has finished."""
    while unfinished := [run for run in manager.runs() if not run.demo and run.state is not RunState.FINISHED]:
        for run in unfinished:
            if run.state.resumable:
                manager.resume(run.run_id)
        time.sleep(0.1)
    manager.shutdown()


def living_workers(place: Path) -> dict[str, tuple[int, int]]:
    """Run -> (attempt, process id) of the workers that live."""
    found = {}
    for folder in run_folders(place / "runs"):
        owner = folder.owner()
        if owner is not None and owner["process"] is not None and is_alive(owner["process"]):
            found[folder.run_id] = owner["attempt"], owner["process"]["pid"]
    return found


def wait_and_kill(server: int, place: Path, seconds: float | None) -> None:
    """Kills a process so many seconds after it has taken over the home, if negative before; `None` waits until it is dead."""
    end = time.monotonic() + 60
    while time.monotonic() < end and os.waitpid(server, os.WNOHANG) == (0, 0):
        if seconds is not None and (seconds < 0 or (place / "taken-over").exists()):
            end = min(end, time.monotonic() + abs(seconds))
        time.sleep(0.002)
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def kill_servers(place: Path, config: RunConfig, kills: int, chance: random.Random, count: Counter[str]) -> list[str]:
    """Kills the queue's process so many times, every second time inside a write of the index. Returns the problems found."""
    workers: dict[str, tuple[int, bool]] = {}
    for number in range(kills + 1):
        inside, last = number % 2 == 1, number == kills
        (place / "taken-over").unlink(missing_ok=True)
        server = os.fork()
        if not server:
            if inside and not last:
                os.environ[faults.VARIABLE] = f"index.commit:kill:{chance.randint(1, WRITES)}"
            try:
                serve(place, config, number, workers, last=last)
            except BaseException as error:
                with (place / "problems").open("a") as stream:
                    stream.write(f"the queue's process ended by itself: {error!r}\n")
                os._exit(1)
            os._exit(0)
        if last:
            os.waitpid(server, 0)
            break
        wait_and_kill(server, place, None if inside else chance.uniform(-0.1, 1.5))
        before_takeover = not (place / "taken-over").exists()
        count["killed inside a write of the index" if inside else "killed between requests or inside one"] += 1
        count["of these while it took over the home"] += before_takeover
        alive = living_workers(place)
        victim = chance.choice(sorted(alive)) if alive and chance.random() < 0.4 else ""
        if victim:
            os.kill(alive[victim][1], signal.SIGKILL)
            while living_workers(place).get(victim) == alive[victim]:
                time.sleep(0.005)
            count["its worker killed too"] += 1
        count["workers that lived on"] += len(alive) - bool(victim)
        workers = {run_id: (attempt, run_id == victim) for run_id, (attempt, _) in alive.items()}
    found = (place / "problems").read_text().splitlines() if (place / "problems").exists() else []
    for folder in run_folders(place / "runs"):
        begun = Counter(
            line.split(" attempt ", 1)[1].split()[0] for line in folder.log_path.read_text().splitlines() if " attempt " in line
        )
        found += [f"attempt {attempt} of {folder.run_id} began {times} times" for attempt, times in begun.items() if times > 1]
        count["attempts"] += len(begun)
        count["runs"] += 1
    return found
