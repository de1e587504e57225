"""The options of a folder or archive on the form, generated from the fields of `attnlab.data.PathOptions`.

Columns are chosen from those of the table in the source. A new option appears here by being declared there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from attnlab.data import Choice, DataError, PathOptions, TableColumns
from attnlab.ui.form import own_images
from attnlab.ui.form.draft import label_of, widget
from attnlab.ui.reading import describe

_KEPT = "form.path_options"
_KEY = "form.dataset.path."
TABLE_ONLY = ("csv_file", "image_column", "label_column", "split_column", "test_share", "test_seed")
NO_COLUMN = "none"


def own_dataset(tree: dict[str, Any], initial: str) -> str:
    """Asks for a folder or archive and how to read it, and describes it. Returns what is wrong, as a sentence.

    Args:
        tree: of the `DatasetConfig`; gets the name and the options that are not at their default.
        initial: the path to begin with.
    """
    path = own_images.choose_archive(
        "form",
        holds="One folder per class, or images with a CSV file.",
        placeholder="/data/flowers or /data/flowers.zip",
        initial=initial,
    )
    values = st.session_state.setdefault(_KEPT, {} if not initial else dict(tree["options"]))
    if not path:
        tree.update(name="", options={})
        return ""  # the configuration itself reports that the name is missing
    try:
        source = own_images.absolute_path(path)
        tree["name"] = str(source)
        tables = own_images.tables(source, values.get("name_encoding", "auto"))
    except DataError as error:
        tree.update(name=path, options={})
        return f"dataset: {error}"
    asked, shown = st.container(), st.container()
    with st.expander("Data set options", icon=":material/tune:", key="form.data_expander"):
        tree["options"] = _options(tables, values)
    choices: Sequence[Choice] = ()
    try:
        reading = own_images.reading(tree)
        current, choices, problem = reading.sentence, reading.choices, ""
        with shown:
            describe(reading, "form")
    except DataError as error:
        current, choices, problem = "It cannot be read like this", error.choices, f"dataset: {error}"
    except ValueError:
        return ""  # the configuration itself reports what is wrong with it
    if choices:
        with asked:
            if chosen := own_images.ask_reading(current, choices, "form"):
                _choose(values, chosen)
    return problem


def _choose(values: dict[str, Any], chosen: Mapping[str, Any]) -> None:
    """Takes over the options of another way to read the source, and shows the page again."""
    values.update(chosen)
    for key in [key for key in st.session_state if any(str(key).startswith(_KEY + name) for name in chosen)]:
        del st.session_state[key]
    st.rerun()


def _options(tables: Mapping[str, TableColumns], values: dict[str, Any]) -> dict[str, Any]:
    """One widget for each option that applies to this source; options at their default are left out."""
    options: dict[str, Any] = {}
    with st.grid(3, min_column_width=130):
        for name, info in PathOptions.model_fields.items():
            if name in TABLE_ONLY and (not tables or values.get("layout", "auto") not in ("auto", "table")):
                continue
            default = _default(info)
            value = _widget(name, info, values.get(name, default), tables, str(values.get("csv_file") or ""))
            values[name] = value
            if value != default:
                options[name] = value
    return options


def _widget(name: str, info: FieldInfo, current: Any, tables: Mapping[str, TableColumns], csv_file: str) -> Any:
    if name == "csv_file":
        return _choice(name, info, ["", *tables], current, missing="the table that names the pictures") or ""
    if name.endswith("_column"):
        read = {file: table for file, table in tables.items() if csv_file in ("", file)}
        columns = list(dict.fromkeys(column for table in read.values() for column in table.columns))
        default = _default(info)
        if name == "split_column":
            offered = {default: "automatic", "": NO_COLUMN} | {column: column for column in columns if column != default}
            return _choice(name, info, list(offered), current, titles=offered)
        found = next((column for table in read.values() if (column := getattr(table, name))), None)
        chosen = _choice(name, info, columns, current if current in columns else found)
        return default if chosen in (None, found) else chosen
    key = _KEY + name
    st.session_state.setdefault(key, _as_text(current))
    value = widget(info, label=label_of(name), key=key)
    return _read(info, value) if isinstance(value, str) else _default(info) if value is None else value


def _choice(
    name: str,
    info: FieldInfo,
    offered: Sequence[str],
    current: str | None,
    *,
    missing: str = "choose a column",
    titles: Mapping[str, str] | None = None,
) -> str | None:
    """A select box whose values depend on the source; nothing is selected when the current value is not among them."""
    return st.selectbox(
        label_of(name),
        offered,
        index=offered.index(current) if current in offered else None,
        format_func=lambda value: (titles or {}).get(value, value) or missing,
        placeholder=missing,
        key=f"{_KEY}{name}.{'|'.join(offered)}",
        help=info.description,
    )


def _default(info: FieldInfo) -> Any:
    return info.get_default(call_default_factory=True)


def _as_text(value: Any) -> Any:
    """A value as its widget holds it: text, unless it is a number or a switch."""
    if isinstance(value, dict):
        return ", ".join(f"{label} = {name}" for label, name in value.items())
    return "" if value is None else value


def _read(info: FieldInfo, text: str) -> Any:
    """The value that was typed; `PathOptions` checks it later."""
    text, default = text.strip(), _default(info)
    if isinstance(default, dict):
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        return {label.strip(): name.strip() for label, _, name in pairs}
    if default is None:
        return json.loads(text) if text.isdecimal() else text or None
    return text
