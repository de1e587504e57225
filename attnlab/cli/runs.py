"""``python -m attnlab stop|pause|rename|delete|compare``: what the app's buttons do to a run, and the comparison as a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab import paths

if TYPE_CHECKING:
    from attnlab.queue.manager import Manager

OK = 0


def stop(run: str) -> int:
    """End a run after the step at hand, with a checkpoint; take a waiting one from the queue."""
    with _manager() as manager:
        manager.stop(run)
    return OK


def pause(run: str) -> int:
    """As stop; the run then counts as paused."""
    with _manager() as manager:
        manager.pause(run)
    return OK


def rename(run: str, title: str) -> int:
    """Change what a run is called; an empty title brings back its id."""
    with _manager() as manager:
        manager.rename(run, title)
    return OK


def delete(run: str) -> int:
    """Remove a run and all its files."""
    with _manager() as manager:
        manager.delete(run)
    return OK


def compare(*, dataset: str = "", baseline: str = "", to: Path | None = None) -> int:
    """Compare the finished runs, one row for each group that differs only in the seed, as CSV.

    Parameters
    ----------
    dataset
        only runs on this data set; the one with the most runs when it is left out
    baseline
        the attention to judge the others by; the network without attention when it is left out
    to
        a file; standard output when it is left out
    """
    from attnlab.experiments.groups import compare_to_baseline, group_runs
    from attnlab.experiments.table import comparison_table, safe_csv
    from attnlab.runs.naming import dataset_name, group_names
    from attnlab.runs.store import Store

    store = Store(paths.home(), write=False)
    try:
        groups = [group for group in group_runs(store.runs()) if group.n]
    finally:
        store.close()
    counts: dict[str, int] = {}
    for group in groups:
        counts[dataset_name(group.config)] = counts.get(dataset_name(group.config), 0) + group.n
    if not counts:
        raise ValueError("there is no finished run to compare")
    chosen = dataset or max(counts, key=lambda name: counts[name])
    if chosen not in counts:
        raise ValueError(f"no finished run on {chosen!r}; there are on: {', '.join(counts)}")
    groups = [group for group in groups if dataset_name(group.config) == chosen]
    wanted = baseline or "none"
    by = next((group for group in groups if group.config.model.attention == wanted), None)
    if baseline and by is None:
        raise ValueError(f"no finished run with the attention {baseline!r} on {chosen!r}")
    names = group_names({group.key: group.config for group in groups})
    judged = {} if by is None else compare_to_baseline(by, groups)
    text = safe_csv(comparison_table(groups, names, judged, {}).sort_values("accuracy", ascending=False))
    if to is None:
        print(text, end="")
    else:
        to.write_text(text, encoding="utf-8")
    return OK


@contextmanager
def _manager() -> Iterator[Manager]:
    from attnlab.experiments.managers import get_manager, shutdown_all

    try:
        yield get_manager()
    finally:
        shutdown_all()
