"""Data sets by name. A named data set is one function that is registered here; a path needs no registration.

A builder returns a `Pool`: every image it has, with its label and the part it belongs to. Which of them are used, and
which are held out, is decided afterwards in one place (`attnlab.data._splits`), so every data set is split alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnlab.data._dataset import DataError, Pool, Progress

Builder = Callable[..., Pool]


@dataclass(frozen=True)
class DatasetInfo:
    """A registered data set and what a person should know before choosing it.

    Attributes:
        name: as used in configs and links.
        title: as shown.
        summary: one or two sentences: what is in the pictures, and what makes them hard.
        image_size: side in pixels when the config asks for none.
        channels: 3 for RGB, 1 for grey.
        class_names: in label order.
        source: link to the paper or page the data comes from.
        licence: as stated by the source.
        has_masks: every image comes with a mask of its object.
        download_bytes: what has to be fetched once; 0 for drawn data.
        options: option name -> the values offered; the default is the builder's.
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
    build: Builder = field(repr=False, compare=False)

    @property
    def needs_network(self) -> bool:
        """Has to be fetched before its first use."""
        return self.download_bytes > 0

    @property
    def defaults(self) -> dict[str, Any]:
        parameters = inspect.signature(self.build).parameters
        return {name: parameters[name].default for name in self.options}


_DATASETS: dict[str, DatasetInfo] = {}


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
) -> Callable[[Builder], Builder]:
    """Registers ``build(image_size: int, progress: Progress, *, option=default, ...) -> Pool`` under ``name``.

    Raises:
        ValueError: when the name is taken, or an option is no keyword-only argument or its default is not offered.
    """

    def decorate(build: Builder) -> Builder:
        if name in _DATASETS:
            raise ValueError(f"data set {name!r} is registered twice")
        offered = {option: tuple(values) for option, values in (options or {}).items()}
        parameters = inspect.signature(build).parameters
        for option, values in offered.items():
            if option not in parameters or parameters[option].kind is not inspect.Parameter.KEYWORD_ONLY:
                raise ValueError(f"{name}: option {option!r} is not a keyword-only argument of its builder")
            if parameters[option].default not in values:
                raise ValueError(f"{name}: default {parameters[option].default!r} of {option!r} is not among {values}")
        _DATASETS[name] = DatasetInfo(
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
            build,
        )
        return build

    return decorate


def list_datasets() -> dict[str, DatasetInfo]:
    """All registered data sets, in the order they are offered: built in first, then those to be fetched."""
    return dict(sorted(_DATASETS.items(), key=lambda item: (item[1].needs_network, item[0])))


def build_registered(name: str, image_size: int | None, options: Mapping[str, Any], progress: Progress) -> Pool:
    """The pool of a registered data set.

    Raises:
        DataError: for an option the data set does not have.
    """
    info = _DATASETS[name]
    check_options(name, options, info.options)
    return info.build(image_size or info.image_size, progress, **options)


def check_options(name: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuses a misspelt option by name.

    Raises:
        DataError: naming the stray options and the known ones.
    """
    if stray := set(given) - set(known):
        raise DataError(f"{name} has no option {', '.join(sorted(stray))}; its options: {', '.join(known) or 'none'}")
