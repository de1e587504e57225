"""The command line. ``python -m attnlab train --dataset digits --attention eca+cbam_spatial --epochs 3 --json``.

Results go to stdout (with ``--json`` exactly one JSON object), progress and errors to stderr. Exit codes: 0 done, 2 a
wrong request or a run that failed, 130 stopped by Ctrl-C. What needs torch is imported when a command needs it.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from attnlab import __version__, paths
from attnlab.cli.grid import grid_app, tensorboard
from attnlab.cli.honesty import honesty
from attnlab.cli.open import Json, open_command
from attnlab.cli.progress import progress_bar
from attnlab.cli.queue import Executor, choose_executor, train_by_queue
from attnlab.cli.reproduce import reproduce_app
from attnlab.cli.runs import compare, delete, pause, rename, stop
from attnlab.cli.search import search
from attnlab.config import RunConfig, explain
from attnlab.experiments.overrides import change, settings

if TYPE_CHECKING:
    from attnlab.runs.folder import RunFolder
    from attnlab.runs.store import Store
    from attnlab.worker.session import Outcome

OK, WRONG, STOPPED = 0, 2, 130

app = App(
    name="python -m attnlab",
    help="A laboratory for attention in image classification. The app: streamlit run app.py",
    version=__version__,
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. Returns the exit code."""
    try:
        return app(sys.argv[1:] if arguments is None else arguments) or OK
    except CycloptsError as error:
        return _complain(str(error))
    except ValueError as error:
        return _complain(explain(error))
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        return _complain(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))


def train(
    *,
    config: Path | None = None,
    title: str = "",
    note: str = "",
    executor: Executor = None,
    as_json: Json = False,
    **given: Any,
) -> int:
    """Train a network, here and now where no executor is named. Ctrl-C stops it with a checkpoint.

    The run appears in the app like any other.

    Parameters
    ----------
    config
        a file with a configuration (config.json of a run); options given besides it change it
    title
        what the run is called
    note
        a note kept with the run
    """
    tree = _read_config(config) if config else {}
    tree = change(tree, {setting.path: given[name] for setting in settings() if (name := setting.keyword) in given})
    chosen = _with_absolute_path(RunConfig.model_validate(tree))
    _check_names(chosen)

    from attnlab.runs.folder import RunFolder

    if executor is not None:
        choose_executor(executor)
        with progress_bar() as watch:
            folder, outcome = train_by_queue(chosen, title, note, watch)
        return _tell(folder, outcome, as_json=as_json)
    folder = RunFolder.create(paths.runs_dir(), chosen, title=title, note=note)
    return _work(folder, as_json=as_json)


def _with_every_setting(command: Callable[..., int]) -> inspect.Signature:
    """The signature of a command with every setting of the configuration in the place of its ``**given``."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    for setting in settings():
        kind = list[str] if setting.mapping else setting.annotation
        about = Parameter(
            name=f"--{setting.name}",
            help=setting.help,
            group=_GROUPS[setting.section],
            negative=() if setting.mapping else None,
        )
        annotation = Annotated[kind | None, about]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(setting.keyword, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return inspect.Signature(parameters, return_annotation=int)


_GROUPS = {section: Group.create_ordered(section) for section in RunConfig.model_fields}
train.__signature__ = _with_every_setting(train)  # type: ignore[attr-defined]
for _command in (train, stop, pause, rename, delete, compare, grid_app, reproduce_app, search, tensorboard, honesty):
    app.command(_command)
app.command(open_command, name="open")


@app.command
def resume(run: str, *, as_json: Json = False) -> int:
    """Go on with a run that was stopped, paused, interrupted or has failed, here and now.

    Parameters
    ----------
    run
        its id, or its folder
    """
    from attnlab.runs.folder import RunFolder
    from attnlab.runs.store import Store

    known = (Path(run) / "config.json").is_file()
    folder = RunFolder(Path(run).resolve()) if known else Store(paths.home(), write=False).folder(run)
    state = folder.observe().state
    if folder.path.parent == paths.DEMO_RUNS:
        raise ValueError(f"{folder.run_id} is a shipped run; it cannot be changed")
    if not state.resumable:
        raise ValueError(f"{folder.run_id} is {state}; only a paused, stopped, interrupted or failed run can be resumed")
    return _work(folder, as_json=as_json)


@app.command
def runs(*, as_json: Json = False) -> int:
    """List the runs, newest first."""
    with _store() as store:
        records = store.runs()
    if as_json:
        return _print_json({"home": str(paths.home()), "runs": [_as_tree(record) for record in records]})
    rows = [
        (
            record.run_id,
            record.state + (" (shipped)" if record.demo else ""),
            f"{record.step}/{record.total_steps}" if record.total_steps else "",
            _percent(record.validation_accuracy),
            _percent(record.test_accuracy),
            record.reason or record.note,
        )
        for record in records
    ]
    _print_table(("run", "state", "step", "validation", "test", ""), rows)
    return OK


@app.command(name="list")
def list_(*, as_json: Json = False) -> int:
    """List what can be chosen: attention variants, networks, data sets."""
    from attnlab.attention import list_attention
    from attnlab.data import list_datasets
    from attnlab.models import list_models
    from attnlab.plugins import failures

    found: dict[str, Mapping[str, Any]] = {"variants": list_attention(), "networks": list_models(), "datasets": list_datasets()}
    if as_json:
        tree: dict[str, Any] = {kind: [_registered(thing) for thing in things.values()] for kind, things in found.items()}
        return _print_json(tree | {"broken_plugins": [asdict(failure) for failure in failures()]})
    for kind, things in found.items():
        rows = [(name, thing.title, thing.summary, ", ".join(thing.options)) for name, thing in things.items()]
        _print_table((kind, "title", "", "options"), rows)
    for failure in failures():
        print(f"warning: {failure}", file=sys.stderr)
    return OK


@app.command
def reindex() -> int:
    """Make the index of the runs anew from their folders."""
    with _store() as store:
        if not store.writes:
            raise ValueError(f"an app that is running keeps the index of {paths.home()}; it follows the folders by itself")
        print(f"{store.reindex()} runs in {paths.index_file()}")
        for name, reason in store.broken().items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
    return OK


@app.command
def demo(*names: str, as_json: Json = False) -> int:
    """Make the shipped demo runs anew, in checkpoints/demo.

    Parameters
    ----------
    names
        attention variants, "lesions", "lesions_without_gates"; all shipped runs when none is named
    """
    from attnlab.experiments.demo import make_demo

    _prepare_process()
    sizes: dict[str, int] = {}
    with progress_bar() as watch:
        for run_id, size in make_demo(names, paths.DEMO_RUNS, watch):
            sizes[run_id] = size
            if not as_json:
                print(f"{run_id}: {size / 1000:.0f} kB")
    return _print_json({"folder": str(paths.DEMO_RUNS), "bytes": sizes}) if as_json else OK


def _work(folder: RunFolder, *, as_json: bool) -> int:
    """Trains in this process and tells how it went."""
    from attnlab.worker.session import run

    _prepare_process()
    with progress_bar() as watch, _stopping(folder):
        outcome = run(folder.path, watch=watch)
    return _tell(folder, outcome, as_json=as_json)


def _tell(folder: RunFolder, outcome: Outcome, *, as_json: bool) -> int:
    """Says how a run went."""
    from attnlab.runs.records import RunState

    if outcome.state is RunState.FAILED:
        first = (folder.end() or {}).get("attempt") == 1
        if first and folder.progress().get("step", 0) == 0:
            folder.remove()  # nothing happened that would be worth keeping
            return _complain(outcome.reason)
        return _complain(f"{folder.run_id} failed: {outcome.reason}")
    if as_json:
        _print_json(_outcome_tree(folder, outcome))
    elif outcome.state is RunState.FINISHED:
        print(f"{folder.run_id}: test accuracy {outcome.result['test_accuracy']:.2%} ({outcome.result['seconds']:.0f} s)")
        print(folder.path)
    if outcome.state is RunState.FINISHED:
        return OK
    step = folder.progress().get("step", 0)
    print(f"stopped at step {step}; go on with: python -m attnlab resume {folder.run_id}", file=sys.stderr)
    return STOPPED


def _outcome_tree(folder: RunFolder, outcome: Outcome) -> dict[str, Any]:
    progress = folder.progress()
    kept = {name: value for name, value in outcome.result.items() if name not in ("kind", "extra") and value is not None}
    return {
        "run_id": folder.run_id,
        "folder": str(folder.path),
        "checkpoint": str(folder.best_path) if folder.best_path.exists() else None,
        "state": str(outcome.state),
        "metrics": kept,
        "parameters": progress.get("parameters"),
        "device": progress.get("device"),
        "config": folder.config.model_dump(mode="json"),
    }


def _read_config(path: Path) -> dict[str, Any]:
    """The tree in a configuration file.

    Raises:
        ValueError: when it is no JSON object. OSError: when it cannot be read.
    """
    try:
        tree = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path} is no configuration: a JSON object is expected")
    return tree


def _with_absolute_path(config: RunConfig) -> RunConfig:
    """A data set given as a path is found again from any folder."""
    from attnlab.data import list_datasets

    path = Path(config.dataset.name).expanduser()
    if config.dataset.name in list_datasets() or not path.exists():
        return config
    return config.changed(dataset__name=str(path.resolve()))


def _check_names(config: RunConfig) -> None:
    """Refuses unknown names before a run is made.

    Raises:
        ValueError: naming what is unknown and what is known.
    """
    from attnlab.attention import split_composition
    from attnlab.models import get_model

    get_model(config.model.backbone)
    split_composition(config.model.attention)


@contextmanager
def _store() -> Iterator[Store]:
    """The runs of the home. Where no app keeps the index, it is brought up to date first."""
    from filelock import Timeout

    from attnlab.runs.store import Store, home_lock

    lock = home_lock(paths.home())
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield Store(paths.home(), write=False)
        return
    try:
        store = Store(paths.home(), write=True)
        store.sync()
        yield store
        store.close()
    finally:
        lock.release()


def _prepare_process() -> None:
    from attnlab.training.device import prepare_process

    threads = os.environ.get("ATTNLAB_THREADS")
    prepare_process(int(threads) if threads else None)


@contextmanager
def _stopping(folder: RunFolder) -> Iterator[None]:
    """The first Ctrl-C lets the step at hand end and a checkpoint be written; the second ends at once."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this step; Ctrl-C again ends at once", file=sys.stderr)
        folder.request("stop")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _as_tree(record: Any) -> dict[str, Any]:
    tree = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return tree | {"config": record.config.model_dump(mode="json"), "folder": str(record.folder), "result": dict(record.result)}


def _registered(thing: Any) -> dict[str, Any]:
    wanted = ("name", "title", "summary", "paper", "source", "kinds", "placements", "options", "defaults", "class_names")
    return {name: getattr(thing, name) for name in wanted if hasattr(thing, name)}


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _print_json(tree: Mapping[str, Any]) -> int:
    print(json.dumps(tree, indent=1, default=str))
    return OK


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def _complain(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return WRONG
