"""How a worker gives way to the pages and to other programs on the same cores."""

from __future__ import annotations

import os
import time
from pathlib import Path

NICE, SESSION_NICE = 10, 5
"""Of the process and of its session. A session with 5 gets a third of what one with 0 gets: pages answer quickly, and where
many programs compute, a training still goes on. With 10 it gets a tenth, and does not.
"""
_TRIES, _PAUSE_SECONDS = 5, 0.12


def gives_way() -> bool:
    """Whether workers do so at all: not with ``ATTNLAB_GIVE_WAY=no``, for machines on which nobody waits for a page."""
    return os.environ.get("ATTNLAB_GIVE_WAY", "").lower() not in ("no", "0", "false")


def give_way() -> None:
    """Raises the nice value of this process, and that of its session where the kernel shares the cores between sessions.

    With autogroups, Linux gives every session the same share of a core whatever the nice values of its processes are, and a
    worker leads a session of its own. The session of somebody else is left as it is.
    """
    if not gives_way():
        return
    os.nice(NICE)
    if os.getsid(0) == os.getpid():
        set_session_nice()


def share_cores(*, leaves_one: bool) -> None:
    """Sets the session of this process to what its next job leaves to the pages, where the session is its own.

    A training that leaves them a core of their own takes its cores as anybody does. With a lower session it would come after
    every other program there, and the pages would not be quicker: the app computes on one core at a time.
    """
    if os.getsid(0) == os.getpid():
        set_session_nice(0 if leaves_one or not gives_way() else SESSION_NICE)


def set_session_nice(nice: int = SESSION_NICE, pid: int | str = "self") -> bool:
    """Gives the session of a process a nice value, as a rule that of this one. Returns whether the kernel took it.

    The kernel takes such a wish ten times a second from all programs together, so it is asked again a few times.
    """
    for _ in range(_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        except OSError:  # a kernel without autogroups
            return False
        else:
            return True
    return False
