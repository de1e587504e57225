"""Loads torch behind the first page, once per server.

Importing torch takes seconds and holds the interpreter, so the first page is drawn without it: a thread imports it a
moment later. Afterwards everything loaded is frozen out of the garbage collector, which otherwise walks through all
of it whenever it runs. Then the worker process gets ready too, so that a run begins at once.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from importlib import import_module

from attnlab.desk.desk import worker_warmer

AFTER_FIRST_PAINT = 1.0
"""Seconds the thread waits when the page at hand does not need torch, so that the browser gets that page first."""

_NEEDED = ("attnlab.training", "attnlab.models", "attnlab.data", "attnlab.explain")

_lock = threading.Lock()
_thread: threading.Thread | None = None
_hurry = threading.Event()
_done = threading.Event()
_failure: list[BaseException] = []


def start() -> None:
    """Starts the import in the background unless it has been started. Returns at once."""
    global _thread
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_load, args=(worker_warmer(),), name="attnlab-warmup", daemon=True)
            _thread.start()


def ready() -> bool:
    """Whether torch and the registries are loaded."""
    return _done.is_set() and not _failure


def wait() -> None:
    """Blocks until torch and the registries are loaded.

    Raises:
        ImportError: what the import raised, if it failed.
    """
    start()
    _hurry.set()
    _done.wait()
    if _failure:
        raise ImportError(f"torch could not be loaded: {_failure[0]}") from _failure[0]


def _load(warm_worker: Callable[[], None]) -> None:
    _hurry.wait(AFTER_FIRST_PAINT)
    try:
        for name in _NEEDED:
            import_module(name)
        gc.collect()
        gc.freeze()
        warm_worker()
    except BaseException as error:  # kept for `wait`, which raises it; a thread cannot raise it to anyone
        _failure.append(error)
        raise
    finally:
        _done.set()
