"""How a worker gives way."""

import os
import subprocess
import sys

import pytest

SAYS = "import os; from attnlab.worker.priority import give_way; give_way(); print(os.nice(0))"


@pytest.mark.parametrize(("wish", "raised"), [("", 10), ("yes", 10), ("no", 0), ("0", 0)])
def test_a_worker_gives_way_unless_it_shall_not(wish: str, raised: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS], env=os.environ | {"ATTNLAB_GIVE_WAY": wish}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == min(19, os.nice(0) + raised)
