"""How many threads a training has, and how they wait for each other."""

from __future__ import annotations

import os

SPIN_COUNT = "10000"

THREADS = "ATTNLAB_THREADS"
"""Environment: how many threads torch uses in a worker."""


def spin_briefly() -> None:
    """Lets waiting threads sleep after a moment, unless the environment says otherwise. Call it before torch is imported.

    OpenMP's threads wait for each other in a loop that keeps the core busy, by default for many milliseconds. Where other
    programs want the cores too, they so take the core of a thread that is waited for. A shorter loop costs nothing where each
    thread has a core of its own. docs/time_budget.md has figures.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def leave_a_core() -> None:
    """Lets the workers of this server train on all cores but one, unless the environment says otherwise.

    For a server that many people use. Its pages keep one core busy, and threads that share it hold up all others: they wait for
    each other many times in every step.
    """
    os.environ.setdefault(THREADS, str(max(1, _cores() - 1)))


def a_core_is_left() -> bool:
    """Whether the threads of a worker leave a core to the pages."""
    return THREADS in os.environ and int(os.environ[THREADS]) < _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
