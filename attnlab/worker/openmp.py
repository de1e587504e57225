"""How the threads of a training wait for each other."""

from __future__ import annotations

import os


def wait_passively() -> None:
    """Lets waiting threads sleep, unless the environment says otherwise. Call it before torch is imported.

    OpenMP's threads wait for each other in a loop that keeps the core busy. That costs nothing where each thread has a core
    of its own; where other programs want the cores too, threads wait for one that cannot run, and take its core.
    docs/time_budget.md has figures.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
