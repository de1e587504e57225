"""The hand-out of a lesson: everything that the lesson says, in one file that loads nothing."""

from __future__ import annotations

import fcntl
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from attnlab.cli.app import main
from attnlab.files import write_file
from attnlab.lessons.catalogue import SHIPPED, lesson_name, read_lesson
from attnlab.lessons.handout import UnknownLesson, handout

VOID = {"meta", "img", "br", "hr"}


class Checked(HTMLParser):
    """Refuses what is not closed, and gathers what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.toml")), ids=lesson_name)
def test_a_handout_holds_the_whole_lesson_and_loads_nothing(file: Path) -> None:
    lesson, name = read_lesson(file), lesson_name(file)
    page = handout(name)
    read = Checked()
    read.feed(page)
    assert read.open == []
    shown = re.sub(r"\s+", " ", read.text)
    for step in lesson.steps:
        assert step.title in shown
        if step.question is not None and "$" not in step.question.ask:
            assert step.question.ask.replace("*", "") in shown
    asked = sum(step.question is not None for step in lesson.steps)
    answers = shown.split("Answers", 1)[1]
    assert len(re.findall(r"[A-F]\. ", answers)) >= asked, "each question is answered at the end"
    assert "$" not in shown and "\ue000" not in shown and "\\" not in shown, "formulas are drawn, not written"
    assert all(source.startswith(("data:image/png", "https://")) for source in read.sources)
    opens = [step.open for step in lesson.steps if step.open is not None]
    tables = [view for view in opens if view.page in ("compare", "reproduce")]
    assert page.count("<figure>") >= len(opens) - len(tables), "each view of maps is a figure"
    assert page.count("<table>") >= len(tables), "and each view of results a table"


def test_a_lesson_of_others_cannot_bring_html_into_it(private_home: Path) -> None:
    folder = private_home / "lessons"
    folder.mkdir(parents=True)
    (folder / "own.toml").write_text(
        'title = "A <b>lesson</b>"\nminutes = 3\nabout = ["<script>alert(1)</script>"]\n'
        '[[step]]\nname = "a"\ntitle = "<i>x</i>"\n'
        'text = "<img src=x onerror=alert(1)> $a < b$ [link](javascript:alert(1))"\nopen = { page = "" }\n'
    )
    page = handout("own")
    assert "<script>" not in page and "<img src=x" not in page and "<i>x" not in page and 'href="javascript' not in page
    assert "&lt;script&gt;" in page


def test_the_command_writes_the_file_and_names_the_lessons_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lesson", "handout", "what-is-attention", "--out", str(tmp_path / "a.html")]) == 0
    assert "Weights that the image decides" in (tmp_path / "a.html").read_text()
    assert main(["lesson", "handout", "nothing", "--out", str(tmp_path / "b.html")]) == 2
    assert "there are what-is-attention" in capsys.readouterr().err
    assert not (tmp_path / "b.html").exists()
    with pytest.raises(UnknownLesson):
        handout("../../secret")


def test_a_pipe_is_written_to_and_never_replaced_or_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert main(["lesson", "check", str(pipe)]) == 2
    assert "it is not a file" in capsys.readouterr().out
    with pytest.raises(OSError, match="not a file that can be replaced"):
        write_file(pipe, lambda stream: stream.write(b"page"))
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
        assert main(["lesson", "handout", "what-is-attention", "--out", str(pipe)]) == 0
        assert os.read(reader, 15) == b"<!doctype html>"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
