"""What is promised before a run is queued: how long it will take, or how many epochs of it end within a time.

A worker measures what the run costs (`Executor.measure`); what it says is kept for a short while in ``speeds/`` of the home,
so that all seeds that are started together get the same number of epochs. Later seeds get it too: a group with runs that
were fitted to a time keeps its number for that time. That a run was fitted is noted in its ``meta.json``; its configuration
has the number alone.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Executor
from attnlab.queue.executors.thread import ThreadExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import process_start
from attnlab.runs.records import RunRecord, RunState
from attnlab.training.budget import SPEED, Speed, TooShort, duration, epochs_that_fit, images_that_fit, needed
from attnlab.training.expected import expected_accuracy
from attnlab.worker.timing import Tell

REMEMBERED_SECONDS = 15 * 60.0
"""How long a measurement counts. A machine that is busy now may be idle in an hour."""

WORKER, THIS_PROCESS = "worker", "this process"
"""Where a speed was measured. A worker gives way to other programs, so on a busy machine it is slower than a command."""

_BUDGET = "time_budget"  # in meta.json: the seconds that the run was fitted to, as text
_measuring = threading.Lock()

Measure = Callable[[RunConfig, Tell], Speed]


@dataclass(frozen=True)
class Plan:
    """A configuration whose number of epochs is settled, and what is known about it.

    Attributes:
        config: as it can be queued.
        seconds: what a run of it takes on this machine; `None` where that was not measured.
        budget: the seconds it was fitted to; `None` where the number of epochs was given.
        most: epochs that were asked for at most.
        kept: whether the number is that of earlier runs of the group.
        speed: as measured; `None` where it was not.
    """

    config: RunConfig
    seconds: float | None = None
    budget: float | None = None
    most: int = 0
    kept: bool = False
    speed: Speed | None = None

    @property
    def accuracy(self) -> float | None:
        """The test accuracy to expect; `None` where nobody has measured it."""
        return expected_accuracy(self.config)

    @property
    def words(self) -> str:
        """The plan in sentences."""
        count = self.config.training.epochs
        epochs = f"{count} epoch{'s' if count != 1 else ''}"
        if self.kept and self.budget is not None:
            text = (
                f"{epochs}, the same number as in earlier runs of these settings that were fitted to {duration(self.budget)}."
            )
        elif self.budget is not None and self.seconds is not None:
            all_of_them = "All " if 1 < count == self.most else ""
            text = f"{all_of_them}{epochs} fit{'' if count != 1 else 's'} into {duration(self.budget)} on this machine"
            text += f" (about {duration(self.seconds)})."
        elif self.seconds is not None:
            text = f"{epochs} take{'' if count != 1 else 's'} about {duration(self.seconds)} on this machine."
        else:
            text = f"{epochs}."
        if self.accuracy is not None:
            text += f" About {self.accuracy:.0%} test accuracy is to be expected."
        return text


def plan_run(
    config: RunConfig,
    budget: float | None,
    *,
    home: Path,
    measure: Measure,
    records: Iterable[RunRecord] = (),
    fresh: bool = False,
    where: str = WORKER,
    most_charged: float = 1.0,
    tell: Tell = lambda words, done: None,
) -> Plan:
    """How long a run takes; with a budget, with as many epochs as end in time, and at most those of the configuration.

    Args:
        most_charged: share of the budget that the time of measuring may take. All later runs of the group get the number of
            epochs of the first, which in a class that begins is measured slowly.
        budget: in seconds; `None` keeps the number of epochs.
        measure: says what the run costs.
        records: runs that may belong to its group.
        fresh: measure, even where that was done a short while ago.
        where: what the measurement is true of.
        tell: called with what is being done.

    Raises:
        TooShort: when not one epoch fits.
        RunRefused: when such a run could not be trained.
    """
    if budget is not None and (epochs := _number_of_group(config, budget, records)) is not None:
        known = known_speed(config, home, where)
        fitted = config.changed(training__epochs=epochs)
        return Plan(fitted, known.seconds(epochs) if known else None, budget, config.training.epochs, kept=True, speed=known)
    speed = speed_of(config, home=home, measure=measure, fresh=fresh, where=where, tell=tell)
    if budget is None:
        return Plan(config, speed.seconds(config.training.epochs), speed=speed)
    most = config.training.epochs
    epochs = epochs_that_fit([speed], budget - min(speed.timing, most_charged * budget), most)
    if not epochs:
        _speed_file(config, home, where).unlink(missing_ok=True)  # whoever tries again has perhaps closed other programs
        raise TooShort(_too_short(config, speed, budget))
    return Plan(config.changed(training__epochs=epochs), speed.seconds(epochs), budget, most, speed=speed)


def plan_in_queue(
    manager: Manager,
    config: RunConfig,
    budget: float | None,
    *,
    began: float | None = None,
    fresh: bool = False,
    most_charged: float = 1.0,
    tell: Tell = lambda words, done: None,
) -> Plan:
    """As `plan_run`, for a run that a manager's worker will train. What trains now will have ended by then."""
    training = sum(record.state is RunState.RUNNING for record in manager.live())
    measure = measure_beside(manager.executor, training, began=began)
    return plan_run(
        config,
        budget,
        home=manager.home,
        measure=measure,
        records=manager.runs(),
        fresh=fresh,
        most_charged=most_charged,
        tell=tell,
    )


def speed_of(
    config: RunConfig,
    *,
    home: Path,
    measure: Measure,
    fresh: bool = False,
    where: str = WORKER,
    tell: Tell = lambda words, done: None,
) -> Speed:
    """What a run costs here: as measured a short while ago, or measured now. One measurement at a time.

    Raises:
        RunRefused: when such a run could not be trained.
    """
    with _measuring:
        if not fresh and (known := known_speed(config, home, where)) is not None:
            return known
        speed = measure(config, tell)
        path = _speed_file(config, home, where)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"speed": asdict(speed), "time": time.time()}, sync=False)
        return speed


def measure_beside(executor: Executor, others: int, *, began: float | None = None, seconds: float = 1.5) -> Measure:
    """Measures on a worker of an executor.

    Args:
        others: trainings of the same queue that run now, and will have ended when the run begins.
        began: when the person asked, on the clock of `time.monotonic`; `None` for the moment of the call.
        seconds: as `Executor.measure`.
    """

    def measure(config: RunConfig, tell: Tell) -> Speed:
        asked = time.monotonic() if began is None else began
        speed = executor.measure(config, tell, seconds=seconds)
        if others:  # the run will wait for them anyway, so nobody waits for the measurement
            return speed.after(others if executor.slots == 1 else 0)
        return replace(speed, timing=time.monotonic() - asked)

    return measure


def measure_here(config: RunConfig, tell: Tell) -> Speed:
    """Measures in this process, which does nothing else: the time since its start counts.

    Raises:
        RunRefused: when such a run would fail; the message says why.
    """
    with closing(ThreadExecutor()) as executor:
        speed = executor.measure(config, tell)
    return replace(speed, timing=time.monotonic() - process_start())


def note_budget(folders: Iterable[RunFolder], budget: float) -> None:
    """Notes with runs that their number of epochs was fitted to a time."""
    for folder in folders:
        folder.describe(**{_BUDGET: f"{budget:g}"})


def waiting_seconds(live: Sequence[RunRecord], home: Path, slots: int) -> float | None:
    """How long what is training or waits will still take; `None` where that is not known."""
    total = 0.0
    for record in live:
        if record.config.recorded:  # by a program of its own, for which no run waits
            continue
        if record.eta_seconds is not None:
            total += record.eta_seconds
        elif record.state is not RunState.RUNNING and (speed := known_speed(record.config, home, WORKER)) is not None:
            total += speed.seconds(record.config.training.epochs)
        else:
            return None
    return total / max(1, slots)


def _too_short(config: RunConfig, speed: Speed, budget: float) -> str:
    one = needed([speed], 1) + speed.timing
    advice = [f"allow {duration(math.ceil(one / 10) * 10)}"]
    images = images_that_fit(speed, budget - speed.timing)
    if images >= 2 * config.training.batch_size:
        advice.insert(0, f"use {images:,} training images or fewer (dataset.subset)")
    return (
        f"Not one epoch fits into {duration(budget)} on this machine: it would take about {duration(one)}, "
        f"{duration(one - budget)} too long. To train, {', or '.join(advice)}."
    )


def _number_of_group(config: RunConfig, budget: float, records: Iterable[RunRecord]) -> int | None:
    """Epochs of the newest run that differs from ``config`` only in the seed and in epochs fitted to the same time."""
    most = config.training.epochs
    for record in sorted(records, key=lambda record: record.created, reverse=True):
        other = record.config
        if (other.dataset, other.model, other.protocol) != (config.dataset, config.model, config.protocol):
            continue
        if other.training.model_copy(update={"epochs": most}) != config.training or other.training.epochs > most:
            continue
        try:
            if RunFolder(record.folder).meta().get(_BUDGET) == f"{budget:g}":
                return other.training.epochs
        except FolderError:
            continue
    return None


def known_speed(config: RunConfig, home: Path, where: str = WORKER) -> Speed | None:
    """What a run costs here, where that was measured a short while ago."""
    try:
        tree = read_json(_speed_file(config, home, where))
        if tree is None or not 0 <= time.time() - tree["time"] < REMEMBERED_SECONDS:
            return None
        return SPEED.validate_python(tree["speed"])
    except (FolderError, KeyError, TypeError, ValueError):
        return None  # it is measured again


def _speed_file(config: RunConfig, home: Path, where: str) -> Path:
    """By everything that a speed depends on: the configuration but for epochs and seed, the machine and its threads."""
    place = (where, platform.node(), os.environ.get("ATTNLAB_THREADS", ""), os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    name = hashlib.sha256("\n".join((config.changed(training__epochs=1, seed=0).to_json(), *place)).encode()).hexdigest()
    return home / "speeds" / f"{name[:16]}.json"
