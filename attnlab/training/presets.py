"""Configurations to start from. What `one_minute` reaches is measured by ``benchmarks/one_minute.py``."""

from __future__ import annotations

from attnlab.attention import MapKind, get_attention, split_composition
from attnlab.config import DatasetConfig, ModelConfig, RunConfig, TrainingConfig

ONE_MINUTE_VARIANT = "eca+cbam_spatial"


def one_minute(attention: str = ONE_MINUTE_VARIANT, seed: int = 0) -> RunConfig:
    """Digits in clutter on a narrow network: learned within a minute on two CPU cores.

    Three blocks instead of the report's two, so that the classifier sees a map small enough for digits that lie anywhere;
    attention after the first convolution of each, where the maps are largest. Attention over pairs of positions sits at
    the end of each block instead: at 32 x 32 its million pairs take five minutes, and training diverges.

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
