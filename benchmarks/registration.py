"""What it costs to stretch maps evenly over the picture, over all shipped runs. Writes docs/registration.md.

python -m benchmarks.registration            # about two minutes on two cores
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attnlab import paths
from attnlab.attention import locate_maps, record_attention, with_cells
from attnlab.config import ModelConfig
from attnlab.explain.baselines import BASELINES, BaselineContext, PlacedMaps, attention_map, spatial_taps
from attnlab.explain.faithfulness import ImageValues, best_overlap, pointing_game
from attnlab.explain.honesty.measure import choose_images
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.geometry import shift_of_stretch
from attnlab.maps import MapKind, tap_titles
from attnlab.models import ImageShape, build_model, get_model, list_models
from attnlab.runs.folder import RunFolder
from attnlab.stats.intervals import Interval, mean_interval
from attnlab.stats.significance import holm, sign_test
from benchmarks.honesty import outlined_test_images

TARGET = paths.ROOT / "docs" / "registration.md"
BATCH = 25


@dataclass(frozen=True, eq=False)
class Row:
    """One map of one run over the same images, stretched evenly and laid where its network looks.

    Attributes:
        shift: mean and largest distance between the two places of a cell, in pixels.
        pointing, overlap: of the stretched map and of the placed one, one value per image.
    """

    run: str
    title: str
    grid: tuple[int, int]
    size: tuple[int, int]
    shift: tuple[float, float]
    pointing: tuple[ImageValues, ImageValues]
    overlap: tuple[ImageValues, ImageValues]


def rows(folder: Path, count: int) -> Iterator[Row]:
    """Every map with positions of a run, then Grad-CAM of the class that the network predicts."""
    run = open_run(folder)
    split = outlined_test_images(run)
    if split is None or split.masks is None:
        return
    chosen = choose_images(split.labels, count, seed=0)
    titles = tap_titles(list(run.cells))
    for name in [*spatial_taps(run), "grad_cam"]:
        parts = [maps_of(run, name, split.images[index]) for index in chosen.split(BATCH)]
        values, cells = torch.cat([part.values for part in parts]), parts[0].cells
        assert cells is not None
        grid = (values.shape[1], values.shape[2])
        masks = split.masks[chosen]
        yield Row(
            folder.name,
            titles.get(name, "Grad-CAM"),
            grid,
            run.shape[1:],
            shift_of_stretch(cells, grid, run.shape[1:]),
            (pointing_game(values, masks).astype(float), pointing_game(values, masks, cells).astype(float)),
            (best_overlap(values, masks), best_overlap(values, masks, cells)),
        )


def maps_of(run: OpenRun, name: str, images: torch.Tensor) -> PlacedMaps:
    if name != "grad_cam":
        return attention_map(run, images, name)
    classes = torch.from_numpy(run.inspect(images).probabilities.argmax(axis=1))
    return BASELINES[name].make(BaselineContext(run, run, ""), images, classes)


def signs(before: ImageValues, after: ImageValues) -> float:
    """p of the sign test over the images on which the two differ."""
    differ = after != before
    return sign_test(int((after > before).sum()), int(differ.sum())) if differ.any() else 1.0


def gain(pair: tuple[ImageValues, ImageValues]) -> Interval:
    return mean_interval(pair[1] - pair[0])


def table(found: list[Row]) -> str:
    moved = [row for row in found if row.shift[1] > 0]
    p_values = dict(zip([id(row) for row in moved], holm([signs(*row.pointing) for row in moved]), strict=True))
    lines = [
        "| run | map | cells | off by: mean, most (pixels) | pointing: stretched | placed | change | p (Holm) "
        "| IoU: stretched | placed | change |",
        "| --- | --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for row in found:
        p = p_values.get(id(row))
        lines.append(
            f"| {short(row.run)} | {row.title} | {row.grid[0]} × {row.grid[1]} of {row.size[0]} × {row.size[1]} "
            f"| {row.shift[0]:.1f}, {row.shift[1]:.1f} "
            f"| {np.mean(row.pointing[0]):.3f} | {np.mean(row.pointing[1]):.3f} | {change(gain(row.pointing))} "
            f"| {'–' if p is None else '< 0.001' if p < 0.001 else f'{p:.2g}'} "
            f"| {np.mean(row.overlap[0]):.3f} | {np.mean(row.overlap[1]):.3f} | {change(gain(row.overlap))} |"
        )
    return "\n".join(lines)


def networks() -> str:
    """How far the stretch is off in every network, at its last map, for the usual sizes of pictures."""
    lines = [
        "| network | picture | last map | cells: first centre, spacing, field (pixels) | off by: mean, most (pixels) |",
        "| --- | --- | --- | --- | ---: |",
    ]
    for name in list_models():
        info = get_model(name)
        for side in (32, 64, 224):
            if side < info.min_size or side % info.multiple:
                continue
            attention = "cbam_spatial" if info.placements else "none"
            placement = info.placements[-1] if info.placements else "block_end"
            config = ModelConfig(backbone=name, attention=attention, placement=placement, width=8)
            model = build_model(config, ImageShape(3, side, side), 10).eval()
            with torch.inference_mode(), record_attention(model) as maps:
                model(torch.zeros(1, 3, side, side))
            placed = [with_cells(each, locate_maps(model, (3, side, side))) for each in maps]
            last = [each for each in placed if each.kind is not MapKind.CHANNEL][-1]
            assert last.cells is not None
            rows, (mean, most) = last.cells.rows, shift_of_stretch(last.cells, last.grid, (side, side))
            lines.append(
                f"| {info.title} | {side} × {side} | {last.grid[0]} × {last.grid[1]} "
                f"| {rows.start:g}, {rows.step:g}, {rows.field:g} | {mean:.1f}, {most:.1f} |"
            )
    return "\n".join(lines)


def short(run: str) -> str:
    """``digits-small_cnn-cbam-s0-f90e4b23c0`` -> ``digits, cbam``."""
    data, backbone, attention, *_ = run.split("-")
    return f"{data}, {backbone if attention == 'none' else attention}"


def change(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def summary(found: list[Row]) -> str:
    moved = [row for row in found if row.shift[1] > 0]
    better = sum(gain(row.pointing).low > 0 for row in moved)
    worse = sum(gain(row.pointing).high < 0 for row in moved)
    cams = [row for row in moved if row.title == "Grad-CAM"]
    means = [(float(np.mean(row.pointing[0])), float(np.mean(row.pointing[1]))) for row in cams]
    spans = "; ".join(
        f"{short(row.run)}: {before:.3f} to {after:.3f}" for row, (before, after) in zip(cams, means, strict=True)
    )
    return (
        f"{len(found)} maps of {len({row.run for row in found})} runs, {len(found[0].pointing[0])} test images each. "
        f"{len(moved)} of the maps lie elsewhere than the stretch draws them. Where they lie, {better} of these point at the "
        f"object more often, {worse} less often; for {len(moved) - better - worse} the interval of the change includes zero."
        "\n\n"
        f"Pointing game of Grad-CAM, stretched to placed: {spans}."
    )


TEXT = """# Where maps lie

Written by `python -m benchmarks.registration`.

A map of 6 × 6 weights over a picture of 32 × 32 pixels is usually drawn as if each cell covered 5.33 pixels. The network does
not see it that way: convolutions without padding and pooling put the cells elsewhere. In the report's network cell k of the
6 × 6 map is centred at pixel 4k + 4.5, and drawn at 5.33k + 2.2 when it is stretched: up to 4.3 of 32 pixels away.

So attnlab walks a network once, and finds for each map where its cells are centred in the picture, how far they are apart, and
how much of the picture each of them sees (`attnlab.attention.locate_maps`; the arithmetic is in `attnlab/geometry.py`). The
viewer, its hover, masks, surgery, the honesty measures, Grad-CAM, exports and offline pages lay maps by it. *Stretch evenly*,
in the viewer, shows the picture that other tools draw.

For every network here, with attention at every place where it can have some, `tests/attention/test_geometry.py` compares the
computed extent of the cell nearest to the middle with the pixels that the features there depend on, by gradients: they agree
to the pixel. Cells near the edge see less than the computed extent, because the picture ends; their centre is still the one
computed.

Attention inside a block is not counted: a gate may have been computed from the whole picture and still acts on one place.
Beyond the outermost centres the nearest cell counts, so that a uniform map stays uniform; the viewer draws nothing there.

## What the stretch costs

{summary}

*Pointing*: share of images on which the cell with the largest weight is centred on the object. *IoU*: overlap with the object
at the best threshold of each image. Changes are placed minus stretched on the same images, with 95% bootstrap intervals; p
from sign tests over the images on which the two differ, corrected by Holm's method for all maps that move. VGG networks pad
every convolution, and their cells do divide the picture evenly: nothing changes there.

{table}

## How far off, by network

Centres are counted from the picture's edge. With padding, a cell near the edge may be centred at or beyond the edge, and see
the picture with one side of its field only. The last map of ResNet-18 is the extreme case: each cell there sees more than the
whole picture, its place says little, and for cells near the edge neither place is the middle of what they see.

{networks}

What a map points at is the topic of [honesty.md](honesty.md). Here only the change counts.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    found: list[Row] = []
    for folder in sorted(paths.DEMO_RUNS.iterdir()):
        if RunFolder(folder).has_weights:
            found += rows(folder, given.images)
            print(folder.name, flush=True)
    TARGET.write_text(TEXT.format(summary=summary(found), table=table(found), networks=networks()))


if __name__ == "__main__":
    main()
