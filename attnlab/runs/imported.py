"""A checkpoint of the original repositories as a run: a folder like any other, which was not trained here.

What a state dict cannot tell is asked for: which pictures the network was made for (they give the class names, and the
test pictures in Inspect), how their pixels were normalised, and the choices of `attnlab.interop.Reference`. The folder
says ``finished`` and names the file it came from; it has no training, so no curves and no accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.config import DatasetConfig, ProtocolConfig, RunConfig
from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState

if TYPE_CHECKING:
    from torch import Tensor

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, on images scaled to [0, 1]."""

NO_PICTURES = "none"
"""The data set of a network whose pictures are not at hand."""

NORMALISATION: dict[str, Normalisation] = {
    "report": ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
    "l2pa": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "attnmel": ((0.6820, 0.5312, 0.4736), (0.0840, 0.1140, 0.1282)),
}
"""What the training script of each reference network says: CIFAR-10's, CIFAR-100's, ISIC 2017's."""


def fitting_datasets(channels: int, classes: int) -> list[str]:
    """The registered data sets that a network with these inputs and outputs could have been trained on, real ones first."""
    from attnlab.data import list_datasets

    fitting = [info for info in list_datasets().values() if (info.channels, len(info.class_names)) == (channels, classes)]
    return [info.name for info in sorted(fitting, key=lambda info: not info.needs_network)]


def class_names(dataset: DatasetConfig, classes: int) -> tuple[str, ...]:
    """The names of a data set's classes, in label order; numbers where there is none at hand.

    Raises:
        DataError: when the path of the data set holds no images in classes.
        ValueError: when it has another number of classes.
    """
    from attnlab.data import list_datasets, list_path

    if dataset.name == NO_PICTURES:
        return tuple(f"class {number}" for number in range(classes))
    info = list_datasets().get(dataset.name)
    names = info.class_names if info else list_path(Path(dataset.name).expanduser(), dataset.options).class_names
    if len(names) != classes:
        raise ValueError(f"the network tells {classes} classes apart, {dataset.name} has {len(names)}")
    return tuple(names)


def import_checkpoint(
    parent: Path,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    dataset: DatasetConfig,
    names: Sequence[str] | None = None,
    normalisation: Normalisation | None = None,
    choices: Mapping[str, str] | None = None,
) -> RunFolder:
    """Makes a run folder below ``parent`` of a state dict under the names of a reference implementation.

    Args:
        weights: as `attnlab.interop.open_checkpoint` returns them.
        source: what the file was called; becomes the title.
        dataset: the pictures the network was made for; its ``image_size`` is set to the network's. Named `NO_PICTURES`
            where they are not at hand.
        names: of the classes, in label order; those of the data set when empty.
        normalisation: of the pixels; the reference's own when empty.
        choices: what shapes cannot tell, see `attnlab.interop.open_reference`.

    Raises:
        UnknownReference: when the weights are of no network that is known.
        ReferenceMismatch: when they are of one, but not whole.
        ValueError: for a choice the reference does not leave open, or another number of classes than the network has.
    """
    from attnlab.interop import open_reference, recognise, reference_config

    chosen = dict(choices or {})
    model, shape, outputs = reference_config(weights, **chosen)
    reference = recognise(weights)
    if outputs == 1:  # one logit, of class 1 of two
        model, outputs = model.model_copy(update={"options": {**model.options, "output": "single"}}), 2
    called = class_names(dataset, outputs) if names is None else tuple(names)
    if len(called) != outputs:
        raise ValueError(f"the network tells {outputs} classes apart, but {len(called)} are named")
    network = open_reference(weights, **chosen)
    config = RunConfig(
        dataset=dataset.model_copy(update={"image_size": shape.height}),
        model=model,
        protocol=ProtocolConfig(loss_head="relu_softmax" if reference.name == "report" else "logits"),
    )
    mean, std = normalisation or NORMALISATION[reference.name]
    title = source.replace("\\", "/").rsplit("/", 1)[-1]

    def fill(folder: RunFolder) -> None:
        attempt = folder.begin_attempt()
        folder.write_dataset(
            {
                "name": dataset.name,
                "class_names": list(called),
                "shape": list(shape),
                "mean": list(mean),
                "std": list(std),
                "provenance": {"source": source, "note": f"{reference.title}, {reference.source}", "skipped": []},
            }
        )
        checkpoints.save_best(folder.best_path, network.state_dict(), epoch=0, accuracy=float("nan"))
        parameters = sum(weight.numel() for weight in network.parameters())
        folder.write_progress({"attempt": attempt, "step": 0, "total_steps": 0, "epoch": 0, "parameters": parameters})
        folder.write_end(RunState.FINISHED, attempt, result={"imported": reference.name})

    note = f"{reference.title}, opened from {title}; it was not trained here."
    return RunFolder.create(parent, config, title=title, note=note, fill=fill)
