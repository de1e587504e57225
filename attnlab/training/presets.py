"""Configurations to start from. What `one_minute` reaches is measured by ``benchmarks/one_minute.py``."""

from __future__ import annotations

from attnlab.attention import MapKind, get_attention, split_composition
from attnlab.config import DatasetConfig, ModelConfig, RunConfig, TrainingConfig

ONE_MINUTE_VARIANT = "eca+cbam_spatial"


def one_minute(attention: str = ONE_MINUTE_VARIANT, seed: int = 0) -> RunConfig:
    """A narrow network that learns digits in clutter within a minute on two CPU cores.

    It has three blocks instead of the report's two, so that the last feature map is small enough for digits that may be
    anywhere. Attention is after the first convolution of each block, where maps are largest; attention over pairs of
    positions is at the end of each block instead: at 32 x 32 its million pairs take five minutes, and training diverges.

    Args:
        attention: a registered variant or composition, or ``"none"``.
    """
    pairwise = any(MapKind.PAIRWISE in get_attention(name).kinds for name in split_composition(attention))
    return RunConfig(
        dataset=DatasetConfig(name="digits"),
        model=ModelConfig(
            backbone="small_cnn",
            attention=attention,
            placement="block_end" if pairwise else "block_first",
            width=16,
            options={"blocks": 3, "hidden": 128, "spatial_dropout": 0.0, "dropout": 0.25},
        ),
        training=TrainingConfig(epochs=10, batch_size=64, optimizer="adamw", lr=1.5e-2, schedule="one_cycle"),
        seed=seed,
    )
