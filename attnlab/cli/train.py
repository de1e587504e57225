"""``attnlab train`` and ``attnlab resume``: one run, trained by this process or through the queue."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from attnlab import paths
from attnlab.cli.common import (
    OK,
    STOPPED,
    Executor,
    Json,
    TimeBudget,
    as_new_run,
    choose_executor,
    complain,
    find_run,
    open_manager,
    open_store,
    prepare_training,
    print_json,
    read_given,
    refuse_unused_placement,
    with_offered_values,
)
from attnlab.cli.progress import progress_bar
from attnlab.cli.read import print_left_out, print_reading, reading_of
from attnlab.cli.settings import with_settings
from attnlab.config import RunConfig
from attnlab.experiments.overrides import change, settings
from attnlab.queue.plan import THIS_PROCESS, measure_here, note_budget, plan_in_queue, plan_run
from attnlab.readable import why_not_json
from attnlab.runs.ownership import process_start
from attnlab.training.budget import parse_seconds

if TYPE_CHECKING:
    from attnlab.data import Reading
    from attnlab.runs.folder import RunFolder
    from attnlab.runs.records import RunRecord
    from attnlab.worker.attempt import Watch
    from attnlab.worker.session import Outcome

_POLL_SECONDS = 0.3


def _start() -> RunConfig:
    """What a run begins with of which nothing is said."""
    return RunConfig.model_validate(_preset({}))


def train(
    *,
    config: Path | None = None,
    title: str | None = None,
    note: str | None = None,
    time_budget: TimeBudget = None,
    executor: Executor = None,
    again: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
    **values: Any,
) -> int:
    """Train a network. The run appears in the app like any other.

    Without --config or --backbone it starts from the app's preset "One minute", so that runs of both compare. Without
    --executor it trains in this process. Ctrl-C stops it with a checkpoint.

    Parameters
    ----------
    config
        a configuration file (config.json of a run); other options override it
    title
        a name for the run
    note
        a note to keep with the run
    again
        train even if a run of these settings exists
    """
    given = {setting.path: values[name] for setting in settings() if (name := setting.keyword) in values}
    tree = change(_read_config(config) if config else _preset(given), given)
    chosen = _checked(RunConfig.model_validate(tree))
    if "model.placement" in given:
        refuse_unused_placement(chosen)
    if config is None:
        chosen = as_new_run(chosen)
    if config is None and not any(text.startswith("blocks=") for text in given.get("model.options") or ()):
        from attnlab.training.presets import as_deep_as_fits

        chosen = as_deep_as_fits(chosen)
    if (reading := reading_of(chosen.dataset)) and not as_json:
        print_reading(reading, choices=False)
        if reading.choices:
            print("`attnlab read` with the same options shows the other ways to read it.")

    from attnlab.runs.folder import RunFolder

    budget = None if time_budget is None else parse_seconds(time_budget)
    if executor is not None:
        choose_executor(executor)
        with progress_bar() as watch:
            folder, outcome = _train_by_queue(chosen, budget, title or "", note or "", watch, again=again)
        return _report(folder, outcome, as_json=as_json, told=reading)
    with open_store() as store:
        records, newest = store.runs(), store.newest()
    if budget is not None:
        chosen = _fitted_here(chosen, budget, records)
    _tell_existing(chosen, records, again=again)
    folder = RunFolder.create(paths.runs_dir(), chosen, title=title or "", note=note or "", after=newest)
    if budget is not None:
        note_budget([folder], budget)
    return _train_here(folder, as_json=as_json, told=reading)


def resume(run: str, *, as_json: Json = False) -> int:
    """Resume a paused, stopped, interrupted or failed run in this process.

    Parameters
    ----------
    run
        the id of a run, or its folder
    """
    from attnlab.runs.folder import refuse_recorded

    folder = find_run(run)
    state = folder.observe().state
    if folder.path.parent == paths.DEMO_RUNS:
        raise ValueError(f"{folder.run_id} is a demo run and cannot be changed")
    refuse_recorded(folder)
    if not state.resumable:
        raise ValueError(f"{folder.run_id} is {state}; only a paused, stopped, interrupted or failed run can be resumed")
    return _train_here(folder, as_json=as_json)


def _tell_existing(config: RunConfig, records: Sequence[RunRecord], *, again: bool) -> None:
    """Says that a run of these settings exists; one that is shipped is no reason not to train.

    Raises:
        ValueError: when there is one, unless ``again``.
    """
    same = [record for record in records if record.config.group == config.group]
    known = [record for record in same if record.config.seed == config.seed]
    if not known or again:
        return
    run = next((record for record in known if not record.demo), known[0])
    free = next(seed for seed in count() if seed not in {record.config.seed for record in same})
    if run.demo:
        print(f"The shipped run {run.run_id} has these settings too; this one stands beside it.", file=sys.stderr)
        return
    if run.test_accuracy is not None:
        exists = f"These settings have been trained already: {run.run_id}, test accuracy {run.test_accuracy:.1%}."
    else:
        exists = f"A run of these settings exists: {run.run_id} is {run.state}."
    go_on = f"Continue it with `attnlab resume {run.run_id}`" if run.resumable else "`attnlab app` shows it"
    raise ValueError(f"{exists} {go_on}. Another seed (--seed {free} is free) or --again starts a new run.")


def _fitted_here(config: RunConfig, budget: float, records: Sequence[RunRecord]) -> RunConfig:
    """The config with as many epochs as this process ends in time; says how many."""
    prepare_training()
    print("timing a few steps", file=sys.stderr)
    plan = plan_run(config, budget, home=paths.home(), measure=measure_here, records=records, fresh=True, where=THIS_PROCESS)
    print(plan.words, file=sys.stderr)
    return plan.config


def _train_here(folder: RunFolder, *, as_json: bool, told: Reading | None = None) -> int:
    """Trains in this process, and reports the outcome; ``told`` is what has been printed about the data set."""
    from attnlab.worker.session import run

    prepare_training()
    with progress_bar() as watch, _stop_on_ctrl_c(folder):
        outcome = run(folder.path, watch=watch)
    return _report(folder, outcome, as_json=as_json, told=told)


def _train_by_queue(
    config: RunConfig, budget: float | None, title: str, note: str, watch: Watch, *, again: bool
) -> tuple[RunFolder, Outcome]:
    """Queues a run and waits until it has ended. Ctrl-C stops it with a checkpoint.

    If an app owns the queue of the home, the run trains where that app trains; otherwise this process owns the queue
    until the run has ended.

    Args:
        budget: the seconds within which it has to end, see `attnlab.queue.plan`.
        again: see `train`.
        watch: called with the content of `state.json` whenever the step has changed.

    Raises:
        RunRefused: when the executor could never train it.
        TooShort: when not one epoch fits into the budget.
        ValueError: as `_tell_existing`.
    """
    from attnlab.runs.folder import RunFolder
    from attnlab.worker.session import Outcome

    with open_manager() as manager:
        if not manager.owns_queue:
            print(manager.queue_owner, file=sys.stderr)
        if budget is not None:
            print("timing a few steps", file=sys.stderr)
            plan = plan_in_queue(manager, config, budget, began=process_start())
            print(plan.words, file=sys.stderr)
            config = plan.config
        _tell_existing(config, manager.runs(), again=again)
        run_id = manager.submit(config, title, note)
        if budget is not None:
            note_budget([RunFolder(manager.get(run_id).folder)], budget)
        step, trouble = -1, ""
        while (record := manager.get(run_id)).state.live:
            try:
                if record.step != step and record.total_steps:
                    step = record.step
                    watch(RunFolder(record.folder).progress())
                if manager.trouble and manager.trouble != trouble:
                    trouble = manager.trouble
                    print(trouble, file=sys.stderr)
                time.sleep(_POLL_SECONDS)
            except KeyboardInterrupt:
                print("\nstopping after this step; press Ctrl-C again to leave without waiting", file=sys.stderr)
                manager.stop(run_id)
    return RunFolder(record.folder), Outcome(record.state, record.reason, dict(record.result))


def _report(folder: RunFolder, outcome: Outcome, *, as_json: bool, told: Reading | None) -> int:
    """Prints how a run ended. Returns the exit code."""
    from attnlab.runs.records import RunState

    if outcome.state is RunState.FAILED:
        first_attempt = (folder.end() or {}).get("attempt") == 1
        if first_attempt and folder.progress().get("step", 0) == 0:
            folder.remove()  # it failed before its first step: there is nothing to keep
            return complain(outcome.reason)
        return complain(f"{folder.run_id} failed: {outcome.reason}")
    if as_json:
        print_json(_outcome_tree(folder, outcome))
    elif outcome.state is RunState.FINISHED:
        if "reading" in (about := folder.dataset_summary() or {}):
            print_left_out(about["reading"], told)
        print(f"{folder.run_id}: test accuracy {outcome.result['test_accuracy']:.2%} ({outcome.result['seconds']:.0f} s)")
        print(folder.path)
    if outcome.state is RunState.FINISHED:
        return OK
    step = folder.progress().get("step", 0)
    print(f"{outcome.state} at step {step}; to continue: attnlab resume {folder.run_id}", file=sys.stderr)
    return STOPPED


def _outcome_tree(folder: RunFolder, outcome: Outcome) -> dict[str, Any]:
    progress = folder.progress()
    metrics = {name: value for name, value in outcome.result.items() if name not in ("kind", "extra") and value is not None}
    return {
        "run_id": folder.run_id,
        "folder": str(folder.path),
        "checkpoint": str(folder.best_path) if folder.best_path.exists() else None,
        "state": str(outcome.state),
        "metrics": metrics,
        "parameters": progress.get("parameters"),
        "device": progress.get("device"),
        "config": folder.config.model_dump(mode="json"),
        "reading": (folder.dataset_summary() or {}).get("reading"),
    }


def _preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """The tree that the app's form begins with; an empty one for another network, to which its options do not belong."""
    from attnlab.training.presets import one_minute

    if "model.backbone" in given:
        return {}
    tree = one_minute(given.get("model.attention", "none")).model_dump(mode="json")
    if "dataset.name" in given:
        tree["dataset"]["options"] = {}
    return tree


def _read_config(path: Path) -> dict[str, Any]:
    """The tree in a configuration file.

    Raises:
        ValueError: when it is not a JSON object. OSError: when it cannot be read.
    """
    content = read_given(path)
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {why_not_json(error)}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path} is not a configuration: expected a JSON object")
    return tree


def _checked(config: RunConfig) -> RunConfig:
    """The config with its data set findable from any folder.

    Raises:
        ValueError: when the network or a variant is unknown, where the message lists those that exist, or when there are
            options of a variant and no variant.
    """
    from attnlab.attention import NONE, split_composition
    from attnlab.data import absolute_name

    split_composition(config.model.attention)
    if config.model.attention == NONE and config.model.attention_options:
        named = "+".join(config.model.attention_options)
        raise ValueError(f"options given for {named}, but the network has no attention; add --attention {named}")
    return with_offered_values(config).changed(dataset__name=absolute_name(config.dataset.name))


@contextmanager
def _stop_on_ctrl_c(folder: RunFolder) -> Iterator[None]:
    """The first Ctrl-C ends the run after the current step, with a checkpoint; the second ends it at once."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this step; press Ctrl-C again to end at once", file=sys.stderr)
        folder.request("stop")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


train.__signature__ = with_settings(train, start=_start)  # type: ignore[attr-defined]
