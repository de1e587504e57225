"""Names in archives that do not say how they are written.

A zip archive says only of UTF-8 names how they are written, and tar not even that; Windows writes the rest in the code page
of the country. One way of writing is found for the whole archive: UTF-8 where it fits, else the way that gives the most usual
letters. This is a guess, more so for few and short names, so it is told and the other ways are offered.

Of the 66 groups of names in `tests/data/test_encodings.py` 59 are found; by `charset_normalizer`, made for whole texts, 40.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection
from typing import Literal, get_args

NameEncoding = Literal["auto", "utf-8", "gb18030", "big5", "cp932", "cp949", "cp866", "cp437", "cp1252"]
WRITTEN_IN: dict[str, str] = {
    "utf-8": "Unicode (UTF-8)",
    "cp949": "Korean",
    "cp932": "Japanese",
    "gb18030": "simplified Chinese",
    "big5": "traditional Chinese",
    "cp866": "Cyrillic letters",
    "cp437": "Western European letters of DOS",
    "cp1252": "Western European letters of Windows",
}
"""The ways of writing, those before that are right more often where two fit equally well."""
_UNUSUAL = 0.3
"""The weight of a character that exists and is rare, as against 1 for a usual one."""
_FINALS = frozenset({0, 1, 4, 8, 16, 17, 19, 21})
"""The endings of most Korean syllables: none, g, n, l, m, b, s, ng."""
_DOUBLED = frozenset({1, 4, 8, 10, 13})
"""Doubled consonants, with which few Korean syllables begin."""


def possible(names: Collection[bytes]) -> tuple[str, ...]:
    """The ways in which all of these names can be read, the likeliest first. Only names beyond ASCII tell them apart.

    Example:
        >>> possible(["猫".encode("gb18030"), "狗".encode("gb18030")])[0]
        'gb18030'
    """
    told = sorted({part for name in names for part in name.split(b"/") if not part.isascii()})
    scores = {}
    for encoding in WRITTEN_IN:
        try:
            texts = [part.decode(encoding) for part in told]
        except UnicodeDecodeError:
            continue
        scores[encoding] = 2.0 if encoding == "utf-8" else _score(texts, _USUAL[encoding])
    return tuple(sorted(scores, key=lambda encoding: -scores[encoding]))


def _score(texts: Collection[str], usual: Callable[[str], float]) -> float:
    """How usual the characters beyond ASCII are, from 0 to 1.

    No language here mixes its ideographs with Latin letters inside a word, nor writes a word of accented letters alone.
    """
    weights = []
    for text in texts:
        for at, character in enumerate(text):
            if character.isascii():
                continue
            beside = text[max(0, at - 1) : at] + text[at + 1 : at + 2]
            among_latin = any(other.isascii() and other.isalpha() for other in beside)
            latin = unicodedata.name(character, "").startswith("LATIN")
            odd_case = character.isupper() and at > 0 and text[at - 1].islower()
            weights.append(usual(character) * (_UNUSUAL if latin != among_latin or odd_case else 1.0))
    return sum(weights) / len(weights) if weights else 0.0


def _leads(encoding: str, usual: range, unusual: range) -> Callable[[str], float]:
    """For characters that are sorted into a usual and a rare half by their first byte."""

    def weight(character: str) -> float:
        try:
            lead = character.encode(encoding)[0]
        except UnicodeEncodeError:
            return 0.0
        return 1.0 if lead in usual else _UNUSUAL if lead in unusual else 0.0

    return weight


def _hangul(character: str) -> float:
    at = ord(character) - 0xAC00
    if not 0 <= at < 11172:
        return 0.0
    return 1.0 if at % 28 in _FINALS and at // 588 not in _DOUBLED else _UNUSUAL


def _japanese(character: str) -> float:
    if "\u3041" <= character <= "\u30fe":
        return 1.0
    return _kanji(character)


def _letter(script: str) -> Callable[[str], float]:
    return lambda character: float(unicodedata.name(character, "").startswith(f"{script} ") and character.isalpha())


_kanji = _leads("cp932", range(0x88, 0x98), range(0x98, 0xEB))
_USUAL: dict[str, Callable[[str], float]] = {
    "cp949": _hangul,
    "cp932": _japanese,
    "gb18030": _leads("gb2312", range(0xB0, 0xD8), range(0xD8, 0xF8)),
    "big5": _leads("big5", range(0xA4, 0xC7), range(0xC9, 0xFA)),
    "cp866": _letter("CYRILLIC"),
    "cp437": _letter("LATIN"),
    "cp1252": _letter("LATIN"),
}
assert set(get_args(NameEncoding)) == {"auto", *WRITTEN_IN}
