"""Digits in clutter: one upright handwritten digit to find among pieces of others, drawn from a seed.

Real digits (the 8x8 test set of Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as included in
scikit-learn) are placed on coloured backgrounds at random positions, sizes, slants and colours, after the cluttered
translated MNIST of Mnih et al., Recurrent Models of Visual Attention, NeurIPS 2014, arXiv:1406.6247. Distractors lie below
the digit, with the same stroke and in random colours, so that neither colour nor stroke alone reveals its position: fragments
of digits, and, around a small or medium digit, whole digits lying on their side. The mask of the digit is stored, so that one
can measure whether attention finds it.

With ``digit_size="large"``, as runs without this option were trained on, the digit fills most of the picture, and whoever
guesses its middle is right on more than half of the pictures. A ``"small"`` digit has to be searched for: it is as large as
the distractors and lies anywhere in the picture, whole.

Departures from that data set: colour, shaded backgrounds, varying size and slant. Training and test images use different
handwritten digits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from attnlab.data._dataset import DataError, Part, Pool, Progress, Provenance
from attnlab.data._drawn import Drawing, drawn, require_whole, smooth_fields
from attnlab.data._registry import register_dataset

RECIPE = 1
"""Increases whenever the same seed would draw different images."""

TEST_DIGITS = 397
"""So many of the 1,797 handwritten digits occur in test images only."""

BATCH = 200


@dataclass(frozen=True)
class Clutter:
    """The difficulty of the images: how many distractors in each, and the strength of the background's shading."""

    distractors: int
    shading: float


class Where(Enum):
    """Where a glyph may lie: with its middle anywhere, inside the picture, or inside as far as its own ink lets it go."""

    ANY = "any"
    INSIDE = "inside"
    FULL = "full"


@dataclass(frozen=True)
class Layout:
    """How the digit and its distractors are drawn.

    Attributes:
        digit: range of its size, as a share of the picture's side; the ink fills about 0.8 of it.
        distractor: likewise of a distractor.
        where: where the digit may lie.
        slant: the largest slant of the digit, in degrees.
        on_side: share of the distractors that are whole digits lying on their side; the others are fragments.
        crowd: how many distractors there are beside a large digit's, as a factor.
    """

    digit: tuple[float, float]
    distractor: tuple[float, float]
    where: Where
    slant: float
    on_side: float
    crowd: float


INK = ((0.25, 0.7), (0.75, 1.0))
"""Ranges of saturation and value of all strokes, of digit and fragments alike."""

LAYOUTS = {
    "small": Layout((0.34, 0.44), (0.32, 0.44), Where.FULL, 10, on_side=0.5, crowd=0.5),
    "medium": Layout((0.42, 0.56), (0.42, 0.56), Where.FULL, 10, on_side=0.5, crowd=0.5),
    "large": Layout((0.62, 0.82), (0.45, 0.65), Where.INSIDE, 10, on_side=0.0, crowd=1.0),
}
CLUTTER = {"none": Clutter(0, 0.25), "light": Clutter(3, 0.5), "medium": Clutter(6, 0.75), "heavy": Clutter(14, 1.0)}


@register_dataset(
    "digits",
    title="Digits in clutter",
    summary="One upright handwritten digit, at a random position, size and colour, among fragments of digits and digits that "
    "lie on their side; with masks.",
    image_size=32,
    class_names=[str(digit) for digit in range(10)],
    source="https://archive.ics.uci.edu/dataset/80",
    licence="CC BY 4.0 (the handwritten digits, UCI)",
    has_masks=True,
    options={
        "train_images": (2000, 4000, 6000, 12000),
        "test_images": (500, 1000, 2000),
        "digit_size": tuple(LAYOUTS),
        "clutter": tuple(CLUTTER),
        "drawing_seed": (0, 1, 2, 3),
    },
    new_runs={"digit_size": "small", "train_images": 12_000},
)
def build(
    image_size: int,
    progress: Progress,
    *,
    train_images: int = 6000,
    test_images: int = 1000,
    digit_size: str = "large",
    clutter: str = "medium",
    drawing_seed: int = 0,
) -> Pool:
    """Draws ``train_images`` + ``test_images`` images, equally many of each class.

    Raises:
        DataError: for an unknown digit size or clutter, a count out of range, or an image size below 16.
    """
    if digit_size not in LAYOUTS:
        raise DataError(f"digits has no digit_size {digit_size!r}; possible: {', '.join(LAYOUTS)}")
    if clutter not in CLUTTER:
        raise DataError(f"digits has no clutter {clutter!r}; possible: {', '.join(CLUTTER)}")
    require_whole("digits", "image_size", image_size, 16)
    require_whole("digits", "train_images", train_images, 10, 100_000)
    require_whole("digits", "test_images", test_images, 10, 100_000)
    require_whole("digits", "drawing_seed", drawing_seed, 0)

    def draw() -> Drawing:
        glyphs, digits = _glyphs(image_size)
        sources = np.random.default_rng(RECIPE).permutation(len(digits))  # the same for every drawing seed
        plan = ((Part.TRAIN, train_images, sources[TEST_DIGITS:]), (Part.TEST, test_images, sources[:TEST_DIGITS]))
        halves = []
        for part, count, ids in plan:
            progress("drawing digits", 0.0 if part is Part.TRAIN else train_images / (train_images + test_images))
            rng = np.random.default_rng([RECIPE, drawing_seed, part])
            halves.append(_draw(glyphs[ids], digits[ids], count, image_size, LAYOUTS[digit_size], CLUTTER[clutter], rng))
        return Drawing(*(np.concatenate(arrays) for arrays in zip(*halves, strict=True)))

    recipe = f"digits {RECIPE} {image_size} {train_images} {test_images} {clutter} {drawing_seed}"
    recipe += "" if digit_size == "large" else f" {digit_size}"
    drawing = drawn(recipe, draw)
    progress("drawing digits", 1.0)
    return Pool(
        images=drawing.images,
        masks=drawing.masks,
        labels=drawing.labels,
        parts=np.repeat(np.array([Part.TRAIN, Part.TEST], np.int8), [train_images, test_images]),
        names=[f"train {i}" for i in range(train_images)] + [f"test {i}" for i in range(test_images)],
        class_names=tuple(str(digit) for digit in range(10)),
        provenance=Provenance(
            source="drawn from scikit-learn's handwritten digits (UCI Optical Recognition of Handwritten Digits)",
            digest=hashlib.sha256(recipe.encode()).hexdigest(),
            licence="CC BY 4.0 (the handwritten digits)",
            note="Drawn images: real handwriting, synthetic scenes. Training and test images use different handwritten digits.",
        ),
        extra={"recipe": recipe},
    )


def _glyphs(image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The ink of the 1,797 digits, float32 (n, G, G) in [0, 1] with smooth edges, and their labels (n,)."""
    from sklearn.datasets import load_digits  # slow to import, needed only here

    small, digits = load_digits(return_X_y=True)
    small = np.pad(small.reshape(-1, 8, 8).astype(np.float32) / 16, ((0, 0), (1, 1), (1, 1)))
    side = 10 * max(2, round(image_size / 16))
    large = np.stack([cv2.resize(glyph, (side, side), interpolation=cv2.INTER_CUBIC) for glyph in small])
    ramp = np.clip((large - 0.25) / 0.4, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32), digits.astype(np.int64)


def _draw(
    glyphs: np.ndarray, digits: np.ndarray, count: int, size: int, layout: Layout, clutter: Clutter, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``count`` images uint8 (n, 3, S, S), masks bool (n, S, S) and labels int64 (n,)."""
    lying = np.flatnonzero(digits > 0)  # a zero looks the same on its side
    labels = rng.permutation(np.arange(count) % 10)
    by_digit = [np.flatnonzero(digits == digit) for digit in range(10)]
    glyph_at = np.array([rng.choice(by_digit[label]) for label in labels])
    images = np.empty((count, 3, size, size), np.uint8)
    masks = np.empty((count, size, size), bool)
    for start in range(0, count, BATCH):  # a batch fits into the CPU's cache, which halves the time
        whole = glyphs[glyph_at[start : start + BATCH]]
        canvas = _backgrounds(len(whole), size, clutter.shading, rng)
        distractors = round(clutter.distractors * layout.crowd)
        for number in range(distractors):
            if number < distractors * layout.on_side:
                pieces, turned = glyphs[rng.choice(lying, size=len(whole))], 90 * rng.choice([-1, 1], size=len(whole))
                ink = _place(pieces, size, rng, scale=layout.distractor, slant=layout.slant, where=Where.ANY, turned=turned)
            else:
                pieces = _fragments(glyphs[rng.integers(len(glyphs), size=len(whole))], rng)
                ink = _place(pieces, size, rng, scale=layout.distractor, slant=180, where=Where.ANY)
            _blend(canvas, ink, _colours(len(whole), rng, *INK))
        ink = _place(whole, size, rng, scale=layout.digit, slant=layout.slant, where=layout.where)
        _blend(canvas, ink, _colours(len(whole), rng, *INK))
        canvas += 0.02 * rng.standard_normal((len(whole), size, size, 1), np.float32)
        images[start : start + BATCH] = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 3, 1, 2)
        masks[start : start + BATCH] = ink > 0.5
    return images, masks, labels.astype(np.int64)


def _colours(count: int, rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> np.ndarray:
    """Colours of random hue: RGB float32 (n, 3)."""
    hsv = np.stack([rng.uniform(0, 360, count), rng.uniform(*saturation, count), rng.uniform(*value, count)], axis=-1)
    return cv2.cvtColor(hsv[:, None].astype(np.float32), cv2.COLOR_HSV2RGB)[:, 0]


def _backgrounds(count: int, size: int, shading: float, rng: np.random.Generator) -> np.ndarray:
    """Two dark colours, blended by a smooth random field: float32 (n, S, S, 3)."""
    fields = smooth_fields(count, 4, size, rng)
    one, other = (_colours(count, rng, (0.45, 0.85), (0.12, 0.5))[:, None, None] for _ in range(2))
    return one + (other - one) * (shading * fields[..., None])


def _place(
    glyphs: np.ndarray,
    size: int,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float],
    slant: float,
    where: Where,
    turned: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Ink float32 (n, S, S) of glyphs (n, G, G), each at a random position, size (as a share of the image) and slant.

    Args:
        turned: degrees by which each is turned besides.
    """
    count, side = len(glyphs), glyphs.shape[1]
    sizes = rng.uniform(*scale, count) * size
    angles = (turned + rng.uniform(-slant, slant, count)) * np.pi / 180
    cos, sin = np.cos(angles) * sizes / side, np.sin(angles) * sizes / side
    if where is Where.FULL:
        low, high = _reach(glyphs, cos, sin)
        first, last = -low, size - 1 - high
    else:
        margin = sizes * (0.46 if where is Where.INSIDE else 0.0)  # a tenth of the glyph is blank on either side
        first, last = margin[:, None], (size - 1 - margin)[:, None]
    middle = first + rng.random((count, 2)) * (last - first)
    half = (side - 1) / 2
    rows = np.stack([cos, -sin, middle[:, 0] - half * (cos - sin), sin, cos, middle[:, 1] - half * (sin + cos)], axis=-1)
    return np.stack(
        [cv2.warpAffine(glyph, matrix, (size, size)) for glyph, matrix in zip(glyphs, rows.reshape(-1, 2, 3), strict=True)]
    )


def _reach(glyphs: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the ink of scaled and turned glyphs (n, G, G) reaches from their middle, x and y: lowest and highest (n, 2)."""
    half = (glyphs.shape[1] - 1) / 2
    spans = []
    for axis in (1, 2):  # the columns, then the rows that have ink
        inked = np.any(glyphs > 0.5, axis=axis)
        spans.append(np.stack([inked.argmax(axis=1) - half, half - inked[:, ::-1].argmax(axis=1)], axis=1))
    x, y = np.repeat(spans[0], 2, axis=1), np.tile(spans[1], (1, 2))  # four corners
    corners = np.stack([cos[:, None] * x - sin[:, None] * y, sin[:, None] * x + cos[:, None] * y], axis=2)
    return corners.min(axis=1), corners.max(axis=1)


def _fragments(glyphs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random side or corner of each glyph, so that no fragment is a whole digit."""
    count, side = glyphs.shape[:2]
    angle = rng.uniform(0, 2 * np.pi, count)
    axis = (np.arange(side) - (side - 1) / 2) / side
    across = np.cos(angle)[:, None, None] * axis[None, None] + np.sin(angle)[:, None, None] * axis[None, :, None]
    return glyphs * np.clip((across - 0.05) * side * 0.5, 0, 1).astype(np.float32)


def _blend(canvas: np.ndarray, ink: np.ndarray, colours: np.ndarray) -> None:
    """Draws ink (n, S, S) in ``colours`` (n, 3) on the canvas (n, S, S, 3), in place."""
    canvas += (colours[:, None, None] - canvas) * ink[..., None]
