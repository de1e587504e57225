"""The process that measures maps against their baselines: ``python -m attnlab.explain.honesty.job RUN IMAGES SEED [TAP]``.

It reports its progress in the files of `attnlab.explain.honesty.process`, and ends with a result, with the note that it was
stopped, or with the reason why it failed.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from filelock import Timeout

from attnlab.data import load_dataset
from attnlab.explain.honesty.measure import Honesty, MeasurementStopped, measure_honesty
from attnlab.explain.honesty.process import Measurement
from attnlab.explain.open_run import open_run
from attnlab.runs.folder import RunFolder
from attnlab.worker.priority import give_way

_LOOK_SECONDS = 0.5


def measure(measurement: Measurement, progress: Callable[[int, int], None] | None = None) -> tuple[Honesty, ...] | None:
    """Measures in this process and saves the result with the run; `None` when it was stopped.

    Args:
        progress: called with the images done and the images in all.

    Raises:
        ValueError: when another process is at it already, or the run, its images or its maps do not allow it.
    """
    lock = measurement.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        of = f"{measurement.tap} of " if measurement.tap else ""
        raise ValueError(f"another process is measuring {of}{measurement.run.run_id}") from None
    home_lock = measurement.home_lock()
    try:
        measurement.write_progress("waiting for another measurement")
        while not home_lock.is_locked:
            if measurement.stop_requested():
                raise MeasurementStopped
            try:
                home_lock.acquire(timeout=_LOOK_SECONDS)
            except Timeout:
                continue
        measurement.write_progress("opening the network and its images")
        weights = measurement.weights
        run = open_run(measurement.run.path, measurement.run.best_or_last)
        split = load_dataset(run.config.dataset).test

        def report(done: int, total: int) -> None:
            measurement.write_progress("measuring", done=done, total=total)
            if progress is not None:
                progress(done, total)

        measurement.write_progress("measuring", done=0, total=min(measurement.count, len(split)))
        honesty = measure_honesty(
            run,
            split,
            taps=[measurement.tap] if measurement.tap else None,
            count=measurement.count,
            seed=measurement.seed,
            progress=report,
            should_stop=measurement.stop_requested,
        )
        measurement.save([each.to_tree() for each in honesty], weights)
        return honesty
    except MeasurementStopped:
        measurement.write_progress("stopped")
        return None
    except KeyboardInterrupt:
        measurement.write_progress("stopped")
        raise
    except Exception as error:
        measurement.write_progress("failed", failed=str(error) or type(error).__name__)
        raise
    finally:
        home_lock.release()
        lock.release()


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, also when it was stopped; 1 when it failed, with the traceback in the log."""
    folder, count, seed, *tap = sys.argv[1:] if arguments is None else arguments
    give_way()
    try:
        measure(Measurement(RunFolder(Path(folder)), int(count), int(seed), *tap))
    except Exception:  # progress.json has the reason; the log gets the whole traceback
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
