"""The report's future work: which depth, width, activation and place of an attention block do best?

An Optuna study (Akiba et al., KDD 2019, arXiv:1907.10902) over the options that the variants of a composition declare,
and over the placements of the backbone. Trees of Parzen estimators propose (Bergstra et al., NIPS 2011), a trial that is
below the median of the others at the same epoch is stopped. Every trial is an ordinary run: it waits in the queue, can be
looked at while it learns, and stays; a stopped one keeps its folder. A configuration that was trained before is not
trained again, its figure is taken over.

The study sees the validation accuracy only. The best of many trials looks better than it is; what it is worth is the test
accuracy of that configuration with seeds of its own.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from attnlab.config import RunConfig, explain
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import folder_lock, is_locked
from attnlab.runs.records import RunRecord, RunState

if TYPE_CHECKING:
    import optuna

    from attnlab.queue.manager import Manager

PLACEMENT = "placement"
_LOOK_SECONDS = 0.3
_ENDED_BADLY = (RunState.FAILED, RunState.STOPPED)
MAX_TRIALS = 200


class SearchError(ValueError):
    """What was asked for cannot be searched; the message says what would be possible."""


@dataclass(frozen=True)
class Search:
    """A study.

    Attributes:
        name: of its files. base: what every trial shares. trials: how many in all. seed: of the proposals.
    """

    name: str
    base: RunConfig
    trials: int
    seed: int = 0
    created: float = field(default_factory=time.time)

    def space(self) -> dict[str, tuple[Any, ...]]:
        """What is searched: ``"variant.option"`` -> its values, and the placement; whatever has a choice."""
        from attnlab.attention import get_attention, split_composition
        from attnlab.models import get_model

        found = {
            f"{name}.{option}": tuple(values)
            for name in dict.fromkeys(split_composition(self.base.model.attention))
            for option, values in get_attention(name).options.items()
        }
        found[PLACEMENT] = tuple(get_model(self.base.model.backbone).placements)
        return {name: values for name, values in found.items() if len(values) > 1}

    def config(self, choice: dict[str, Any]) -> RunConfig:
        """The run of a choice from the space."""
        options = {name: dict(given) for name, given in self.base.model.attention_options.items()}
        for name, value in choice.items():
            if name != PLACEMENT:
                variant, option = name.split(".")
                options.setdefault(variant, {})[option] = value
        changes = {"model__placement": choice[PLACEMENT]} if PLACEMENT in choice else {}
        return self.base.changed(model__attention_options=options, **changes)


@dataclass(frozen=True)
class Trial:
    """One proposal: its choice, its run, and what came of it (``running``, ``complete``, ``pruned`` or ``fail``).

    `value` is the best validation accuracy; of a pruned one, the last it told before it was stopped.
    """

    number: int
    choice: dict[str, Any]
    run_id: str
    state: str
    value: float | None


def make_search(base: RunConfig, trials: int, *, seed: int = 0, name: str = "") -> Search:
    """A study that is not on disk yet.

    Raises:
        SearchError: when there is nothing to choose from, or the number of trials cannot be.
    """
    if not 1 <= trials <= MAX_TRIALS:
        raise SearchError(f"a search takes 1 to {MAX_TRIALS} trials, not {trials}")
    if name and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,79}", name):
        raise SearchError(f"a search cannot be called {name!r}; letters, digits, dots and dashes make a name")
    made = Search(name or f"{base.model.attention.replace('+', '-')}-{base.group[-10:]}-s{seed}", base, trials, seed)
    if not made.space():
        raise SearchError(f"{base.model.attention!r} on {base.model.backbone!r} has no options to choose from")
    return made


def save_search(home: Path, search: Search) -> None:
    """Keeps the study; one of the same name goes on, with as many trials as now asked for.

    Raises:
        SearchError: when the one of that name searches something else.
    """
    folder = home / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    known = read_json(folder / f"{search.name}.json")
    if known is not None and (known["base"] != search.base.model_dump(mode="json") or known["seed"] != search.seed):
        raise SearchError(f"there is a search {search.name!r} of another configuration; give this one another name")
    tree = {"base": search.base.model_dump(mode="json"), "trials": search.trials, "seed": search.seed}
    write_json(folder / f"{search.name}.json", tree | {"created": known["created"] if known else search.created})


def load_search(home: Path, name: str) -> Search:
    """
    Raises:
        SearchError: when there is none of this name, or this version cannot read it.
    """
    tree = read_json(home / "searches" / f"{name}.json")
    if tree is None:
        raise SearchError(f"there is no search {name!r}; there are: {', '.join(list_searches(home)) or 'none'}")
    try:
        base = RunConfig.model_validate(tree["base"])
    except ValueError as error:
        raise SearchError(f"the search {name!r} cannot be read: {explain(error)}") from error
    return Search(name, base, tree["trials"], tree["seed"], tree["created"])


def list_searches(home: Path) -> list[str]:
    """Names, newest first."""
    files = (home / "searches").glob("*.json")
    return [file.stem for file in sorted(files, key=lambda file: (read_json(file) or {}).get("created", 0), reverse=True)]


def open_study(home: Path, search: Search) -> optuna.Study:
    """The study in the home's journal; the first opening makes it."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=search.name,
        storage=JournalStorage(JournalFileBackend(str(home / "searches" / f"{search.name}.journal"))),
        sampler=optuna.samplers.TPESampler(seed=search.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        direction="maximize",
        load_if_exists=True,
    )


def trials(study: optuna.Study) -> list[Trial]:
    """All proposals so far, in order."""
    return [
        Trial(each.number, each.params, each.user_attrs.get("run_id", ""), each.state.name.lower(), each.value)
        for each in study.get_trials(deepcopy=False)
    ]


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the spread of the results that each option explains (PED-ANOVA); empty while too little is known."""
    import optuna

    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    varied = {name for trial in done for name in trial.params if len({each.params.get(name) for each in done}) > 1}
    if len(done) < 4 or not varied or len({trial.value for trial in done}) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, params=sorted(varied)))


def run_search(
    manager: Manager,
    search: Search,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> optuna.Study:
    """Asks for trials until there are as many as wanted. What an earlier call left unfinished is finished first.

    Raises:
        SearchError: when somebody is at it already.
    """
    lock = folder_lock(_lock_path(manager.home, search.name))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SearchError(f"the search {search.name!r} is at work already") from None
    try:
        return _run(manager, search, should_stop, on_trial)
    finally:
        lock.release()


def at_work(home: Path, name: str) -> bool:
    """Whether some process, this one included, asks for trials of it now."""
    return is_locked(_lock_path(home, name))


def _lock_path(home: Path, name: str) -> Path:
    return home / "searches" / f"{name}.lock"


def _run(manager: Manager, search: Search, should_stop: Callable[[], bool], on_trial: Callable[[Trial], None]) -> optuna.Study:
    import optuna

    study = open_study(manager.home, search)
    space = search.space()
    for left in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        if "run_id" in left.user_attrs and not should_stop():
            _follow(manager, study, optuna.trial.Trial(study, left._trial_id), left.user_attrs["run_id"], should_stop)
            on_trial(trials(study)[left.number])
        elif "run_id" not in left.user_attrs:  # nothing was begun
            study.tell(left.number, state=optuna.trial.TrialState.FAIL)
    while len(_counted(study)) < search.trials and not should_stop():
        trial = study.ask()
        config = search.config({name: trial.suggest_categorical(name, values) for name, values in space.items()})
        same = [run for run in manager.runs() if run.config.config_hash == config.config_hash and not run.demo]
        run_id = same[0].run_id if same else manager.submit(config, note=f"search {search.name}")
        trial.set_user_attr("run_id", run_id)
        _follow(manager, study, trial, run_id, should_stop)
        on_trial(trials(study)[trial.number])
    return study


def _counted(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED", "RUNNING")]


def _follow(
    manager: Manager, study: optuna.Study, trial: optuna.trial.Trial, run_id: str, should_stop: Callable[[], bool]
) -> None:
    """Tells the study of each epoch of a run, stops the run where the study has seen enough, and tells how it ended.

    A search that is stopped pauses the run and leaves the trial open; the next call goes on with both.
    """
    from optuna.trial import TrialState

    from attnlab.runs.errors import RequestRefused

    if manager.get(run_id).state.resumable:
        manager.resume(run_id)
    told = len(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
    pruned = False
    while True:
        record = manager.get(run_id)
        over = not record.state.live
        for epoch, accuracy in _epochs(record)[told:]:
            trial.report(accuracy, epoch)
            told = epoch
            # A stopped run cannot be taken back: what is almost done, or done, is let finish.
            if not over and not pruned and epoch < record.config.training.epochs and trial.should_prune():
                pruned = True
                try:
                    manager.stop(run_id)
                except RequestRefused:
                    pruned = False
        if over:
            break
        if should_stop():
            try:
                manager.pause(run_id)
            except RequestRefused:
                continue
            return
        time.sleep(_LOOK_SECONDS)
    if record.state is RunState.FINISHED:
        study.tell(trial, record.validation_accuracy)
    elif pruned:
        study.tell(trial, state=TrialState.PRUNED)
    elif record.state in _ENDED_BADLY:
        study.tell(trial, state=TrialState.FAIL)


def _epochs(record: RunRecord) -> list[tuple[int, float]]:
    rows = [row for row in RunFolder(record.folder).metrics() if row["kind"] == "epoch"]
    return [(row["epoch"], row["validation_accuracy"]) for row in rows]


class SearchThread(threading.Thread):
    """A search in the background of a server; it outlives the session that began it.

    Attributes:
        began: set when `at_work` knows of it, or it has ended.
        trouble: what ended it before its time, in words.
    """

    def __init__(self, manager: Manager, search: Search) -> None:
        super().__init__(name=f"attnlab-search-{search.name}", daemon=True)
        self._manager, self._search = manager, search
        self._stop_asked = threading.Event()
        self.began = threading.Event()
        self.trouble = ""

    def run(self) -> None:
        try:
            run_search(self._manager, self._search, should_stop=self._asked)
        except Exception as error:  # said on the page; what is done is in the journal
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            self.began.set()

    def _asked(self) -> bool:
        """Asked of it from its first moment on, under its lock."""
        self.began.set()
        return self._stop_asked.is_set()

    def stop(self) -> None:
        """Pauses the run at work; starting the search again goes on with it."""
        self._stop_asked.set()


_threads: dict[tuple[Path, str], SearchThread] = {}
_threads_lock = threading.Lock()


def start_search(manager: Manager, search: Search) -> SearchThread:
    """Lets a search run in the background, once."""
    with _threads_lock:
        thread = _threads.get((manager.home, search.name))
        if thread is None or not thread.is_alive():
            save_search(manager.home, search)
            thread = _threads[manager.home, search.name] = SearchThread(manager, search)
            thread.start()
        return thread


def search_thread(manager: Manager, name: str) -> SearchThread | None:
    """The thread of a search in this server; `None` when it was not started here."""
    with _threads_lock:
        return _threads.get((manager.home, name))
