"""Things by name: the registry that attention variants, networks and data sets share, and what they offer as options.

A registry holds one frozen description for each name. Option names and allowed values are declared at registration;
their defaults stay in the signature of the class or function that is built. Imports nothing of ours and no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar


class Named(Protocol):
    """A description that a registry can hold."""

    @property
    def name(self) -> str: ...


Spec = TypeVar("Spec", bound=Named)


class Registry(Generic[Spec]):
    """Descriptions by name.

    Args:
        noun: what one entry is called in messages, as in "network".
        load: called before every read; registers what plug-ins offer the first time, and returns one sentence for each
            plug-in that could not be loaded.
        reserved: names that are known but belong to no entry.

    >>> from types import SimpleNamespace as Lesson
    >>> lessons = Registry("lesson", reserved=["none"])
    >>> lessons.register(Lesson(name="gates"))
    >>> list(lessons.list())
    ['gates']
    >>> lessons.get("gate")
    Traceback (most recent call last):
    ValueError: unknown lesson 'gate'; known: none, gates
    """

    def __init__(self, noun: str, *, load: Callable[[], Sequence[object]] = tuple, reserved: Sequence[str] = ()) -> None:
        self._noun = noun
        self._load = load
        self._reserved = tuple(reserved)
        self._specs: dict[str, Spec] = {}

    def register(self, spec: Spec) -> None:
        """Adds an entry.

        Raises:
            ValueError: when its name is taken, reserved, or not a plain word.
        """
        if spec.name in self._specs or spec.name in self._reserved:
            raise ValueError(f"{self._noun} {spec.name!r} is registered twice")
        if not spec.name.isidentifier():
            raise ValueError(f"{self._noun} name {spec.name!r} must be a plain word (letters, digits, _)")
        self._specs[spec.name] = spec

    def list(self) -> dict[str, Spec]:
        """All entries by name, sorted."""
        self._load()
        return dict(sorted(self._specs.items()))

    def get(self, name: str) -> Spec:
        """One entry.

        Raises:
            ValueError: for an unknown name, listing the known ones, and the plug-ins that could not be loaded.
        """
        failures = self._load()
        try:
            return self._specs[name]
        except KeyError:
            known = ", ".join([*self._reserved, *sorted(self._specs)])
            message = f"unknown {self._noun} {name!r}; known: {known}"
            raise ValueError("; ".join([message, *map(str, failures)])) from None


def offered_options(
    owner: str, build: Callable[..., Any], options: Mapping[str, Sequence[Any]] | None
) -> dict[str, tuple[Any, ...]]:
    """The options as registered, checked against the signature of what they build.

    Args:
        owner: name of the registered thing, for messages.
        build: class or function that takes the options as keyword-only arguments.

    Raises:
        ValueError: when an option is not a keyword-only argument, or its default is not among the values offered.
    """
    offered = {option: tuple(values) for option, values in (options or {}).items()}
    parameters = inspect.signature(build).parameters
    for option, values in offered.items():
        if option not in parameters or parameters[option].kind is not inspect.Parameter.KEYWORD_ONLY:
            raise ValueError(f"{owner}: option {option!r} is not a keyword-only argument of {build.__name__}")
        if parameters[option].default not in values:
            raise ValueError(f"{owner}: default {parameters[option].default!r} of {option!r} is not among {values}")
    return offered


def chosen_options(owner: str, chosen: Mapping[str, Any] | None, offered: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Values for some options, checked against those offered.

    Raises:
        ValueError: when there is no such option, or it does not offer the value.
    """
    for option, value in (chosen or {}).items():
        if value not in offered.get(option, ()):
            raise ValueError(f"{owner}: {option} = {value!r} is not among the values offered")
    return dict(chosen or {})


def as_offered(values: Mapping[str, Any], offered: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Options from a command line, where ``3`` is read as a number, in the type in which they are offered.

    A value that is not on offer stays as it is, and so is refused where it is used.

    >>> as_offered({"stages": 3, "blocks": 3}, {"stages": ("all", "3"), "blocks": (2, 3)})
    {'stages': '3', 'blocks': 3}
    """
    return {
        name: str(value) if value not in offered.get(name, ()) and str(value) in offered.get(name, ()) else value
        for name, value in values.items()
    }


def default_options(build: Callable[..., Any], names: Iterable[str]) -> dict[str, Any]:
    """The defaults of the named keyword arguments of ``build``."""
    parameters = inspect.signature(build).parameters
    return {name: parameters[name].default for name in names}


def refuse_unknown(owner: str, names: Iterable[str], known: Iterable[str], error: type[ValueError] = ValueError) -> None:
    """Refuses a misspelt option by name.

    Raises:
        ValueError: of type ``error``, naming the unknown options and the known ones.
    """
    known = list(known)
    if unknown := sorted(set(names) - set(known)):
        raise error(f"{owner} has no option {', '.join(unknown)}; its options: {', '.join(known) or 'none'}")
