"""``attnlab read``: how a folder or archive of images is understood, without training."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnlab.cli.common import OK, Json, print_json, print_table
from attnlab.cli.settings import with_settings
from attnlab.config import RunConfig
from attnlab.experiments.overrides import change, settings
from attnlab.paths import written_path

if TYPE_CHECKING:
    from attnlab.config import DatasetConfig
    from attnlab.data import Choice, Reading

_WAYS = 8
"""At most this many other ways to read a source are printed."""


def read(*, as_json: Json = False, **values: Any) -> int:
    """Show how a folder or archive of images is read: its classes, its parts, and what is left out.

    Nothing is trained. The options are those of `attnlab train`.
    """
    from attnlab.data import absolute_name, list_datasets

    chosen = {setting.path: values[name] for setting in settings() if (name := setting.keyword) in values}
    config = RunConfig.model_validate(change({}, chosen)).dataset
    if config.name in list_datasets():
        raise ValueError(f"{config.name} is a built-in data set; `attnlab list` describes it. Give --dataset a path.")
    reading = reading_of(config.model_copy(update={"name": absolute_name(config.name)}))
    if as_json:
        return print_json({} if reading is None else reading.tree())
    if reading is not None:
        print_reading(reading, choices=True)
    return OK


def reading_of(config: DatasetConfig) -> Reading | None:
    """How the folder or archive of a config is read; `None` for a registered data set.

    Raises:
        DataError: when it cannot be read; the ways that remain are printed to standard error before.
    """
    from attnlab.data import DataError, is_there, list_datasets, read_path, unknown_name

    if config.name in list_datasets():
        return None
    if not is_there(written_path(config.name)):
        raise unknown_name(config.name)
    try:
        return read_path(config)
    except DataError as error:
        _print_choices(error.choices, to_error=True)
        raise


def print_reading(reading: Reading, *, choices: bool) -> None:
    """Prints how a source is read, as text.

    Args:
        choices: print the other ways to read it, too.
    """
    print(reading.sentence)
    print_table(reading.header, reading.rows())
    print("\n".join(reading.origins()))
    print_left_out(reading.tree())
    if choices:
        _print_choices(reading.choices)


def print_left_out(reading: Mapping[str, Any], told: Reading | None = None) -> None:
    """Prints what is left out, and the warnings, of the tree of a reading; not again what has been told."""
    from attnlab.data import LeftOut

    for entry in reading["left_out"]:
        left_out = LeftOut(entry["reason"], entry["count"], tuple(entry["names"]))
        if told is None or left_out not in told.left_out:
            print(f"left out: {left_out}")
    for warning in reading["warnings"]:
        if told is None or warning not in told.warnings:
            print(f"warning: {warning}")


def _print_choices(choices: Sequence[Choice], *, to_error: bool = False) -> None:
    if not choices:
        return
    stream = sys.stderr if to_error else sys.stdout
    print("other ways to read it:", file=stream)
    for choice in choices[:_WAYS]:
        words = " ".join(f"--dataset-option {shlex.quote(f'{name}={value}')}" for name, value in choice.options.items())
        print(f"  {words}\n      {choice.label}", file=stream)


read.__signature__ = with_settings(read, sections=("dataset",))  # type: ignore[attr-defined]
