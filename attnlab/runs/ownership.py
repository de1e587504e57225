"""Who works on a folder, judged without comparing clocks.

A process that works holds a lock of the kernel on a file, which the kernel releases when the process ends, however it
ends. A process to be signalled is named by its id, the time it was started at and the boot it belongs to, so that a
number given to another process later, or after a restart of the machine, is not mistaken for it.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def folder_lock(path: Path) -> FileLock:
    """The lock on a file; it belongs to the object, not to the thread that took it."""
    return FileLock(path, thread_local=False)


def is_locked(path: Path) -> bool:
    """Whether some process, this one included, holds the lock. Those who only look never disturb each other."""
    if not path.exists():
        return False
    if fcntl is not None:
        with path.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
            return False
    lock = folder_lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def identity(pid: int | None = None) -> dict[str, Any] | None:
    """What tells a process from every other: pid, start and boot; `None` when there is none with this id, or a zombie."""
    number = os.getpid() if pid is None else pid
    try:
        process = psutil.Process(number)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return {"pid": number, "start": _start(process), "boot": _boot()}
    except psutil.NoSuchProcess:
        return None


def is_alive(who: dict[str, Any]) -> bool:
    """Whether the process that `identity` described still runs on this machine."""
    return identity(int(who["pid"])) == who


def send_signal(who: dict[str, Any], number: signal.Signals) -> bool:
    """Signals that process and no other; false when it is gone."""
    if not is_alive(who):
        return False
    with suppress(ProcessLookupError):
        os.kill(int(who["pid"]), number)
        return True
    return False


def _start(process: psutil.Process) -> str:
    """The start in clock ticks since boot where the kernel tells it; a time of day shifts when the clock is set."""
    stat = Path(f"/proc/{process.pid}/stat")
    if stat.exists():
        return stat.read_text().rsplit(")", 1)[1].split()[19]
    return f"{process.create_time():.2f}"


def _boot() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else f"{psutil.boot_time():.0f}"
