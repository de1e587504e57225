"""The configuration that a person is putting together, and the widgets generated from its fields.

The draft is the tree of a `RunConfig` in the session, so it survives a change of page; every widget is seeded from it
and written back to it. A widget is chosen by the field's type, its help is the field's description, and the limits are
the field's own, so a new field of the configuration needs no edit here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import annotated_types
import streamlit as st
from pydantic.fields import FieldInfo

from attnlab.config import RunConfig
from attnlab.queue.lesson import SHORTEST
from attnlab.ui.glossary import OPTIONS

_DRAFT = "draft"
_PREFIX = "form."
SEEDS = _PREFIX + "seeds"
_BUDGET = "draft.budget"
MINUTE = 60
FITTED, EXACTLY = "as many as fit into the time", "exactly this many"
_READABLE = {
    "lr": "learning rate",
    "amp": "mixed precision (bf16)",
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "cpu": "CPU",
    "cuda": "CUDA",
    "dct_size": "DCT size",
    "e_lambda": "lambda",
    "mlp": "MLP",
}


def draft() -> dict[str, Any]:
    """The tree as it is now; empty before the first `load`."""
    return st.session_state.setdefault(_DRAFT, {})


def load(config: RunConfig, *, budget: int | None = None) -> None:
    """Replaces the draft and the values of all widgets except the seeds. Call it in a callback or before any widget.

    Args:
        budget: seconds into which the epochs are to fit; `None`: exactly those of the config.
    """
    st.session_state[_BUDGET] = budget
    for key in [key for key in st.session_state if str(key).startswith(_PREFIX) and key != SEEDS]:
        del st.session_state[key]
    st.session_state[_DRAFT] = config.model_dump(mode="json")


def budget() -> int | None:
    """Asks whether the number of epochs is given or fitted to a time. Returns the seconds, or `None`."""
    kept = kept_budget()
    key = _PREFIX + "budget"
    st.session_state.setdefault(key, EXACTLY if kept is None else FITTED)
    chosen = st.segmented_control(
        "Number of epochs",
        [FITTED, EXACTLY],
        key=key,
        required=True,
        help="To fit them, a few steps are timed before the run starts. The number is then part of the configuration like any "
        "other, the schedule of the learning rate is made for it, and further seeds of the same run get the same number.",
    )
    seconds = None
    if chosen == FITTED:
        st.session_state.setdefault(key + ".seconds", kept or MINUTE)
        seconds = st.number_input(
            "Seconds per run",
            SHORTEST,
            100_000,
            step=10,
            key=key + ".seconds",
            help="From Start to the result, if nothing waits before it.",
        )
    st.session_state[_BUDGET] = seconds
    return seconds


def kept_budget() -> int | None:
    """What `budget` has asked last, without asking."""
    kept: int | None = st.session_state.get(_BUDGET)
    return kept


def set_budget(seconds: int) -> None:
    """Changes the seconds per run, as a person would in the form. Call it in a callback."""
    st.session_state[_BUDGET] = st.session_state[f"{_PREFIX}budget.seconds"] = seconds


def field(path: str, *, label: str | None = None, placeholder: str | None = None) -> Any:
    """The widget of one field, by its dotted path (``training.lr``). Returns the value and writes it to the draft."""
    section, name = path.split(".")
    section_field = RunConfig.model_fields[section].annotation
    info: FieldInfo = section_field.model_fields[name]  # type: ignore[union-attr]
    tree = draft()[section]
    key = _PREFIX + path
    st.session_state.setdefault(key, tree[name])
    value = widget(info, label=label or label_of(name), key=key, placeholder=placeholder)
    tree[name] = value
    return value


def widget(info: FieldInfo, *, label: str, key: str, placeholder: str | None = None) -> Any:
    """The widget that fits the type of a field, a text input if none does. Its value is in the session under ``key``."""
    kinds = [kind for kind in (get_args(info.annotation) or (info.annotation,)) if kind is not NoneType]
    common: dict[str, Any] = {"label": label, "help": info.description, "key": key}
    if get_origin(info.annotation) is Literal:
        return st.selectbox(options=get_args(info.annotation), format_func=readable, **common)
    if kinds == [bool]:
        return st.toggle(**common)
    if kinds in ([int], [float]):
        return _number(info, kinds[0], placeholder, common)
    return st.text_input(placeholder=placeholder or "", **common)


def choice(path: str, options: Sequence[str], *, label: str, titles: Mapping[str, str], help: str | None = None) -> str:
    """A select box for a field whose values are known only to a registry."""
    section, name = path.split(".")
    key = _PREFIX + path
    tree = draft()[section]
    if st.session_state.get(key, tree[name]) not in options:
        st.session_state[key] = options[0]
    st.session_state.setdefault(key, tree[name])
    chosen = st.selectbox(label, options, format_func=lambda value: titles.get(value, value), key=key, help=help)
    tree[name] = chosen or options[0]
    return tree[name]


def option_fields(path: str, offered: Mapping[str, Sequence[Any]], defaults: Mapping[str, Any], into: dict[str, Any]) -> None:
    """A select box for each option of a registered thing. ``into`` receives those that are not at their default.

    A default is left out, so that a run with an option at its default and a run without that option are one group.
    """
    for name, values in offered.items():
        key = f"{_PREFIX}{path}.{name}"
        plain = [_jsonable(value) for value in values]
        default = _jsonable(defaults[name])
        current = into.pop(name, default)
        st.session_state.setdefault(key, plain.index(current) if current in plain else plain.index(default))
        chosen: Any = st.selectbox(
            label_of(name), range(len(plain)), format_func=_reader(plain), key=key, help=OPTIONS.get(name)
        )
        if plain[chosen] != default:
            into[name] = plain[chosen]
    for stray in set(into) - set(offered):
        del into[stray]


def _reader(values: Sequence[Any]) -> Callable[[Any], str]:
    """Shows an index as the value it stands for."""
    return lambda index: readable(values[index])


def readable(value: Any) -> str:
    """A name or value as a person reads it: ``batch_size`` -> ``batch size``, ``[64, 12]`` -> ``64, 12``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(readable(part) for part in value)
    return _READABLE.get(value, str(value).replace("_", " "))


def label_of(name: str) -> str:
    """A name as a label: ``batch_size`` -> ``Batch size``."""
    text = readable(name)
    return text[:1].upper() + text[1:]


def source_link(source: str) -> str:
    """An address as a Markdown link; a source without an address as text."""
    return f"[source]({source})" if source.startswith(("http://", "https://")) else source


def _number(info: FieldInfo, kind: type[int] | type[float], placeholder: str | None, common: dict[str, Any]) -> Any:
    limits: dict[str, Any] = {}
    for limit in info.metadata:
        bound: Any
        if isinstance(limit, annotated_types.Ge):
            bound = limit.ge
            limits["min_value"] = kind(bound)
        if isinstance(limit, annotated_types.Le):
            bound = limit.le
            limits["max_value"] = kind(bound)
    if kind is float:
        limits |= {"format": "%g", "step": 0.01}
    return st.number_input(placeholder=placeholder, value=None, **limits, **common)


def _jsonable(value: Any) -> Any:
    return [_jsonable(part) for part in value] if isinstance(value, (list, tuple)) else value
