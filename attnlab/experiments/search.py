"""The report's future work: which depth, width, activation and place of an attention block do best?

An Optuna study (Akiba et al., KDD 2019, arXiv:1907.10902) over the options that the variants of a composition declare,
and over the placements of the backbone. A tree-structured Parzen estimator proposes trials (Bergstra et al., NIPS 2011); a
trial below the median of the others at the same epoch is stopped. Every trial is an ordinary run: it waits in the queue, can
be inspected during training, and stays; a stopped one keeps its folder. A configuration that was trained before is not
trained again; its result is used.

The study uses the validation accuracy only. The best of many trials looks better than it is, since it was chosen by its own
result; the fair figure is the test accuracy of that configuration with new seeds.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from filelock import Timeout
from pydantic import Field, ValidationError

from attnlab.config import RunConfig, explain
from attnlab.runs.contents import Content, Count, read_content
from attnlab.runs.errors import FolderError
from attnlab.runs.files import write_json
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
    """The search is impossible as requested; the message says what would be possible."""


@dataclass(frozen=True)
class Search:
    """A study.

    Attributes:
        name: of its files.
        base: the configuration that all trials share.
        trials: how many in all.
        seed: of the sampler.
        created: seconds since the epoch.
    """

    name: str
    base: RunConfig
    trials: int
    seed: int = 0
    created: float = field(default_factory=time.time)

    def space(self) -> dict[str, tuple[Any, ...]]:
        """What is searched: ``"variant.option"`` or the placement -> its values, wherever there are at least two."""
        from attnlab.attention import get_attention, split_composition
        from attnlab.models import get_model

        space = {
            f"{name}.{option}": tuple(values)
            for name in dict.fromkeys(split_composition(self.base.model.attention))
            for option, values in get_attention(name).options.items()
        }
        space[PLACEMENT] = tuple(get_model(self.base.model.backbone).placements)
        return {name: values for name, values in space.items() if len(values) > 1}

    def config(self, choice: dict[str, Any]) -> RunConfig:
        """The configuration of a trial, for a choice from the space."""
        options = {name: dict(values) for name, values in self.base.model.attention_options.items()}
        for name, value in choice.items():
            if name != PLACEMENT:
                variant, option = name.split(".")
                options.setdefault(variant, {})[option] = value
        changes = {"model__placement": choice[PLACEMENT]} if PLACEMENT in choice else {}
        return self.base.changed(model__attention_options=options, **changes)


class _SearchFile(Content):
    """The file of a study."""

    base: dict[str, Any]
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)]
    seed: Count
    created: float


@dataclass(frozen=True)
class Trial:
    """One configuration that the study tried.

    Attributes:
        number: from 0.
        choice: its values, by the names of `Search.space`.
        run_id: of its run; empty before there is one.
        state: ``running``, ``complete``, ``pruned`` (stopped early) or ``fail``.
        value: best validation accuracy in [0, 1]; of a pruned trial the last one reported.
    """

    number: int
    choice: dict[str, Any]
    run_id: str
    state: str
    value: float | None


def make_search(base: RunConfig, trials: int, *, seed: int = 0, name: str = "") -> Search:
    """A study that is not on disk yet.

    Args:
        name: of its files; derived from the configuration when empty.

    Raises:
        SearchError: when there is nothing to choose from, or the number of trials or the name is not allowed.
    """
    if not 1 <= trials <= MAX_TRIALS:
        raise SearchError(f"a search takes 1 to {MAX_TRIALS} trials, not {trials}")
    if name and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,79}", name):
        raise SearchError(f"{name!r} is not a valid name for a search; use letters, digits, dots and dashes")
    search = Search(name or f"{base.model.attention.replace('+', '-')}-{base.group[-10:]}-s{seed}", base, trials, seed)
    if not search.space():
        raise SearchError(f"{base.model.attention!r} on {base.model.backbone!r} has no options to choose from")
    return search


def save_search(home: Path, search: Search) -> None:
    """Saves the study; an existing one of the same name is continued, with this number of trials.

    Raises:
        SearchError: when the existing one has another configuration or seed.
    """
    folder = home / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    known = None
    if (folder / f"{search.name}.json").exists():
        known = load_search(home, search.name)
        if (known.base, known.seed) != (search.base, search.seed):
            raise SearchError(f"there is already a search {search.name!r} of another configuration; choose another name")
    tree = {"base": search.base.model_dump(mode="json"), "trials": search.trials, "seed": search.seed}
    write_json(folder / f"{search.name}.json", tree | {"created": (known or search).created})


def load_search(home: Path, name: str) -> Search:
    """The study of this name.

    Raises:
        SearchError: when there is none, or this version cannot read it.
    """
    try:
        tree = read_content(home / "searches" / f"{name}.json", _SearchFile)
        if tree is None:
            raise SearchError(f"there is no search {name!r}; there are: {', '.join(list_searches(home)) or 'none'}")
        base = RunConfig.model_validate(tree["base"])
    except FolderError as error:
        raise SearchError(str(error)) from error
    except ValidationError as error:
        raise SearchError(f"the search {name!r} cannot be read: {explain(error)}") from error
    return Search(name, base, tree["trials"], tree["seed"], tree["created"])


def list_searches(home: Path) -> list[str]:
    """Names of the studies of a home, newest first."""
    return sorted(
        (file.stem for file in (home / "searches").glob("*.json")), key=lambda name: _created(home, name), reverse=True
    )


def _created(home: Path, name: str) -> float:
    """When a search was made; 0 for one that cannot be read, which `load_search` says more about."""
    try:
        return load_search(home, name).created
    except SearchError:
        return 0.0


def open_study(home: Path, search: Search) -> optuna.Study:
    """Optuna's study in the home's journal; the first call creates it."""
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
    """All trials so far, in order."""
    return [
        Trial(trial.number, trial.params, trial.user_attrs.get("run_id", ""), trial.state.name.lower(), trial.value)
        for trial in study.get_trials(deepcopy=False)
    ]


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the results' variance that each option explains (PED-ANOVA), by name; sums to 1.

    Empty below four finished trials, or while options or results do not differ.
    """
    import optuna

    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    varied = {name for trial in done for name in trial.params if len({other.params.get(name) for other in done}) > 1}
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
    """Runs trials until there are as many as the search asks for; unfinished trials of an earlier call come first.

    Args:
        should_stop: called between trials and during each; once it returns true, the current run is paused.
        on_trial: called with each trial when it has ended, or was paused because the search stops.

    Raises:
        SearchError: when another process or thread is running this search.
    """
    lock = folder_lock(_lock_path(manager.home, search.name))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SearchError(f"the search {search.name!r} is already running") from None
    try:
        return _run(manager, search, should_stop, on_trial)
    finally:
        lock.release()


def at_work(home: Path, name: str) -> bool:
    """Whether any process, this one included, is running this search."""
    return is_locked(_lock_path(home, name))


def _lock_path(home: Path, name: str) -> Path:
    return home / "searches" / f"{name}.lock"


def _run(manager: Manager, search: Search, should_stop: Callable[[], bool], on_trial: Callable[[Trial], None]) -> optuna.Study:
    import optuna

    study = open_study(manager.home, search)
    space = search.space()
    for unfinished in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        run_id = unfinished.user_attrs.get("run_id")
        if run_id is None:  # it has no run yet
            study.tell(unfinished.number, state=optuna.trial.TrialState.FAIL)
        elif not should_stop():
            _follow(manager, study, optuna.trial.Trial(study, unfinished._trial_id), run_id, should_stop)
            on_trial(trials(study)[unfinished.number])
    while len(_counted(study)) < search.trials and not should_stop():
        trial = study.ask()
        config = search.config({name: trial.suggest_categorical(name, values) for name, values in space.items()})
        existing = [run for run in manager.runs() if run.config.config_hash == config.config_hash and not run.demo]
        run_id = existing[0].run_id if existing else manager.submit(config, note=f"search {search.name}")
        trial.set_user_attr("run_id", run_id)
        _follow(manager, study, trial, run_id, should_stop)
        on_trial(trials(study)[trial.number])
    return study


def _counted(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    """The trials that count towards the number of the search: all but failed ones."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED", "RUNNING")]


def _follow(
    manager: Manager, study: optuna.Study, trial: optuna.trial.Trial, run_id: str, should_stop: Callable[[], bool]
) -> None:
    """Reports each epoch of a run to the study, stops the run if the study prunes it, and reports how it ended.

    If the search itself is stopped, the run is paused and the trial stays open; the next call continues both.
    """
    from optuna.trial import TrialState

    from attnlab.runs.errors import RequestRefused

    if manager.get(run_id).state.resumable:
        manager.resume(run_id)
    reported = len(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
    pruned = False
    while True:
        record = manager.get(run_id)
        over = not record.state.live
        for epoch, accuracy in _epochs(record)[reported:]:
            trial.report(accuracy, epoch)
            reported = epoch
            # Stopping cannot be undone, so a run that has reached its last epoch is left to finish.
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
    """(epoch, validation accuracy) of the finished epochs."""
    rows = [row for row in RunFolder(record.folder).metrics() if row["kind"] == "epoch"]
    return [(row["epoch"], row["validation_accuracy"]) for row in rows]


class SearchThread(threading.Thread):
    """A search in the background of a server; it outlives the browser session that started it.

    Attributes:
        began: set once the search holds its lock, so that `at_work` is true, or once it has ended.
        trouble: the error that ended it early, in words; empty without one.
    """

    def __init__(self, manager: Manager, search: Search) -> None:
        super().__init__(name=f"attnlab-search-{search.name}", daemon=True)
        self._manager, self._search = manager, search
        self._stop_requested = threading.Event()
        self.began = threading.Event()
        self.trouble = ""

    def run(self) -> None:
        try:
            run_search(self._manager, self._search, should_stop=self._should_stop)
        except Exception as error:  # the page shows it; finished trials are in the journal
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            self.began.set()

    def _should_stop(self) -> bool:
        """The search calls this first as soon as it holds its lock."""
        self.began.set()
        return self._stop_requested.is_set()

    def stop(self) -> None:
        """Pauses the search and its current run; starting the search again continues both."""
        self._stop_requested.set()


_threads: dict[tuple[Path, str], SearchThread] = {}
_threads_lock = threading.Lock()


def start_search(manager: Manager, search: Search) -> SearchThread:
    """Saves a search and runs it in a background thread; returns the existing thread if one is running it."""
    with _threads_lock:
        thread = _threads.get((manager.home, search.name))
        if thread is None or not thread.is_alive():
            save_search(manager.home, search)
            thread = _threads[manager.home, search.name] = SearchThread(manager, search)
            thread.start()
        return thread


def search_thread(manager: Manager, name: str) -> SearchThread | None:
    """The thread that runs a search in this server; `None` when it was not started here."""
    with _threads_lock:
        return _threads.get((manager.home, name))
