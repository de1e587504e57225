"""Points at which a test can kill or hang a process, so that recovery is tested on the real code.

``ATTNLAB_FAULT="checkpoint.data:kill:2"`` kills the process (SIGKILL) when it reaches the point ``checkpoint.data`` for
the second time; ``hang`` instead of ``kill`` makes it sleep there forever. Without the variable nothing happens.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

VARIABLE = "ATTNLAB_FAULT"
_visits: Counter[str] = Counter()


def point(name: str) -> None:
    """Returns at once, unless ``ATTNLAB_FAULT`` names this point and this visit."""
    fault = os.environ.get(VARIABLE)
    if not fault:
        return
    target, action, visit = fault.split(":")
    if target != name:
        return
    _visits[name] += 1
    if _visits[name] != int(visit):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(60)
