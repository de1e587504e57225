"""What is wrong with a lesson beyond its form: pages, controls, parameters, runs and predictions that are not there.

No torch, unless a variant is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from attnlab import paths
from attnlab.lessons.lesson import CHANGED, Lesson, ShippedRun, Step, Value, View
from attnlab.lessons.predictions import predictions
from attnlab.lessons.runs import UnknownShippedRun, shipped_run
from attnlab.lessons.toml import FileProblems, Place, Problem, read_toml
from attnlab.lessons.views import PAGES, Page, Values


def check_lesson(file: Path) -> Lesson:
    """Reads a lesson and makes sure that it can be given.

    Raises:
        FileProblems: with all that is wrong with it.
    """
    lesson, text = read_toml(file, Lesson, "step")
    found = []
    for number, place, words in problems(lesson):
        step = f"step {number + 1} ({lesson.steps[number].name})"
        found.append(Problem(text.line_of(("step", number, *place)), step, words))
    if found:
        raise FileProblems(file, found)
    return lesson


def problems(lesson: Lesson) -> Iterator[tuple[int, Place, str]]:
    """(step from 0, place in the step, a sentence) of each thing that is wrong."""
    if lesson.steps[0].open is None:
        yield 0, ("open",), "The first step must open a view."
    names: dict[str, int] = {}
    for number, step in enumerate(lesson.steps):
        if step.name in names:
            yield number, ("name",), f"Step {names[step.name] + 1} is called {step.name} too; names of steps are unique."
        names.setdefault(step.name, number)
        for place, words in _of_step(step, lesson.view_at(number)):
            yield number, place, words


def _of_step(step: Step, view: View | None) -> Iterator[tuple[Place, str]]:
    page = PAGES.get(view.page) if view is not None else None
    if step.open is not None:
        if page is None:
            yield ("open",), f"There is no page {step.open.page!r}; a lesson can open {_listed(PAGES)}."
        else:
            yield from ((("open", *place), words) for place, words in _of_view(step.open, page))
    if step.point and page is not None and step.point not in page.controls:
        where = _called(view.page if view else "")
        yield ("point",), f"{where} has no control {step.point!r}; a lesson can point at {_listed(page.controls)}."
    for name, wanted in step.until.items():
        if page is None:
            break
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        if name not in page.parameters:
            yield ("until",), _no_parameter(name, page)
            continue
        for value in values:
            if value != CHANGED and (words := _refused(name, value, page)):
                yield ("until",), words
    if step.predict and step.predict not in predictions():
        yield ("predict",), f"There is no prediction {step.predict!r}; the bank has {_listed(predictions())}."
    if step.source and not (re.fullmatch(r"docs/[\w-]+\.md", step.source) and (paths.DOCS / step.source[5:]).is_file()):
        yield ("source",), f"There is no page {step.source!r}; a source is a page of docs/, as docs/showcase.md."


def _of_view(view: View, page: Page) -> Iterator[tuple[Place, str]]:
    """What is wrong with what a view opens."""
    if view.run is not None and not page.takes_run:
        yield ("run",), f"The link of {_called(view.page)} names no run."
    if view.beside and not page.takes_beside:
        yield ("beside",), f"The link of {_called(view.page)} names no runs beside another."
    runs: Sequence[tuple[str, ShippedRun]] = [("run", view.run)] if view.run else []
    for key, run in (*runs, *(("beside", run) for run in view.beside)):
        try:
            shipped_run(run)
        except UnknownShippedRun as error:
            yield (key,), str(error)
    for name, value in view.link.items():
        if words := _refused(name, value, page):
            yield ("link", name), words


def _refused(name: str, value: Value, page: Page) -> str:
    """Why a page does not understand a parameter with this value; empty where it does."""
    if name not in page.parameters:
        return _no_parameter(name, page)
    values: Values = page.parameters[name]
    text = in_link(value)
    if isinstance(values, tuple):
        return "" if text in values else f"{name} is {text!r}; it can be {_listed(values)}."
    return "" if values.fullmatch(text) else f"{name} cannot be {text!r}."


def _no_parameter(name: str, page: Page) -> str:
    known = _listed(page.parameters) if page.parameters else "none"
    return f"The link of this page has no parameter {name!r}; it has {known}."


def in_link(value: Value) -> str:
    """A value as a link holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def link_of(view: View) -> dict[str, str | list[str]]:
    """The parameters of the view's link.

    Raises:
        UnknownShippedRun: when a run is not there.
    """
    link: dict[str, str | list[str]] = {name: in_link(value) for name, value in view.link.items()}
    if view.run is not None:
        link["run"] = shipped_run(view.run).run_id
    if view.beside:
        link["beside"] = [shipped_run(run).run_id for run in view.beside]
    return link


def _called(page: str) -> str:
    return f"the page {page}" if page else "the first page"


def _listed(names: object) -> str:
    return ", ".join(repr(name) if not name else str(name) for name in names)  # type: ignore[attr-defined]
