"""Drawn lesions: a SYNTHETIC substitute for dermoscopy images where there are none. No image shows a patient.

The images show skin, a pigmented spot, and sometimes hairs, a ruler or dark corners, as in real dermoscopy. Benign and
malignant-like spots differ by the ABCD rule (Nachbar, Stolz et al., The ABCD rule of dermatoscopy, J. Am. Acad. Dermatol.
1994): asymmetry, irregular border, several colours, diameter. The strength of each sign is drawn from a distribution that
depends on the class; the two overlap, so that no single sign decides. Hairs, rulers and corners are independent of the
class: a network that attends to them looks in the wrong place.

    r(angle) = R (1 + asymmetry * [low harmonics] + border * [high harmonics])

With ``place="anywhere"`` the spots are smaller and lie anywhere in the picture, whole. With ``"centre"`` they lie within a
ninth of its side from the middle, as runs without this option were trained on: there the middle of the picture points at
almost every lesion, and a map that finds them shows nothing.

No doctor has judged these images, and a network trained on them learns only to distinguish two ways of drawing.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

from attnlab.data._dataset import DataError, Part, Pool, Progress, Provenance
from attnlab.data._drawn import Drawing, drawn, require_whole, smooth_fields
from attnlab.data._registry import register_dataset

RECIPE = 1
"""Increases whenever the same seed would draw different images."""

CLASSES = ("benign", "malignant-like")
BATCH = 100
SIGNS = 4
"""Asymmetry, border, colour, diameter."""

PLACES = ("centre", "anywhere")
SMALLER, MARGIN = 0.6, 1.4
"""Of spots that lie anywhere: their size beside those in the centre, and radii from the middle of a spot to the edge."""

SKIN = np.array([[0.93, 0.76, 0.68], [0.87, 0.67, 0.57], [0.78, 0.57, 0.45], [0.62, 0.43, 0.33]], np.float32)
BROWN = np.array([[0.58, 0.36, 0.24], [0.42, 0.25, 0.17], [0.30, 0.18, 0.13]], np.float32)
FURTHER = np.array([[0.10, 0.07, 0.08], [0.66, 0.22, 0.20], [0.36, 0.40, 0.50], [0.86, 0.74, 0.70]], np.float32)
"""Black, red, blue-grey and the white of regression: the colours of the rule besides two browns."""


@register_dataset(
    "lesions",
    title="Drawn lesions (synthetic)",
    summary="Synthetic skin spots, benign and malignant-like by the ABCD rule, with hairs and rulers; with masks. "
    "Not medical data.",
    image_size=64,
    class_names=CLASSES,
    source="https://doi.org/10.1016/S0190-9622(94)70061-3",
    licence="drawn by this program",
    has_masks=True,
    options={
        "train_images": (60, 600, 1200, 2400),
        "test_images": (60, 300, 600),
        "malignant_share": (0.1, 0.3, 0.5),
        "drawing_seed": (0, 1, 2, 3),
        "place": PLACES,
    },
    new_runs={"place": "anywhere"},
)
def build(
    image_size: int,
    progress: Progress,
    *,
    train_images: int = 1200,
    test_images: int = 300,
    malignant_share: float = 0.3,
    drawing_seed: int = 0,
    place: str = "centre",
) -> Pool:
    """Draws ``train_images`` + ``test_images`` images.

    Raises:
        DataError: for an option out of range, or a size below 24.
    """
    require_whole("lesions", "image_size", image_size, 24)
    require_whole("lesions", "train_images", train_images, 20, 100_000)
    require_whole("lesions", "test_images", test_images, 20, 100_000)
    require_whole("lesions", "drawing_seed", drawing_seed, 0)
    if not isinstance(malignant_share, int | float) or not 0.05 <= malignant_share <= 0.95:
        raise DataError(f"lesions malignant_share must lie between 0.05 and 0.95, got {malignant_share!r}")

    if place not in PLACES:
        raise DataError(f"lesions place must be one of {', '.join(PLACES)}, got {place!r}")

    def draw() -> Drawing:
        total = train_images + test_images
        images = np.empty((total, 3, image_size, image_size), np.uint8)
        masks = np.empty((total, image_size, image_size), bool)
        labels = np.empty(total, np.int64)
        for part, first, count in ((Part.TRAIN, 0, train_images), (Part.TEST, train_images, test_images)):
            rng = np.random.default_rng([RECIPE, drawing_seed, part])
            labels[first : first + count] = rng.permutation(np.arange(count) < round(count * malignant_share))
            for start in range(first, first + count, BATCH):
                progress("drawing lesions", start / total)
                rows = slice(start, min(start + BATCH, first + count))
                images[rows], masks[rows] = _draw(labels[rows], image_size, rng, place)
        return Drawing(images, masks, labels)

    recipe = f"lesions {RECIPE} {image_size} {train_images} {test_images} {malignant_share} {drawing_seed}"
    recipe += "" if place == "centre" else f" {place}"
    drawing = drawn(recipe, draw)
    progress("drawing lesions", 1.0)
    return Pool(
        images=drawing.images,
        masks=drawing.masks,
        labels=drawing.labels,
        parts=np.repeat(np.array([Part.TRAIN, Part.TEST], np.int8), [train_images, test_images]),
        names=[f"drawn train {i}" for i in range(train_images)] + [f"drawn test {i}" for i in range(test_images)],
        class_names=CLASSES,
        provenance=Provenance(
            source="drawn by this program",
            digest=hashlib.sha256(recipe.encode()).hexdigest(),
            licence="drawn by this program",
            note="SYNTHETIC: drawn spots, no patients. Results say nothing about medicine.",
        ),
        extra={"recipe": recipe},
    )


def _draw(labels: np.ndarray, size: int, rng: np.random.Generator, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, S, S) and masks bool (n, S, S) for labels (n,)."""
    signs = rng.beta(np.where(labels, 3.0, 1.5)[:, None], np.where(labels, 1.8, 3.5)[:, None], (len(labels), SIGNS))
    asymmetry, border, colour, diameter = (sign.astype(np.float32) for sign in signs.T)
    depth = _depth(asymmetry, border, diameter, size, rng, place)  # 0 on the border, positive inside, in radii
    softness = rng.uniform(0.02, 0.1, len(labels))[:, None, None] * (1 - 0.5 * border[:, None, None])
    cover = np.clip(depth / softness + 0.5, 0, 1)[..., None].astype(np.float32)
    canvas = _skin(len(labels), size, rng)
    canvas += (_pigment(depth, colour, size, rng) - canvas) * cover * rng.uniform(0.75, 0.95, (len(labels), 1, 1, 1))
    canvas += 0.018 * rng.standard_normal((len(labels), size, size, 1), np.float32)
    pictures = (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    for picture in pictures:
        _artefacts(picture, rng)
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), depth > 0


def _depth(
    asymmetry: np.ndarray, border: np.ndarray, diameter: np.ndarray, size: int, rng: np.random.Generator, place: str
) -> np.ndarray:
    """The depth of each pixel inside the spot, in radii: (n, S, S), negative outside."""
    count = len(asymmetry)
    radius = ((0.3 + 0.28 * diameter) * (1 if place == "centre" else SMALLER))[:, None, None]
    room: float | np.ndarray = 0.22 if place == "centre" else 1 - MARGIN * radius
    middle = rng.uniform(-room, room, (2, count, 1, 1)).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = axis[None, None, :] - middle[0], axis[None, :, None] - middle[1]
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    shape = np.ones_like(angle)
    strengths = {2: np.full_like(asymmetry, 0.18), 3: 0.22 * asymmetry, 4: 0.16 * asymmetry}  # an ellipse is symmetric
    strengths |= {harmonic: 0.96 / harmonic * border**1.5 for harmonic in range(6, 15, 2)}
    for harmonic, strength in strengths.items():
        amplitude = strength * rng.uniform(0.3, 1.0, count)
        phase = rng.uniform(0, 2 * np.pi, count)
        shape += (amplitude[:, None, None] * np.cos(harmonic * angle + phase[:, None, None])).astype(np.float32)
    return (radius * np.maximum(shape, 0.25) - distance) / radius


def _skin(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Skin of various tones with soft shading: float32 (n, S, S, 3)."""
    tone = SKIN[rng.integers(len(SKIN), size=count)] + rng.normal(0, 0.02, (count, 3)).astype(np.float32)
    return (
        tone[:, None, None]
        * (0.93 + 0.14 * smooth_fields(count, 4, size, rng))[..., None]
        * (0.98 + 0.04 * smooth_fields(count, max(4, size // 3), size, rng))[..., None]
    )


def _pigment(depth: np.ndarray, colour: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """The colour of the spot: a blend of two browns, darker inside, and patches of other colours: float32 (n, S, S, 3)."""
    count = len(depth)
    light, dark = BROWN[rng.integers(0, 2, count)], BROWN[rng.integers(1, 3, count)]
    inner = np.clip(depth * rng.uniform(0.6, 1.4, (count, 1, 1)), 0, 1)
    mix = np.clip(0.7 * inner + 0.5 * (smooth_fields(count, 6, size, rng) - 0.3), 0, 1)[..., None].astype(np.float32)
    pigment = light[:, None, None] + (dark - light)[:, None, None] * mix
    for other in FURTHER[rng.permutation(len(FURTHER))]:
        threshold = 1.05 - 0.55 * colour * rng.uniform(0.4, 1.0, count)
        patch = np.clip((smooth_fields(count, 5, size, rng) - threshold[:, None, None]) * 6, 0, 0.9)[..., None]
        pigment += (other - pigment) * patch.astype(np.float32)
    return pigment


def _artefacts(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Draws hairs, a ruler and dark corners on some images, whatever their class; in place on (S, S, 3)."""
    size, shift = len(picture), 4  # OpenCV draws lines on a grid 2^shift finer than the pixels
    thick = max(1, round(size / 96))
    if rng.random() < 0.45:
        for _ in range(rng.integers(1, 9)):
            start, turn, length = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.1) * size
            along = np.linspace(0, 1, 12)
            angle = turn + rng.normal(0, 0.9) * along
            points = start + np.cumsum(np.stack([np.cos(angle), np.sin(angle)], -1), axis=0) * length / 12
            shade = float(rng.uniform(20, 70))
            line = np.round(points * (1 << shift)).astype(np.int32)
            cv2.polylines(picture, [line], False, (shade, shade * 0.75, shade * 0.6), thick, cv2.LINE_AA, shift)
    if rng.random() < 0.2:
        shade = float(rng.choice([25, 235]))
        for i, at in enumerate(np.arange(rng.uniform(2, 6), size, size / 16)):
            end = round(size * (0.09 if i % 4 == 0 else 0.05) * (1 << shift))
            level = round(at * (1 << shift))
            cv2.line(picture, (0, level), (end, level), (shade, shade, shade), thick, cv2.LINE_AA, shift)
    if rng.random() < 0.2:
        axis = np.linspace(-1, 1, size)
        away = np.hypot(axis[:, None], axis[None, :])
        picture[:] = (picture * np.clip((1.32 - away) * 8, 0.04, 1)[..., None]).astype(np.uint8)
