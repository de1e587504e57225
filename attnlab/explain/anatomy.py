"""One attention variant taken apart: a block that runs on a picture, its numbers, and what it costs.

The block lies in a network that was trained with it, where a shipped run has one. Otherwise it is a new one with weights from
a fixed seed, put into the shipped network without attention, whose own weights stay: the features that enter it are real, and
what it makes of them is not learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as Folder
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attnlab.attention import Symbol, Variant, blocks_of, locate_calls, split_composition
from attnlab.config import ModelConfig
from attnlab.data import normalise
from attnlab.explain.calls import observe_calls
from attnlab.explain.cost import count_flops, count_parameters
from attnlab.explain.data_path import Path, follow
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.geometry import Cells
from attnlab.maps import MapKind
from attnlab.models import ImageShape, Network, build_model
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import run_folders

MOST_POSITIONS = {True: 64, False: 256}
"""A block on so many positions at most is taken, of pairs of positions and of others: small enough to be seen whole."""
SEED = 2
"""Of fresh weights. With some seeds all units of a narrow layer are silent, and all weights of a block alike."""
INPUT = Symbol("x", "features that enter", "x")
OUTPUT = Symbol("y", "features that leave", "y")


class AnatomyError(ValueError):
    """There is no block to take apart; the message says why."""


@dataclass(frozen=True, eq=False)
class Specimen:
    """A network with a block of the variant.

    Attributes:
        run: the network, with the classes and the scale of its images.
        trained: whether the block was trained with it.
        place: path of the block.
        cells: where the features that enter it lie in the picture; `None` where that is not known.
    """

    variant: Variant
    run: OpenRun
    trained: bool
    place: str
    cells: Cells | None

    @cached_property
    def block(self) -> nn.Module:
        return self.run.model.get_submodule(self.place)

    def dissect(self, image: Tensor) -> Dissection:
        """The block on one image, uint8 (C, H, W)."""
        entering: list[Tensor] = []
        x = normalise(image[None], self.run.mean, self.run.std)
        observe_calls(self.run.model, x, {"": self.block}, lambda name, taken, given: entering.append(taken.clone()))
        path = follow(self.block, entering[0])
        return Dissection(path, tuple(shown_symbols(self.variant, path)))


@dataclass(frozen=True, eq=False)
class Dissection:
    """A block on one image.

    Attributes:
        symbols: the parts of the formula that have numbers in this forward.
    """

    path: Path
    symbols: tuple[Symbol, ...]

    @property
    def features(self) -> tuple[int, int, int]:
        """(C, H, W) of what enters."""
        channels, height, width = self.path.values["x"].shape
        return channels, height, width

    def value(self, symbol: Symbol) -> Tensor:
        """The numbers of a symbol, of one image."""
        return self.path.values[symbol.source]


def shown_symbols(variant: Variant, path: Path) -> list[Symbol]:
    """The registered symbols that this forward has, the input and output, and the weights that no symbol names.

    An option may leave a part of a block out, and a plug-in may have registered none.
    """
    own = [symbol for symbol in variant.symbols if symbol.source in path.values]
    named = {symbol.source for symbol in own}
    taps = [step for step in path.steps if step.kind == "weights" and step.path not in named]
    return [INPUT, *own, *(Symbol("", f"weights of {step.path}", step.path) for step in taps), OUTPUT]


def find_specimen(variant: Variant, runs: Folder) -> Specimen:
    """A block of the variant in a shipped network.

    Args:
        runs: the folder of the shipped runs.

    Raises:
        AnatomyError: when there is no shipped network to put it into, or it does not fit there.
    """
    plain, trained = None, []
    for folder in run_folders(runs):
        try:
            model = folder.config.model
        except FolderError:
            continue
        if variant.name in split_composition(model.attention):
            trained.append((model.attention != variant.name, folder.path))
        elif plain is None and model.attention == "none" and model.backbone == "small_cnn":
            plain = folder.path
    if trained:
        return _placed(variant, open_run(min(trained)[1]), trained=True)
    if plain is None:
        raise AnatomyError("There are no shipped runs, so there is no network to put this variant into: run attnlab demo.")
    return _placed(variant, _with_fresh_block(variant, open_run(plain)), trained=False)


def _with_fresh_block(variant: Variant, plain: OpenRun) -> OpenRun:
    """The network with new blocks of a variant among its own weights."""
    options = {variant.name: dict(variant.new_runs)} if variant.new_runs else {}
    config = plain.config.changed(model__attention=variant.name, model__attention_options=options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        try:
            model = build_model(config.model, ImageShape(*plain.shape), len(plain.class_names)).eval()
        except ValueError as error:
            raise AnatomyError(f"{variant.title} does not fit into the shipped network: {error}.") from error
    own = model.state_dict()
    kept = {name: value for name, value in plain.model.state_dict().items() if name in own and own[name].shape == value.shape}
    model.load_state_dict({**own, **kept})
    return OpenRun(**{**_fields(plain), "model": model, "config": config})


def _fields(run: OpenRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in OpenRun.__dataclass_fields__}


def _placed(variant: Variant, run: OpenRun, *, trained: bool) -> Specimen:
    """The first block on a map that is small enough, or the one on the smallest."""
    blocks = {path: block for path, (block, found) in blocks_of(run.model).items() if found.name == variant.name}
    sizes: dict[str, int] = {}

    def measure(path: str, taken: Tensor, given: Tensor) -> None:
        sizes[path] = taken.shape[-1] * taken.shape[-2]

    black = torch.zeros(1, *run.shape)
    observe_calls(run.model, black, blocks, measure)
    if not sizes:
        raise AnatomyError(f"{variant.title} has no block in the shipped network.")
    most = MOST_POSITIONS[MapKind.PAIRWISE in variant.kinds]
    small = [path for path, size in sizes.items() if size <= most]
    place = small[0] if small else min(sizes, key=lambda path: sizes[path])
    found = locate_calls(run.model, run.shape, {place: blocks[place]})[place]
    return Specimen(variant, run, trained, place, found.entering)


# ---- what it costs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BlockCost:
    """What one block costs on one image.

    Attributes:
        parameters: trainable ones.
        flops: a multiply-add counted as two; products and convolutions, as in `attnlab.explain.cost.count_flops`.
        sizes: what follows from the options, see `attnlab.attention.Variant.sizes`.
        pairs: weights of its maps of pairs of positions, all heads together; 0 without any.
    """

    parameters: int
    flops: int
    sizes: Mapping[str, int]
    pairs: int


def block_cost(variant: Variant, channels: int, side: int, options: Mapping[str, Any]) -> BlockCost:
    """The cost of a block for maps (``channels``, ``side``, ``side``), counted on the meta device.

    Raises:
        ValueError: when the variant cannot be built so; the message says why.
    """
    widths = (channels, channels) if variant.mixer else (channels,)
    with torch.device("meta"):
        block = variant.block(*widths, (side, side), **options).eval()
        x = torch.empty(1, channels, side, side)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        block(x)
    sizes = {}
    for name, size in variant.sizes.items():
        try:
            sizes[name] = int(size(block))
        except (AttributeError, TypeError, IndexError):  # an option leaves this part out
            continue
    heads = getattr(block, "heads", 1)
    pairs = (heads * side**4) if MapKind.PAIRWISE in variant.kinds else 0
    return BlockCost(sum(each.numel() for each in block.parameters()), counter.get_total_flops(), sizes, pairs)


def cost_by_channels(variant: Variant, channels: Sequence[int], side: int, options: Mapping[str, Any]) -> dict[int, BlockCost]:
    """The cost for several numbers of channels; those with which the variant cannot be built are left out."""
    found = {}
    for count in channels:
        try:
            found[count] = block_cost(variant, count, side, options)
        except ValueError:
            continue
    return found


# ---- networks -------------------------------------------------------------------------------------------------------


def network_path(model: nn.Module, x: Tensor) -> Path:
    """The data path of a whole network: its parts are one step each, those of lists and chains one by one.

    Args:
        x: (1, C, H, W), a normalised image.
    """
    whole = []
    for name, part in model.named_children():
        chain = isinstance(part, nn.ModuleList | nn.Sequential)
        whole += [f"{name}.{inner}" for inner, _ in part.named_children()] if chain else [name]
    return follow(model, x, whole)


def network_cost(network: Network, shape: ImageShape, width: int, options: Mapping[str, Any]) -> BlockCost:
    """As `block_cost`, of a network without a variant, for ten classes.

    Raises:
        ValueError: when it cannot be built so.
    """
    config = ModelConfig(backbone=network.name, width=width, options=dict(options))
    return BlockCost(count_parameters(config, shape, 10), count_flops(config, shape, 10), {}, 0)
