"""``attnlab demo``: trains the runs that come with the project again."""

from __future__ import annotations

from attnlab import paths
from attnlab.cli.common import OK, Json, prepare_training, print_json
from attnlab.cli.progress import progress_bar


def demo(*names: str, first_seed: int = 0, seeds: int = 1, as_json: Json = False) -> int:
    """Train the demo runs of a clone again, into checkpoints/demo.

    Parameters
    ----------
    names
        attention variants, lesions or lesions_without_gates; without a name, all demo runs
    first_seed
        the first seed to train
    seeds
        how many seeds of each, from the first one on; only seed 0 keeps weights and maps, the others are for Compare
    """
    from attnlab.experiments.demo import make_demo

    if paths.INSTALLED:
        raise ValueError("the demo runs of an installed copy cannot be changed; run this in a clone of the repository")
    prepare_training()
    sizes: dict[str, int] = {}
    with progress_bar() as watch:
        for run_id, size in make_demo(names, paths.DEMO_RUNS, watch, seeds=range(first_seed, first_seed + seeds)):
            sizes[run_id] = size
            if not as_json:
                print(f"{run_id}: {size / 1000:.0f} kB")
    return print_json({"folder": str(paths.DEMO_RUNS), "bytes": sizes}) if as_json else OK
