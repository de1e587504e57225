"""``attnlab lesson``: the lessons there are, what is wrong with the file of one, and its hand-out."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from attnlab.cli.common import OK, WRONG, Json, print_json, print_table, write_text

lesson_app = App(name="lesson", help="Lessons: list them, check the file of one, and print one.")


@lesson_app.command(name="list")
def list_lessons(*, as_json: Json = False) -> int:
    """List the lessons: those that come with attnlab, those of the home, and those of plug-in folders."""
    from attnlab.lessons.catalogue import lesson_files, lessons

    known, left_out = lessons()
    files = lesson_files()
    if as_json:
        found = [
            {"name": name, "title": each.title, "minutes": each.minutes, "steps": len(each.steps), "file": str(files[name])}
            for name, each in known.items()
        ]
        return print_json({"lessons": found, "left_out": [str(problems) for problems in left_out]})
    rows = [(name, each.title, f"{each.minutes} min", f"{len(each.steps)} steps") for name, each in known.items()]
    print_table(("name", "title", "time", "length"), rows)
    for problems in left_out:
        print(f"left out:\n{problems}")
    return OK


@lesson_app.command(name="check")
def check(file: Path, *, as_json: Json = False) -> int:
    """Say what is wrong with the file of a lesson: by line and step, in sentences. Exit code 0 if nothing is.

    Parameters
    ----------
    file
        the lesson, a TOML file as docs/lessons.md describes it
    """
    from attnlab.lessons.checking import check_lesson
    from attnlab.lessons.toml import FileProblems

    try:
        lesson = check_lesson(file)
    except FileProblems as error:
        if as_json:
            found = [{"line": each.line, "step": each.part, "problem": each.words} for each in error.problems]
            print_json({"file": str(file), "problems": found})
        else:
            print("\n".join(f"{file}: {each}" for each in error.problems))
        return WRONG
    if as_json:
        return print_json({"file": str(file), "problems": []})
    print(f"{file}: a lesson of {len(lesson.steps)} steps and {lesson.minutes} minutes; nothing is wrong with it")
    return OK


@lesson_app.command(name="handout")
def handout_(name: str, *, out: Path) -> int:
    """Write the hand-out of a lesson: one HTML file to print, with figures, questions, and the answers at the end.

    Parameters
    ----------
    name
        the lesson, as `attnlab lesson list` calls it
    out
        the file to write
    """
    from attnlab.lessons.handout import handout

    page = handout(name)
    write_text(page, out)
    print(f"{out}: the hand-out of {name}, {len(page.encode()):,} bytes")
    return OK
