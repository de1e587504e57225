"""Text of people and files as every screen and terminal can show it, and what was wrong with a request in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnlab.cli.app import main
from attnlab.config import MOST_PROBLEMS, RunConfig, explain
from attnlab.readable import LONGEST_WORD, json_kind, readable, why_not_json
from attnlab.runs.files import read_json, write_json
from attnlab.ui.format import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a title, plain\nand simple\t1", "a title, plain\nand simple\t1"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("half \ud800", "half \ufffd"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("שלום مرحبا", "שלום مرحبا"),
    ],
)
def test_what_cannot_be_shown_is_replaced(text: str, shown: str) -> None:
    assert readable(text) == shown
    assert plain(text).encode()


def test_of_endless_words_both_ends_are_shown() -> None:
    assert readable("a" * LONGEST_WORD) == "a" * LONGEST_WORD
    short = readable(f"x {'💥' * 2000} y")
    assert len(short) <= LONGEST_WORD + 4 and short.startswith("x 💥") and short.endswith("💥 y") and "…" in short


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "in line 1, column 2"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "too many digits"),
    ],
)
def test_what_is_wrong_with_json_is_said_in_words(content: bytes, words: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as error:
        json.loads(content)
    assert words in why_not_json(error.value)


def test_values_are_called_as_json_calls_them() -> None:
    values = {"null": None, "true or false": True, "a number": 1.5, "a text": "a", "a list": [], "an object": {}}
    assert {name: json_kind(value) for name, value in values.items()} == {name: name for name in values}


def test_half_of_a_character_never_makes_a_file_unreadable(tmp_path: Path) -> None:
    write_json(tmp_path / "meta.json", {"title": "a \udcff b 💥"})
    assert read_json(tmp_path / "meta.json") == {"title": "a ? b 💥"}


def test_of_many_problems_the_first_are_named() -> None:
    with pytest.raises(ValueError) as error:
        RunConfig.model_validate({f"setting {number}": "x" * 500 for number in range(40)})
    assert explain(error.value).splitlines()[-1] == f"and {40 - MOST_PROBLEMS} more"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["read", "--dataset", "data", "--dataset-option", f"test_seed={2**40}"], "test_seed"),
        (["train", "--seed", str(2**40)], "seed"),
        (["train", "--dataset-option", "x=" + "[" * 100_000], "x"),
        (["train", "--config", "deep.json"], "deep.json is not valid JSON: it is nested too deeply"),
        (["train", "--config", "five.json", "--epochs", "1"], "training must hold settings by name"),
        (["grid", "new", "x", "--seeds", str(2**40)], "a grid has from 1 to 10,000 seeds"),
        (["grid", "import", "deep.json"], "the file is not JSON: it is nested too deeply"),
        (["read", "--dataset", "~nobody-of-this-name/x"], "neither a data set nor a path"),
    ],
)
def test_a_command_that_cannot_be_done_ends_with_one_message(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.json").write_bytes(b"[" * 100_000)
    (tmp_path / "five.json").write_bytes(b'{"training": 5}')
    (tmp_path / "data").mkdir()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and words in said and len(said) < 1000
