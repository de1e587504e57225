"""Formulas as MathML, which browsers draw themselves, with parts that can be pointed at.

Reads the LaTeX of the registered formulas: letters, numbers, sub- and superscripts, fractions, roots, names in roman type, and
Greek letters. A command that it does not know is shown by its name, so a formula of a plug-in always gives something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|[^\s\\]")
_LETTERS = (
    {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ", "lambda": "λ"}
    | {"mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "psi": "ψ", "omega": "ω"}
    | {"top": "⊤", "Sigma": "Σ", "infty": "∞", "ell": "ℓ", "varphi": "φ"}
)
_SIGNS = {
    "odot": "⊙",
    "cdot": "·",
    "times": "×",
    "sum": "∑",
    "le": "≤",
    "ge": "≥",
    "in": "∈",
    "to": "→",
    "|": "‖",
    "pm": "±",
} | {"approx": "≈"}
_SPACES = {"quad": "1.2em", "qquad": "2em", ";": "0.3em"}
_IGNORED = frozenset({",", "!", " ", "textstyle", "displaystyle", "left", "right", "bigl", "bigr"})
_ROMAN = frozenset({"mathrm", "text", "operatorname", "mathbf"})


@dataclass(frozen=True)
class _Part:
    """A piece of a formula.

    Attributes:
        kind: the MathML element.
        text: what it holds itself.
        inner: its arguments, each a row of parts.
    """

    kind: str
    text: str = ""
    inner: tuple[tuple[_Part, ...], ...] = ()


def formula(latex: str, symbols: Sequence[str] = ()) -> str:
    """A ``<math>`` element.

    Args:
        latex: without dollar signs.
        symbols: parts of the formula, in LaTeX; where the number k of them occurs, an element of the class ``symbol`` has the
            attribute ``data-symbol="k"``. Parts may lie inside one another.
    """
    wanted = sorted(((_parsed(each), number) for number, each in enumerate(symbols)), key=lambda pair: -_size(pair[0]))
    return f'<math display="inline">{_row(_parsed(latex), wanted)}</math>'


def occurs(latex: str, symbol: str) -> bool:
    """Whether a part occurs in a formula."""
    return 'data-symbol="0"' in formula(latex, [symbol])


_Wanted = Sequence[tuple[tuple[_Part, ...], int]]


def _row(parts: tuple[_Part, ...], wanted: _Wanted) -> str:
    out, at = [], 0
    while at < len(parts):
        for which, (symbol, number) in enumerate(wanted):
            if symbol and parts[at : at + len(symbol)] == symbol:
                rest = [pair for place, pair in enumerate(wanted) if place != which]
                out.append(f'<mrow class="symbol" data-symbol="{number}">{_row(symbol, rest)}</mrow>')
                at += len(symbol)
                break
        else:
            out.append(_one(parts[at], wanted))
            at += 1
        named = at < len(parts) and parts[at - 1].kind in ("roman", "msub") and _names(parts[at - 1])
        if named and parts[at].text not in (*"(),[]", "⊙"):
            out.append('<mspace width="0.2em"></mspace>')
    return "".join(out)


def _names(part: _Part) -> bool:
    """Whether it is the name of a function, which its argument follows at a distance."""
    return part.kind == "roman" or bool(part.inner and part.inner[0] and part.inner[0][0].kind == "roman")


def _one(part: _Part, wanted: _Wanted) -> str:
    if part.kind == "mspace":
        return f'<mspace width="{part.text}"></mspace>'
    if part.kind == "roman":
        return f'<mi mathvariant="normal">{escape(part.text)}</mi>'
    if not part.inner:
        stretchy = ' stretchy="false"' if part.kind == "mo" and part.text in "()[]" else ""
        return f"<{part.kind}{stretchy}>{escape(part.text)}</{part.kind}>"
    return f"<{part.kind}>{''.join(f'<mrow>{_row(each, wanted)}</mrow>' for each in part.inner)}</{part.kind}>"


def _size(parts: tuple[_Part, ...]) -> int:
    return sum(1 + sum(_size(each) for each in part.inner) for part in parts)


def _parsed(latex: str) -> tuple[_Part, ...]:
    return _Reader(_TOKEN.findall(latex)).row()


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else ""

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def row(self) -> tuple[_Part, ...]:
        """Until the closing brace or the end."""
        parts: list[_Part] = []
        while (token := self._peek()) and token != "}":
            if token in ("_", "^", "'"):
                self._script(parts)
            else:
                parts += self._piece()
        self._next()
        return tuple(parts)

    def _script(self, parts: list[_Part]) -> None:
        base = (parts.pop(),) if parts else ()
        sign = self._next()
        if sign == "'":  # the sign is raised already
            parts.append(_Part("mrow", "", (base, (_Part("mi", "′"),))))
            return
        script = self._argument()
        inside = base[0] if base and base[0].kind in ("msub", "msup") else None
        if inside and inside.kind != ("msub" if sign == "_" else "msup"):
            low, high = (inside.inner[1], script) if inside.kind == "msub" else (script, inside.inner[1])
            parts.append(_Part("msubsup", "", (inside.inner[0], low, high)))
        else:
            parts.append(_Part("msub" if sign == "_" else "msup", "", (base, script)))

    def _argument(self) -> tuple[_Part, ...]:
        while self._peek().removeprefix("\\") in _IGNORED and self._peek().startswith("\\"):
            self._next()
        if self._peek() == "{":
            self._next()
            return self.row()
        if self._peek().isdigit() and len(self._peek()) > 1:  # LaTeX takes one digit
            digits = self._next()
            self._at -= 1
            self._tokens[self._at] = digits[1:]
            return (_Part("mn", digits[0]),)
        return tuple(self._piece())

    def _piece(self) -> list[_Part]:
        token = self._next()
        if token == "{":
            return list(self.row())
        if not token.startswith("\\"):
            kind = "mn" if token[:1].isdigit() else "mi" if token.isalpha() else "mo"
            return [_Part(kind, "−" if token == "-" else token)] if token else []
        name = token[1:]
        if name in _IGNORED:
            return []
        if name in _SPACES:
            return [_Part("mspace", _SPACES[name])]
        if name in _ROMAN:
            return [_Part("roman", "".join(part.text for part in self._flat(self._argument())))]
        if name in ("frac", "tfrac", "dfrac"):
            return [_Part("mfrac", "", (self._argument(), self._argument()))]
        if name == "bar":
            return [_Part("mover", "", (self._argument(), (_Part("mo", "¯"),)))]
        if name == "sqrt":
            return [_Part("msqrt", "", (self._argument(),))]
        if name in _SIGNS:
            return [_Part("mo", _SIGNS[name])]
        if name in _LETTERS:
            return [_Part("mi", _LETTERS[name])]
        return [_Part("roman", name)]

    def _flat(self, parts: tuple[_Part, ...]) -> list[_Part]:
        return [inner for part in parts for inner in ([part] if not part.inner else self._flat(sum(part.inner, ())))]
