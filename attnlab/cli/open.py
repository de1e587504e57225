"""``attnlab open net.pth``: a checkpoint of the original repositories as a run, see `attnlab.runs.imported`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from attnlab import paths
from attnlab.cli.common import Json, open_store, tell
from attnlab.config import DatasetConfig


def open_(
    file: Path,
    *,
    dataset: str | None = None,
    choice: Annotated[list[str] | None, Parameter(negative="")] = None,
    normalisation: Literal["source", "imagenet"] = "source",
    weights: str | None = None,
    as_json: Json = False,
) -> int:
    """Open a checkpoint of the original repositories as a run, to inspect it in the app.

    Parameters
    ----------
    file
        a safetensors file, or one written by torch.save (.pt, .pth)
    dataset
        the images the network was trained on: a registered data set or a path (default: the first data set that fits)
    choice
        a setting the file does not record, as in: --choice pooling=before --choice normalize=sigmoid
    normalisation
        of the pixels: as in the source's training script, or ImageNet's
    weights
        which weights, where the file holds several sets, as in: --weights ema (default: the first that is not an average)
    """
    from attnlab.data import IMAGENET, absolute_name
    from attnlab.interop import open_checkpoint, open_reference, recognise, reference_config
    from attnlab.runs.imported import NO_PICTURES, fitting_datasets, import_checkpoint

    checkpoint = open_checkpoint(file, take=weights)
    for remark in checkpoint.remarks():
        print(remark, file=sys.stderr)
    reference = recognise(checkpoint)
    choices = dict(_pair(text) for text in choice or ())
    tree: dict[str, Any] = {"reference": reference.name, "title": reference.title, "source": reference.source}
    tree |= {"weights": checkpoint.found, "sets": list(checkpoint.sets), "left_out": list(checkpoint.left_out)}
    if not reference.network:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            open_reference(checkpoint, **choices)  # names what is missing or does not fit
        text = f"{reference.title}: a single attention block, not a network that can be opened as a run"
        return tell(tree | {"network": False}, text, as_json=as_json)
    with warnings.catch_warnings(record=True) as assumptions:
        warnings.simplefilter("always")
        _, shape, outputs = reference_config(checkpoint, **choices)
        fitting = fitting_datasets(shape.channels, max(2, outputs))
        with open_store() as store:
            newest = store.newest()
        folder = import_checkpoint(
            paths.runs_dir(),
            checkpoint,
            source=file.name,
            remarks=checkpoint.remarks(),
            dataset=DatasetConfig(name=absolute_name(dataset or next(iter(fitting), NO_PICTURES))),
            normalisation=IMAGENET if normalisation == "imagenet" else None,
            choices=choices,
            after=newest,
        )
    for message in dict.fromkeys(str(warning.message) for warning in assumptions):
        print(message, file=sys.stderr)
    parameters = folder.progress()["parameters"]
    tree |= {"network": True, "run_id": folder.run_id, "folder": str(folder.path), "parameters": parameters}
    tree["config"] = folder.config.model_dump(mode="json")
    return tell(tree, f"{reference.title}, {parameters:,} parameters\n{folder.run_id}\n{folder.path}", as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"--choice {text}: expected name=value, as in pooling=before")
    return name, value
