"""What a class can train in a lesson, said before anybody starts: how long the runs of all take, and what fits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnlab.config import RunConfig
from attnlab.training.budget import Speed, epochs_that_fit
from attnlab.training.expected import expected_accuracy

MINUTE = 60
SHORTEST = 10
"""Seconds; the form of a run takes no less."""


@dataclass(frozen=True)
class Offer:
    """One way for a class to share the machine.

    Attributes:
        sharing: how many students share a run.
        runs: of all of them.
        each: seconds that a run may take, from its start to its result.
        seconds: until the last one has ended, with what waits before them.
        fits: whether that is within the lesson.
        epochs: that fit into a run; `None` where nobody has measured how fast the machine is.
        accuracy: to be expected of such a run, in [0, 1]; `None` where that is unknown.
    """

    sharing: int
    runs: int
    each: int
    seconds: float
    fits: bool
    epochs: int | None = None
    accuracy: float | None = None


def offers(
    config: RunConfig, students: int, lesson: float, *, waiting: float = 0.0, slots: int = 1, speed: Speed | None = None
) -> list[Offer]:
    """Everybody a one-minute run; where that takes too long, also everybody a shorter one, and groups that share a run.

    Args:
        config: of such a run, with the most epochs it may have.
        lesson: seconds there are.
        waiting: seconds that what trains and waits already takes.
        slots: runs that train at the same time.
        speed: what the run costs here, where that is known.

    Returns:
        The whole wish first; then what fits, if anything does.
    """

    def offer(sharing: int, each: int) -> Offer:
        runs = math.ceil(students / sharing)
        seconds = waiting + math.ceil(runs / slots) * each
        epochs = None if speed is None else epochs_that_fit([speed], each, config.training.epochs)
        accuracy = expected_accuracy(config.changed(training__epochs=epochs)) if epochs else None
        return Offer(sharing, runs, each, seconds, seconds <= lesson, epochs, accuracy)

    found = [offer(1, MINUTE)]
    room = lesson - waiting
    if found[0].fits or room < SHORTEST:
        return found
    shorter = int(room / math.ceil(students / slots)) // 10 * 10
    if shorter >= SHORTEST:
        found.append(offer(1, shorter))
    rounds = int(room // MINUTE)
    if rounds:
        found.append(offer(math.ceil(students / (rounds * slots)), MINUTE))
    return [found[0], *(each for each in found[1:] if each.fits and each.epochs != 0)]
