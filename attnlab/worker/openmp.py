"""How the threads of a training wait for each other."""

from __future__ import annotations

import os

SPIN_COUNT = "10000"


def spin_briefly() -> None:
    """Lets waiting threads sleep after a moment, unless the environment says otherwise. Call it before torch is imported.

    OpenMP's threads wait for each other in a loop that keeps the core busy, by default for many milliseconds. Where other
    programs want the cores too, they so take the core of a thread that is waited for. A shorter loop costs nothing where each
    thread has a core of its own. docs/time_budget.md has figures.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
