"""The melanoma training of the article "Image Classification with Attention": VGG16 with two gates, focal loss, Adam at 1e-4.

Departures: the article computes its training AUC from the last batch only and leaves its validation AUC undefined; both are
computed over all images here. Its validation runs in training mode, and images are turned with the nearest pixel;
``as_published`` does the same. It turns them before they are resized, here afterwards. The best epoch is the one with the
highest validation AUC: with one malignant image in four, accuracy would prefer an epoch that calls everything benign.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from pydantic import JsonValue

from attnlab.config import DatasetConfig, ModelConfig, ProtocolConfig, RunConfig, TrainingConfig


class Size(TypedDict):
    """The arguments of `melanoma_config` that determine the training time."""

    image_size: int
    width: int
    epochs: int
    batch_size: int
    lr: float
    schedule: Literal["constant", "one_cycle"]


SMALL = Size(image_size=64, width=8, epochs=10, batch_size=32, lr=2e-3, schedule="one_cycle")
"""A CPU trains this in less than a minute."""


def melanoma_config(
    dataset: str,
    *,
    image_size: int = 224,
    width: int = 64,
    attention: bool = True,
    epochs: int = 2,
    batch_size: int = 100,
    lr: float = 1e-4,
    schedule: Literal["constant", "one_cycle"] = "constant",
    seed: int = 0,
    options: dict[str, JsonValue] | None = None,
    as_published: bool = False,
) -> RunConfig:
    """The article's training, with its settings as defaults, on a data set with two classes.

    Args:
        dataset: a registered data set, or a path to images with a CSV.
        image_size: side in pixels, divisible by 32.
        width: channels of the first block; 64 is VGG16, fewer suit a CPU.
        attention: ``False`` gives the same network without gates.
        options: options of the data set.
        as_published: validation in training mode, and rotation with the nearest pixel, as in the article's code.
    """
    return RunConfig(
        dataset=DatasetConfig(name=dataset, image_size=image_size, validation=0.2, split_seed=1234, options=options or {}),
        model=ModelConfig(
            backbone="attention_vgg16",
            width=width,
            options={"depths": 2 if attention else 0, "normalize": "softmax", "output": "single"},
        ),
        training=TrainingConfig(
            epochs=epochs,
            batch_size=batch_size,
            optimizer="adam",
            lr=lr,
            schedule=schedule,
            loss="focal",
            focal_alpha=0.25,
            focal_gamma=2.0,
            augment="rotate_nearest_flip" if as_published else "rotate_flip",
        ),
        protocol=ProtocolConfig(best_epoch="validation_auc", evaluation_mode="training" if as_published else "evaluation"),
        seed=seed,
    )


OWN_COLUMNS: dict[str, JsonValue] = {"split_column": "", "class_names": {"0": "benign", "1": "malignant"}}
"""How ``marking.csv`` is read: its own split is left aside, and its classes get names."""


def dermoscopy_config(
    source: str, *, attention: bool = True, image_size: int = 64, epochs: int = 20, seed: int = 0
) -> RunConfig:
    """The article's training on dermoscopy images, so narrow that a CPU trains it in minutes.

    Width 8, batches of 16, and Adam with one cycle up to 1e-3; otherwise as `melanoma_config`.

    Args:
        source: path of a folder or archive with ``marking.csv``, the images and lesion masks.
    """
    return melanoma_config(
        source,
        attention=attention,
        image_size=image_size,
        width=8,
        epochs=epochs,
        batch_size=16,
        lr=1e-3,
        schedule="one_cycle",
        seed=seed,
        options=OWN_COLUMNS,
    )
