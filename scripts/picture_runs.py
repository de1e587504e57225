"""Trains the runs that the pictures of docs/screenshots show and that are not shipped: about ten minutes on two cores.

ATTNLAB_HOME=/tmp/pictures python -m scripts.picture_runs

The app that make_screenshots visits must have the same home. A run that is there already is not trained again.
"""

from __future__ import annotations

import subprocess
import sys

CNN = (
    "--backbone small_cnn --width 8 --option blocks=3 --option readout=mean --option hidden=128 --option stages=2 "
    "--option dropout=0.0 --option spatial_dropout=0.0 --placement block_end --subset 4000 --test-subset 1000 --epochs 8 "
    "--batch-size 32 --lr 8e-3"
)
VARIANTS = ("selective_kernel", "bottleneck", "coordinate", "gct", "global_context")
"""A variant for each kind of map, in one block of the network, as in the league."""
TRANSFORMER = (
    "--backbone vit --attention none --width 64 --option stem=convolutions --option depth=2 --option mlp_ratio=2 "
    "--option readout=max --epochs 6 --batch-size 32 --lr 3e-3"
)
"""The setting of docs/transformers.md whose maps are finest."""


def main() -> None:
    wanted = [f"{CNN} --attention {variant}" for variant in VARIANTS]
    for arguments in [*wanted, *(f"{TRANSFORMER} --seed {seed}" for seed in (0, 1))]:
        subprocess.run([sys.executable, "-m", "attnlab", "train", *arguments.split()], check=False)


if __name__ == "__main__":
    main()
