"""``attnlab search``: tries options and placements of an attention variant, and prunes those that fall behind."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from attnlab import paths
from attnlab.cli.common import (
    OK,
    STOPPED,
    Executor,
    Json,
    as_new_run,
    choose_executor,
    open_manager,
    percent,
    print_json,
    read_given,
)
from attnlab.config import RunConfig

_POLL_SECONDS = 0.2


def search(
    *,
    dataset: str = "digits",
    attention: str = "conv_autoencoder",
    trials: int = 12,
    epochs: int | None = None,
    seed: int = 0,
    subset: int | None = None,
    config: Path | None = None,
    name: str | None = None,
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Search the options and the placement of an attention variant. Ctrl-C pauses; the same command resumes.

    Parameters
    ----------
    dataset
        a registered data set, or the path of a folder or archive
    attention
        a registered variant, or several joined by +
    trials
        how many configurations to try in all
    epochs
        epochs per trial (default: those of the configuration)
    seed
        seed of the sampler, which proposes the configurations
    subset
        training images per trial (default: all)
    config
        the configuration that all trials share (config.json of a run); it replaces --dataset and --attention
        (default: the one-minute preset)
    name
        a name for the search (default: made from what is searched)
    """
    from attnlab.data import absolute_name
    from attnlab.experiments.search import Trial, importances, make_search, run_search, save_search
    from attnlab.experiments.search import trials as list_trials
    from attnlab.training.presets import one_minute

    choose_executor(executor)
    changes: dict[str, object] = {}
    if config is None:
        preset = one_minute(attention)
        base = as_new_run(preset.changed(dataset__name=absolute_name(dataset), dataset__options={}))
    else:
        base = RunConfig.from_json(read_given(config))
    if epochs is not None:
        changes["training__epochs"] = epochs
    if subset is not None:
        changes["dataset__subset"] = subset
    study = make_search(base.changed(**changes), trials, seed=seed, name=name or "")
    save_search(paths.home(), study)
    stop = threading.Event()

    def show(trial: Trial) -> None:
        accuracy = percent(trial.value) or "failed"
        print(f"trial {trial.number}, {trial.state}: {accuracy}, {trial.choice}", file=sys.stderr, flush=True)

    with open_manager() as manager, ThreadPoolExecutor(1) as pool:
        work = pool.submit(run_search, manager, study, should_stop=stop.is_set, on_trial=show)
        try:
            while not work.done():
                wait([work], _POLL_SECONDS)
        except KeyboardInterrupt:
            print("\npausing; the same command resumes", file=sys.stderr)
            stop.set()
        results = work.result()
    done = list_trials(results)
    best = max((trial for trial in done if trial.state == "complete"), key=lambda trial: trial.value or 0.0, default=None)
    if as_json:
        tree = {"name": study.name, "trials": [vars(trial) for trial in done], "importances": importances(results)}
        print_json(tree | {"best": None if best is None else vars(best)})
    elif best is not None:
        print(f"best validation accuracy of {len(done)} trials: {percent(best.value)}, {best.choice} ({best.run_id})")
    return STOPPED if stop.is_set() else OK
