"""``python -m attnlab honesty RUN``: a map against its baselines, see `attnlab.explain.honesty.measure`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from attnlab import paths
from attnlab.cli.open import Json

OK, STOPPED = 0, 130


def honesty(run: str, *, images: int = 200, layer: str = "", seed: int = 0, again: bool = False, as_json: Json = False) -> int:
    """Measure a run's attention map against Grad-CAM, occlusion, its untrained twin and others, on test pictures.

    The result is kept with the run, and the app shows it.

    Parameters
    ----------
    run
        its id, or its folder
    images
        test pictures, from all classes alike
    layer
        path of the tap whose map is measured; the last one with positions when it is left out
    seed
        of the choice of pictures
    again
        measure, though a result is kept
    """
    from attnlab.explain.baselines import spatial_taps
    from attnlab.explain.honesty.job import measure
    from attnlab.explain.honesty.measure import Honesty
    from attnlab.explain.honesty.process import Measurement
    from attnlab.explain.open_run import open_run
    from attnlab.runs.folder import RunFolder
    from attnlab.runs.store import Store

    known = (Path(run) / "config.json").is_file()
    folder = RunFolder(Path(run).resolve()) if known else Store(paths.home(), write=False).folder(run)
    if images < 1:
        raise ValueError(f"--images {images}: at least one is needed")
    places = spatial_taps(open_run(folder.path, folder.best_or_last))
    if not places:
        raise ValueError(f"{folder.run_id} makes no map with positions; channel gates have none to measure")
    if layer and layer not in places:
        raise ValueError(f"--layer {layer}: there is no map with positions; there is at: {', '.join(places)}")
    asked = Measurement(folder, layer or places[-1], images, seed)
    kept = None if again else asked.result()
    found = (
        Honesty.from_tree(kept)
        if kept is not None
        else measure(asked, lambda done, total: print(f"{done} of {total} images", file=sys.stderr))
    )
    if found is None:
        print("stopped", file=sys.stderr)
        return STOPPED
    told = found.told() | {"kept": str(asked.path / "result.json")}
    print(json.dumps(told, indent=1) if as_json else "\n".join([f"{found.run_id}, {found.tap}", *found.sentences()]))
    return OK
