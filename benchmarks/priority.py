"""What a worker leaves to its neighbours on the same core: `docs/reliability.md` shows the figures.

    python -m benchmarks.priority

A training is stood for by a loop that wants one core all the time, in a session of its own like a worker; the pages by
another process on the same core, which either wants the core all the time too, or does a piece of work of 10 ms every 50 ms
as an answer to a browser would. In turns, the training is not there, has a raised nice value alone, or gives way as
`attnlab.worker.priority` does. Shares and ratios are what to read: other programs on the core slow all three.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from attnlab.worker.priority import NICE, give_way

ROUNDS, SECONDS = 6, 2.0
PIECE_SECONDS, PAUSE_SECONDS = 0.01, 0.05


def main() -> None:
    core = min(os.sched_getaffinity(0))
    trainings: dict[str, Callable[[], object]] = {
        "no training": lambda: None,
        "nice value alone": lambda: os.nice(NICE),
        "gives way": give_way,
    }
    shares: dict[str, list[float]] = {name: [] for name in trainings}
    answers: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(ROUNDS):
        for name, before in trainings.items():
            with training(core, before, runs=name != "no training"):
                shares[name].append(in_session(core, share))
                answers[name].append(in_session(core, answer))
    print("| training on the same core | share of a busy neighbour | answer of 10 ms, times as long |\n|---|---:|---:|")
    alone = median(answers["no training"])
    for name in trainings:
        print(f"| {name} | {median(shares[name]):.0%} | {median(answers[name]) / alone:.2f} |")


def share() -> float:
    """The share of the core that this process gets when it wants all of it."""
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < began + SECONDS:
        pass
    return (time.process_time() - cpu) / (time.monotonic() - began)


def answer() -> float:
    """Seconds that a piece of work takes that comes now and then; the slowest tenth begins there."""
    took = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(PAUSE_SECONDS)
        began, cpu = time.monotonic(), time.process_time()
        while time.process_time() < cpu + PIECE_SECONDS:
            pass
        took.append(time.monotonic() - began)
    return sorted(took)[9 * len(took) // 10]


@contextmanager
def training(core: int, before: Callable[[], object], *, runs: bool) -> Iterator[None]:
    """A process that keeps the core busy, in a session of its own."""
    child = os.fork() if runs else 0
    if runs and not child:
        os.setsid()
        os.sched_setaffinity(0, {core})
        before()
        while True:
            pass
    try:
        time.sleep(0.7)  # until it has given way
        yield
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def in_session(core: int, act: Callable[[], float]) -> float:
    """What ``act`` returns in a process on this core, in a session of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        os.sched_setaffinity(0, {core})
        os.write(writing, repr(act()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return float(text)


if __name__ == "__main__":
    main()
