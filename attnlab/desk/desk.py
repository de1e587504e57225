"""The desk: the runs, tables and searches of a home as one person may see and change them.

Pages get nothing else (a test looks at what they import), so whatever a page shows or hides, what is not allowed is refused
here, in a sentence (`NotAllowed`). The command line uses the manager itself: whoever is at the machine may do everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import IO, TYPE_CHECKING, Any, Literal

from attnlab import paths
from attnlab.config import DatasetConfig, RunConfig
from attnlab.desk.limits import LIMITS, no_room, too_large
from attnlab.desk.permissions import Action, Mode, NotAllowed, Person
from attnlab.desk.teacher import TeachersDoor
from attnlab.experiments.managers import get_manager
from attnlab.lessons.answers import Answer, add_answers, anonymous, erase_answers, read_answers
from attnlab.queue.executors.make import make_executor
from attnlab.queue.settings import ExecutorSettings, save_settings
from attnlab.rooms.rooms import rooms_of
from attnlab.runs.bin import Deleted
from attnlab.runs.errors import RequestRefused, UnknownRun
from attnlab.runs.folder import RunFolder
from attnlab.runs.imported import NO_PICTURES, import_checkpoint, import_network
from attnlab.runs.records import RunRecord, RunState

if TYPE_CHECKING:
    import subprocess

    from torch import Tensor, nn

    from attnlab.experiments.grid import Grid
    from attnlab.experiments.league import League
    from attnlab.experiments.search import Search, SearchThread
    from attnlab.explain.honesty.process import Measurement
    from attnlab.queue.lesson import Offer
    from attnlab.queue.manager import Manager
    from attnlab.queue.plan import Plan
    from attnlab.training.budget import Speed
    from attnlab.worker.timing import Tell

MOST_CHARGED = 0.2
"""Share of the time of a run that measuring it may take in a class, whose runs wait for each other anyway."""
_NEWEST, _FORESEEN = 50, 50
"""Finished runs that a guess is made from, and waiting ones whose measured speed is looked up."""
_doors: dict[Path, TeachersDoor] = {}
_lock = threading.Lock()


def teachers_door(home: Path) -> TeachersDoor:
    """Who knows the teachers' browsers of a home; one for the whole server."""
    with _lock:
        return _doors.setdefault(home, TeachersDoor(home))


class Desk:
    """The runs of this server's home, for one person.

    Args:
        person: whoever is at the browser.

    Attributes:
        person: the same.
        home: as `attnlab.paths.home`.
    """

    def __init__(self, person: Person) -> None:
        self.person = person
        self.__manager = get_manager()
        self.home = self.__manager.home
        if person.mode is Mode.CLASSROOM:
            self.__manager.add_feeder(_end_long_runs)

    # Reading

    def may(self, action: Action, thing: RunRecord | Grid | None = None) -> bool:
        """Whether the person may do this, to this thing where it is done to one. Pages hide what would be refused."""
        return self.person.may(action, "" if thing is None else thing.owner)

    def mine(self, thing: RunRecord | Grid) -> bool:
        """Whether the thing belongs to this browser; on the own machine everything does."""
        return self.person.mode is Mode.PERSONAL or self.person.owns(thing.owner)

    def runs(self) -> list[RunRecord]:
        """The runs that the person may see, newest first, the shipped ones last."""
        return [record for record in self.__manager.runs() if self._sees(record)]

    def get(self, run_id: str) -> RunRecord:
        """One run.

        Raises:
            UnknownRun: when there is no run of this name that the person may see.
        """
        record = self.__manager.get(run_id)
        if not self._sees(record):
            raise UnknownRun(run_id)
        return record

    def live(self) -> list[RunRecord]:
        """As `Manager.live`, of the runs that the person may see."""
        return [record for record in self.__manager.live() if self._sees(record)]

    def deleted(self) -> list[tuple[Deleted, RunConfig]]:
        """The runs in the bin that the person may restore, the last deleted first."""
        found = []
        for deleted in self.__manager.deleted():
            try:
                if self.person.may(Action.RESTORE, str(deleted.folder.meta()["owner"])):
                    found.append((deleted, deleted.folder.config))
            except ValueError:
                continue  # its files are damaged
        return found

    def version(self) -> int:
        """As `Store.version`, of any run."""
        return self.__manager.store.version()

    def broken(self) -> dict[str, str]:
        """As `Store.broken`; in a classroom for the teacher alone, since nobody knows whose those folders are."""
        return self.__manager.store.broken() if self.person.free else {}

    @property
    def trouble(self) -> str:
        """As `Manager.trouble`."""
        return self.__manager.trouble

    def search_thread(self, name: str) -> SearchThread | None:
        """As `attnlab.experiments.search.search_thread`."""
        from attnlab.experiments.search import search_thread

        return search_thread(self.__manager, name)

    def waits(self) -> dict[str, float | None]:
        """Run id -> seconds until the run is expected to start, of every waiting run; under ``""`` those of a new one.

        Judged by what is left of those that train, and by how long like runs took; `None` where nothing is known to judge by.
        """
        from attnlab.queue.plan import waiting_seconds

        slots = max(1, self.__manager.executor.slots)
        guess = _Guess(self.__manager.runs())
        before: float | None = 0.0
        waits: dict[str, float | None] = {}
        for number, run in enumerate(run for run in self.__manager.live() if not run.config.recorded):
            if run.state is RunState.QUEUED:
                waits[run.run_id] = before
            left = waiting_seconds([run], self.home, 1) if number < _FORESEEN else None
            left = guess(run) if left is None else left
            before = None if before is None or left is None else before + left / slots
        return waits | {"": before}

    def lesson(self, config: RunConfig, students: int, seconds: float) -> list[Offer]:
        """As `attnlab.queue.lesson.offers`, on this server as it is now."""
        from attnlab.queue.lesson import offers
        from attnlab.queue.plan import known_speed

        waiting, slots = self.waits()[""] or 0.0, max(1, self.__manager.executor.slots)
        return offers(config, students, seconds, waiting=waiting, slots=slots, speed=known_speed(config, self.home))

    # Runs

    def submit(self, config: RunConfig, title: str = "", note: str = "") -> str:
        """As `Manager.submit`; the run belongs to the person.

        Raises:
            NotAllowed: when the person may not, or beyond the limits of a classroom.
            RunRefused: when the executor could never train it.
        """
        return self.submit_many(config, [config.seed], title, note)[0]

    def submit_many(self, config: RunConfig, seeds: Iterable[int], title: str = "", note: str = "") -> list[str]:
        """One run per seed, as `submit`: all of them or none."""
        seeds = list(seeds)
        self.person.ask(Action.START)
        self._check(config)
        with self.__manager.lock:  # so that two browsers do not take the same room
            self._room_for(len(seeds))
            started = self.__manager.submit_many(config, seeds, title, note, owner=self.person.browser)
        self._in_room(started)
        return started

    def plan(self, config: RunConfig, budget: float | None, *, fresh: bool, tell: Tell) -> Plan:
        """As `attnlab.queue.plan.plan_in_queue`, for a run that the person may start."""
        from attnlab.queue.plan import plan_in_queue

        self.person.ask(Action.START)
        self._check(config)
        charged = 1.0 if self.person.mode is Mode.PERSONAL else MOST_CHARGED
        return plan_in_queue(self.__manager, config, budget, fresh=fresh, most_charged=charged, tell=tell)

    def submit_new(self, config: RunConfig, seeds: Sequence[int], budget: float | None, *, chosen: bool) -> list[str]:
        """As `submit_many`, for settings that may have been trained before, perhaps by somebody who pressed the button at the
        same moment.

        Args:
            budget: seconds that the number of epochs was fitted to; `None` where it was not.
            chosen: whether the person has named the seeds; otherwise a free one is taken where these are not.

        Raises:
            RequestRefused: when these settings have been trained with one of the seeds that were named.
        """
        from attnlab.queue.plan import note_budget

        with self.__manager.lock:
            same = self.same_settings(config)
            free = next(seed for seed in count(min(seeds, default=0)) if seed not in same)
            taken = sorted(set(seeds) & set(same))
            if taken and chosen:
                raise RequestRefused(f"These settings have been trained with seed {taken[0]} already. Seed {free} is free.")
            started = self.submit_many(config, [free] if taken else seeds)
        if budget is not None:
            note_budget(map(self.__manager.store.folder, started), budget)
        return started

    def same_settings(self, config: RunConfig, *, fitted: bool = False) -> dict[int, RunRecord]:
        """Seed -> the run of these settings with that seed, of those that the person may see; a finished one where there is.

        Args:
            fitted: whether the epochs will be fitted to a time; then runs with fewer epochs are of these settings too.
        """
        found: dict[int, RunRecord] = {}
        group = config.group
        for record in self.runs():
            if record.group == group or (fitted and _fewer_epochs(record.config, config)):
                before = found.get(record.config.seed)
                if before is None or (record.state is RunState.FINISHED and before.state is not RunState.FINISHED):
                    found[record.config.seed] = record
        return found

    def stop(self, run_id: str) -> None:
        """As `Manager.stop`.

        Raises:
            NotAllowed: when it is somebody else's.
        """
        self._ask(Action.STOP, run_id)
        self.__manager.stop(run_id)

    def pause(self, run_id: str) -> None:
        """As `Manager.pause`, and see `stop`."""
        self._ask(Action.PAUSE, run_id)
        self.__manager.pause(run_id)

    def resume(self, run_id: str) -> None:
        """As `Manager.resume`, and see `stop`."""
        self._ask(Action.RESUME, run_id)
        with self.__manager.lock:
            self._room_for(1)
            self.__manager.resume(run_id)

    def rename(self, run_id: str, title: str) -> None:
        """As `Manager.rename`, and see `stop`."""
        self._ask(Action.RENAME, run_id)
        self.__manager.rename(run_id, title)

    def delete(self, run_id: str) -> None:
        """As `Manager.delete`, and see `stop`."""
        self._ask(Action.DELETE, run_id)
        self.__manager.delete(run_id)

    def restore(self, run_id: str) -> str:
        """As `Manager.restore`, and see `stop`."""
        self.person.ask(Action.RESTORE, str(self.__manager.bin.find(run_id).folder.meta()["owner"]))
        return self.__manager.restore(run_id)

    def move(self, run_id: str, position: int) -> None:
        """As `Manager.move`.

        Raises:
            NotAllowed: in a classroom, except to the teacher.
        """
        self._ask(Action.MOVE, run_id)
        self.__manager.move(run_id, position)

    def measure(self, run_id: str, measurement: Measurement) -> subprocess.Popen[bytes] | None:
        """As `Measurement.start`, for a run that the person may see."""
        self._ask(Action.MEASURE, run_id)
        return measurement.start()

    def stop_measuring(self, run_id: str, measurement: Measurement) -> None:
        """As `Measurement.stop`, and see `stop`."""
        self._ask(Action.STOP_MEASURING, run_id)
        measurement.stop()

    # Tables and searches

    def start_grid(self, grid: Grid) -> Grid:
        """As `attnlab.experiments.grid_queue.start_grid`; a new table belongs to the person.

        Raises:
            NotAllowed: when it is somebody else's, or beyond the limits of a classroom.
            RunRefused: when the executor could never train one of its cells.
        """
        from attnlab.experiments.grid_queue import start_grid

        known = {record.run_id for record in self.__manager.runs()}
        grid = start_grid(self.__manager, self._own_grid(grid))
        self._in_room([config.run_id for config in grid.wanted.values() if config.run_id not in known])
        return grid

    def save_grid(self, grid: Grid) -> None:
        """Saves a table as `start_grid` would start it, without starting it."""
        from attnlab.experiments.grid import save_grid

        save_grid(self.home, self._own_grid(grid))

    def row_speeds(self, grid: Grid, tell: Callable[[str, float], None]) -> dict[str, Speed]:
        """As `attnlab.experiments.grid_time.row_speeds`, measured now, and see `start_grid`."""
        from attnlab.experiments.grid_time import row_speeds

        self._own_grid(grid)
        return row_speeds(grid, self.__manager.executor, self.home, fresh=True, tell=tell)

    def pause_grid(self, grid_id: str) -> Grid:
        """As `attnlab.experiments.grid_queue.pause_grid`, and see `start_grid`."""
        from attnlab.experiments.grid import load_grid
        from attnlab.experiments.grid_queue import pause_grid

        self.person.ask(Action.CHANGE_GRID, load_grid(self.home, grid_id).owner)
        return pause_grid(self.__manager, grid_id)

    def stop_grid(self, grid_id: str) -> Grid:
        """As `attnlab.experiments.grid_queue.stop_grid`, and see `start_grid`."""
        from attnlab.experiments.grid import load_grid
        from attnlab.experiments.grid_queue import stop_grid

        self.person.ask(Action.CHANGE_GRID, load_grid(self.home, grid_id).owner)
        return stop_grid(self.__manager, grid_id)

    def measure_league(self, league: League, tell: Callable[[int, int], None]) -> League:
        """As `attnlab.desk.measuring.measure_league`, in this home.

        Raises:
            NotAllowed: in a classroom, except to the teacher: it slows every training meanwhile, and is kept for everybody.
        """
        from attnlab.desk.measuring import measure_league

        self.person.ask(Action.MEASURE_COSTS)
        return measure_league(self.home, league, tell)

    def start_search(self, search: Search) -> SearchThread:
        """As `attnlab.experiments.search.start_search`.

        Raises:
            NotAllowed: in a classroom, except to the teacher.
            RunRefused: when the executor could never train a trial.
            SearchError: as `attnlab.experiments.search.save_search`.
        """
        from attnlab.experiments.search import start_search

        self.person.ask(Action.START_SEARCH)
        self._check(search.base)
        self.__manager.executor.admit(search.base)
        return start_search(self.__manager, search)

    def pause_search(self, search: Search) -> None:
        """Pauses a search of this server, and its current run.

        Raises:
            NotAllowed: in a classroom, except to the teacher.
        """
        self.person.ask(Action.CHANGE_SEARCH)
        thread = self.search_thread(search.name)
        if thread is not None:
            thread.stop()

    # Questions and predictions

    def answer(self, answers: Mapping[str, str], *, kind: Literal["question", "prediction"], time: str = "") -> None:
        """Keeps what the person has answered, item -> value; as `attnlab.lessons.answers.add_answers`.

        Raises:
            NotAllowed: when the browser keeps no cookies in a classroom.
            ValueError: when an item or a value has not the form of an answer.
            OSError: when it cannot be written.
        """
        self.person.ask(Action.ANSWER)
        me = anonymous(self.home, self.person.browser)
        trees = [{"kind": kind, "item": item, "time": time, "value": value, "person": me} for item, value in answers.items()]
        add_answers(self.home, [Answer.model_validate(tree) for tree in trees])

    def my_answers(self) -> list[Answer]:
        """What this browser has answered."""
        me = anonymous(self.home, self.person.browser)
        return [answer for answer in read_answers(self.home) if answer.person == me]

    def predicted(self, item: str) -> list[str]:
        """What all browsers have predicted, without whose each is."""
        return [each.value for each in read_answers(self.home) if each.kind == "prediction" and each.item == item]

    def class_answers(self) -> list[Answer]:
        """All answers.

        Raises:
            NotAllowed: to students.
        """
        self.person.ask(Action.SEE_RESULTS)
        return read_answers(self.home)

    def erase_answers(self) -> None:
        """As `attnlab.lessons.answers.erase_answers`.

        Raises:
            NotAllowed: to students.
        """
        self.person.ask(Action.ERASE_ANSWERS)
        erase_answers(self.home)

    # Files and settings

    def keep_upload(self, name: str, file: IO[bytes]) -> Path:
        """As `attnlab.data.keep_upload`; the file belongs to the person.

        Raises:
            NotAllowed: beyond the limits of a classroom.
            DataError: when it is not a readable archive, or the disk is too full.
        """
        from attnlab.data import keep_upload
        from attnlab.data.uploads import kept_uploads

        self.person.ask(Action.UPLOAD)
        if not self.person.may(Action.NO_LIMITS):
            size = file.seek(0, 2)
            file.seek(0)
            if size > LIMITS.upload_bytes:
                most = LIMITS.upload_bytes / (1 << 20)
                raise NotAllowed(
                    f"In this classroom a file may have at most {most:,.0f} MB; this one has {size / (1 << 20):,.1f}."
                )
            kept = kept_uploads(self.person.browser)
            if len(kept) >= LIMITS.uploads or sum(path.stat().st_size for path in kept) + size > LIMITS.kept_bytes:
                raise NotAllowed(
                    f"In this classroom a browser may upload {LIMITS.uploads} files of {LIMITS.kept_bytes >> 20} MB together."
                )
        return keep_upload(name, file, self.person.browser)

    def path(self, text: str) -> Path:
        """What was typed as a path, absolute, so that a run does not depend on where the app was started.

        Raises:
            NotAllowed: in a classroom, except for the teacher, and for files that this browser has uploaded.
        """
        try:
            path = Path(text).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a zero byte, an unknown user, a circle of links
            raise NotAllowed(f"{text!r} is not a path: {error}") from None
        if not self._uploaded(path):
            self.person.ask(Action.READ_PATH)
        return path

    def open_checkpoint(self, weights: Mapping[str, Tensor], *, dataset: DatasetConfig, **about: Any) -> str:
        """As `attnlab.runs.imported.import_checkpoint`, into this home; the run belongs to the person. Returns its run id.

        Raises:
            NotAllowed: when the data set is a path that the person may not read.
            ValueError: as `import_checkpoint`.
        """
        self.person.ask(Action.OPEN_CHECKPOINT)
        self._check_pictures(dataset)
        about |= {"owner": self.person.browser, "after": self.__manager.store.newest()}
        folder = import_checkpoint(paths.runs_dir(), weights, dataset=dataset, **about)
        return self.__manager.adopt(folder)

    def open_network(self, name: str, network: nn.Module, *, dataset: DatasetConfig, **about: Any) -> str:
        """As `attnlab.runs.imported.import_network`, into this home; the run belongs to the person. Returns its run id.

        Raises:
            NotAllowed: in a classroom, except to the teacher: a network may be as large as it likes.
            ValueError: as `import_network`.
        """
        self.person.ask(Action.OPEN_NETWORK)
        self._check_pictures(dataset)
        about |= {"owner": self.person.browser, "after": self.__manager.store.newest()}
        return self.__manager.adopt(import_network(paths.runs_dir(), name, network, dataset=dataset, **about))

    def change_executor(self, settings: ExecutorSettings) -> None:
        """Trains later runs with another executor, now and after the next start.

        Raises:
            NotAllowed: in a classroom, except to the teacher.
            RequestRefused: as `Manager.change_executor`.
            ValueError: as `make_executor`.
        """
        self.person.ask(Action.SETTINGS)
        executor = make_executor(settings)
        try:
            self.__manager.change_executor(executor)
        except RequestRefused:
            executor.close()
            raise
        save_settings(self.home, settings)

    def handout(self, lesson: str) -> str:
        """As `attnlab.lessons.handout.handout`, of the lesson with this name.

        Raises:
            NotAllowed: in a classroom, except to the teacher: it has the answers.
            UnknownLesson: when there is no such lesson.
        """
        from attnlab.lessons.handout import handout

        self.person.ask(Action.HAND_OUT)
        return handout(lesson)

    # What decides

    def _in_room(self, run_ids: Iterable[str]) -> None:
        """Runs that are started in a room count there. They train all the same where the room cannot be written."""
        with suppress(OSError):
            rooms_of(self.home).started(self.person.browser, run_ids)

    def _sees(self, record: RunRecord) -> bool:
        """Runs on pictures or weights that somebody uploaded are shown to nobody else; all others are there to be compared.

        That a data set is a path is seen by its name, since asking the registry would load torch before the first page.
        """
        if record.demo or self.person.free:
            return True
        private = "imported" in record.result or "/" in record.config.dataset.name or "\\" in record.config.dataset.name
        return not private or self.person.may(Action.SEE_OWN_PICTURES, record.owner)

    def _ask(self, action: Action, run_id: str) -> None:
        record = self.get(run_id)
        if record.demo and action is not Action.MEASURE:
            raise RequestRefused(f"{run_id} is a shipped run; it cannot be changed")
        self.person.ask(action, record.owner)

    def _room_for(self, count: int) -> None:
        if self.person.may(Action.NO_LIMITS):
            return
        live = self.__manager.live()
        if why := no_room(count, sum(self.person.owns(record.owner) for record in live), len(live), LIMITS):
            raise NotAllowed(why)

    def _check(self, config: RunConfig) -> None:
        self._check_pictures(config.dataset)
        if not self.person.may(Action.NO_LIMITS) and (why := too_large(config, _images(config.dataset))):
            raise NotAllowed(why)

    def _check_pictures(self, dataset: DatasetConfig) -> None:
        """Whatever is not the name of a registered data set is a path."""
        from attnlab.data import list_datasets

        if dataset.name != NO_PICTURES and dataset.name not in list_datasets():
            self.path(dataset.name)

    def _uploaded(self, path: Path) -> bool:
        from attnlab.data.uploads import kept_uploads

        return bool(self.person.browser) and path in kept_uploads(self.person.browser)

    def _own_grid(self, grid: Grid) -> Grid:
        """The table as it may be started: a known one with its owner, a new one with the person as owner."""
        from attnlab.experiments.grid import list_grids

        known = next((other for other in list_grids(self.home) if other.grid_id == grid.grid_id), None)
        if known is not None:
            self.person.ask(Action.CHANGE_GRID, known.owner)
        else:
            self.person.ask(Action.START_GRID)
        if not self.person.may(Action.NO_LIMITS) and len(grid.wanted) > LIMITS.cells:
            raise NotAllowed(f"In this classroom a table may have {LIMITS.cells} runs, not {len(grid.wanted)}.")
        for row in grid.rows:
            self._check(row.config)
        return replace(grid, owner=known.owner if known is not None else self.person.browser)


def _images(dataset: DatasetConfig) -> int | None:
    """Images used for training in each epoch; `None` when that is not known without reading them."""
    from attnlab.data import list_datasets

    info = list_datasets().get(dataset.name)
    options = {**info.defaults, **dataset.options} if info is not None else {}
    count = options.get("train_images")
    known = [number for number in (dataset.subset, count if isinstance(count, int) else None) if number is not None]
    return min(known) if known else None


def _fewer_epochs(one: RunConfig, other: RunConfig) -> bool:
    """Whether two configurations differ at most in the seed and in fewer epochs of the first."""
    epochs = other.training.epochs
    return (
        one.training.epochs <= epochs
        and (one.dataset, one.model, one.protocol) == (other.dataset, other.model, other.protocol)
        and one.training.model_copy(update={"epochs": epochs}) == other.training
    )


class _Guess:
    """How long a run takes, by the newest finished ones: those of the same settings, or else all of them by their epochs."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        counts = (run for run in records if not (run.demo or run.config.recorded))
        ended = [run for run in counts if run.state is RunState.FINISHED and run.seconds][:_NEWEST]
        self._of_group: dict[str, float] = {run.group: run.seconds or 0.0 for run in ended}
        per_epoch = [(run.seconds or 0.0) / run.config.training.epochs for run in ended]
        self._per_epoch = fmean(per_epoch) if per_epoch else None

    def __call__(self, run: RunRecord) -> float | None:
        """In seconds; `None` when nothing has finished yet."""
        if self._per_epoch is None:
            return None
        return self._of_group.get(run.group, self._per_epoch * run.config.training.epochs)


def worker_warmer() -> Callable[[], None]:
    """What prepares a worker of this server's home, so that the next run begins at once."""
    return get_manager().warm


def _end_long_runs(manager: Manager) -> None:
    """Stops what has trained for longer than a classroom allows, except the teacher's runs and those of the machine's owner."""
    teachers = teachers_door(manager.home)
    for record in manager.store.in_states(RunState.RUNNING):
        if record.config.recorded:
            continue
        trained = RunFolder(record.folder).progress().get("seconds")
        long = isinstance(trained, (int, float)) and trained > LIMITS.seconds
        if long and record.owner and not teachers.is_teacher(record.owner):
            manager.stop(record.run_id)
            minutes = LIMITS.seconds // 60
            RunFolder(record.folder).describe(
                note=f"Stopped after {minutes} minutes, the longest a run trains in this classroom."
            )
