"""The device that trains, and how a process that does nothing but train is set up."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

_M_TRIM_THRESHOLD = -1  # names and values from glibc's malloc.h
_M_MMAP_MAX = -4
_CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def choose_device(name: str) -> torch.device:
    """The device called ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one; ``CUDA_VISIBLE_DEVICES`` says which.

    Raises:
        ValueError: for ``"cuda"`` without a CUDA device.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("training.device is 'cuda', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    # With its index: the device of a tensor is "cuda:0", which is not equal to "cuda".
    return torch.device("cpu") if name == "cpu" or not available else torch.device("cuda", 0)


def describe_device(device: torch.device) -> str:
    """A name for people: the model of the GPU, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads != 1 else ''}"


def prepare_process(threads: int | None = None) -> None:
    """Sets up a process that does nothing but train; the worker calls it once, before the first tensor.

    Not for a process that also serves pages: freed memory is not returned until the process ends.

    Args:
        threads: of torch; by default the cores this process may use, which can be fewer than the machine has.
    """
    torch.set_num_threads(threads or usable_cores())
    keep_freed_memory()


def usable_cores() -> int:
    """Cores this process may use, by its affinity, the container's quota and torch's own choice; at least 1."""
    cores = min(torch.get_num_threads(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else sys.maxsize)
    if _CGROUP_CPU_MAX.is_file():
        quota, period = _CGROUP_CPU_MAX.read_text().split()
        if quota != "max":
            cores = min(cores, round(int(quota) / int(period)))
    return max(1, cores)


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory for reuse instead of returning it to the kernel.

    Without it the memory of large activations is mapped, cleared page by page and returned at every step. The price is
    resident memory until the process ends.

    Returns:
        Whether the C library accepted the setting; on macOS, Windows and musl there is none.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
