"""What a view of the app shows, as a figure on paper: an image with maps, or a table. No torch."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from markdown_it import MarkdownIt
from numpy.typing import NDArray
from PIL import Image

from attnlab.experiments.exports import table_markdown
from attnlab.experiments.grid import GridError, GridKind, progress
from attnlab.experiments.grid_table import grid_table
from attnlab.experiments.groups import compare_to_baseline, group_runs, plain_group
from attnlab.experiments.shipped import shipped_grids
from attnlab.experiments.table import COLUMNS, comparison_table
from attnlab.lessons.lesson import ShippedRun, View
from attnlab.lessons.runs import UnknownShippedRun, shipped_records, shipped_run
from attnlab.maps import MapKind
from attnlab.runs.errors import FolderError
from attnlab.runs.naming import attention_name, group_names
from attnlab.viz.guesses import SIDE
from attnlab.viz.overlay import overlay
from attnlab.viz.snapshots import snapshot_panel

MOST_MAPS = 3
ON_HOME = ShippedRun(variant="none", backbone="gated_cnn")
"""The run whose maps stand for those on Home: they find the object, by `docs/showcase.md`."""
DATASET = "digits"
"""The data set that Compare opens with."""
REPRODUCED = ("row", "report_accuracy", "report_std", "accuracy", "std", "n", "difference", "verdict")


def view_figure(view: View) -> str:
    """A view as HTML; nothing where a file that it needs is missing or damaged."""
    if view.page == "":
        picture = view.link.get("picture", 0)
        return _maps(ON_HOME, picture if isinstance(picture, int) else 0)
    if view.page == "compare":
        return _comparison()
    if view.page == "reproduce":
        return _reproduced()
    if view.run is None:
        return ""
    probe = view.link.get("probe", 0)
    return _maps(view.run, probe if isinstance(probe, int) else 0)


def figure(pictures: list[tuple[NDArray[np.uint8], str]], caption: str) -> str:
    """Pictures (H, W, 3) with words below each, side by side, as HTML.

    Args:
        caption: below all of them, as HTML.
    """
    shown = "".join(
        f'<div><img src="{_png(picture)}" alt="{escape(words or "the image")}">{escape(words)}</div>'
        for picture, words in pictures
    )
    return f"<figure>{shown}{f'<figcaption>{caption}</figcaption>' if caption else ''}</figure>"


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small image (H, W, 3), each pixel as a square."""
    factor = max(1, SIDE // image.shape[1])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def reader() -> MarkdownIt:
    """Markdown with tables; HTML in it is text."""
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _maps(run: ShippedRun, probe: int) -> str:
    """An image as the run kept it, with its maps after the training."""
    try:
        folder = shipped_run(run)
        panel = snapshot_panel(folder, probe, title="")
    except (UnknownShippedRun, FolderError, ValueError, IndexError):
        return ""
    image = np.ascontiguousarray(np.broadcast_to(panel.image, (*panel.image.shape[:2], 3)))
    pictures = [(enlarged(image), "the image")]
    placed = [layer for layer in panel.layers if layer.kind is MapKind.SPATIAL]
    for layer in placed[:MOST_MAPS]:
        weights = layer.weights()[0].reshape(layer.grid)
        span = float(np.ptp(weights))
        shares = (weights - weights.min()) / span if span else np.zeros_like(weights)
        pictures.append((enlarged(overlay(image, shares, cells=layer.cells, opacity=0.6)), layer.title))
    words = f"An image that the run kept, and what {escape(attention_name(folder.config))} makes of it after the training."
    if len(pictures) == 1:
        words = f"An image that the run kept. {escape(attention_name(folder.config))} has one weight per channel and no map."
    elif len(pictures) > 1:
        words += " Each map is drawn from its lowest weight (dark) to its highest (yellow)."
    return figure(pictures, words)


def _comparison() -> str:
    """The shipped runs by attention, against the network without it, as Compare shows them."""
    groups = [group for group in group_runs(shipped_records()) if group.n and group.config.dataset.name == DATASET]
    baseline = plain_group(groups)
    if baseline is None:
        return ""
    names = group_names({group.key: group.config for group in groups})
    table = comparison_table(groups, names, compare_to_baseline(baseline, groups), {})
    table = table.sort_values("accuracy", ascending=False)
    printed = table_markdown(table, columns=("name", "accuracy", "std", "n", "difference", "verdict"), headings=COLUMNS)
    return _table(printed, "The shipped runs, as Compare shows them.")


def _reproduced() -> str:
    """The report's table beside what was trained again, as Reproduce shows it."""
    try:
        told = next(each for each in shipped_grids().values() if each.grid.kind is GridKind.TABLE1)
    except (GridError, StopIteration):
        return ""
    table = grid_table(told.grid, progress(told.grid, told.records))
    return _table(table_markdown(table, columns=REPRODUCED), f"{told.grid.title}, as Reproduce shows it.")


def _table(printed: str, caption: str) -> str:
    return f'{reader().render(printed)}<p class="source">{escape(caption)}</p>'


def _png(picture: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
