"""What several commands share: exit codes, common options, finding a run, and output as text, table or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from attnlab import paths
from attnlab.files import write_file
from attnlab.queue.settings import EXECUTOR
from attnlab.readable import readable
from attnlab.runs.files import MOST_BYTES

if TYPE_CHECKING:
    from attnlab.config import RunConfig
    from attnlab.queue.manager import Manager
    from attnlab.runs.folder import RunFolder
    from attnlab.runs.store import Store

OK, WRONG, STOPPED = 0, 2, 130
"""Exit codes: done; a wrong request or a failed run; stopped by Ctrl-C."""

Json = Annotated[bool, Parameter(name="--json", negative="", help="print one JSON object")]
Names = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]
Executor = Annotated[
    Literal["process", "thread", "ray"] | None,
    Parameter(help="where runs train: in a separate process, in a thread, or on a Ray cluster (see docs/scale.md)"),
]

TimeBudget = Annotated[
    str | None,
    Parameter(
        name="--time-budget",
        help="train as many epochs as end within this time on this machine, as in 60, 5m or 1h30m; --epochs is then the most",
    ),
]


def read_given(path: Path) -> bytes:
    """The content of a file that a person names, which may be a pipe, as in ``--config <(jq . run.json)``.

    Raises:
        OSError: when it cannot be read. ValueError: when it is larger than `MOST_BYTES`, or has no end.
    """
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES:,} bytes, which is too much for a file of settings or results")
    return content


def choose_executor(name: str | None) -> None:
    """Makes this process use the named executor; `None` keeps the one of the settings or the environment."""
    if name is not None:
        os.environ[EXECUTOR] = name


def with_offered_values(config: RunConfig) -> RunConfig:
    """The config with the options of its network in the type in which they are offered, see `attnlab.registry.as_offered`.

    Raises:
        ValueError: for an unknown network.
    """
    from attnlab.models import get_model
    from attnlab.registry import as_offered

    options = as_offered(config.model.options, get_model(config.model.backbone).options)
    return config if options == config.model.options else config.changed(model__options=options)


def as_new_run(config: RunConfig) -> RunConfig:
    """The config of a run that no file describes: what it leaves open is what its data set and variants start new runs with.

    Raises:
        ValueError: for an unknown variant.
    """
    from attnlab.attention import options_of_a_new_run
    from attnlab.data import options_of_a_new_run as data_options_of_a_new_run

    config = with_offered_values(config)
    dataset, model = config.dataset, config.model
    chosen = options_of_a_new_run(model.attention)
    of_variants = {
        name: chosen.get(name, {}) | model.attention_options.get(name, {}) for name in (*chosen, *model.attention_options)
    }
    return config.changed(
        dataset__options=data_options_of_a_new_run(dataset.name) | dataset.options, model__attention_options=of_variants
    )


def find_run(run: str) -> RunFolder:
    """The files of a run.

    Args:
        run: its id, or the path of its folder.

    Raises:
        UnknownRun: when there is no such run.
    """
    from attnlab.runs.folder import RunFolder
    from attnlab.runs.store import Store

    if (Path(run) / "config.json").is_file():
        return RunFolder(Path(run).resolve())
    store = Store(paths.home(), write=False)
    try:
        return store.folder(run)
    finally:
        store.close()


@contextmanager
def open_store() -> Iterator[Store]:
    """The runs of the home as their folders are now, also while an app maintains the index."""
    from filelock import Timeout

    from attnlab.runs.store import Store, home_lock

    lock = home_lock(paths.home())
    try:
        lock.acquire(timeout=0)
        store = Store(paths.home(), write=True)
        store.sync()
    except Timeout:
        store = Store(paths.home(), write=False)
        store.read_folders()
    try:
        yield store
    finally:
        store.close()
        lock.release()


@contextmanager
def open_manager() -> Iterator[Manager]:
    """The manager of the home. It is shut down at the end; an app that owns the queue carries on."""
    from attnlab.experiments.managers import get_manager, shutdown_all

    try:
        yield get_manager()
    finally:
        shutdown_all()


def prepare_training() -> None:
    """Sets this process up for training alone. ``ATTNLAB_THREADS`` limits the threads of torch."""
    from attnlab.training.device import prepare_process

    threads = os.environ.get("ATTNLAB_THREADS")
    prepare_process(int(threads) if threads else None)


def percent(share: float | None) -> str:
    """``0.941`` -> ``"94.1%"``; nothing for `None`."""
    return "" if share is None else f"{share:.1%}"


def tell(tree: Mapping[str, Any], text: str, *, as_json: bool) -> int:
    """Prints a result as one JSON object or as text."""
    if as_json:
        return print_json(tree)
    print(text)
    return OK


def print_json(tree: Mapping[str, Any]) -> int:
    """Prints one JSON object."""
    print(json.dumps(tree, indent=1, default=str))
    return OK


def write_text(text: str, to: Path | None) -> int:
    """Writes a result to a file, which has its old content until the new one is complete, or to standard output.

    Raises:
        OSError: when it cannot be written.
    """
    if to is None:
        print(text, end="")
    elif to.exists() and not to.is_file():  # a pipe, or a terminal
        to.write_text(text, encoding="utf-8")
    else:
        write_file(to, lambda stream: stream.write(text.encode()))
    return OK


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Prints aligned columns, as wide as the terminal or 200 characters."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def complain(reason: str) -> int:
    """Prints an error to standard error."""
    print(f"error: {readable(reason)}", file=sys.stderr)
    return WRONG


def refuse_unused_placement(config: RunConfig) -> None:
    """
    Raises:
        ValueError: when the place of attention says nothing: for a network that takes no variants, or a variant alone that
            takes the place of convolutions.
    """
    from attnlab.config import MIXERS
    from attnlab.models import get_model

    model = config.model
    if not model.foreign and not get_model(model.backbone).placements:
        why = f"{model.backbone} has no place for an attention variant"
    elif model.attention in MIXERS:
        why = f"{model.attention} takes the place of the network's convolutions"
    else:
        return
    raise ValueError(f"{why}, so the placement would change nothing; leave it out")
