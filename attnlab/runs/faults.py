"""Places where a test can make a process die, so that recovery is tested on the real code.

``ATTNLAB_FAULT="checkpoint.data:kill:2"`` kills this process (SIGKILL) when it comes to the point ``checkpoint.data`` for
the second time; ``hang`` in place of ``kill`` makes it sleep there for ever. Without the variable nothing happens.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

VARIABLE = "ATTNLAB_FAULT"
_seen: Counter[str] = Counter()


def point(name: str) -> None:
    """Passes, unless ``ATTNLAB_FAULT`` names this point and this is the time it counts to."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    where, what, count = asked.split(":")
    if where != name:
        return
    _seen[name] += 1
    if _seen[name] != int(count):
        return
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(60)
