"""Attention variants by name, and their composition.

A variant is one file with a class decorated by `register_attention`. `build_attention("eca+conv_autoencoder", ...)` stacks
variants in the order they are named. Options list the values on offer; defaults and types stay in the constructor's
signature.

Most variants follow a convolution and keep the shape of a map. A mixer takes the place of a convolution: it mixes the
positions itself and may change the number of channels. Networks say which of their convolutions it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from attnlab.config import MIXERS
from attnlab.maps import MapKind
from attnlab.plugins import load_plugins
from attnlab.registry import Registry, chosen_options, default_options, offered_options, refuse_unknown

NONE = "none"


class Combine(StrEnum):
    """How the weights a1, a2, ... of a block act on its input x."""

    PRODUCT = "product"  # y = x a1 a2 ...
    ONE_PLUS = "one_plus"  # y = x (1 + a1) (1 + a2) ...
    SUM = "sum"  # y = x a1 + x a2 + ...
    MEAN = "mean"  # y = (x a1 + x a2 + ...) / n
    READOUT = "readout"  # the weights gather values, which are added: y = x + f(gathered)
    MIX = "mix"  # a mixer's: the weights choose among branches of x, or gather values, and nothing is added to x


class Symbol(NamedTuple):
    """A part of a variant's formula, and where its numbers are found in the running block.

    Attributes:
        latex: the part, as it stands in the formula.
        words: what it is, as a noun.
        source: a name of `attnlab.explain.data_path.Path.values`: the path of a module (what it gives; of a tap the weights) or
            of a parameter, ``"<path>.in"`` (what goes into a module), ``"<operation>()"`` (what this function gives first).
    """

    latex: str
    words: str
    source: str


@dataclass(frozen=True)
class Variant:
    """A registered attention block, with what the app says about it.

    Attributes:
        name: used in configs and links.
        title: shown to people.
        paper: link to the paper, or its citation where it has none.
        summary: one sentence: what it attends over, and how.
        formula: LaTeX of the weights.
        kinds: the kinds of its maps, in the order of its taps; an option may give others.
        combine: how its weights act on the input.
        options: option name -> the values offered; the default is the signature's, and what the paper does.
        new_runs: option name -> the value that a new run is given unless it is told another.
        no_identity: why the block cannot start as the identity; see `identity`.
        strength: one or two sentences: what it is good at, and what it cannot do.
        symbols: the parts of the formula that have numbers; "x" and "y" are known without them.
        sizes: what follows from channels and options, by name: ``size(block)``, as the width of a bottleneck.
        block: ``block(channels, size, **options)``, with ``size = (H, W)``; a mixer's is
            ``block(channels_in, channels_out, size, **options)``.
    """

    name: str
    title: str
    paper: str
    summary: str
    formula: str
    kinds: tuple[MapKind, ...]
    block: type[nn.Module]
    combine: Combine = Combine.PRODUCT
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    new_runs: Mapping[str, Any] = field(default_factory=dict)
    no_identity: str = ""
    strength: str = ""
    symbols: tuple[Symbol, ...] = ()
    sizes: Mapping[str, Callable[[Any], int]] = field(default_factory=dict)

    @property
    def identity(self) -> bool:
        """Whether the block can start as the identity: its class has a method ``start_as_identity()``.

        It sets the weights so that y == x, or raises a `ValueError` that says with which options it cannot.
        """
        return hasattr(self.block, "start_as_identity")

    @property
    def why_no_identity(self) -> str:
        """Why the block cannot start as the identity, in words that follow "because"; empty where it can."""
        if self.identity:
            return ""
        replaces = "it takes the place of a convolution, and has no weights with which it does nothing"
        usual = "its class has no method start_as_identity"
        return self.no_identity or (replaces if self.mixer else usual)

    @property
    def mixer(self) -> bool:
        """Whether it takes the place of a convolution."""
        return self.combine is Combine.MIX

    @property
    def defaults(self) -> dict[str, Any]:
        return default_options(self.block, self.options)


_VARIANTS: Registry[Variant] = Registry("attention variant", load=partial(load_plugins, "attnlab.attention"), reserved=[NONE])


def register_attention(
    name: str,
    *,
    title: str,
    paper: str,
    summary: str,
    formula: str,
    kinds: Sequence[MapKind],
    combine: Combine = Combine.PRODUCT,
    options: Mapping[str, Sequence[Any]] | None = None,
    new_runs: Mapping[str, Any] | None = None,
    no_identity: str = "",
    strength: str = "",
    symbols: Sequence[Symbol] = (),
    sizes: Mapping[str, Callable[[Any], int]] | None = None,
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Registers a block class under ``name``. The arguments are those of `Variant`.

    Raises:
        ValueError: when the name is taken or not a plain word, an option is not a keyword-only argument of the
            constructor, its default or its value for new runs is not among the values offered, or `attnlab.config.MIXERS`
            disagrees with ``combine``.
    """

    def decorate(block: type[nn.Module]) -> type[nn.Module]:
        offered = offered_options(name, block, options)
        chosen = chosen_options(name, new_runs, offered)
        if name in MIXERS and combine is not Combine.MIX:
            raise ValueError(f"{name}: combine is {combine.value!r}, but attnlab.config calls it a mixer")
        about = (name, title, paper, summary, formula, tuple(kinds), block, combine, offered, chosen, no_identity, strength)
        _VARIANTS.register(Variant(*about, tuple(symbols), dict(sizes or {})))
        return block

    return decorate


def list_attention() -> dict[str, Variant]:
    """All registered variants by name, sorted."""
    return _VARIANTS.list()


def get_attention(name: str) -> Variant:
    """One variant.

    Raises:
        ValueError: for an unknown name, listing the known ones.
    """
    return _VARIANTS.get(name)


def blocks_of(model: nn.Module) -> dict[str, tuple[nn.Module, Variant]]:
    """The registered blocks of a network by path, in module order, each with its variant; not those inside another one."""
    variants: dict[type[nn.Module], Variant] = {variant.block: variant for variant in list_attention().values()}
    found: dict[str, tuple[nn.Module, Variant]] = {}
    for path, module in model.named_modules():
        variant = variants.get(type(module))
        if variant is not None and not any(not outer or path.startswith(f"{outer}.") for outer in found):
            found[path] = (module, variant)
    return found


def split_composition(name: str) -> tuple[str, ...]:
    """The variants in a composition: ``"eca+cbam_spatial"`` -> ``("eca", "cbam_spatial")``; ``"none"`` -> ``()``.

    Raises:
        ValueError: for an unknown variant or an empty part, two mixers, or a mixer that is not the first.
    """
    if name == NONE:
        return ()
    parts = tuple(part.strip() for part in name.split("+"))
    mixers = [part for part in parts if get_attention(part).mixer]
    if len(mixers) > 1:
        named = " and ".join(mixers)
        raise ValueError(f"{named} both take the place of the same convolution; choose one of them")
    if mixers and mixers[0] != parts[0]:
        rest = "+".join(part for part in parts if part != mixers[0])
        raise ValueError(
            f"{mixers[0]} takes the place of a convolution, which the other blocks follow: write '{mixers[0]}+{rest}'"
        )
    return parts


def split_mixer(name: str) -> tuple[str, str]:
    """The mixer of a composition and the blocks that follow it, each ``"none"`` where there are none.

    Raises:
        ValueError: as `split_composition`.

    >>> split_mixer("selective_kernel+eca"), split_mixer("eca")
    (('selective_kernel', 'eca'), ('none', 'eca'))
    """
    parts = split_composition(name)
    mixers = [part for part in parts if get_attention(part).mixer]
    return "".join(mixers) or NONE, "+".join(part for part in parts if part not in mixers) or NONE


def start_as_identity(model: nn.Module, name: str) -> None:
    """Sets the blocks of a composition in ``model`` so that each returns its input, in both modes, exactly.

    Raises:
        ValueError: when a variant of the composition, or one of its options, does not allow it; the message names it.
    """
    for part in split_composition(name):
        variant = get_attention(part)
        if not variant.identity:
            able = ", ".join(each.name for each in list_attention().values() if each.identity)
            raise ValueError(
                f"{part} cannot start as the identity, because {variant.why_no_identity}; variants that can: {able}"
            )
    for block, _ in blocks_of(model).values():
        block.start_as_identity()  # type: ignore[operator]


SIGMOID_GATES = "its gates are sigmoids, which leave a feature unchanged only at infinite scores, where they do not learn"
"""`Variant.no_identity` of most gates. A gate scaled by its starting value would be another block than the published one."""


def options_of_a_new_run(name: str) -> dict[str, dict[str, Any]]:
    """The options with which a new run of a variant or a composition starts: variant name -> option -> value.

    Those without any are left out, so that the result can be a config's ``attention_options``.

    Raises:
        ValueError: for an unknown variant.

    >>> options_of_a_new_run("eca+cbam_channel")
    {'cbam_channel': {'min_hidden': 4}}
    """
    return {part: dict(options) for part in split_composition(name) if (options := get_attention(part).new_runs)}


def build_attention(
    name: str, channels: int, size: tuple[int, int], options: Mapping[str, Mapping[str, Any]] | None = None
) -> nn.Module:
    """Builds a variant or a composition for maps of shape (B, ``channels``, H, W) with ``size = (H, W)``.

    The result is an `nn.Sequential` whose members carry the variants' names, so that a tap is called
    ``...attention.eca.tap``; the second of two equal variants gets a number: ``eca2``.

    Args:
        options: variant name -> option -> value; options of a variant that is not in the composition are refused.

    Raises:
        ValueError: for an unknown variant, option or value, naming the known ones; for a size or a number of channels that a
            variant cannot work with.

    >>> import torch
    >>> block = build_attention("eca+cbam_spatial", channels=16, size=(8, 8), options={"eca": {"kernel_size": 5}})
    >>> block(torch.zeros(2, 16, 8, 8)).shape
    torch.Size([2, 16, 8, 8])
    >>> build_attention("ecaa", channels=16, size=(8, 8))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown attention variant 'ecaa'; known: none, ...
    """
    return _build(name, channels, channels, size, options)


def build_mixer(
    name: str,
    channels_in: int,
    channels_out: int,
    size: tuple[int, int],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> nn.Module:
    """Builds a mixer, which takes the place of a convolution: (B, ``channels_in``, H, W) -> (B, ``channels_out``, H, W).

    With as many channels out as in this is what `build_attention` builds.

    Raises:
        ValueError: as `build_attention`, and for a variant that is no mixer.

    >>> import torch
    >>> build_mixer("selective_kernel", 16, 32, size=(8, 8))(torch.zeros(2, 16, 8, 8)).shape
    torch.Size([2, 32, 8, 8])
    """
    if split_mixer(name)[0] != name:
        raise ValueError(f"{name!r} does not take the place of a convolution, as {', '.join(mixers())} do")
    return _build(name, channels_in, channels_out, size, options)


def mixers() -> list[str]:
    """The variants that take the place of a convolution."""
    return [name for name, variant in list_attention().items() if variant.mixer]


def _build(
    name: str, channels_in: int, channels: int, size: tuple[int, int], options: Mapping[str, Mapping[str, Any]] | None
) -> nn.Module:
    parts = split_composition(name)
    options = options or {}
    if absent := set(options) - set(parts):
        raise ValueError(f"options given for {', '.join(sorted(absent))}, which {name!r} does not contain")
    blocks: dict[str, nn.Module] = {}
    for part in parts:
        variant = get_attention(part)
        values = dict(options.get(part, {}))
        refuse_unknown(part, values, variant.options)
        values = {option: _offered(variant, option, value) for option, value in values.items()}
        if min(channels_in, channels, *size) < 1:
            given = f"{min(channels_in, channels)} channels and {size[0]} x {size[1]} positions"
            raise ValueError(f"{part} needs at least one channel and one position, got {given}")
        label = part if part not in blocks else f"{part}{sum(key.rstrip('0123456789') == part for key in blocks) + 1}"
        widths = (channels_in, channels) if variant.mixer else (channels,)
        blocks[label] = variant.block(*widths, size, **values)
    sequence = nn.Sequential()
    for label, block in blocks.items():
        sequence.add_module(label, block)
    return sequence


def _offered(variant: Variant, option: str, value: Any) -> Any:
    """The offered value that equals ``value``: JSON has one kind of number, so 8.0 means 8, but true is not 1."""
    for known in variant.options[option]:
        if known == value and isinstance(known, bool) == isinstance(value, bool):
            return known
    known_values = ", ".join(map(repr, variant.options[option]))
    raise ValueError(f"{variant.name}: {option} must be one of {known_values}; got {value!r}")
