"""``python -m attnlab search``: the autoencoder's depths, widths, activations and places, by trial and pruning."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from attnlab import paths
from attnlab.cli.open import Json
from attnlab.cli.queue import Executor, choose_executor
from attnlab.config import RunConfig

OK, STOPPED = 0, 130


def search(
    *,
    dataset: str = "digits",
    attention: str = "conv_autoencoder",
    trials: int = 12,
    epochs: int | None = None,
    seed: int = 0,
    subset: int | None = None,
    config: Path | None = None,
    name: str = "",
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Search the options of an attention variant and its place. Ctrl-C pauses; the same command goes on.

    Parameters
    ----------
    dataset
        a built-in data set, or the path of a folder or archive
    attention
        a registered variant, or several joined by +
    trials
        how many configurations in all
    epochs
        of each trial; the preset's when left out
    seed
        of the proposals
    subset
        training images of each trial
    config
        the configuration that all trials share (config.json of a run); the preset "one minute" when it is left out
    name
        what the search is called; made of what is searched when left out
    """
    from attnlab.experiments.managers import get_manager, shutdown_all
    from attnlab.experiments.search import Trial, importances, make_search, run_search, save_search
    from attnlab.experiments.search import trials as all_trials
    from attnlab.training.presets import one_minute

    choose_executor(executor)
    base = RunConfig.from_json(config.read_bytes()) if config else one_minute(attention)
    changes: dict[str, object] = {"model__attention": attention} if config is None else {}
    if config is None:
        changes["dataset__name"] = str(Path(dataset).resolve()) if Path(dataset).exists() else dataset
    if epochs is not None:
        changes["training__epochs"] = epochs
    if subset is not None:
        changes["dataset__subset"] = subset
    wanted = make_search(base.changed(**changes), trials, seed=seed, name=name)
    save_search(paths.home(), wanted)
    manager = get_manager()
    stop = threading.Event()

    def told(trial: Trial) -> None:
        reached = "failed" if trial.value is None else f"{trial.value:.1%}"
        print(f"trial {trial.number}, {trial.state}: {reached}, {trial.choice}", file=sys.stderr, flush=True)

    try:
        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(run_search, manager, wanted, should_stop=stop.is_set, on_trial=told)
            try:
                while not work.done():
                    wait([work], 0.2)
            except KeyboardInterrupt:
                print("\npausing; the same command goes on", file=sys.stderr)
                stop.set()
        study = work.result()
    finally:
        shutdown_all()
    done = all_trials(study)
    finished = [trial for trial in done if trial.state == "complete"]
    best = max(finished, key=lambda trial: trial.value or 0.0, default=None)
    if as_json:
        tree = {"name": wanted.name, "trials": [vars(trial) for trial in done], "importances": importances(study)}
        print(json.dumps(tree | {"best": None if best is None else vars(best)}, indent=1))
    elif best is not None:
        print(f"best of {len(done)} by validation: {best.value:.1%}, {best.choice} ({best.run_id})")
    return STOPPED if stop.is_set() else OK
