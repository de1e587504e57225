"""Text from people is text: no page reads it as Markdown, as HTML or as an address, wherever it is stored or linked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from attnlab.config import RunConfig
from attnlab.experiments.managers import get_manager
from attnlab.runs.files import write_json
from attnlab.ui.format import plain
from attnlab.ui.shell import PAGES
from tests.example_runs import finished_run
from tests.hostile import HOST, HOSTILE, fill

PARAMETERS = (
    "run",
    "beside",
    "img",
    "attention",
    "map",
    "surgery",
    "operation",
    "where",
    "strokes",
    "way",
    "honesty",
    "test",
    "rows",
    "step",
    "layer",
    "from",
    "room",
    "hide",
    "lock",
    "present",
)

AS_THEY_ARE = {
    ("TextInput", "default"),
    ("TextInput", "value"),
    ("Selectbox", "options"),
    ("Selectbox", "raw_value"),
    ("MultiSelect", "options"),
    ("MultiSelect", "raw_values"),
    ("BidiComponent", "json"),
    ("MixedData", "json"),
    ("Code", "code_text"),
    ("Text", "body"),
    ("PageLink", "query_string"),
    ("ArrowData", "data"),
}
"""Fields of Streamlit's messages whose text the browser shows as it is. The figures are looked at by another test."""


def strings(message: Message, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """(kind of message, field, text) of everything that is sent to the browser for an element."""
    for descriptor, value in message.ListFields():
        values = value if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else [value]
        if hasattr(value, "items"):
            values = [*value, *value.values()]
        for one in values:
            if isinstance(one, Message):
                yield from strings(one, (*path, descriptor.name))
            elif isinstance(one, str):
                yield message.DESCRIPTOR.name, descriptor.name, one


def read_as_markdown(app: AppTest) -> list[tuple[str, str, str]]:
    """What of the hostile text a page would interpret."""
    found = []

    def walk(node: Any) -> None:
        proto = getattr(node, "proto", None)
        if isinstance(proto, Message):
            found.extend(
                (kind, field, text[:200])
                for kind, field, text in strings(proto)
                if HOST in text and (kind, field) not in AS_THEY_ARE and not (kind == "PlotlyChart" and field == "spec")
            )
        for child in getattr(node, "children", {}).values():
            walk(child)

    walk(app._tree)
    return found


@pytest.fixture
def hostile_home(app: AppTest, private_home: Path, run_id: str) -> Path:
    """A home in which everything that a person can name is hostile."""
    fill(private_home, private_home / "runs" / run_id, HOSTILE)
    get_manager().store.sync()
    get_manager().delete(finished_run(private_home, RunConfig(seed=10), 0.9).run_id)
    write_json(private_home / "bin" / RunConfig(seed=10).run_id / "meta.json", {"title": HOSTILE})
    return private_home


@pytest.mark.parametrize("page", [file for file, *_ in PAGES])
@pytest.mark.parametrize("linked", [True, False], ids=["in the link", "stored"])
def test_no_page_interprets_what_people_have_written(app: AppTest, hostile_home: Path, page: str, linked: bool) -> None:
    if linked:
        for name in PARAMETERS:
            app.query_params[name] = HOSTILE
    app.run()
    app.switch_page(page).run()
    assert read_as_markdown(app) == []
    assert not app.exception


@pytest.mark.parametrize("page", [file for file, *_ in PAGES])
def test_figures_show_what_people_have_written_as_it_is(app: AppTest, hostile_home: Path, page: str) -> None:
    app.run()
    app.switch_page(page).run()
    for chart in app.get("plotly_chart"):
        spec = json.dumps(json.loads(chart.proto.spec), ensure_ascii=False)
        assert f"<img src=http://{HOST}" not in spec, "Plotly reads some HTML"


WORDS = [
    HOSTILE,
    "# heading",
    "    code",
    "title\n===",
    "- item",
    "1. item",
    "> quote",
    "&lt;b&gt; &amp;",
    "a -- b -> c <= d",
    ":smile: :material/face: :streamlit:",
    "HTTPS://A.example ftp://x",
]


@pytest.mark.parametrize("text", WORDS)
def test_text_is_read_back_as_it_was_written(text: str) -> None:
    shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain(text)).replace("\u2060", "")
    assert shown == "\n".join(line.lstrip() for line in text.split("\n"))
