"""What is said of a lesson that cannot be given, and that the shipped ones can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab import paths
from attnlab.cli.app import main
from attnlab.explain.surgery.operations import OPERATIONS
from attnlab.lessons import views
from attnlab.lessons.catalogue import SHIPPED, lesson_files, lesson_name, lessons
from attnlab.lessons.checking import check_lesson, link_of
from attnlab.lessons.toml import FileProblems

GOOD = """\
title = "A lesson"
minutes = 5
about = ["one thing"]

[[step]]
name = "first"
title = "Look"
text = \"\"\"
Text with a line that looks like a header:
[[step]]
\"\"\"
open = { page = "inspect", run = { variant = "cbam" }, link = { img = 3, surgery = true } }
point = "operation"
do = "Choose Uniform."
until = { operation = ["Uniform", "Shuffled"] }

[[step]]
name = "second"
title = "Think"
text = "Why?"

[step.question]
ask = "What?"
answers = ["this", "that"]
right = "B"
why = "Because."
"""
BROKEN = {
    "no TOML": ('title = "A lesson"', 'title = "A lesson', 1, "not TOML"),
    "unknown page": ('page = "inspect"', 'page = "inspekt"', 12, "no page 'inspekt'"),
    "wrong control": ('point = "operation"', 'point = "oprations"', 13, "no control 'oprations'"),
    "unknown parameter": ("img = 3", "image = 3", 12, "no parameter 'image'"),
    "wrong value": ("surgery = true", 'surgery = "yes"', 12, "surgery is 'yes'"),
    "unknown operation": ('"Shuffled"]', '"Shuffle"]', 15, "operation is 'Shuffle'"),
    "until of another page": ("until = { operation", "until = { picture", 15, "no parameter 'picture'"),
    "unknown variant": ('variant = "cbam"', 'variant = "cbma"', 12, "no variant 'cbma'"),
    "variant that is not shipped": ('variant = "cbam"', 'variant = "triplet"', 12, "no shipped run"),
    "several runs": ('variant = "cbam"', 'variant = "none"', 12, "say which one by backbone"),
    "missing answer": ('right = "B"', 'right = "C"', 22, "with 2 answers it can be one of A, B"),
    "no right answer": ('right = "B"\n', "", 22, "right of question is missing"),
    "same answers": ('"that"]', '"this"]', 22, "two answers are the same"),
    "same step": ('name = "second"', 'name = "first"', 18, "names of steps are unique"),
    "empty text": ('text = "Why?"', 'text = " "', 20, "text is empty"),
    "misspelt key": ('title = "Think"', 'titel = "Think"', 19, "no setting titel"),
    "do without until": ('until = { operation = ["Uniform", "Shuffled"] }\n', "", 5, "until does not say when"),
    "first step without view": (GOOD[GOOD.index("open") : GOOD.index("[[step]]\nname = \"sec")], "\n", 5, "must open a view"),
    "unknown prediction": ('text = "Why?"', 'text = "Why?"\npredict = "nothing"', 21, "no prediction 'nothing'"),
    "unknown source": ('text = "Why?"', 'text = "Why?"\nsource = "docs/nothing.md"', 21, "no page 'docs/nothing.md'"),
    "too long": ("minutes = 5", "minutes = 50", 2, "minutes is wrong"),
    "name with spaces": ('name = "second"', 'name = "the second"', 18, "small letters, digits and hyphens"),
}  # fmt: skip


def write(folder: Path, text: str) -> Path:
    file = folder / "lesson.toml"
    file.write_text(text)
    return file


def test_a_good_lesson_has_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, GOOD)
    assert main(["lesson", "check", str(file)]) == 0
    assert "2 steps" in capsys.readouterr().out
    view = check_lesson(file).view_at(1)
    assert view is not None
    link = link_of(view)
    assert link.pop("run") == sorted(paths.DEMO_RUNS.glob("digits-small_cnn-cbam-s0-*"))[0].name
    assert link == {"img": "3", "surgery": "true"}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_with_its_line_and_step(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    old, new, line, words = BROKEN[name]
    assert GOOD.count(old) == 1, "the test changes one place"
    file = write(tmp_path, GOOD.replace(old, new))
    assert main(["lesson", "check", str(file)]) == 2
    said = next(each for each in capsys.readouterr().out.splitlines() if words in each)
    assert said.startswith(f"{file}: line {line}") and said.endswith(".")
    if line >= 5:
        assert ", step " in said


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace('"inspect"', '"nowhere"').replace('right = "B"', 'right = "b"'))
    with pytest.raises(FileProblems) as form:
        check_lesson(file)
    assert len(form.value.problems) == 1, "what has no form cannot be looked up"
    file = write(tmp_path, GOOD.replace('point = "operation"', 'point = "x"').replace('"second"', '"first"'))
    with pytest.raises(FileProblems) as found:
        check_lesson(file)
    assert [problem.line for problem in found.value.problems] == [13, 18]


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.write_bytes(b"\xff\xfe"),
        lambda file: file.mkdir(),
        lambda file: None,
        lambda file: file.write_text("x = " + "[" * 5000),
        lambda file: file.write_text("#" * (1 << 21)),
        lambda file: file.write_text("step = 3\ntitle = 'a'\nminutes = 1\nabout = ['b']"),
        lambda file: file.write_text(""),
    ],
)
def test_a_file_that_is_no_lesson_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object]
) -> None:
    file = tmp_path / "lesson.toml"
    make(file)
    assert main(["lesson", "check", str(file)]) == 2
    assert all(line.endswith(".") for line in capsys.readouterr().out.splitlines())


def test_the_shipped_lessons_can_be_given() -> None:
    known, left_out = lessons()
    assert left_out == [] and len(known) >= 8
    assert [lesson_name(file) for file in sorted(SHIPPED.glob("*.toml"))] == list(known)
    for name, lesson in known.items():
        words = sum(len(f"{step.text} {step.question.ask if step.question else ''}".split()) for step in lesson.steps)
        assert words / 80 + len(lesson.steps) / 2 < 15, f"{name} takes longer than a quarter of an hour"
        assert sum(step.question is not None for step in lesson.steps) >= 2
        assert any(step.predict for step in lesson.steps)


def test_without_the_shipped_runs_a_lesson_that_opens_one_cannot_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons()  # a check that was passed before says nothing about the runs that are there now
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "none")
    known, left_out = lessons()
    assert left_out and not any(step.open and step.open.run for lesson in known.values() for step in lesson.steps)


def test_a_lesson_of_ones_own_is_one_file(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, name in ((private_home, "3-mine.toml"), (tmp_path / "plugins", "theirs.toml")):
        (folder / "lessons").mkdir(parents=True)
        (folder / "lessons" / name).write_text(GOOD)
    (private_home / "lessons" / "broken.toml").write_text("title = 1")
    monkeypatch.setenv("ATTNLAB_PLUGINS", str(tmp_path / "plugins"))
    assert {"mine", "theirs", "broken"} <= set(lesson_files())
    known, left_out = lessons()
    assert {"mine", "theirs"} <= set(known) and [problems.path.name for problems in left_out] == ["broken.toml"]
    assert main(["lesson", "list"]) == 0
    said = capsys.readouterr().out
    assert "mine" in said and "broken.toml" in said


def test_the_operations_are_those_of_surgery() -> None:
    assert list(views.OPERATIONS) == [operation.title for operation in OPERATIONS.values()]


def test_every_page_that_a_lesson_opens_is_in_the_menu() -> None:
    from attnlab.ui.shell import ADDRESSES, PAGES

    files = {file: ADDRESSES.get(file, "" if number == 0 else Path(file).stem) for number, (file, *_) in enumerate(PAGES)}
    assert {page.file: address for address, page in views.PAGES.items()}.items() <= files.items()
