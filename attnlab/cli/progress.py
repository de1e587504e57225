"""How far a run is, on stderr: a bar on a terminal, a line for each epoch in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.worker.attempt import Watch


@contextmanager
def progress_bar() -> Iterator[Watch]:
    """A bar on a terminal, a line for each epoch in a log."""
    if not sys.stderr.isatty():
        yield _epoch_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[speed]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, speed="")

        def show(progress: dict[str, Any]) -> None:
            speed = progress.get("images_per_second")
            best = progress.get("validation_accuracy")
            doing = f"epoch {progress['epoch']}" if progress["phase"] == "training" else progress["phase"]
            bar.update(
                task,
                description=doing + (f", validation {best:.1%}" if best is not None else ""),
                completed=progress["step"],
                total=progress.get("total_steps"),
                speed=f"{speed:.0f} images/s" if speed else "",
            )

        yield show


def _epoch_lines() -> Callable[[dict[str, Any]], None]:
    seen = {"epoch": 0}

    def show(progress: dict[str, Any]) -> None:
        if progress["epoch"] != seen["epoch"]:
            seen["epoch"] = progress["epoch"]
            print(f"epoch {progress['epoch']}, step {progress['step']}/{progress.get('total_steps')}", file=sys.stderr)

    return show
