"""Where the arithmetic happens, and how a process that only trains is set up for it."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

_M_TRIM_THRESHOLD = -1  # names and values from glibc's malloc.h
_M_MMAP_MAX = -4
_CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def choose_device(asked: str) -> torch.device:
    """``"auto"`` takes CUDA where there is one; ``CUDA_VISIBLE_DEVICES`` says which.

    Raises:
        ValueError: when CUDA is asked for and not there.
    """
    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise ValueError("training.device is 'cuda', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    # With its index, since tensors say "cuda:0" and that is not equal to "cuda".
    return torch.device("cpu") if asked == "cpu" or not available else torch.device("cuda", 0)


def describe_device(device: torch.device) -> str:
    """What a person calls the device: the card's name, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads != 1 else ''}"


def prepare_process(threads: int | None = None) -> None:
    """Sets up a process whose only work is training; the worker calls it once, before the first tensor.

    Not for a process that also serves pages: memory is kept until the process ends.

    Args:
        threads: of torch; by default the cores this process may use, which in a container can be fewer than the
            machine has.
    """
    torch.set_num_threads(threads or usable_cores())
    keep_freed_memory()


def usable_cores() -> int:
    """Cores this process may use: affinity and the container's quota, at most torch's own choice, at least 1."""
    cores = min(torch.get_num_threads(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else sys.maxsize)
    if _CGROUP_CPU_MAX.is_file():
        quota, period = _CGROUP_CPU_MAX.read_text().split()
        if quota != "max":
            cores = min(cores, round(int(quota) / int(period)))
    return max(1, cores)


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory instead of returning it to the kernel.

    Large activations are otherwise mapped, cleared page by page and given back at every step. Costs resident memory
    until the process ends. Returns whether the C library took the setting (it is not there on macOS, Windows, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
