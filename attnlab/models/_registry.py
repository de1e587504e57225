"""Networks by name. A network is a class decorated by `register_model`; `build_model` builds the one a config names.

It is built as ``network(shape, classes, attention, **options)`` and returns logits (B, classes). One that says which of its
convolutions a mixer replaces (``mixes``) is given ``mixer=`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from torch import nn

from attnlab.attention import (
    NONE,
    attention_taps,
    build_attention,
    build_mixer,
    fix_weights,
    split_composition,
    split_mixer,
    start_as_identity,
)
from attnlab.config import OWN_ATTENTION, ModelConfig, Placement
from attnlab.plugins import load_plugins
from attnlab.registry import Registry, default_options, offered_options, refuse_unknown


class ImageShape(NamedTuple):
    """The shape of one image of the data set."""

    channels: int
    height: int
    width: int


class BlockFactory(Protocol):
    """Makes an attention block for maps of ``channels`` and ``size = (H, W)``; `None` where a run has no attention."""

    def __call__(self, channels: int, size: tuple[int, int]) -> nn.Module | None: ...


class MixerFactory(Protocol):
    """Makes what takes the place of a convolution and keeps (H, W); `None` where the convolution stays."""

    def __call__(self, channels_in: int, channels_out: int, size: tuple[int, int]) -> nn.Module | None: ...


def no_mixer(channels_in: int, channels_out: int, size: tuple[int, int]) -> None:
    """The `MixerFactory` of a network that keeps its convolutions."""


@dataclass(frozen=True)
class Network:
    """A registered network, with what the app says about it.

    Attributes:
        name: used in configs and links.
        title: shown to people.
        paper: link to the paper, or its citation where it has none.
        summary: one sentence.
        placements: where attention blocks can be placed; empty when it takes none.
        min_size: the smallest side in pixels it accepts.
        multiple: sides must be divisible by this.
        width: the default width, used when the config names none.
        own_attention: what its built-in attention is called, as in "built-in gates"; empty when it has none. An option
            ``depths`` at 0 means that it is switched off.
        mixes: the convolutions that a mixer replaces, in words; empty when it takes none.
        options: option name -> the values offered; the default is the signature's.
        module: ``module(shape, classes, attention, *, placement, width, **options)``, with ``mixer`` where it ``mixes``.
    """

    name: str
    title: str
    paper: str
    summary: str
    placements: tuple[Placement, ...]
    min_size: int
    multiple: int
    width: int
    module: type[nn.Module]
    own_attention: str = ""
    mixes: str = ""
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        return default_options(self.module, self.options)


_NETWORKS: Registry[Network] = Registry("network", load=partial(load_plugins, "attnlab.models"))


def register_model(
    name: str,
    *,
    title: str,
    paper: str,
    summary: str,
    width: int,
    placements: Sequence[Placement] = (),
    min_size: int = 8,
    multiple: int = 1,
    own_attention: str = "",
    mixes: str = "",
    options: Mapping[str, Sequence[Any]] | None = None,
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Registers a network class under ``name``. The arguments are those of `Network`.

    Raises:
        ValueError: when the name is taken or not a plain word, an option is not a keyword-only argument of the
            constructor, its default is not among the values offered, or `attnlab.config.OWN_ATTENTION` disagrees with
            ``own_attention``.
    """

    def decorate(module: type[nn.Module]) -> type[nn.Module]:
        if OWN_ATTENTION.get(name, own_attention) != own_attention:
            raise ValueError(f"{name}: own_attention is {own_attention!r}, but {OWN_ATTENTION[name]!r} in attnlab.config")
        _NETWORKS.register(
            Network(
                name,
                title,
                paper,
                summary,
                tuple(placements),
                min_size,
                multiple,
                width,
                module,
                own_attention,
                mixes,
                offered_options(name, module, options),
            )
        )
        return module

    return decorate


def list_models() -> dict[str, Network]:
    """All registered networks by name, sorted."""
    return _NETWORKS.list()


def get_model(name: str) -> Network:
    """One network.

    Raises:
        ValueError: for an unknown name, listing the known ones.
    """
    return _NETWORKS.get(name)


def check_placement(backbone: str, placement: str) -> None:
    """
    Raises:
        ValueError: for an unknown network, or one that takes no variants, or none at this place; the message says what is
            possible.
    """
    network = get_model(backbone)
    if not network.placements:
        why = "has its own attention" if network.own_attention else "takes no attention"
        raise ValueError(f"{network.name} {why}; set model.attention to {NONE!r}, or choose another network")
    if placement not in network.placements:
        raise ValueError(f"{network.name} cannot place attention at {placement!r}; possible: {', '.join(network.placements)}")


def build_model(config: ModelConfig, shape: ImageShape, classes: int) -> nn.Module:
    """Builds the network of a config for images of ``shape`` and ``classes`` logits.

    With ``control="neutral"`` the weights of the variant are fixed, see `attnlab.attention.fix_weights`: gates let their input
    pass, readouts add nothing, and what replaces a convolution weighs its branches or positions alike. The parameters are
    the same, and so are their values before training, since the same blocks are built in the same order. Without a variant
    it is the network's own attention whose weights are fixed; where there is a variant, that stays as it is.

    Raises:
        ValueError: for an unknown network, variant, option or placement, an option value of another type than those
            offered, an unsuitable image size, a variant that cannot start as the config says, or a control of a network without
            attention; the message says what is possible.
    """
    network = get_model(config.backbone)
    mixer_name, block_names = split_mixer(config.attention)
    refuse_unknown(network.name, config.options, network.options)
    for option, value in config.options.items():
        if not any(_same_kind(value, known) for known in network.options[option]):
            offered = ", ".join(map(repr, network.options[option]))
            raise ValueError(f"{network.name}: {option} takes values such as {offered}; got {value!r}")
    if config.attention != NONE:
        if absent := set(config.attention_options) - set(split_composition(config.attention)):
            named = ", ".join(sorted(absent))
            raise ValueError(f"options given for {named}, which {config.attention!r} does not contain")
        check_placement(network.name, config.placement)
        chosen = config.options.get("stages", "all")
        if config.placement == "before_classifier" and chosen != "all" and mixer_name == NONE:
            raise ValueError(
                f"before the classifier there is one place, after all stages; stages must be 'all', not {chosen!r}"
            )
    for side in (shape.height, shape.width):
        if side < network.min_size or side % network.multiple:
            raise ValueError(
                f"{network.name} needs sides of at least {network.min_size} pixels"
                + (f", divisible by {network.multiple}" if network.multiple > 1 else "")
                + f"; got {shape.height} x {shape.width}. Set dataset.image_size."
            )

    if mixer_name != NONE and not network.mixes:
        known = ", ".join(name for name, other in list_models().items() if other.mixes)
        raise ValueError(f"{network.name} has no convolution that {mixer_name} could replace; networks that have one: {known}")
    mixer_options = {name: values for name, values in config.attention_options.items() if name == mixer_name}
    block_options = {name: values for name, values in config.attention_options.items() if name != mixer_name}

    fixed = config.control == "neutral"

    def made(block: nn.Module) -> nn.Module:
        if fixed:
            fix_weights(block)
        return block

    def attention(channels: int, size: tuple[int, int]) -> nn.Module | None:
        return None if block_names == NONE else made(build_attention(block_names, channels, size, block_options))

    def mixer(channels_in: int, channels_out: int, size: tuple[int, int]) -> nn.Module | None:
        return None if mixer_name == NONE else made(build_mixer(mixer_name, channels_in, channels_out, size, mixer_options))

    factories = {"mixer": mixer} if network.mixes else {}
    model = network.module(
        shape,
        classes,
        attention,
        placement=config.placement,
        width=config.width or network.width,
        **factories,
        **config.options,
    )
    if fixed and config.attention == NONE:
        fix_weights(model)
    if fixed and not any(tap.fixed for tap in attention_taps(model).values()):
        raise ValueError(f"{network.name} without attention has no weights to fix; set model.control to 'none'")
    if config.attention_start == "identity":  # after the network has drawn the weights of its parts
        start_as_identity(model, config.attention)
    return model


def _same_kind(value: Any, known: Any) -> bool:
    """Whether a value has the type of an offered value; an int may stand for a float."""
    return type(value) is type(known) or (type(known) is float and type(value) is int)
