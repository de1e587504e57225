"""Options that a registered variant, network or data set offers: names and allowed values; defaults stay in its signature.

Imports nothing of ours and no torch, since every registry uses it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


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


def default_options(build: Callable[..., Any], names: Iterable[str]) -> dict[str, Any]:
    """The defaults of the named keyword arguments of ``build``."""
    parameters = inspect.signature(build).parameters
    return {name: parameters[name].default for name in names}


def refuse_unknown(owner: str, given: Iterable[str], known: Iterable[str], error: type[ValueError] = ValueError) -> None:
    """Refuses a misspelt option by name.

    Raises:
        ValueError: of type ``error``, naming the stray options and the known ones.
    """
    known = list(known)
    if stray := sorted(set(given) - set(known)):
        raise error(f"{owner} has no option {', '.join(stray)}; its options: {', '.join(known) or 'none'}")
