"""Data sets by name. A named data set is a function registered here; a path needs no registration.

The function returns a `Pool`: all images with their labels and parts. `attnlab.data._splits` then decides which of them are
used and which are held out, in the same way for every data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from attnlab.data._dataset import DataError, Pool, Progress
from attnlab.plugins import load_plugins
from attnlab.registry import Registry, chosen_options, default_options, offered_options, refuse_unknown

Builder = Callable[..., Pool]


@dataclass(frozen=True)
class DatasetInfo:
    """A registered data set, with what the app says about it.

    Attributes:
        name: used in configs and links.
        title: shown to people.
        summary: one or two sentences: what the images show, and what makes them hard.
        image_size: side in pixels when the config names none.
        channels: 3 for RGB, 1 for grey.
        class_names: in label order.
        source: link to the paper or page the data comes from.
        licence: as stated by the source.
        has_masks: every image has a mask of its object.
        download_bytes: size of the download before the first use; 0 for none.
        options: option name -> the values offered; the default is the builder's.
        new_runs: option name -> the value that a new run is given unless it is told another. The builder's own default stays
            what runs without the option were trained on.
        build: ``build(image_size, progress, **options) -> Pool``.
    """

    name: str
    title: str
    summary: str
    image_size: int
    channels: int
    class_names: tuple[str, ...]
    source: str
    licence: str
    has_masks: bool
    download_bytes: int
    options: Mapping[str, tuple[Any, ...]]
    new_runs: Mapping[str, Any]
    build: Builder = field(repr=False, compare=False)

    @property
    def needs_network(self) -> bool:
        """Whether it is downloaded before its first use."""
        return self.download_bytes > 0

    @property
    def defaults(self) -> dict[str, Any]:
        return default_options(self.build, self.options)


_DATASETS: Registry[DatasetInfo] = Registry("data set", load=partial(load_plugins, "attnlab.data"))


def register_dataset(
    name: str,
    *,
    title: str,
    summary: str,
    image_size: int,
    class_names: Sequence[str],
    source: str,
    licence: str,
    channels: int = 3,
    has_masks: bool = False,
    download_bytes: int = 0,
    options: Mapping[str, Sequence[Any]] | None = None,
    new_runs: Mapping[str, Any] | None = None,
) -> Callable[[Builder], Builder]:
    """Registers ``build(image_size: int, progress: Progress, *, option=default, ...) -> Pool`` under ``name``.

    The arguments are those of `DatasetInfo`.

    Raises:
        ValueError: when the name is taken or not a plain word, an option is not a keyword-only argument of the function,
            or its default or its value for new runs is not among the values offered.
    """

    def decorate(build: Builder) -> Builder:
        offered = offered_options(name, build, options)
        _DATASETS.register(
            DatasetInfo(
                name,
                title,
                summary,
                image_size,
                channels,
                tuple(class_names),
                source,
                licence,
                has_masks,
                download_bytes,
                offered,
                chosen_options(name, new_runs, offered),
                build,
            )
        )
        return build

    return decorate


def list_datasets() -> dict[str, DatasetInfo]:
    """All registered data sets by name, sorted, those without a download first."""
    return dict(sorted(_DATASETS.list().items(), key=lambda item: item[1].needs_network))


def options_of_a_new_run(name: str) -> dict[str, Any]:
    """The options with which a new run on ``name`` starts; none for a path."""
    info = list_datasets().get(name)
    return dict(info.new_runs) if info is not None else {}


def build_registered(name: str, image_size: int | None, options: Mapping[str, Any], progress: Progress) -> Pool:
    """The pool of a registered data set.

    Raises:
        DataError: for an option the data set does not have.
        ValueError: for an unknown name.
    """
    info = _DATASETS.get(name)
    refuse_unknown(name, options, info.options, DataError)
    return info.build(image_size or info.image_size, progress, **options)
