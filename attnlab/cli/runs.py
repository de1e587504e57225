"""``attnlab runs``, and the commands that change or compare runs that exist already."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Literal

from attnlab import paths
from attnlab.cli.common import OK, Json, open_manager, open_store, percent, print_json, print_table, write_text
from attnlab.runs.bin import Bin

TableFormat = Literal["csv", "markdown", "latex"]


def runs(*, as_json: Json = False) -> int:
    """List the runs, newest first."""
    with open_store() as store:
        records = store.runs()
    if as_json:
        return print_json({"home": str(paths.home()), "runs": [_tree(record) for record in records]})
    rows = [
        (
            record.run_id,
            record.state + (" (demo)" if record.demo else ""),
            f"{record.step}/{record.total_steps}" if record.total_steps else "",
            percent(record.validation_accuracy),
            percent(record.test_accuracy),
            record.reason or record.note,
        )
        for record in records
    ]
    print_table(("run", "state", "step", "validation", "test", ""), rows)
    return OK


def stop(run: str) -> int:
    """Stop a run after the current step, with a checkpoint. A queued run is removed from the queue.

    Parameters
    ----------
    run
        the id of a run
    """
    with open_manager() as manager:
        manager.stop(run)
    return OK


def pause(run: str) -> int:
    """Pause a run after the current step, with a checkpoint.

    Parameters
    ----------
    run
        the id of a run
    """
    with open_manager() as manager:
        manager.pause(run)
    return OK


def rename(run: str, title: str) -> int:
    """Rename a run.

    Parameters
    ----------
    run
        the id of a run
    title
        its new name; an empty one restores the id
    """
    with open_manager() as manager:
        manager.rename(run, title)
    return OK


def delete(run: str) -> int:
    """Move a run and all its files to the bin, from where `attnlab restore` brings it back for a week.

    Parameters
    ----------
    run
        the id of a run
    """
    with open_manager() as manager:
        manager.delete(run)
    print(f"to bring it back: attnlab restore {run}", file=sys.stderr)
    return OK


def restore(run: str | None = None, *, empty: bool = False) -> int:
    """Bring a deleted run back from the bin; without a run, list what is there.

    Parameters
    ----------
    run
        the id of a deleted run
    empty
        delete everything in the bin for good instead, for example because the disk is full
    """
    if empty and run is not None:
        raise ValueError("name a run to restore, or --empty to delete all of them for good, not both")
    if empty:
        print(f"{Bin(paths.home()).empty(older_than_days=0)} runs deleted for good")
    elif run is None:
        print_table(
            ("run", "deleted", "kept for"),
            [
                (deleted.run_id, time.strftime("%Y-%m-%d %H:%M", time.localtime(deleted.when)), f"{deleted.days_left} days")
                for deleted in Bin(paths.home()).deleted()
            ],
        )
    else:
        with open_manager() as manager:
            print(manager.restore(run))
    return OK


def compare(
    *, dataset: str | None = None, baseline: str | None = None, format: TableFormat = "csv", to: Path | None = None
) -> int:
    """Compare the finished runs in a table. Runs that differ only in the seed share one row.

    Parameters
    ----------
    dataset
        the data set whose runs are compared: as for train a name or a path, or the last part of the path (default: the one
        with the most runs)
    baseline
        what the others are compared with, by its name in the table or its attention (default: the network without attention)
    format
        csv, markdown or latex
    to
        the file to write (default: standard output)
    """
    from attnlab.experiments.exports import comparison_latex, comparison_markdown
    from attnlab.experiments.groups import compare_to_baseline, group_runs, plain_group
    from attnlab.experiments.table import comparison_table, safe_csv
    from attnlab.runs.naming import attention_name, dataset_name, group_names, lettered_setups

    with open_store() as store:
        groups = [group for group in group_runs(store.runs()) if group.n]
    counts: dict[str, int] = {}
    for group in groups:
        counts[dataset_name(group.config)] = counts.get(dataset_name(group.config), 0) + group.n
    if not counts:
        raise ValueError("there are no finished runs to compare")
    chosen = max(counts, key=lambda name: counts[name]) if dataset is None else dataset
    path = str(paths.written_path(chosen).resolve())
    known = [group for group in groups if chosen in (dataset_name(group.config), group.config.dataset.name)]
    groups = known or [group for group in groups if group.config.dataset.name == path]
    if not groups:
        raise ValueError(f"no finished run on {chosen!r}; there are runs on: {', '.join(counts)}")
    names = group_names({group.key: group.config for group in groups})
    reference = plain_group(groups)
    if baseline is not None:
        called = {group.key: (names[group.key], attention_name(group.config), group.config.model.attention) for group in groups}
        reference = max((group for group in groups if baseline in called[group.key]), key=lambda group: group.n, default=None)
        if reference is None:
            offered = ", ".join(dict.fromkeys(attention for _, attention, _ in called.values()))
            raise ValueError(f"no finished run with the attention {baseline!r} on {chosen!r}; there are runs with: {offered}")
    comparisons = {} if reference is None else compare_to_baseline(reference, groups)
    table = comparison_table(groups, names, comparisons, {}).sort_values("accuracy", ascending=False)
    write = {
        "csv": lambda: safe_csv(table),
        "markdown": lambda: comparison_markdown(table),
        "latex": lambda: comparison_latex(table, f"Runs on {dataset_name(groups[0].config)}"),
    }
    for line in lettered_setups({group.key: group.config for group in groups}):
        print(line, file=sys.stderr)
    return write_text(write[format](), to)


def reindex() -> int:
    """Rebuild the index of the runs from their folders."""
    with open_store() as store:
        if not store.writes:
            raise ValueError(f"a running app keeps the index of {paths.home()} up to date by itself")
        print(f"{store.reindex()} runs in {paths.index_file()}")
        for name, reason in store.broken().items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
    return OK


def _tree(record: Any) -> dict[str, Any]:
    tree = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return tree | {"config": record.config.model_dump(mode="json"), "folder": str(record.folder), "result": dict(record.result)}
