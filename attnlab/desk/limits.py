"""What one browser, and all of them together, may use in a classroom, so that thirty of them share a machine."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.config import RunConfig


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        live_runs: of one browser, training or waiting.
        all_live_runs: of all browsers together. Who deletes cookies gets fresh limits of one browser, but not of this one.
        image_passes: images times epochs of one run.
        image_size: side in pixels.
        seconds: of training of one run; it then stops with a checkpoint.
        cells: runs of a table.
        upload_bytes: of one upload. uploads: kept of one browser. kept_bytes: of all of them together.
    """

    live_runs: int = 3
    all_live_runs: int = 90
    image_passes: int = 200_000
    image_size: int = 128
    seconds: int = 15 * 60
    cells: int = 30
    upload_bytes: int = 100 << 20
    uploads: int = 5
    kept_bytes: int = 300 << 20


LIMITS = Limits()


def too_large(config: RunConfig, images: int | None, limits: Limits = LIMITS) -> str:
    """Why a run is too large for a classroom, in a sentence; empty when it is not.

    Args:
        images: used for training in each epoch; `None` when that is not known.
    """
    size = config.dataset.image_size
    if size is not None and size > limits.image_size:
        return f"In this classroom images have at most {limits.image_size} pixels a side, not {size}."
    passes = (config.dataset.subset if images is None else images) or 0
    epochs = config.training.epochs
    if passes * epochs > limits.image_passes:
        most = max(1, limits.image_passes // passes)
        return (
            f"In this classroom a run may see {limits.image_passes:,} images in all. With {passes:,} training images that is "
            f"{most} {'epoch' if most == 1 else 'epochs'}, not {epochs}."
        )
    return ""


def no_room(count: int, own: int, every: int, limits: Limits = LIMITS) -> str:
    """Why so many runs more are too many, in sentences; empty when they are not.

    Args:
        count: of the runs that would be added.
        own: runs of this browser that train or wait. every: those of all browsers.
    """
    if own + count > limits.live_runs:
        return (
            f"In this classroom a browser may have {limits.live_runs} runs that train or wait. It has {own}, and {count} "
            "would be added. Wait until one has ended, or stop one."
        )
    if every + count > limits.all_live_runs:
        return (
            f"In this classroom {limits.all_live_runs} runs may train or wait at the same time, those of all browsers "
            f"together. There are {every} now, and {count} would be added. Wait until some have ended, or ask the teacher to "
            "stop some."
        )
    return ""
