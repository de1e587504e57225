"""The report's Table 1, and what each departure of its published code from its text costs or gains.

Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", course report, 2023. Two protocols: *published* is
what the report's code does, *described* is what its text says; a *departure* is a difference between the two. Both
experiments are grids: `table1` has the report's nine rows, `departure_grid` has for each of the seven departures a row
with it and a row without it, everything else as published. `attnlab.models.report` has the networks and protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from attnlab.config import RunConfig
from attnlab.experiments.grid import (
    DEPARTURES_TITLE,
    Grid,
    GridError,
    GridKind,
    GridRow,
    ReportedResult,
    first_seeds,
    make_grid,
)
from attnlab.experiments.groups import GroupComparison, compare_summaries
from attnlab.stats.significance import Summary

Protocol = Literal["published", "described"]
SEEDS = 16
"""Runs per row in the report."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of the report's experiment is done; the defaults are all of it.

    Attributes:
        dataset: cifar10, or a folder or archive with its images.
        subset: images for training and validation; without it, all.
        test_subset: test images; without it, all.
        epochs: passes over the training images.
        width: channels of the first block.
        batch_size: images per training step.
    """

    dataset: str = "cifar10"
    subset: int | None = None
    test_subset: int | None = None
    epochs: int = 10
    width: int = 64
    batch_size: int = 128

    def apply(self, config: RunConfig) -> RunConfig:
        """The config at this scale.

        Raises:
            GridError: when there is no such data set.
            ValueError: for a number that no config takes.
        """
        from attnlab.data import absolute_name, is_there, list_datasets

        name = absolute_name(self.dataset)
        if name not in list_datasets() and not is_there(Path(name)):
            known = ", ".join(list_datasets())
            raise GridError(f"{self.dataset!r} is neither a data set nor a path; known: {known}; or give a path")
        return config.changed(
            dataset__name=name,
            dataset__subset=self.subset,
            dataset__test_subset=self.test_subset,
            training__epochs=self.epochs,
            training__batch_size=self.batch_size,
            model__width=self.width,
        )

    @property
    def words(self) -> str:
        """What was done, for captions: ``"2,000 of the training images, 2 epochs, 64 channels"``."""
        images = "all training images" if self.subset is None else f"{self.subset:,} of the training images"
        return f"{images}, {self.epochs} epoch{'s' if self.epochs != 1 else ''}, {self.width} channels in the first block"


@dataclass(frozen=True)
class Departure:
    """One of the seven departures of the published code from the report's text.

    Attributes:
        number: as listed in `attnlab.models.report`.
        title: what the code does.
        row: the row of Table 1 it is tested on.
        described: the settings that make it as described, everything else as published.
        without: what the row without the departure is called.
    """

    number: int
    title: str
    row: str
    described: Mapping[str, Any] = field(default_factory=dict)
    without: str = ""


PLAIN = "CNN"
DEPARTURES = (
    Departure(
        1,
        "the third block is built and counted, never called",
        "CNN with three hidden layers",
        {"model__options": {"blocks": 3}},
        "third block called",
    ),
    Departure(
        2,
        "CBAM after one convolution of each block",
        "CNN + CBAM",
        {"model__placement": "every_conv"},
        "after both convolutions",
    ),
    Departure(3, "softmax twice in the loss", PLAIN, {"protocol__loss_head": "logits"}, "softmax once"),
    Departure(
        4, "optimizer and schedule new each epoch", PLAIN, {"protocol__optimizer_scope": "run"}, "learning rate may fall"
    ),
    Departure(
        5, "the second epoch always counts as best", PLAIN, {"protocol__best_epoch": "validation"}, "best epoch by validation"
    ),
    Departure(
        6,
        "accuracy and loss averaged over batches",
        PLAIN,
        {"protocol__accuracy_average": "samples", "protocol__loss_average": "samples"},
        "averaged over images",
    ),
    Departure(
        7,
        "the linear autoencoder sees one row of pixels at a time",
        "CNN + linear autoencoder",
        {"model__attention_options": {"linear_autoencoder": {"over": "map"}}},
        "sees the whole map",
    ),
)


def table1(
    protocol: Protocol = "published", *, rows: Sequence[str] = (), seeds: int = SEEDS, scale: Scale | None = None
) -> Grid:
    """The report's Table 1 as a grid.

    Args:
        rows: of the report, by label or by attention composition; all nine when empty.
        seeds: runs per row, with seeds from 0.

    Raises:
        GridError, ValueError: for an unknown row or protocol, or a scale that no config takes.
    """
    from attnlab.models.report import report_config

    size = scale or Scale()
    chosen = [
        GridRow(label, size.apply(report_config(label, protocol)), _reported(label), against=PLAIN) for label in _rows(rows)
    ]
    return make_grid(chosen, first_seeds(seeds), title=f"Table 1, {protocol}", kind=GridKind.TABLE1)


def departure_grid(*, seeds: int = SEEDS, scale: Scale | None = None, departures: Sequence[int] = ()) -> Grid:
    """Each departure on and off, as a grid: rows as published, and for each departure one that is without it.

    The last row is the plain network as described, without any departure.

    Args:
        departures: their numbers; all seven when empty.

    Raises:
        GridError: for a number that no departure has.
    """
    from attnlab.models.report import report_config

    size = scale or Scale()
    known = {departure.number for departure in DEPARTURES}
    if unknown := sorted(set(departures) - known):
        raise GridError(f"there is no departure {', '.join(map(str, unknown))}; they have the numbers 1 to {max(known)}")
    rows = {PLAIN: GridRow(_published(PLAIN), size.apply(report_config(PLAIN)), _reported(PLAIN))}
    without = []
    for departure in DEPARTURES:
        if departures and departure.number not in departures:
            continue
        published = size.apply(report_config(departure.row))
        rows.setdefault(departure.row, GridRow(_published(departure.row), published, _reported(departure.row)))
        without.append(
            GridRow(
                f"{departure.row}: {departure.without}",
                published.changed(**departure.described),
                against=_published(departure.row),
                departure=departure.number,
            )
        )
    described = size.apply(report_config(PLAIN, "described"))
    without.append(GridRow(f"{PLAIN}: as described", described, against=_published(PLAIN)))
    return make_grid([*rows.values(), *without], first_seeds(seeds), title=DEPARTURES_TITLE, kind=GridKind.DEPARTURES)


def report_comparisons() -> dict[str, GroupComparison]:
    """Row label -> what the report's own mean and deviation over 16 runs say of it against the plain CNN's."""
    from attnlab.models.report import REPORT_ROWS

    reported = {label: Summary(row.accuracy, row.deviation, SEEDS) for label, row in REPORT_ROWS.items()}
    others = [label for label in reported if label != PLAIN]
    return dict(zip(others, compare_summaries(reported[PLAIN], [reported[label] for label in others]), strict=True))


def _reported(label: str) -> ReportedResult:
    from attnlab.models.report import REPORT_ROWS

    row = REPORT_ROWS[label]
    return ReportedResult(row.accuracy, row.deviation, row.millions * 1e6)


def _published(row: str) -> str:
    return f"{row}, as published"


def _rows(chosen: Sequence[str]) -> list[str]:
    """Labels of the rows with these labels or attention compositions, in the report's order; all rows when empty."""
    from attnlab.models.report import REPORT_ROWS, THREE_BLOCKS

    names: dict[str, str] = {}
    for label, row in REPORT_ROWS.items():
        names[label.lower()] = label
        names["three_blocks" if label == THREE_BLOCKS else row.attention] = label
    labels = set()
    for name in chosen:
        if name.lower() not in names:
            raise GridError(f"the report has no row {name!r}; its rows: {', '.join(REPORT_ROWS)}")
        labels.add(names[name.lower()])
    return [label for label in REPORT_ROWS if not chosen or label in labels]
