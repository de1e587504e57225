"""Which process owns a folder, decided without comparing clocks.

The owner holds a kernel lock on a file; the kernel releases it when the process ends, however it ends. A process to be
signalled is identified by its id, its start time and the boot it belongs to, so that a later process with the same id,
or one after a restart of the machine, is not mistaken for it.
"""

from __future__ import annotations

import os
import signal
import time
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
    """The lock on a file. It belongs to the returned object, not to the thread that acquires it."""
    return FileLock(path, thread_local=False)


def is_locked(path: Path) -> bool:
    """Whether some process, this one included, holds the lock. Asking never gets in the way of others who ask."""
    if fcntl is not None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:  # there is none, or something else is in its place, which nobody holds
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False
    if not path.exists():
        return False
    lock = folder_lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def identity(pid: int | None = None) -> dict[str, Any] | None:
    """Identifies a process uniquely by pid, start time and boot.

    `None` when there is no process with this id, or only a zombie.
    """
    number = os.getpid() if pid is None else pid
    try:
        process = psutil.Process(number)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return {"pid": number, "start": _start(process), "boot": _boot()}
    except psutil.NoSuchProcess:
        return None


def is_alive(process: dict[str, Any]) -> bool:
    """Whether the process that `identity` described still runs on this machine."""
    return identity(int(process["pid"])) == process


def send_signal(process: dict[str, Any], number: signal.Signals) -> bool:
    """Sends a signal to exactly the process that `identity` described. Returns false when it has ended."""
    if not is_alive(process):
        return False
    with suppress(ProcessLookupError):
        os.kill(int(process["pid"]), number)
        return True
    return False


def process_start() -> float:
    """When this process began, on the clock of `time.monotonic`, which nobody sets."""
    if hasattr(time, "CLOCK_BOOTTIME") and Path("/proc/self/stat").exists():
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(_start(psutil.Process())) / os.sysconf("SC_CLK_TCK")
    else:
        age = time.time() - psutil.Process().create_time()
    return time.monotonic() - max(0.0, age)


def _start(process: psutil.Process) -> str:
    """The start in clock ticks since boot, where the kernel reports it; a time of day would shift with the clock."""
    stat = Path(f"/proc/{process.pid}/stat")
    if stat.exists():
        return stat.read_text().rsplit(")", 1)[1].split()[19]
    return f"{process.create_time():.2f}"


def _boot() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else f"{psutil.boot_time():.0f}"
