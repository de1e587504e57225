"""``attnlab honesty RUN``: an attention map against simple baselines, see `attnlab.explain.honesty.measure`."""

from __future__ import annotations

import sys

from attnlab.cli.common import STOPPED, Json, find_run, tell


def honesty(
    run: str, *, images: int = 200, layer: str | None = None, seed: int = 0, again: bool = False, as_json: Json = False
) -> int:
    """Compare a run's attention map with Grad-CAM, occlusion, its untrained twin and other baselines, on test images.

    The result is kept with the run and shown in the app.

    Parameters
    ----------
    run
        the id of a run, or its folder
    images
        how many test images, the same number from each class
    layer
        the tap whose map is measured (default: the last one whose map covers the positions of the image)
    seed
        seed of the choice of images
    again
        measure again even if there is a result
    """
    from attnlab.explain.baselines import spatial_taps
    from attnlab.explain.honesty.job import measure
    from attnlab.explain.honesty.measure import Honesty
    from attnlab.explain.honesty.process import Measurement
    from attnlab.explain.open_run import open_run

    folder = find_run(run)
    if images < 1:
        raise ValueError(f"--images {images}: at least one is needed")
    taps = spatial_taps(open_run(folder.path, folder.best_or_last))
    if not taps:
        raise ValueError(f"{folder.run_id} has no map over positions; gates per channel cannot be compared with images")
    if layer and layer not in taps:
        raise ValueError(f"--layer {layer}: no map over positions there; choose from: {', '.join(taps)}")
    measurement = Measurement(folder, layer or taps[-1], images, seed)
    stored = None if again else measurement.result()
    result = (
        Honesty.from_tree(stored)
        if stored is not None
        else measure(measurement, lambda done, total: print(f"{done} of {total} images", file=sys.stderr))
    )
    if result is None:
        print("stopped", file=sys.stderr)
        return STOPPED
    tree = result.report() | {"kept": str(measurement.path / "result.json")}
    return tell(tree, "\n".join([f"{result.run_id}, {result.tap}", *result.sentences()]), as_json=as_json)
