"""Data sets: drawn ones, torchvision's, and folders and archives of images. `load_dataset` loads any of them.

Importing this package and listing its data sets does not import torch, unless a plug-in does.
"""

from __future__ import annotations

from attnlab.config import DatasetConfig
from attnlab.data import digits as digits
from attnlab.data import lesions as lesions
from attnlab.data import torchvision_sets as torchvision_sets
from attnlab.data._dataset import (
    IMAGENET,
    DataError,
    ImageDataset,
    Part,
    Pool,
    Progress,
    Provenance,
    Split,
    hold_out,
    normalise,
)
from attnlab.data._listing import Listing, PathOptions
from attnlab.data._open_source import is_there, readable_file
from attnlab.data._paths import TableColumns, build_path, content_stamp, list_path, own_side, read_path, tables_at
from attnlab.data._registry import DatasetInfo, build_registered, list_datasets, options_of_a_new_run, register_dataset
from attnlab.data._splits import split_pool
from attnlab.data.reading import Choice, LeftOut, PartReading, Reading
from attnlab.data.uploads import keep_upload
from attnlab.paths import written_path
from attnlab.plugins import load_plugins

__all__ = [
    "IMAGENET",
    "Choice",
    "DataError",
    "DatasetInfo",
    "ImageDataset",
    "LeftOut",
    "Listing",
    "Part",
    "PartReading",
    "PathOptions",
    "Pool",
    "Progress",
    "Provenance",
    "Reading",
    "Split",
    "TableColumns",
    "absolute_name",
    "content_stamp",
    "hold_out",
    "is_there",
    "keep_upload",
    "readable_file",
    "list_datasets",
    "list_path",
    "load_dataset",
    "normalise",
    "options_of_a_new_run",
    "own_side",
    "read_path",
    "register_dataset",
    "tables_at",
    "unknown_name",
]


def absolute_name(name: str) -> str:
    """A registered name as it is; an existing path made absolute, so that the data set is found from any folder.

    Anything else comes back unchanged, for `load_dataset` to refuse.

    Raises:
        DataError: for an empty name, and for a path that may not be read.
    """
    if not name:
        raise DataError("the name of the data set is empty")
    if name in list_datasets() or not is_there(written_path(name)):
        return name
    return str(written_path(name).resolve())


def load_dataset(config: DatasetConfig, *, progress: Progress | None = None) -> ImageDataset:
    """The data set a config names: a registered one, or a path to a folder or archive of images.

    Args:
        progress: called from this thread with the current step and the share that is done.

    Raises:
        DataError: when there is no such data set or path, or its content cannot be used; the message says why.
    """
    report = progress or _ignore
    if config.name in list_datasets():
        pool = build_registered(config.name, config.image_size, config.options, report)
    elif is_there(path := written_path(config.name)):
        pool = build_path(path, config.image_size, config.options, report)
    else:
        raise unknown_name(config.name)
    return split_pool(pool, config, report)


def unknown_name(name: str) -> DataError:
    """The error for a name that is neither a registered data set nor a path; it names the plug-ins that did not load."""
    message = (
        f"{name!r} is neither a data set nor a path; known: {', '.join(list_datasets())}; or give a path to a folder or archive"
    )
    return DataError("; ".join([message, *map(str, load_plugins("attnlab.data"))]))


def _ignore(what: str, done: float) -> None:
    """Ignores progress."""
