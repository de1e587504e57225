"""Networks of others by name, so that a run can say which it is.

    timm/seresnet18                   timm.create_model
    torchvision/vit_b_16              torchvision.models.get_model
    transformers/vit                  AutoModelForImageClassification, with the settings of its configuration as options
    python/package.module:function    a function of the owner's own code, see `allow_code`

They are built with random weights, whose place those of the run take, and adopted. Nothing is downloaded here but by
`hub_network`, when a person asks for it.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnlab import paths
from attnlab.adapters.adoption import adopt, logits_of
from attnlab.adapters.hub import Progress, Unreachable, fetch_weights
from attnlab.attention import evaluating
from attnlab.config import ModelConfig
from attnlab.files import write_file
from attnlab.models import ImageShape, build_model

LIBRARIES = ("timm", "torchvision", "transformers")
CODE = "python"
_FILE = "own_networks.json"
_LOADS = frozenset({"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "weights"})
"""Arguments by which a library reads files or the network: a run may not have them, since its folder may come from anywhere."""
_CLASSES = ("num_classes", "num_labels")
"""Arguments by which a library is told the number of classes."""
_PLAIN_NAME = re.compile(r"[\w.-]+")
"""A network that a library itself knows; timm would download or read what is named like ``hf-hub:owner/model``."""


class NetworkUnavailable(ValueError):
    """The network cannot be had; the message says what to do."""


def build_network(config: ModelConfig, shape: ImageShape, classes: int, *, tapped: bool = True) -> nn.Module:
    """The network of a config: one of attnlab's, or one of others, adopted, which returns its logits.

    Args:
        tapped: ``False`` leaves a network of others as it is, where nobody looks at its attention.

    Raises:
        ValueError: as `attnlab.models.build_model`, or `NetworkUnavailable`.
    """
    if not config.foreign:
        return build_model(config, shape, classes)
    model = foreign_network(config.backbone, classes, config.options)
    if not tapped:
        return model
    return adopt(model.eval(), torch.zeros(1, shape.channels, shape.height, shape.width)).only_logits()


def foreign_network(name: str, classes: int | None = None, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A network of others with random weights, as its library builds it.

    Args:
        name: as in "timm/seresnet18".
        classes: how many logits; `None` takes the library's own number.
        options: further arguments of the library's constructor.

    Raises:
        NetworkUnavailable: where the library is not installed, knows no such network, or refuses the options; where the code of
            one's own may not be run or fails.
    """
    library, _, rest = name.partition("/")
    makers: dict[str, Callable[[str, int | None, dict[str, Any]], Any]] = {
        "timm": _timm,
        "torchvision": _torchvision,
        "transformers": _transformers,
        CODE: _own_code,
    }
    if library not in makers or not rest:
        raise NetworkUnavailable(f"{name} names no network: write it as in timm/seresnet18, of {', '.join(LIBRARIES)}")
    if library != CODE:
        if not _PLAIN_NAME.fullmatch(rest):
            raise NetworkUnavailable(
                f"{rest} is no name of a network of {library}; weights of the hub are opened with --weights hub"
            )
        if loads := sorted(_LOADS.intersection(options or {})):
            raise NetworkUnavailable(f"{', '.join(loads)} cannot be set: the weights of a run are in its folder")
    with torch.random.fork_rng(devices=[]):
        made = makers[library](rest, classes, dict(options or {}))
    if not isinstance(made, nn.Module):
        raise NetworkUnavailable(f"{rest} returned {type(made).__name__}, not a network (torch.nn.Module)")
    return made


def known_networks(library: str) -> list[str]:
    """The names that a library knows, sorted.

    Raises:
        NetworkUnavailable: where it is not installed.
    """
    module = _library(library)
    if library == "timm":
        return sorted(module.list_models())
    if library == "torchvision":
        from torchvision.models import list_models

        return sorted(name for name in list_models(module=module.models) if "quantized" not in name)
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    return sorted(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)


def fitted_network(name: str, weights: Mapping[str, Tensor], options: Mapping[str, Any] | None = None) -> nn.Module:
    """A network of others with weights from a file.

    The number of classes is not asked for: where the classifier of the file has another number of rows than the network's, the
    network is built anew with that number.

    Raises:
        NetworkUnavailable: as `foreign_network`, or for weights of another network.
    """
    model = foreign_network(name, None, options)
    own = model.state_dict()
    rows = {
        value.shape[0]
        for key, value in weights.items()
        if key in own and value.ndim and value.shape != own[key].shape and value.shape[1:] == own[key].shape[1:]
    }
    if len(rows) == 1 and not name.startswith(f"{CODE}/"):
        model = foreign_network(name, rows.pop(), options)
        own = model.state_dict()
    if problems := why_unfit(own, weights):
        raise NetworkUnavailable(f"these are not the weights of {name}: {problems}")
    model.load_state_dict(dict(weights))
    return model.eval()


def why_unfit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """Why weights are not those of a network, the first three reasons; empty where they are.

    Args:
        own: the parameters and buffers of the network, as `state_dict` gives them.
    """
    both = [(key, weights[key], own[key]) for key in own if key in weights]
    problems = [
        *(f"{key} is missing" for key in own if key not in weights),
        *(f"{key} belongs to another network" for key in weights if key not in own),
        *(f"{key} has shape {tuple(w.shape)}, the network {tuple(o.shape)}" for key, w, o in both if w.shape != o.shape),
        *(
            f"{key} holds whole numbers ({str(w.dtype).removeprefix('torch.')}), as quantised weights do"
            for key, w, o in both
            if o.is_floating_point() and not w.is_floating_point()
        ),
    ]
    more = f"; and {len(problems) - 3:,} more" if len(problems) > 3 else ""
    return f"{'; '.join(problems[:3])}{more}"


class HubNetwork(NamedTuple):
    """A network with weights from its library's hub, and the name and options by which a run builds it again."""

    model: nn.Module
    name: str
    options: dict[str, Any]


def hub_network(
    name: str, options: Mapping[str, Any] | None = None, progress: Progress = lambda done, total: None
) -> HubNetwork:
    """A network with the weights that its library offers for it, downloaded or from the library's cache.

    Args:
        name: for transformers that of the model on the hub, as in "transformers/google/vit-base-patch16-224".
        progress: told of the bytes of each file; what it raises stops the download, and is raised here.

    Raises:
        NetworkUnavailable: where there are none, or they cannot be reached.
    """
    library, _, rest = name.partition("/")
    module = _library(library)
    if library != "transformers" and not _PLAIN_NAME.fullmatch(rest):
        raise NetworkUnavailable(f"{rest} is no name of a network of {library}")
    stopped: list[Exception] = []

    def tell(done: int, total: int) -> None:
        try:
            progress(done, total)
        except Exception as error:  # the libraries may take it for a failure of their own
            stopped.append(error)
            raise

    try:
        fetch_weights(library, rest, tell)
        if library == "timm":
            model = module.create_model(rest, pretrained=True, **dict(options or {}))
        elif library == "torchvision":
            model = module.models.get_model(rest, weights="DEFAULT", **dict(options or {}))
        else:
            local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            model = module.AutoModelForImageClassification.from_pretrained(rest, use_safetensors=True, **local)
            name, options = f"{library}/{model.config.model_type}", _settings(model.config.to_diff_dict())
    except Unreachable as error:
        raise NetworkUnavailable(
            f"{error} cannot be reached from this machine, and the weights of {name} are not in the cache of {library}. Open a "
            "file of weights instead, or try again where there is a network"
        ) from error
    except Exception as error:  # whatever a library raises for a name that it does not know
        if stopped:
            raise stopped[0] from error
        raise NetworkUnavailable(f"the weights of {name} could not be had: {_first_line(error)}") from error
    return HubNetwork(model.eval(), name, dict(options or {}))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the network itself, of a configuration of transformers: not its names, its classes, and how it was saved."""
    saved = {"architectures", "model_type", "transformers_version", "_name_or_path", "dtype", "torch_dtype"}
    classes = {"id2label", "label2id", "num_labels", "problem_type"}
    return {key: value for key, value in config.items() if key not in saved | classes}


def allow_code(function: str, folder: str) -> None:
    """Lets runs of this home be built by a function of the owner's own code, "package.module:function".

    A run folder alone never makes attnlab import code: what it may import was named on the command line, by whoever is at the
    machine, and is kept in a file of the home.

    Args:
        folder: where Python finds the module, besides what is installed.
    """
    allowed = _allowed() | {function: str(Path(folder).resolve())}
    paths.home().mkdir(parents=True, exist_ok=True)
    written = json.dumps(allowed, indent=1).encode()
    write_file(paths.home() / _FILE, lambda file: file.write(written))


def _allowed() -> dict[str, str]:
    try:
        tree = json.loads((paths.home() / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in tree.items()} if isinstance(tree, dict) else {}


def _library(name: str) -> Any:
    if name not in LIBRARIES:
        raise NetworkUnavailable(f"{name} is no library whose networks attnlab knows; there are {', '.join(LIBRARIES)}")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NetworkUnavailable(f"{name} is not installed. It comes with: pip install 'attnlab[models]'") from error


def _timm(name: str, classes: int | None, options: dict[str, Any]) -> Any:
    timm = _library("timm")
    return _made(timm.create_model, name, **options, **({} if classes is None else {"num_classes": classes}))


def _torchvision(name: str, classes: int | None, options: dict[str, Any]) -> Any:
    models = _library("torchvision").models
    return _made(models.get_model, name, weights=None, **options, **({} if classes is None else {"num_classes": classes}))


def _transformers(name: str, classes: int | None, options: dict[str, Any]) -> Any:
    transformers = _library("transformers")
    settings = options | ({} if classes is None else {"num_labels": classes})
    config = _made(transformers.AutoConfig.for_model, name, **settings)
    return _made(transformers.AutoModelForImageClassification.from_config, config)


def _own_code(name: str, classes: int | None, options: dict[str, Any]) -> Any:
    folder = _allowed().get(name)
    if folder is None:
        raise NetworkUnavailable(
            f"{name} is code, which attnlab imports only after the owner of this machine has named it: attnlab open {name}"
        )
    module, _, function = name.partition(":")
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise NetworkUnavailable(f"{name} was not found in {folder}: {_first_line(error)}") from error
    except (Exception, SystemExit) as error:  # whatever the module raises: also a script may be imported that ends the program
        raise NetworkUnavailable(f"{module} cannot be imported: {type(error).__name__}: {_first_line(error)}") from error
    return _made(make, **options)


def _made(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return make(*args, **options)
    except (Exception, SystemExit) as error:  # whatever the code of others raises
        named = args[0] if args and isinstance(args[0], str) else getattr(make, "__name__", "the network")
        raise NetworkUnavailable(f"{named} cannot be built: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def outputs(model: nn.Module, shape: tuple[int, int, int], options: Mapping[str, Any] | None = None) -> int:
    """How many classes a network tells apart, from one forward of an empty picture (C, H, W).

    Args:
        options: with which it was built; a library takes numbers of classes that it then does not have, such as -3.

    Raises:
        NetworkUnavailable: for a network that does not take pictures, or returns no logits, or another number than was asked.
    """
    if shape[0] not in (1, 3):
        raise NetworkUnavailable(f"{type(model).__name__} takes {shape[0]} channels, but a picture has 1 (grey) or 3 (colour)")
    with evaluating(model), torch.no_grad():
        try:
            logits = logits_of(model(torch.zeros(1, *shape)))
        except Exception as error:  # whatever a foreign network raises
            sides = " x ".join(map(str, shape))
            raise NetworkUnavailable(
                f"{type(model).__name__} does not take pictures of {sides}: {_first_line(error)}"
            ) from error
    if logits.ndim != 2 or logits.shape[1] < 2:
        found = tuple(logits.shape)
        raise NetworkUnavailable(f"{type(model).__name__} returns {found} for one picture, and not one logit for each class")
    classes = int(logits.shape[1])
    for name in _CLASSES:
        if (asked := (options or {}).get(name, classes)) != classes:
            raise NetworkUnavailable(f"{name}={asked} does not give a network with so many classes; it must be at least 2")
    return classes
