"""The hand-out of a lesson: one HTML file to print, with texts, formulas, figures, and the answers at the end. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from string import ascii_uppercase

from attnlab.lessons.catalogue import lessons
from attnlab.lessons.figures import enlarged, figure, reader, view_figure
from attnlab.lessons.lesson import Question, Step
from attnlab.lessons.predictions import Prediction, kept, peak, predictions
from attnlab.lessons.runs import UnknownShippedRun
from attnlab.runs.errors import FolderError
from attnlab.viz.guesses import map_with_peak
from attnlab.viz.mathml import formula

_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
_MARK = "\ue000{}\ue001"  # letters that nobody writes: they stand for a formula while the Markdown around it is read
_MARKED = re.compile("\ue000(\\d+)\ue001")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 42rem; margin: 2rem auto; padding: 0 1rem; font: 11pt/1.5 Georgia, serif; color: #111; background: #fff; }}
h1, h2, h3 {{ line-height: 1.25; break-after: avoid; }}
h2 {{ font-size: 1.15rem; margin: 1.6rem 0 0.4rem; }}
p {{ margin: 0.5rem 0; }}
.formula {{ display: block; margin: 0.6rem 0; text-align: center; }}
figure {{ display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 0.8rem 0; break-inside: avoid; }}
figure div {{ width: 8.5rem; font-size: 0.8rem; }}
figure img {{ display: block; width: 100%; image-rendering: pixelated; }}
figcaption {{ flex-basis: 100%; font-size: 0.85rem; color: #444; }}
.ask {{ margin: 0.8rem 0; padding: 0.5rem 0.8rem; border-left: 3px solid #1f6f80; background: #f2f3ef; break-inside: avoid; }}
.ask ol {{ margin: 0.3rem 0; padding-left: 1.6rem; list-style: upper-alpha; }}
table {{ border-collapse: collapse; margin: 0.8rem 0; font-size: 0.85rem; break-inside: avoid; }}
th, td {{ padding: 0.15rem 0.5rem; border-bottom: 1px solid #ccc; text-align: left; }}
.source {{ font-size: 0.85rem; color: #444; }}
.answers {{ break-before: page; }}
@media print {{ body {{ margin: 0; max-width: none; }} .ask {{ print-color-adjust: exact; }} }}
</style></head><body>
{body}
</body></html>
"""


class UnknownLesson(ValueError):
    """No lesson has this name; the message is a sentence that says which there are."""


def handout(name: str) -> str:
    """The lesson with this name as one HTML page, which loads nothing from elsewhere.

    Raises:
        UnknownLesson: when there is none that can be given.
    """
    known, _ = lessons()
    if name not in known:
        raise UnknownLesson(f"There is no lesson {name!r}; there are {', '.join(known)}.")
    lesson = known[name]
    about = "".join(f"<li>{_inline(line)}</li>" for line in lesson.about)
    parts = [f"<h1>{escape(lesson.title)}</h1>", f"<p>{lesson.minutes} minutes. Afterwards you can say:</p><ul>{about}</ul>"]
    answers = []
    for number, step in enumerate(lesson.steps, 1):
        parts += _step(number, step)
        answers += [f"<h3>{number}. {_inline(step.title)}</h3>{answer}" for answer in _answers(step)]
    if answers:
        parts += ['<section class="answers">', "<h2>Answers</h2>", *answers, "</section>"]
    return _PAGE.format(title=escape(lesson.title), body="\n".join(parts))


def _step(number: int, step: Step) -> Iterator[str]:
    yield f"<h2>{number}. {_inline(step.title)}</h2>"
    yield _html(step.text)
    if step.open is not None:
        yield view_figure(step.open)
    if step.do:
        yield f'<p class="ask">On the screen: {_inline(step.do)}</p>'
    if step.source:
        yield f'<p class="source">Measured: {escape(step.source)}</p>'
    if step.predict:
        prediction = predictions()[step.predict]
        yield f'<div class="ask"><b>Predict first.</b> {_inline(prediction.ask)}{_asked_picture(prediction)}</div>'
    if step.question is not None:
        options = "".join(f"<li>{_inline(answer)}</li>" for answer in step.question.answers)
        yield f'<div class="ask">{_inline(step.question.ask)}<ol>{options}</ol></div>'


def _answers(step: Step) -> Iterator[str]:
    if step.predict:
        prediction = predictions()[step.predict]
        yield _outcome_picture(prediction) + _html(prediction.why)
    if step.question is not None:
        yield _right(step.question)


def _right(question: Question) -> str:
    letter = ascii_uppercase[question.place]
    return f"<p><b>{letter}. {_inline(question.answers[question.place])}</b></p>{_html(question.why)}"


def _asked_picture(prediction: Prediction) -> str:
    if prediction.kind == "better":
        return ""
    try:
        return figure([(enlarged(kept(prediction).image), "")], "")
    except (UnknownShippedRun, FolderError):
        return ""


def _outcome_picture(prediction: Prediction) -> str:
    if prediction.kind != "place":
        return ""
    try:
        shown = kept(prediction)
    except (UnknownShippedRun, FolderError):
        return ""
    if shown.weights is None:
        return ""
    at = peak(shown.weights, shown.cells, (shown.image.shape[0], shown.image.shape[1]))
    picture = map_with_peak(shown.image, shown.weights, shown.cells, at.pixels)
    return figure([(picture, shown.title)], "The map; the white line is around its highest cells, a tenth of the picture.")


def _html(text: str) -> str:
    """Markdown with formulas between dollars as HTML; HTML in it is text."""
    return _with_formulas(text, reader().render)


def _inline(text: str) -> str:
    """The same of one line, without a paragraph around it."""
    return _with_formulas(text, reader().renderInline)


def _with_formulas(text: str, render: Callable[[str], str]) -> str:
    found: list[str] = []

    def keep(match: re.Match[str]) -> str:
        block = match[1] is not None
        drawn = formula((match[1] or match[2]).strip().removesuffix("."))
        if block:
            drawn = f'<span class="formula">{drawn.replace("inline", "block", 1)}</span>'
        found.append(drawn)
        return _MARK.format(len(found) - 1)

    return _MARKED.sub(lambda match: found[int(match[1])], render(_FORMULA.sub(keep, text)))
