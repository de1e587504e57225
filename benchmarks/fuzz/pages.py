"""Links to pages of the app, with any parameters and values, each followed by a new visitor."""

from __future__ import annotations

import json
import os
import random
import re
from functools import cache
from pathlib import Path

from attnlab.config import RunConfig
from attnlab.ui.shell import PAGES
from benchmarks.fuzz.judge import Kind, Known, Place, nasty_text, unclear
from tests.example_runs import TWO_EPOCHS, finished_run, trained_run

ROOT = Path(__file__).resolve().parents[2]
FILES = tuple(file for file, *_ in PAGES)
NUMBERS = ("0", "-1", "1e400", "NaN", str(2**40), "9" * 5000, "1.5", "٣", "", "true", "0,1", "[]")
SEED = 7
"""Of the run that is finished and has no weights."""


@cache
def parameters() -> tuple[str, ...]:
    """The names of the parameters that pages read, as their source has them, and one that none reads."""
    sources = [path.read_text() for path in (ROOT / "attnlab" / "ui").rglob("*.py")]
    read = re.findall(r"""(?:query_params(?:\.get|\.get_all|\.pop)?[\[(]|linked\(|_indices\()"(\w+)\"""", "".join(sources))
    bound = [key for text in sources if 'bind="query-params"' in text for key in re.findall(r'key="([\w.]+)"', text)]
    return tuple(dict.fromkeys((*read, *bound, "img", "probe", "layer", "embed", "x")))


def packed(page: str, query: dict[str, list[str]]) -> bytes:
    return json.dumps({"page": page, "query": query}).encode()


@cache
def known() -> dict[str, Known]:
    values = ("9" * 5000, "💥" * 2000, "../../etc/passwd", "![a](http://evil.example/q.png)")
    links: dict[str, Known] = {}
    for page in FILES:
        for value in values[:2]:
            links[f"{page} with {value[:12]}"] = packed(page, {name: [value] for name in parameters()})
    for value in values:
        links[f"inspect with {value[:20]}"] = packed("pages/inspect_attention.py", {"run": [value]})
    return links


def make(rng: random.Random) -> bytes:
    runs = (RunConfig(seed=SEED).run_id, TWO_EPOCHS.run_id, "no-such-run")
    query: dict[str, list[str]] = {"run": [rng.choice(runs)]} if rng.random() < 0.7 else {}
    for name in rng.sample(parameters(), rng.choice((1, 2, 4))):
        values = (
            rng.choice(NUMBERS),
            rng.choice(runs),
            rng.choice(("eca", "none", "remove", "scale", "true")),
            nasty_text(rng),
        )
        query[name] = [rng.choice(values).replace("\ud800", "?") for _ in range(rng.choice((1, 1, 1, 2)))]
    return packed(rng.choice(FILES), query)


def give(content: bytes, place: Place) -> None:
    """Opens the page by the link: no page ends in an error of the program, and what it says is plain."""
    from streamlit.testing.v1 import AppTest

    from attnlab.ui import warmup

    prepare(place)
    warmup.wait()
    tree = json.loads(content)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, values in tree["query"].items():
        app.query_params[name] = values
    app.run()
    if tree["page"] != FILES[0]:
        app.switch_page(tree["page"])
        for name, values in tree["query"].items():
            app.query_params[name] = values
        app.run()
    assert not app.exception, [f"{error.value}\n{error.stack_trace}" for error in app.exception]
    for element in (*app.error, *app.warning):
        if trouble := unclear(re.sub(r"\\([\W_])", r"\1", element.value)[:800]):
            raise AssertionError(f"{trouble} on the page: {element.value!r}")


def prepare(place: Place) -> None:
    """A home with a trained run and one without weights, once."""
    if (place.home / "runs").exists():
        return
    os.environ["ATTNLAB_EXECUTOR"] = "thread"
    finished_run(place.home, RunConfig(seed=SEED), 0.9).describe(title="<b>title</b>", note="$x$")
    trained_run(TWO_EPOCHS, place.home / "runs")
    from attnlab.experiments.managers import get_manager

    get_manager().store.sync()


KIND = Kind("page", known, make, give, (), share=2, seconds=60.0, megabytes=1000, own_home=False)
