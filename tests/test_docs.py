"""What README.md and the other pages say can be done: every command, option, file, link and variable they name exists."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cyclopts import App, CycloptsError, MissingArgumentError
from markdown_it import MarkdownIt

from attnlab.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
OTHERS_OPTIONS = {"--index-url", "--logdir", "--no-deps", "--server.baseUrlPath"}
"""Options of other programs that stand alone somewhere."""
VARIABLES = re.compile(r"\bATTNLAB_[A-Z_]+\b")


@dataclass
class Page:
    """What stands in a page.

    Attributes:
        code: lines of code blocks, continued ones joined, and pieces of inline code.
        links: targets of links and pictures.
        anchors: of its headings, as GitHub makes them.
    """

    code: list[str]
    links: list[str]
    anchors: set[str]


def read(path: Path) -> Page:
    page = Page([], [], set())
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type in ("fence", "code_block"):
            page.code += token.content.replace("\\\n", " ").splitlines()
        elif token.type == "heading_open" and after is not None:
            page.anchors.add(anchor(after.content))
        for child in token.children or ():
            if child.type == "code_inline":
                page.code.append(child.content)
            elif target := child.attrs.get("href") or child.attrs.get("src"):
                page.links.append(str(target))
    return page


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def commands(page: Page) -> Iterator[list[str]]:
    """Command lines that begin with a program's name: comments, brackets and three dots taken away."""
    for line in page.code:
        for part in re.split(r"&&|\|", re.sub(r"\s#\s.*$", "", line)):
            words = part.replace("[", " ").replace("]", " ").replace("...", " ").strip().removeprefix("$ ")
            if re.match(r"(attnlab|python|pip|streamlit)( |$)", words):
                yield shlex.split(words)


def every_command(family: App = app, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command with its name; not the old names, which the help does not show."""
    for word in shown(family):
        command = family[word]
        if shown(command):
            yield from every_command(command, (*name, word))
        else:
            yield (*name, word), command


def shown(family: App) -> list[str]:
    return [word for word in family if not word.startswith("-") and family[word].show]


def every_option() -> set[str]:
    return {
        option
        for _, command in every_command()
        for argument in command.assemble_argument_collection()
        for option in argument.names
        if option.startswith("--")
    } | {"--help", "--version"}


@pytest.fixture(scope="module", params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return read(path)


def test_commands_of_attnlab_exist(page: Page) -> None:
    wrong = []
    for words in commands(page):
        arguments = words[3:] if words[:3] == ["python", "-m", "attnlab"] else words[1:] if words[0] == "attnlab" else None
        if arguments:
            try:
                app.parse_args(arguments)
            except MissingArgumentError:
                pass  # the command is named without its arguments
            except CycloptsError as error:
                wrong.append(f"{shlex.join(words)}: {error}")
    assert not wrong, "\n".join(wrong)


def test_programs_and_files_of_other_commands_exist(page: Page) -> None:
    wrong = []
    for words in commands(page):
        match words:
            case ["python", "-m", module, *_] if module.startswith(("attnlab.", "benchmarks.", "scripts.")):
                place = module.replace(".", "/")
                files = [f"{place}/__main__.py" if (ROOT / place).is_dir() else f"{place}.py"]
            case ["python", script, *_] if script.endswith(".py"):
                files = [script]
            case ["pip", "install", *rest]:
                files = [name for option, name in pairwise(rest) if option == "-r"]
            case ["streamlit", "run", script, *_]:
                files = [script]
            case _:
                files = []
        wrong += [name for name in files if not (ROOT / name).is_file()]
    assert not wrong


def test_options_and_files_in_the_text_exist(page: Page) -> None:
    options = every_option() | OTHERS_OPTIONS
    words = [word for text in page.code if text.startswith("--") for word in text.split()]
    wrong = [word for word in words if word.startswith("--") and word not in options]
    for text in page.code:
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.(py|js|md|json|toml)", text):
            wrong += [text] if not any((root / text).is_file() for root in (ROOT, ROOT / "attnlab")) else []
    assert not wrong


def test_links_lead_somewhere(path: Path, page: Page) -> None:
    wrong = []
    for link in page.links:
        target = urlsplit(link)
        if target.scheme:
            continue
        file = (path.parent / target.path).resolve() if target.path else path
        if not file.exists() or (target.fragment and target.fragment not in read(file).anchors):
            wrong.append(link)
    assert not wrong


def test_every_command_is_named_in_a_page() -> None:
    named = {tuple(words[:length]) for each in PAGES for words in commands(read(each)) for length in (2, 3)}
    missing = [" ".join(name) for name, _ in every_command() if ("attnlab", *name) not in named]
    assert not missing


def test_every_variable_of_the_environment_is_documented_and_every_documented_one_is_read() -> None:
    code = {name for file in (ROOT / "attnlab").rglob("*.py") for name in VARIABLES.findall(file.read_text(encoding="utf-8"))}
    documented = {name for each in PAGES for name in VARIABLES.findall(each.read_text(encoding="utf-8"))}
    assert code == documented
