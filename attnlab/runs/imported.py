"""Turns a checkpoint of one of the original repositories into a run folder like any other.

What a state dict does not contain has to be supplied: the data set the network was trained on (it gives the class names,
and the test images in Inspect), how the pixels were normalised, and the choices of `attnlab.interop.Reference`. The run
counts as finished and names the file it came from; since it was not trained here, it has no curves and no accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.config import DatasetConfig, ModelConfig, ProtocolConfig, RunConfig
from attnlab.paths import written_path
from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState

if TYPE_CHECKING:
    from torch import Tensor, nn

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, on images scaled to [0, 1]."""

NO_PICTURES = "none"
"""The name of the data set when the images are not available."""

NORMALISATION: dict[str, Normalisation] = {
    "report": ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
    "l2pa": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "attnmel": ((0.6820, 0.5312, 0.4736), (0.0840, 0.1140, 0.1282)),
    "vit": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cct": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""The values in the training script of each reference network: those of CIFAR-10, CIFAR-100, ISIC 2017 and ImageNet."""


def fitting_datasets(channels: int, classes: int) -> list[str]:
    """The registered data sets that fit a network with these inputs and outputs, downloaded ones first."""
    from attnlab.data import list_datasets

    fitting = [info for info in list_datasets().values() if (info.channels, len(info.class_names)) == (channels, classes)]
    return [info.name for info in sorted(fitting, key=lambda info: not info.needs_network)]


def class_names(dataset: DatasetConfig, classes: int) -> tuple[str, ...]:
    """The class names of a data set, in label order; numbers when the data set is not available.

    Raises:
        DataError: when the data set is a path without images in classes.
        ValueError: when it has a different number of classes.
    """
    from attnlab.data import list_datasets, list_path

    if dataset.name == NO_PICTURES:
        return tuple(f"class {number}" for number in range(classes))
    info = list_datasets().get(dataset.name)
    names = info.class_names if info else list_path(written_path(dataset.name), dataset.options).class_names
    if len(names) != classes:
        raise ValueError(f"the network has {classes} classes, but {dataset.name} has {len(names)}")
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
    remarks: Sequence[str] = (),
    owner: str = "",
    after: float = 0.0,
) -> RunFolder:
    """Makes a run folder below ``parent`` from a state dict with the names of a reference implementation.

    Args:
        weights: as `attnlab.interop.open_checkpoint` returns them.
        source: name of the file; becomes the title.
        dataset: what the network was trained on; its ``image_size`` is set to the network's. Its name is `NO_PICTURES`
            when the images are not available.
        names: of the classes, in label order; `None` takes those of the data set.
        normalisation: of the pixels; `None` takes the reference's own.
        choices: what the shapes do not determine, see `attnlab.interop.open_reference`.
        remarks: sentences about the reading of the file, which the run's note repeats.
        owner, after: see `RunFolder.create`.

    Raises:
        UnknownReference: when the weights belong to no known network.
        ReferenceMismatch: when some weights of the network are missing, left over or of the wrong shape.
        ValueError: for a choice the reference does not offer, or when the number of classes differs from the network's.
    """
    from attnlab.interop import open_reference, recognise, reference_config

    options = dict(choices or {})
    model, shape, outputs = reference_config(weights, **options)
    reference = recognise(weights)
    if outputs == 1:  # one logit, of class 1 of two
        model, outputs = model.model_copy(update={"options": {**model.options, "output": "single"}}), 2
    labels = class_names(dataset, outputs) if names is None else tuple(names)
    if len(labels) != outputs:
        raise ValueError(f"the network has {outputs} classes, but {len(labels)} names were given")
    network = open_reference(weights, **options)
    config = RunConfig(
        dataset=dataset.model_copy(update={"image_size": shape.height}),
        model=model,
        protocol=ProtocolConfig(loss_head="relu_softmax" if reference.name == "report" else "logits"),
    )
    return _imported(
        parent,
        config,
        network,
        shape=(shape.channels, shape.height, shape.width),
        labels=labels,
        normalisation=normalisation or NORMALISATION[reference.name],
        source=source,
        kind=reference.name,
        about=f"{reference.title}, {reference.source}",
        note=f"{reference.title}, opened from {_last(source)}; it was not trained here.",
        remarks=remarks,
        owner=owner,
        after=after,
    )


def import_network(
    parent: Path,
    name: str,
    network: nn.Module,
    *,
    source: str,
    shape: tuple[int, int, int],
    outputs: int,
    dataset: DatasetConfig,
    normalisation: Normalisation,
    names: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    remarks: Sequence[str] = (),
    owner: str = "",
    after: float = 0.0,
) -> RunFolder:
    """Makes a run folder below ``parent`` from a network of others with its weights.

    Args:
        name: by which it is built again, see `attnlab.adapters.networks`.
        source: where the weights come from, in words or as the name of a file.
        shape: (C, H, W) of its images.
        outputs: how many classes it tells apart.
        options: of its constructor.
        dataset, normalisation, names, remarks, owner, after: as for `import_checkpoint`.

    Raises:
        ValueError: when the number of classes differs from the network's, or its images are larger or smaller than those of
            a data set can be.
    """
    labels = class_names(dataset, outputs) if names is None else tuple(names)
    if len(labels) != outputs:
        raise ValueError(f"the network has {outputs} classes, but {len(labels)} names were given")
    config = RunConfig(
        dataset=DatasetConfig.model_validate(dataset.model_dump() | {"image_size": shape[1]}),
        model=ModelConfig(backbone=name, options=dict(options or {})),
    )
    return _imported(
        parent,
        config,
        network,
        shape=shape,
        labels=labels,
        normalisation=normalisation,
        source=source,
        kind=name,
        about=name,
        note=f"{name}, with weights from {_last(source)}; it was not trained here.",
        remarks=remarks,
        owner=owner,
        after=after,
    )


def _last(source: str) -> str:
    """The last part of a path."""
    return source.replace("\\", "/").rsplit("/", 1)[-1]


def _imported(
    parent: Path,
    config: RunConfig,
    network: nn.Module,
    *,
    shape: tuple[int, int, int],
    labels: Sequence[str],
    normalisation: Normalisation,
    source: str,
    kind: str,
    about: str,
    note: str,
    remarks: Sequence[str],
    owner: str,
    after: float,
) -> RunFolder:
    mean, std = normalisation

    def fill(folder: RunFolder) -> None:
        attempt = folder.begin_attempt()
        folder.write_dataset(
            {
                "name": config.dataset.name,
                "class_names": list(labels),
                "shape": list(shape),
                "mean": list(mean),
                "std": list(std),
                "provenance": {"source": source, "note": about, "skipped": []},
            }
        )
        checkpoints.save_best(folder.best_path, network.state_dict(), epoch=0, accuracy=float("nan"))
        parameters = sum(weight.numel() for weight in network.parameters())
        folder.write_progress({"attempt": attempt, "step": 0, "total_steps": 0, "epoch": 0, "parameters": parameters})
        folder.write_end(RunState.FINISHED, attempt, result={"imported": kind})

    title = _last(source) if _last(source) != source or "." in source else config.model.backbone
    return RunFolder.create(parent, config, title=title, note=" ".join((note, *remarks)), owner=owner, after=after, fill=fill)
