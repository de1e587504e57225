"""The options of a folder or archive on the form, made from the fields of `attnlab.data.PathOptions`.

Columns are chosen from those of the table that is there. A new option appears here by being declared there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from attnlab.data import DataError, PathOptions
from attnlab.ui.form import own_images
from attnlab.ui.form.draft import sentence, widget

_KEPT = "form.path_options"
_KEY = "form.dataset.path."
TABLE_ONLY = ("csv_file", "image_column", "label_column", "split_column", "test_share", "test_seed")
NO_COLUMN = "none"


def own_dataset(tree: dict[str, Any], given: str) -> str:
    """Asks for a folder or archive and how to read it, and says what is found. Returns what is wrong, in words.

    Args:
        tree: of the `DatasetConfig`; gets the name and the options that are not at their default.
        given: the path to begin with.
    """
    path = own_images.choose_archive(
        "form",
        holds="One folder for each class, or images with a CSV.",
        placeholder="/data/flowers or /data/flowers.zip",
        given=given,
    )
    kept = st.session_state.setdefault(_KEPT, {} if not given else dict(tree["options"]))
    if not path:
        tree.update(name="", options={})
        return ""  # that the name is missing is said of the configuration
    where = Path(path).expanduser().resolve()
    tree["name"] = str(where)
    try:
        tables = own_images.tables(where)
    except DataError as error:
        tree["options"] = {}
        return f"dataset: {error}"
    with st.expander("Options of the data set", icon=":material/tune:", key="form.data_expander"):
        tree["options"] = _options(tables, kept)
    try:
        own_images.found(own_images.listing(where, tree["options"]))
    except DataError as error:
        return f"dataset: {error}"
    return ""


def _options(tables: Mapping[str, Sequence[str]], kept: dict[str, Any]) -> dict[str, Any]:
    """One widget for each option that has a say here; what is at its default is left out."""
    options: dict[str, Any] = {}
    with st.grid(3, min_column_width=130):
        for name, info in PathOptions.model_fields.items():
            if name in TABLE_ONLY and (not tables or kept.get("layout") == "folders"):
                continue
            default = _default(info)
            value = _widget(name, info, kept.get(name, default), tables, str(kept.get("csv_file") or ""))
            kept[name] = value
            if value != default:
                options[name] = value
    return options


def _widget(name: str, info: FieldInfo, given: Any, tables: Mapping[str, Sequence[str]], csv_file: str) -> Any:
    if name == "csv_file":
        return _choice(name, info, ["", *tables], given, missing="the one that has the columns") or ""
    if name.endswith("_column"):
        columns = list(dict.fromkeys(column for file in tables for column in tables[file] if csv_file in ("", file)))
        if name == "split_column":
            chosen = _choice(name, info, [NO_COLUMN, *columns], given if given in columns else NO_COLUMN)
            default = _default(info)
            return chosen if chosen != NO_COLUMN else "" if default in columns else default
        return _choice(name, info, columns, given) or _default(info)
    key = _KEY + name
    st.session_state.setdefault(key, _shown(given))
    value = widget(info, label=sentence(name), key=key)
    return _read(info, value) if isinstance(value, str) else _default(info) if value is None else value


def _choice(name: str, info: FieldInfo, offered: Sequence[str], given: str, missing: str = "choose a column") -> str | None:
    """A select box whose values depend on the source; nothing is chosen where the value is not among them."""
    return st.selectbox(
        sentence(name),
        offered,
        index=offered.index(given) if given in offered else None,
        format_func=lambda value: value or missing,
        placeholder=missing,
        key=f"{_KEY}{name}.{'|'.join(offered)}",
        help=info.description,
    )


def _default(info: FieldInfo) -> Any:
    return info.get_default(call_default_factory=True)


def _shown(value: Any) -> Any:
    """A value as its widget has it: what is neither a number nor a switch is text."""
    if isinstance(value, dict):
        return ", ".join(f"{label} = {name}" for label, name in value.items())
    return "" if value is None else value


def _read(info: FieldInfo, text: str) -> Any:
    """The value that was typed, to be checked by `PathOptions`."""
    text, default = text.strip(), _default(info)
    if isinstance(default, dict):
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        return {label.strip(): name.strip() for label, _, name in pairs}
    if default is None:
        return json.loads(text) if text.isdecimal() else text or None
    return text
