"""Digits in clutter: one whole handwritten digit among fragments of others, drawn from a seed.

Real digits (the 8x8 test set of Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as included in
scikit-learn) are placed on coloured backgrounds at random positions, sizes, slants and colours, after the cluttered
translated MNIST of Mnih et al., Recurrent Models of Visual Attention, NeurIPS 2014, arXiv:1406.6247. Fragments of other
digits lie below the digit, with the same stroke and in random colours, so that neither colour nor stroke alone reveals its
position. The mask of the digit is stored, so that one can measure whether attention finds it.

Departures from that data set: colour, shaded backgrounds, varying size and slant. Training and test images use different
handwritten digits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from attnlab.data._dataset import DataError, Part, Pool, Progress, Provenance
from attnlab.data._drawn import require_whole, smooth_fields
from attnlab.data._registry import register_dataset

RECIPE = 1
"""Increases whenever the same seed would draw different images."""

TEST_DIGITS = 397
"""So many of the 1,797 handwritten digits occur in test images only."""

BATCH = 200


@dataclass(frozen=True)
class Clutter:
    """The difficulty of the images: fragments in each, and the strength of the background's shading."""

    fragments: int
    shading: float


INK = ((0.25, 0.7), (0.75, 1.0))
"""Ranges of saturation and value of all strokes, of digit and fragments alike."""

CLUTTER = {"none": Clutter(0, 0.25), "light": Clutter(3, 0.5), "medium": Clutter(6, 0.75), "heavy": Clutter(14, 1.0)}


@register_dataset(
    "digits",
    title="Digits in clutter",
    summary="One handwritten digit at a random position, size and colour, among fragments of other digits; with masks.",
    image_size=32,
    class_names=[str(digit) for digit in range(10)],
    source="https://archive.ics.uci.edu/dataset/80",
    licence="CC BY 4.0 (the handwritten digits, UCI)",
    has_masks=True,
    options={
        "train_images": (2000, 4000, 6000, 12000),
        "test_images": (500, 1000, 2000),
        "clutter": tuple(CLUTTER),
        "drawing_seed": (0, 1, 2, 3),
    },
)
def build(
    image_size: int,
    progress: Progress,
    *,
    train_images: int = 6000,
    test_images: int = 1000,
    clutter: str = "medium",
    drawing_seed: int = 0,
) -> Pool:
    """Draws ``train_images`` + ``test_images`` images, equally many of each class.

    Raises:
        DataError: for an unknown clutter, a count out of range, or a size below 16.
    """
    if clutter not in CLUTTER:
        raise DataError(f"digits has no clutter {clutter!r}; possible: {', '.join(CLUTTER)}")
    require_whole("digits", "image_size", image_size, 16)
    require_whole("digits", "train_images", train_images, 10, 100_000)
    require_whole("digits", "test_images", test_images, 10, 100_000)
    require_whole("digits", "drawing_seed", drawing_seed, 0)

    glyphs, digits = _glyphs(image_size)
    sources = np.random.default_rng(RECIPE).permutation(len(digits))  # the same for every drawing seed
    plan = ((Part.TRAIN, train_images, sources[TEST_DIGITS:]), (Part.TEST, test_images, sources[:TEST_DIGITS]))
    halves = []
    for part, count, ids in plan:
        progress("drawing digits", 0.0 if part is Part.TRAIN else train_images / (train_images + test_images))
        rng = np.random.default_rng([RECIPE, drawing_seed, part])
        halves.append(_draw(glyphs[ids], digits[ids], count, image_size, CLUTTER[clutter], rng))
    progress("drawing digits", 1.0)

    recipe = f"digits {RECIPE} {image_size} {train_images} {test_images} {clutter} {drawing_seed}"
    return Pool(
        images=np.concatenate([images for images, _, _ in halves]),
        masks=np.concatenate([masks for _, masks, _ in halves]),
        labels=np.concatenate([labels for _, _, labels in halves]),
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
    glyphs: np.ndarray, digits: np.ndarray, count: int, size: int, clutter: Clutter, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``count`` images uint8 (n, 3, S, S), masks bool (n, S, S) and labels int64 (n,)."""
    labels = rng.permutation(np.arange(count) % 10)
    by_digit = [np.flatnonzero(digits == digit) for digit in range(10)]
    glyph_at = np.array([rng.choice(by_digit[label]) for label in labels])
    images = np.empty((count, 3, size, size), np.uint8)
    masks = np.empty((count, size, size), bool)
    for start in range(0, count, BATCH):  # a batch fits into the CPU's cache, which halves the time
        whole = glyphs[glyph_at[start : start + BATCH]]
        canvas = _backgrounds(len(whole), size, clutter.shading, rng)
        for _ in range(clutter.fragments):
            pieces = _fragments(glyphs[rng.integers(len(glyphs), size=len(whole))], rng)
            ink = _place(pieces, size, rng, scale=(0.45, 0.65), slant=180, inside=False)
            _blend(canvas, ink, _colours(len(whole), rng, *INK))
        ink = _place(whole, size, rng, scale=(0.62, 0.82), slant=10, inside=True)
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
    glyphs: np.ndarray, size: int, rng: np.random.Generator, *, scale: tuple[float, float], slant: float, inside: bool
) -> np.ndarray:
    """Ink float32 (n, S, S) of glyphs (n, G, G), each at a random position, size (as a share of the image) and slant.

    ``inside`` keeps the whole glyph inside the image; otherwise its centre may lie anywhere.
    """
    count, side = len(glyphs), glyphs.shape[1]
    sizes = rng.uniform(*scale, count) * size
    angles = rng.uniform(-slant, slant, count) * np.pi / 180
    margin = sizes * (0.46 if inside else 0.0)  # a tenth of the glyph is blank on either side
    middle = margin[:, None] + rng.random((count, 2)) * (size - 1 - 2 * margin)[:, None]
    cos, sin = np.cos(angles) * sizes / side, np.sin(angles) * sizes / side
    half = (side - 1) / 2
    rows = np.stack([cos, -sin, middle[:, 0] - half * (cos - sin), sin, cos, middle[:, 1] - half * (sin + cos)], axis=-1)
    return np.stack(
        [cv2.warpAffine(glyph, matrix, (size, size)) for glyph, matrix in zip(glyphs, rows.reshape(-1, 2, 3), strict=True)]
    )


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
