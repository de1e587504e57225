"""Configurations to start from. What `one_minute` reaches is measured by ``benchmarks/one_minute.py``."""

from __future__ import annotations

from typing import Any

import torch

from attnlab.attention import MapKind, get_attention, options_of_a_new_run, split_composition
from attnlab.config import DatasetConfig, ModelConfig, Placement, RunConfig, TrainingConfig
from attnlab.data import absolute_name, is_there, list_datasets, own_side, unknown_name
from attnlab.data import options_of_a_new_run as options_of_new_data
from attnlab.models import ImageShape, build_model
from attnlab.paths import written_path

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


def one_minute_transformer(seed: int = 0) -> RunConfig:
    """A small vision transformer on the same images in about the same time: 89.1 and 89.3% of the test images (two seeds).

    The setting whose maps find the digit most often, of those that were measured: ``docs/transformers.md``. Its stem of
    convolutions sees across the edges of its patches of 4 pixels, and the largest value over all positions is classified.
    """
    return RunConfig(
        dataset=DatasetConfig(name="digits", options=options_of_new_data("digits")),
        model=ModelConfig(
            backbone="vit", width=64, options={"stem": "convolutions", "depth": 2, "mlp_ratio": 2, "readout": "max"}
        ),
        training=TrainingConfig(epochs=6, batch_size=32, optimizer="adamw", lr=3e-3, schedule="one_cycle"),
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


def league(
    dataset: str = "digits",
    *,
    backbone: str = "small_cnn",
    placement: Placement = "block_end",
    width: int | None = 8,
    image_size: int | None = None,
    subset: int | None = 4000,
    test_subset: int | None = 1000,
    epochs: int = 8,
    batch_size: int = 32,
) -> RunConfig:
    """The plain network of a league: narrow, and trained on few images, so that all variants are trained with many seeds.

    The small CNN is that of `one_minute`. Its second block alone has attention, as there with pairs of positions: its maps of
    15 x 15 positions are small enough for all variants, also for those that take the place of a convolution.

    Raises:
        ValueError: for a data set that is neither registered nor a path, an unknown network, or a number that no config takes.
    """
    name = absolute_name(dataset)
    if name not in list_datasets() and not is_there(written_path(name)):
        raise unknown_name(dataset)
    small: dict[str, Any] = {"blocks": 3, "spatial_dropout": 0.0, "dropout": 0.0}
    if placement != "before_classifier":  # which lies after all blocks
        small["stages"] = "2"
    options: dict[str, dict[str, Any]] = {
        "small_cnn": small | {"hidden": 128, "readout": "mean"},
        "gated_cnn": small,
    }
    config = RunConfig().changed(
        dataset__name=name,
        dataset__options=options_of_new_data(name),
        dataset__image_size=image_size,
        dataset__subset=subset,
        dataset__test_subset=test_subset,
        model__backbone=backbone,
        model__placement=placement,
        model__width=width,
        model__options=options.get(backbone, {}),
        training__epochs=epochs,
        training__batch_size=batch_size,
        training__lr=8e-3,
    )
    return as_deep_as_fits(config)


def as_deep_as_fits(config: RunConfig) -> RunConfig:
    """The config with the network's own number of blocks where images are too small for the preset's."""
    if "blocks" not in config.model.options or (side := image_side(config.dataset)) is None:
        return config
    try:
        with torch.device("meta"):
            build_model(config.model, ImageShape(3, side, side), 2)
    except ValueError:
        return config.changed(model__options={name: value for name, value in config.model.options.items() if name != "blocks"})
    return config


def image_side(dataset: DatasetConfig) -> int | None:
    """Pixels of a side of the images as a network gets them; `None` where there are none, or none that can be read."""
    if dataset.image_size is not None:
        return dataset.image_size
    known = list_datasets().get(dataset.name)
    if known is not None:
        return known.image_size
    path = written_path(dataset.name)
    try:
        return own_side(path, dataset.options) if is_there(path) else None
    except ValueError:  # whoever reads them next says why
        return None
