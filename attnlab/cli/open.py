"""``attnlab open``: a checkpoint of the original repositories, or a network of others, as a run (`attnlab.runs.imported`)."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from attnlab import paths
from attnlab.cli.common import Json, open_store, tell
from attnlab.config import DatasetConfig

_NETWORK = re.compile(r"(timm|torchvision|transformers)/\S+|[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""The name of a network: of a library, or a function of one's own code."""


def open_(
    what: str,
    *,
    dataset: Annotated[str | None, Parameter(name=["--dataset", "--images"])] = None,
    weights: str | None = None,
    choice: Annotated[list[str] | None, Parameter(negative="")] = None,
    option: Annotated[list[str] | None, Parameter(negative="")] = None,
    image_size: int | None = None,
    normalisation: Literal["source", "imagenet"] = "source",
    as_json: Json = False,
) -> int:
    """Open a network that was trained elsewhere as a run, to inspect it in the app.

    A file is a checkpoint of one of the original repositories, whose network is recognised by the names in it. A name is a
    network of timm, torchvision or transformers, or a function of your own code:

        attnlab open net.pth
        attnlab open timm/seresnet18 --weights net.safetensors
        attnlab open timm/seresnet18 --weights hub
        attnlab open my_package.my_module:make_model --weights net.safetensors --images folder/

    Parameters
    ----------
    what
        a safetensors file, or one written by torch.save (.pt, .pth); or the name of a network
    dataset
        the images the network was trained on: a registered data set or a path (default: the first data set that fits)
    weights
        of a network by name: the file of its weights, hub to download what its library offers, or random; of a checkpoint:
        which weights, where the file holds several sets, as in: --weights ema (default: the first that is not an average)
    choice
        a setting that a checkpoint does not record, as in: --choice pooling=before --choice normalize=sigmoid
    option
        an argument of a named network's constructor, as in: --option img_size=64
    image_size
        the side of the images of a named network, in pixels (default: what it says itself)
    normalisation
        of the pixels: as in the source's training script, or ImageNet's
    """
    if not Path(what).exists() and _NETWORK.fullmatch(what):
        return _open_network(
            what,
            weights=weights,
            dataset=dataset,
            options=dict(_pair(text, "--option") for text in option or ()),
            image_size=image_size,
            imagenet=normalisation == "imagenet",
            as_json=as_json,
        )
    file = Path(what)
    from attnlab.data import IMAGENET, absolute_name
    from attnlab.interop import open_checkpoint, open_reference, recognise, reference_config
    from attnlab.runs.imported import NO_PICTURES, fitting_datasets, import_checkpoint

    checkpoint = open_checkpoint(file, take=weights)
    for remark in checkpoint.remarks():
        print(remark, file=sys.stderr)
    reference = recognise(checkpoint)
    choices = dict(_pair(text, "--choice") for text in choice or ())
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
            dataset=DatasetConfig(name=next(iter(fitting), NO_PICTURES) if dataset is None else absolute_name(dataset)),
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


def _open_network(
    name: str,
    *,
    weights: str | None,
    dataset: str | None,
    options: dict[str, str],
    image_size: int | None,
    imagenet: bool,
    as_json: bool,
) -> int:
    """Opens a network of others, or of one's own code, by name."""
    import torch

    from attnlab.adapters import (
        CODE,
        NetworkUnavailable,
        adopt,
        allow_code,
        fitted_network,
        foreign_network,
        hub_network,
        outputs,
        preprocessing_of,
    )
    from attnlab.data import IMAGENET, absolute_name
    from attnlab.interop import open_checkpoint
    from attnlab.runs.imported import NO_PICTURES, fitting_datasets, import_network

    values = {key: _value(text) for key, text in options.items()}
    if "/" not in name:
        allow_code(name, str(Path.cwd()))
        name = f"{CODE}/{name}"
    DatasetConfig(name=NO_PICTURES, image_size=image_size)  # refuses a size that no run can have
    if weights is None:
        raise ValueError(f"which weights? --weights FILE, --weights hub, or --weights random to see {name} untrained")
    if weights == "hub":
        network, name, values = hub_network(name, values, _downloading())
        source = "the library's hub"
    elif weights == "random":
        network, source = foreign_network(name, None, values).eval(), "random numbers"
    else:
        network, source = fitted_network(name, open_checkpoint(Path(weights)), values), Path(weights).name
    try:
        known = preprocessing_of(network)
        shape, mean, std = known.shape, known.mean, known.std
    except ValueError as error:
        if image_size is None:
            raise NetworkUnavailable(f"{name} does not say which images it takes; say it with --image-size") from error
        shape, (mean, std) = (3, image_size, image_size), IMAGENET
    if image_size is not None:
        shape = (shape[0], image_size, image_size)
    classes = outputs(network, shape, values)
    with adopt(network, torch.zeros(1, *shape)) as adopted:
        taps, untapped = list(adopted.taps), [f"{each.path}: {each.reason}" for each in adopted.untapped]
    fitting = fitting_datasets(shape[0], classes)
    name_of_dataset = next(iter(fitting), NO_PICTURES) if dataset is None else absolute_name(dataset)
    with open_store() as store:
        newest = store.newest()
    folder = import_network(
        paths.runs_dir(),
        name,
        network,
        source=source,
        shape=shape,
        outputs=classes,
        dataset=DatasetConfig(name=name_of_dataset),
        normalisation=IMAGENET if imagenet else (mean, std),
        options=values,
        after=newest,
    )
    for line in untapped:
        print(f"not shown: {line}", file=sys.stderr)
    parameters = folder.progress()["parameters"]
    tree: dict[str, Any] = {"network": True, "run_id": folder.run_id, "folder": str(folder.path), "parameters": parameters}
    tree |= {"taps": taps, "untapped": untapped, "config": folder.config.model_dump(mode="json")}
    shown = f"{len(taps)} attention maps" if len(taps) != 1 else "1 attention map"
    return tell(tree, f"{name}, {parameters:,} parameters, {shown}\n{folder.run_id}\n{folder.path}", as_json=as_json)


def _downloading() -> Callable[[int, int], None]:
    """Tells on stderr how much of a file has come: on a terminal in one line, else every tenth of it."""
    tenths = -1

    def tell(done: int, total: int) -> None:
        nonlocal tenths
        tenth = 10 * done // total if total else 0
        if sys.stderr.isatty() or tenth != tenths:
            line = f"downloaded {done / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB" if total else " MB")
            print(line, end="\r" if sys.stderr.isatty() and done != total else "\n", file=sys.stderr, flush=True)
        tenths = tenth

    return tell


def _value(text: str) -> Any:
    """A value as JSON says it, else the text: 64, true, [2, 2], avg."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"{flag} {text}: expected name=value, as in pooling=before")
    return name, value
