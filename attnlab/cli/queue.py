"""``--executor``: runs that a command hands to the queue, to be trained by another process or on a cluster.

Without it ``train`` works in the process of the command. Where an app keeps the queue of the home, the run is handed to
it and trained where that app trains; otherwise this process keeps the queue as long as it takes.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from attnlab.config import RunConfig
from attnlab.queue.settings import EXECUTOR

if TYPE_CHECKING:
    from attnlab.runs.folder import RunFolder
    from attnlab.worker.attempt import Watch
    from attnlab.worker.session import Outcome

Executor = Annotated[
    Literal["process", "thread", "ray"] | None,
    Parameter(help="what trains it: a process, a thread, or a Ray cluster (docs/scale.md)"),
]
_LOOK_SECONDS = 0.3


def choose_executor(name: str | None) -> None:
    """Lets what follows in this process use the named executor; without a name what the home or the environment says."""
    if name is not None:
        os.environ[EXECUTOR] = name


def train_by_queue(config: RunConfig, title: str, note: str, watch: Watch) -> tuple[RunFolder, Outcome]:
    """Queues a run and waits until it has ended. Ctrl-C stops it with a checkpoint.

    Args:
        watch: told the content of `state.json` when the step has changed.

    Raises:
        RunRefused: when the executor could never train it.
    """
    from attnlab.experiments.managers import get_manager, shutdown_all
    from attnlab.runs.folder import RunFolder
    from attnlab.worker.session import Outcome

    manager = get_manager()
    if not manager.owns_queue:
        print(manager.queue_owner, file=sys.stderr)
    run_id = manager.submit(config, title, note)
    seen, told = -1, ""
    try:
        while (record := manager.get(run_id)).state.live:
            try:
                if record.step != seen and record.total_steps:
                    seen = record.step
                    watch(RunFolder(record.folder).progress())
                if manager.trouble and manager.trouble != told:
                    told = manager.trouble
                    print(told, file=sys.stderr)
                time.sleep(_LOOK_SECONDS)
            except KeyboardInterrupt:
                print("\nstopping after this step; Ctrl-C again leaves it to itself", file=sys.stderr)
                manager.stop(run_id)
    finally:
        shutdown_all()
    return RunFolder(record.folder), Outcome(record.state, record.reason, dict(record.result))
