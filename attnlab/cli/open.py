"""``python -m attnlab open net.pth``: a checkpoint of the original repositories as a run, see `attnlab.runs.imported`."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from attnlab import paths
from attnlab.config import DatasetConfig

Json = Annotated[bool, Parameter(name="--json", negative="", help="print one JSON object")]


def open_command(
    file: Path,
    *,
    dataset: str = "",
    choice: Annotated[list[str] | None, Parameter(negative="")] = None,
    normalisation: Literal["source", "imagenet"] = "source",
    as_json: Json = False,
) -> int:
    """Open a checkpoint of the original repositories as a run that the app can inspect.

    Parameters
    ----------
    file
        safetensors, or what torch.save wrote (.pt, .pth)
    dataset
        the pictures the network was made for: a data set's name or a path; the first that fits when it is left out
    choice
        what the weights cannot tell: pooling=before, normalize=sigmoid, ...
    normalisation
        of the pixels: as in the source's training script, or ImageNet's
    """
    from attnlab.data import IMAGENET
    from attnlab.interop import open_checkpoint, recognise, reference_config
    from attnlab.runs.imported import NO_PICTURES, fitting_datasets, import_checkpoint

    weights = open_checkpoint(file)
    reference = recognise(weights)
    choices = dict(_pair(text) for text in choice or ())
    told: dict[str, Any] = {"reference": reference.name, "title": reference.title, "source": reference.source}
    if not reference.network:
        return _tell(told | {"network": False}, f"{reference.title}: a block, not a network", as_json)
    with warnings.catch_warnings(record=True) as assumed:
        warnings.simplefilter("always")
        _, shape, outputs = reference_config(weights, **choices)
        fitting = fitting_datasets(shape.channels, max(2, outputs))
        name = dataset or next(iter(fitting), NO_PICTURES)
        path = Path(name).expanduser()
        folder = import_checkpoint(
            paths.runs_dir(),
            weights,
            source=file.name,
            dataset=DatasetConfig(name=str(path.resolve()) if path.exists() else name),
            normalisation=IMAGENET if normalisation == "imagenet" else None,
            choices=choices,
        )
    for text in dict.fromkeys(str(warning.message) for warning in assumed):
        print(text, file=sys.stderr)
    found = told | {"network": True, "run_id": folder.run_id, "folder": str(folder.path)}
    found |= {"parameters": folder.progress()["parameters"], "config": folder.config.model_dump(mode="json")}
    return _tell(found, f"{reference.title}, {found['parameters']:,} parameters\n{folder.run_id}\n{folder.path}", as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"--choice {text}: expected name=value, as in pooling=before")
    return name, value


def _tell(tree: dict[str, Any], text: str, as_json: bool) -> int:
    print(json.dumps(tree, indent=1) if as_json else text)
    return 0
