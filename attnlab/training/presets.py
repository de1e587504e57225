"""Configurations to start from. What `one_minute` reaches is measured by ``benchmarks/one_minute.py``."""

from __future__ import annotations

from typing import Any

from attnlab.attention import MapKind, get_attention, options_of_a_new_run, split_composition
from attnlab.config import DatasetConfig, ModelConfig, RunConfig, TrainingConfig
from attnlab.data import options_of_a_new_run as options_of_new_data

ONE_MINUTE_VARIANT = "self_attention"


def one_minute(attention: str = ONE_MINUTE_VARIANT, seed: int = 0, *, gates: bool = False) -> RunConfig:
    """A narrow network that learns to find small digits among distractors, within a minute on two CPU cores.

    It has three blocks instead of the report's two, so that the last map sees whole digits, and its classifier sees the mean of
    this map, so that a digit counts the same wherever it lies. Attention is after the first convolution of each block, where
    maps are largest. Attention over pairs of positions is at the end of the second block alone, where it compares 6 x 6
    positions: at 32 x 32 its million pairs take five minutes, and after the first block still a third of the time.

    Args:
        attention: a registered variant or composition, or ``"none"``.
        gates: the same blocks as `attnlab.models.gated_cnn`, whose gates the last block guides.
    """
    pairwise = any(MapKind.PAIRWISE in get_attention(name).kinds for name in split_composition(attention))
    blocks: dict[str, Any] = {"blocks": 3, "spatial_dropout": 0.0, "dropout": 0.0} | ({"stages": "2"} if pairwise else {})
    return RunConfig(
        dataset=DatasetConfig(name="digits", options=options_of_new_data("digits")),
        model=ModelConfig(
            backbone="gated_cnn" if gates else "small_cnn",
            attention=attention,
            attention_options=options_of_a_new_run(attention),
            placement="block_end" if pairwise else "block_first",
            width=16,
            options=blocks if gates else blocks | {"hidden": 128, "readout": "mean"},
        ),
        training=TrainingConfig(epochs=8, batch_size=64, optimizer="adamw", lr=8e-3, schedule="one_cycle"),
        seed=seed,
    )


def photographs(source: str, seed: int = 0) -> RunConfig:
    """A narrow gated network for real photographs, trained on CIFAR-10.

    Its gates read the first two blocks, guided by the last one (`attnlab.models.gated_cnn`).

    Args:
        source: path of a folder or archive with the images of CIFAR-10.
    """
    return RunConfig(
        dataset=DatasetConfig(name=source),
        model=ModelConfig(backbone="gated_cnn", width=32, options={"blocks": 3, "spatial_dropout": 0.0}),
        training=TrainingConfig(
            epochs=16,
            batch_size=128,
            optimizer="adamw",
            lr=6e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            augment="crop_flip",
        ),
        seed=seed,
    )
