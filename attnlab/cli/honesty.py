"""``attnlab honesty RUN``: the attention maps of a run against simple baselines, see `attnlab.explain.honesty.measure`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from attnlab.cli.common import STOPPED, Json, find_run, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnlab.explain.honesty.measure import Honesty


def honesty(
    run: str, *, images: int = 200, layer: str | None = None, seed: int = 0, again: bool = False, as_json: Json = False
) -> int:
    """Compare a run's attention maps with Grad-CAM, the untrained network, a random map and other baselines, on test images.

    All maps of the network are measured, from the first block to the last. The result is kept with the run and shown in the
    app.

    Parameters
    ----------
    run
        the id of a run, or its folder
    images
        how many test images, the same number from each class
    layer
        measure only the map of this tap (default: every map that covers the positions of the image)
    seed
        seed of the choice of images
    again
        measure again even if there is a result
    """
    from attnlab.explain.baselines import measured_maps
    from attnlab.explain.honesty.job import measure
    from attnlab.explain.honesty.measure import Honesty
    from attnlab.explain.honesty.process import Measurement
    from attnlab.explain.open_run import open_run

    folder = find_run(run)
    if images < 1:
        raise ValueError(f"--images {images}: at least one is needed")
    opened = open_run(folder.path, folder.best_or_last)
    taps = measured_maps(opened)
    if not taps:
        raise ValueError(f"{folder.run_id} has no map over positions; gates per channel cannot be compared with images")
    if layer and layer not in taps:
        raise ValueError(f"--layer {layer}: no map over positions there; choose from: {', '.join(taps)}")
    every, asked = Measurement(folder, images, seed), Measurement(folder, images, seed, layer)
    kept = next((each for each in (every, asked) if not again and each.result() is not None), None)
    found: Sequence[Honesty] | None
    if kept is not None:
        found = [Honesty.from_tree(tree) for tree in kept.result() or () if layer in (None, tree["tap"])]
    else:
        found = measure(asked, lambda done, total: print(f"{done} of {total} images", file=sys.stderr))
    if found is None:
        print("stopped", file=sys.stderr)
        return STOPPED
    tree = {
        "run_id": folder.run_id,
        "maps": [each.report() for each in found],
        "kept": str((kept or asked).path / "result.json"),
    }
    return tell(tree, "\n".join(_lines(found, list(opened.cells))), as_json=as_json)


def _lines(found: Sequence[Honesty], taps: list[str]) -> list[str]:
    """A table of all maps by depth, and the sentences on each."""
    from attnlab.explain.honesty.depth import depth_table
    from attnlab.maps import tap_titles

    titles = tap_titles(taps)
    lines = [f"{found[0].run_id}, {len(found[0].images)} test images"]
    for heading, rows in depth_table(found, titles):
        width = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines += ["", heading]
        lines += ["  ".join(cell.ljust(wide) for cell, wide in zip(row, width, strict=True)).rstrip() for row in rows]
    for each in found:
        lines += ["", f"{titles[each.tap]} ({each.tap})", *each.sentences()]
    return lines
