"""The data path of a block as a drawing: a box for each step, and on each arrow the shape of the tensor that it carries.

Steps stand below those they take from. The longest way from the input to the output goes straight down; what leaves it has a
lane of its own beside it, as has an arrow that passes other steps. Text and colours follow the page that shows the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

BOX, EDGE, GAP = 196, 92, 14
"""Widths of a lane with boxes and of one with arrows only, and between lanes."""
HIGH, APART = 40, 46
"""Height of a box, and the room for arrows between two of them."""
_MOST = 34
"""Letters of a line that fit into a box."""


@dataclass(frozen=True)
class Box:
    """A step.

    Attributes:
        kind: of `attnlab.explain.data_path.Step`.
        label: what it does; a part in brackets at the end goes on a second line.
        shape: of what it gives.
        arrows: number of the step it takes from, and the shape of what it takes.
    """

    kind: str
    label: str
    shape: tuple[int, ...]
    arrows: tuple[tuple[int, tuple[int, ...]], ...]


def shape_words(shape: Sequence[int]) -> str:
    """(16, 1, 1) -> "16 × 1 × 1"; a single number has no sides."""
    return " × ".join(map(str, shape)) or "1"


def step_diagram(boxes: Sequence[Box], title: str) -> str:
    """An ``<svg>`` element. The group of step k has the class ``step`` and ``data-step="k"``, and can be focused; each shape
    has ``data-from`` and ``data-to``.

    Args:
        title: what a screen reader says of the whole.
    """
    ranks = _ranks(boxes)
    lanes, ways = _lanes(boxes, ranks)
    count = 1 + max([*lanes, *(lane for way in ways.values() for lane in way)])
    left = [GAP]
    for lane in range(count):
        left.append(left[-1] + _wide(lane, lanes) + GAP)
    middle = [left[lane] + _wide(lane, lanes) / 2 for lane in range(count)]
    height = (max(ranks) + 1) * (HIGH + APART) - APART + 2 * GAP
    arrows, shapes = [], []
    for target, box in enumerate(boxes):
        come = {
            place: middle[(ways.get((target, place)) or [lanes[source]])[-1]] for place, (source, _) in enumerate(box.arrows)
        }
        for at, place in enumerate(sorted(come, key=come.__getitem__)):
            source, shape = box.arrows[place]
            offset = _spread(at, len(box.arrows))
            end = middle[lanes[target]] + offset
            rows = [(middle[lane], _top(row)) for row, lane in enumerate(ways.get((target, place), []), ranks[source] + 1)]
            top = _top(ranks[target])
            line = _line((middle[lanes[source]], _top(ranks[source]) + HIGH), rows, (end, top))
            arrows.append(f'<path class="arrow" d="{line}" marker-end="url(#tip)"></path>')
            before = len(box.arrows) > 1 and offset < 0
            shapes.append(
                f'<text class="shape" data-from="{source}" data-to="{target}" x="{end + (-6 if before else 6):.0f}" '
                f'y="{top - 12:.0f}" text-anchor="{"end" if before else "start"}">{shape_words(shape)}</text>'
            )
    steps = [_step(number, box, middle[lanes[number]], _top(ranks[number])) for number, box in enumerate(boxes)]
    return (
        f'<svg viewBox="0 0 {left[-1]:.0f} {height:.0f}" width="{left[-1]:.0f}" height="{height:.0f}" role="group" '
        f'aria-label="{escape(title)}"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"></path></marker></defs>'
        f"{''.join(arrows)}{''.join(steps)}{''.join(shapes)}</svg>"
    )


def _wide(lane: int, lanes: Sequence[int]) -> int:
    """How wide a lane is."""
    return BOX if lane in lanes else EDGE


def _top(rank: int) -> float:
    return GAP + rank * (HIGH + APART)


def _ranks(boxes: Sequence[Box]) -> list[int]:
    """How many steps lie before each; a parameter lies just above the step that takes it first."""
    ranks: list[int] = []
    for box in boxes:
        ranks.append(max((ranks[source] + 1 for source, _ in box.arrows), default=0))
    for number, box in enumerate(boxes):
        if box.kind == "parameter":
            takers = [ranks[taker] for taker, other in enumerate(boxes) if number in dict(other.arrows)]
            ranks[number] = max(min(takers, default=1) - 1, 0)
    return ranks


def _lanes(boxes: Sequence[Box], ranks: Sequence[int]) -> tuple[list[int], dict[tuple[int, int], list[int]]]:
    """The lane of each step, and of each arrow that passes other ranks: (target, place of the arrow) -> one lane a rank."""
    taken: set[tuple[int, int]] = set()
    main = {len(boxes) - 1}
    at = len(boxes) - 1
    while boxes[at].arrows:
        at = max(
            (source for source, _ in boxes[at].arrows), key=lambda source: (boxes[source].kind != "parameter", ranks[source])
        )
        main.add(at)
    lanes = [0] * len(boxes)
    taken |= {(ranks[number], 0) for number in main}

    def free(wanted: Sequence[int], rows: Sequence[int]) -> int:
        lane = next((each for each in wanted if all((row, each) not in taken for row in rows)), None)
        if lane is None:
            lane = next(each for each in range(1, len(boxes) * 4) if all((row, each) not in taken for row in rows))
        taken.update((row, lane) for row in rows)
        return lane

    for number, box in enumerate(boxes):
        if number not in main:
            near = [lanes[source] for source, _ in box.arrows]
            lanes[number] = free(near, [ranks[number]])
    ways: dict[tuple[int, int], list[int]] = {}
    for target, box in enumerate(boxes):
        for place, (source, _) in enumerate(box.arrows):
            rows = range(ranks[source] + 1, ranks[target])
            if rows:
                lane = free([lanes[source], lanes[target]], rows)
                ways[target, place] = [lane] * len(rows)
    return lanes, ways


def _spread(place: int, count: int) -> float:
    """Where on the top of a box an arrow ends, from its middle."""
    return 0 if count == 1 else (place - (count - 1) / 2) * min(60, 150 / count)


_Point = tuple[float, float]


def _line(start: _Point, passed: Sequence[_Point], end: _Point) -> str:
    """The way of an arrow, from the foot of a box past the tops of others in its lane to the top of the next."""
    x, y = start
    out = [f"M{x:.0f} {y:.0f}"]
    for to, down in [*(each for column, top in passed for each in ((column, top), (column, top + HIGH))), (end[0], end[1] - 9)]:
        half = (y + down) / 2
        out.append(f"C{x:.0f} {half:.0f} {to:.0f} {half:.0f} {to:.0f} {down:.0f}" if to != x else f"L{to:.0f} {down:.0f}")
        x, y = to, down
    return " ".join([*out, f"L{end[0]:.0f} {end[1] - 2:.0f}"])


def _step(number: int, box: Box, middle: float, top: float) -> str:
    first, _, rest = box.label.partition(" (")
    lines = [first, rest.removesuffix(")")] if rest else [first]
    takes = " and ".join(shape_words(shape) for _, shape in box.arrows)
    says = f"{box.label}. " + (f"Takes {takes}, gives " if takes else "") + shape_words(box.shape)
    first_line = top + HIGH / 2 + (4 if len(lines) == 1 else -3)
    texts = "".join(
        f'<text class="{"label" if line == 0 else "detail"}" x="{middle:.0f}" y="{first_line + 15 * line:.0f}" '
        f'text-anchor="middle">{escape(_short(words))}</text>'
        for line, words in enumerate(lines)
    )
    return (
        f'<g class="step {escape(box.kind)}" data-step="{number}" tabindex="0" role="button" aria-label="{escape(says)}">'
        f"<title>{escape(says)}</title>"
        f'<rect x="{middle - BOX / 2:.0f}" y="{top:.0f}" width="{BOX}" height="{HIGH}" rx="6"></rect>{texts}</g>'
    )


def _short(words: str) -> str:
    return words if len(words) <= _MOST else f"{words[: _MOST - 1]}…"
