"""The queue manager of each home in this process, with the grids that feed its queue."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from attnlab import paths
from attnlab.experiments.grid_queue import feed
from attnlab.queue.executors.base import Executor
from attnlab.queue.executors.make import make_executor
from attnlab.queue.manager import Manager
from attnlab.queue.settings import EXECUTOR, ExecutorSettings

_log = logging.getLogger(__name__)
_managers: dict[Path, Manager] = {}
_managers_lock = threading.Lock()


def get_manager() -> Manager:
    """The manager of the current home, shared by all threads of this process; the first call creates it."""
    home = paths.home()
    with _managers_lock:
        if home not in _managers:
            _managers[home] = Manager(home, _executor(), feeders=(feed,))
        return _managers[home]


def _executor() -> Executor:
    """The one that is set; where the settings of the home cannot be used, the default one, so that the pages open all the same.

    Raises:
        ValueError: when the one that the environment or the command line names cannot be used.
    """
    try:
        return make_executor()
    except ValueError as error:
        if EXECUTOR in os.environ:
            raise
        _log.warning("runs are trained in a separate process: %s", error)
        return make_executor(ExecutorSettings())


def shutdown_all() -> None:
    """Shuts down every manager of this process."""
    with _managers_lock:
        for manager in _managers.values():
            manager.shutdown()
        _managers.clear()
