"""``attnlab demo``: trains the runs that come with the project again."""

from __future__ import annotations

from pathlib import Path

from attnlab import paths
from attnlab.cli.common import OK, Json, prepare_training, print_json
from attnlab.cli.progress import progress_bar
from attnlab.experiments.demo import DERMOSCOPY, PHOTOGRAPHS, SEEDS, make_demo


def demo(
    *names: str,
    first_seed: int = 0,
    seeds: int = SEEDS,
    photographs: str | None = None,
    dermoscopy: str | None = None,
    keep: Path | None = None,
    as_json: Json = False,
) -> int:
    """Train the demo runs of a clone again, into checkpoints/demo.

    Parameters
    ----------
    names
        attention variants, or lesions, lesions_without_gates, photographs, dermoscopy; without a name, all demo runs whose
        pictures are at hand
    first_seed
        the first seed to train
    seeds
        how many seeds of each, from the first one on; only seed 0 keeps weights and maps, the others are for Compare
    photographs
        folder or archive with the images of CIFAR-10, for the run of this name
    dermoscopy
        folder or archive with dermoscopy images and marking.csv, for the run of this name
    keep
        a home (see ATTNLAB_HOME) where the whole trainings stay; those that are finished there are not repeated
    """
    if paths.INSTALLED:
        raise ValueError("the demo runs of an installed copy cannot be changed; run this in a clone of the repository")
    prepare_training()
    given = {PHOTOGRAPHS: photographs, DERMOSCOPY: dermoscopy}
    pictures = {name: path for name, path in given.items() if path is not None}
    sizes: dict[str, int] = {}
    with progress_bar() as watch:
        made = make_demo(
            names,
            paths.DEMO_RUNS,
            watch,
            seeds=range(first_seed, first_seed + seeds),
            pictures=pictures,
            keep=None if keep is None else keep / "runs",
        )
        for run_id, size in made:
            sizes[run_id] = size
            if not as_json:
                print(f"{run_id}: {size / 1000:.0f} kB")
    return print_json({"folder": str(paths.DEMO_RUNS), "bytes": sizes}) if as_json else OK
