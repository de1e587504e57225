"""The process that measures the honesty of a map: ``python -m attnlab.explain.honesty.job RUN TAP IMAGES SEED``.

It tells its progress in the files of `attnlab.explain.honesty.process`, and ends with a result, a word that it was stopped, or
the reason why it failed.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from filelock import Timeout

from attnlab.data import load_dataset
from attnlab.explain.honesty.measure import Honesty, Stopped, measure_honesty
from attnlab.explain.honesty.process import Measurement
from attnlab.explain.open_run import open_run
from attnlab.runs.folder import RunFolder

NICE = 10
"""Pages and trainings go first."""
_LOOK_SECONDS = 0.5


def measure(asked: Measurement, progress: Callable[[int, int], None] | None = None) -> Honesty | None:
    """Measures in this process and keeps the result with the run; `None` when it was stopped.

    Raises:
        ValueError: when another process does so already, or the run, its pictures or its maps do not allow it.
    """
    lock = asked.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process measures {asked.tap} of {asked.run.run_id} at this moment") from None
    turn = asked.turn()
    try:
        asked.tell("waiting for another measurement")
        while not turn.is_locked:
            if asked.stopping():
                raise Stopped
            try:
                turn.acquire(timeout=_LOOK_SECONDS)
            except Timeout:
                continue
        asked.tell("opening the network and its pictures")
        weights = asked.weights
        run = open_run(asked.run.path, asked.run.best_or_last)
        split = load_dataset(run.config.dataset).test

        def told(done: int, total: int) -> None:
            asked.tell("measuring", done=done, total=total)
            if progress is not None:
                progress(done, total)

        asked.tell("measuring", done=0, total=min(asked.count, len(split)))
        found = measure_honesty(
            run, split, tap=asked.tap, count=asked.count, seed=asked.seed, progress=told, should_stop=asked.stopping
        )
        asked.keep(found.to_tree(), weights)
        return found
    except Stopped:
        asked.tell("stopped")
        return None
    except KeyboardInterrupt:
        asked.tell("stopped")
        raise
    except Exception as error:
        asked.tell("failed", failed=str(error) or type(error).__name__)
        raise
    finally:
        turn.release()
        lock.release()


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 also when stopped; 1 when it failed, with the trace in the log."""
    folder, tap, count, seed = sys.argv[1:] if arguments is None else arguments
    os.nice(NICE)
    try:
        measure(Measurement(RunFolder(Path(folder)), tap, int(count), int(seed)))
    except Exception:  # the reason stands in progress.json; the log gets the whole of it
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
