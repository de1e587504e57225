"""Text from people and files, such as names and messages that quote them, in a form that every screen and terminal can show."""

from __future__ import annotations

import json
import re

LONGEST_WORD = 200
"""A longer run of characters without a space is shown by its two ends: no path or sentence needs more."""

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Control characters, halves of characters, and marks that turn the direction of the text around them."""
_LONG = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def readable(text: str) -> str:
    """The text with U+FFFD in the place of characters that cannot be shown, and with the middle of endless words left out."""
    half = LONGEST_WORD // 2 - 1
    return _LONG.sub(lambda found: f"{found[0][:half]}…{found[0][-half:]}", _UNSEEN.sub("\ufffd", text))


def why_not_json(error: ValueError | RecursionError) -> str:
    """What `json.loads` found wrong, as a clause: "it is ..."."""
    if isinstance(error, json.JSONDecodeError):
        return f"in line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return "it holds half of a character"
    return "it is not text in UTF-8" if isinstance(error, UnicodeError) else "it holds a number of too many digits"


def json_kind(value: object) -> str:
    """What a value is called in JSON."""
    names = {type(None): "null", bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
