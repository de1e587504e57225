"""Makes the executor that the settings choose."""

from __future__ import annotations

from collections.abc import Callable

from attnlab import paths
from attnlab.queue.executors.base import Executor
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.executors.thread import ThreadExecutor
from attnlab.queue.settings import ExecutorSettings, load_settings


def _on_ray(settings: ExecutorSettings) -> Executor:
    from attnlab.queue.executors.ray import RayExecutor

    return RayExecutor(settings)


_EXECUTORS: dict[str, Callable[[ExecutorSettings], Executor]] = {
    "process": lambda settings: WorkerProcessExecutor(),
    "thread": lambda settings: ThreadExecutor(),
    "ray": _on_ray,
}


def make_executor(settings: ExecutorSettings | None = None) -> Executor:
    """Makes an executor.

    Args:
        settings: those of the home when `None`, see `attnlab.queue.settings`.

    Raises:
        ValueError: for invalid settings, or Ray where it is not installed.
    """
    settings = settings or load_settings(paths.home())
    return _EXECUTORS[settings.executor](settings)
