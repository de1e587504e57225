"""The worker process: ``python -m attnlab.worker.main``.

Without arguments it loads torch once and then trains one run after another. Each line of its input is a job,
``{"run": folder, "attempt": number}``; it prints ``{"done": folder, "reusable": bool}`` when the job has ended. A job
``{"time": config}`` asks what such a run would cost here: it prints ``{"doing": words}`` meanwhile, and then
``{"speed": costs, "reusable": true}`` or ``{"refused": reason, "reusable": bool}``. It gives way to other programs
(`attnlab.worker.priority`), so that the pages stay responsive. When its input closes (the app is gone), it finishes the run
at hand and exits.

``python -m attnlab.worker.main LOCATION ATTEMPT`` trains one run and exits, for executors that start one process per
run. The location is the path of the run's folder or its ``file://`` URL.

``ATTNLAB_THREADS`` sets the number of torch's threads.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.request import url2pathname

from attnlab.config import RunConfig
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.worker.openmp import THREADS, a_core_is_left, spin_briefly
from attnlab.worker.priority import give_way, share_cores
from attnlab.worker.session import Terminated, dataset, load, run_with_waiting_seeds
from attnlab.worker.timing import CannotBeTimed, measure

if TYPE_CHECKING:
    from attnlab.training import Event


def main() -> int:
    """Serves jobs from standard input, or trains the one run that the arguments name. Returns the exit code."""
    spin_briefly()
    faulthandler.enable()  # a crash of a library then leaves its place in the code in log.txt
    if len(sys.argv) == 3:
        return _train_one(sys.argv[1], int(sys.argv[2]))
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed must not mix with the replies
    signal.signal(signal.SIGTERM, _terminate)
    try:
        give_way()
        load()
        _prepare_process()
        try:
            _warm_up()
        except Exception:  # the run that meets the same error reports it
            traceback.print_exc()
        for line in sys.stdin.buffer:
            job = json.loads(line)
            if "time" in job:
                share_cores(leaves_one=False)  # beside a training
                if not _time(RunConfig.model_validate(job["time"]), job["seconds"], replies):
                    return 3
                continue
            folder = RunFolder(Path(job["run"]))
            reusable = True
            share_cores(leaves_one=a_core_is_left())
            with _output_to(folder.log_path):
                try:
                    reusable = run_with_waiting_seeds(folder.path, attempt=job["attempt"]).reusable
                except FolderError as error:
                    print(error, file=sys.stderr)
            with suppress(BrokenPipeError):
                print(json.dumps({"done": job["run"], "reusable": reusable}), file=replies)
            if not reusable:
                return 3
    except Terminated:
        return 0
    return 0


def _train_one(location: str, attempt: int) -> int:
    """One attempt at the run at a location. Returns the exit code: 0 when how it ended is in the folder.

    Raises:
        FolderError: when the location cannot be a run folder.
    """
    folder = RunFolder(_local_path(location))
    signal.signal(signal.SIGTERM, _terminate)
    _prepare_process()
    with _output_to(folder.log_path):
        try:
            run_with_waiting_seeds(folder.path, attempt=attempt)
        except FolderError as error:
            print(error, file=sys.stderr)
            return 3
        except Terminated:
            return 4
    return 0


def _time(config: RunConfig, seconds: float, replies: IO[str]) -> bool:
    """Measures what a run costs, and prints it. Returns whether the process can go on."""

    def reply(**tree: object) -> None:
        with suppress(BrokenPipeError):
            print(json.dumps(tree), file=replies)

    try:
        speed = measure(config, lambda words, done: reply(doing=words, done=done), seconds=seconds)
    except CannotBeTimed as error:
        reply(refused=str(error), reusable=error.reusable)
        return error.reusable
    reply(speed=asdict(speed), reusable=True)
    return True


def _local_path(location: str) -> Path:
    """The path of a location. This is the one place to extend for stores that are reached in another way."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return Path(location)
    if scheme != "file":
        raise FolderError(f"{location}: only folders on a shared path (file://) can be trained, not {scheme}://")
    return Path(url2pathname(rest))


def _prepare_process() -> None:
    from attnlab.training.device import prepare_process

    prepare_process(int(os.environ[THREADS]) if THREADS in os.environ else None)


def _warm_up() -> None:
    """Trains two steps on the built-in data, so that all libraries are initialised and the data set is in memory."""
    from attnlab.training import train

    config = RunConfig.model_validate({"model": {"width": 4}})
    events: list[Event] = []
    train(
        config,
        on_event=events.append,
        should_stop=lambda: sum(event.kind == "step" for event in events) >= 2,
        dataset=dataset(config.dataset, lambda what, done: None),
        checkpoint_every=None,
    )


def _terminate(*_: object) -> None:
    raise Terminated


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Appends everything that is printed to a file, including what C libraries print."""
    originals = os.dup(1), os.dup(2)
    with path.open("ab") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    try:
        yield
    finally:
        for original, descriptor in zip(originals, (1, 2), strict=True):
            os.dup2(original, descriptor)
            os.close(original)


if __name__ == "__main__":
    sys.exit(main())
