"""One opened network as the file of `packing`: the picture goes in, probabilities come out, and every tap is a place to stop.

The features that leave the block of a tap can be looked at, too.

The file says of each tap what its map is (kind, scale, grid, neutral weight, where it lies in the picture), so that whoever
runs it can do there what surgery does (`attnlab.explain.surgery.operations`), in the same forward pass and before later taps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attnlab import paths
from attnlab.adapters import logits_of
from attnlab.attention import AttentionMap, attention_scalars, attention_taps, edit_attention, evaluating
from attnlab.data import normalise
from attnlab.explain.in_browser.lowering import lower
from attnlab.explain.in_browser.packing import packed
from attnlab.explain.in_browser.tape import Buffer, NotExportedError, Tape
from attnlab.explain.inspection import OpenNetwork
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.operations import painted_weight
from attnlab.files import write_file
from attnlab.maps import MAX_POSITIONS, MapKind, tap_of, unique_names
from attnlab.training.losses import class_probabilities
from attnlab.training.seeding import mix

VERSION = 3
"""Changes when files of before cannot be read any more, or would be other files."""
MOST_OPERATIONS = 300_000_000
"""Floating point operations of one forward, a multiply-add counted as two."""
MOST_BYTES = 20_000_000
SHUFFLES = 1000
"""Seeds of the operation "shuffled" that a page offers: 0 to 999."""


def exported(opened: OpenNetwork) -> bytes:
    """The network of ``opened`` as a file for the browser.

    Raises:
        NotExportedError: when it is too large or computes something that the browser's program cannot.
    """
    size = sum(weight.numel() * weight.element_size() for weight in opened.model.state_dict().values())
    if size > MOST_BYTES:
        raise NotExportedError(
            f"its weights take {size / 1e6:,.0f} MB, and the browser is sent at most {MOST_BYTES / 1e6:.0f} MB"
        )
    if not opened.class_names:
        raise NotExportedError("it does not tell classes apart")
    tape = Tape(lower)
    given, result, looks = _record(opened, tape)
    operations = 2 * tape.multiplications
    if operations > MOST_OPERATIONS:
        raise NotExportedError(
            f"one picture takes {operations / 1e6:,.0f} million operations, and the browser is given at most "
            f"{MOST_OPERATIONS / 1e6:.0f} million"
        )
    names = unique_names([attention.name for attention, _ in tape.maps])
    content = packed(
        tape.steps,
        given,
        result,
        {
            "version": VERSION,
            "shape": list(opened.shape),
            "mean": list(opened.mean),
            "std": list(opened.std),
            "classes": list(opened.class_names),
            "operations": operations,
            "taps": [
                _tap(opened, name, attention) | {"features": look}
                for name, (attention, _), look in zip(names, tape.maps, looks, strict=True)
            ],
            "looks": [list(shape[1:]) for shape in tape.looks],
        },
    )
    if len(content) > MOST_BYTES:
        raise NotExportedError(
            f"as a file it takes {len(content) / 1e6:,.0f} MB, and the browser is sent at most {MOST_BYTES / 1e6:.0f} MB"
        )
    return content


def kept_export(run: OpenRun) -> Path:
    """The file of `exported` for a run, made once: in the cache of the home, since shipped runs lie where nothing is written.

    Named by a digest of the settings and the weights, so it may be kept by whoever loads it for as long as they like.

    Raises:
        NotExportedError: as `exported`. OSError: when it cannot be written.
    """
    about = f"{VERSION} {run.config.model_dump_json()} {run.class_names} {sorted(attention_taps(run.model))}"
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name, weight in sorted(run.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    file = paths.cache_dir() / "networks" / f"{digest.hexdigest()}.net"
    if not file.is_file():
        content = exported(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, lambda stream: stream.write(content))
    return file


def _record(opened: OpenNetwork, tape: Tape) -> tuple[Buffer, Buffer, list[int | None]]:
    """One forward on a picture of noise.

    Returns:
        what goes in; what comes out; for each tap passed the place where the features of its block can be looked at.
    """
    looks: list[int | None] = []
    weights: list[Tensor] = []

    def at_tap(attention: AttentionMap) -> Tensor:
        positions = max(math.prod(attention.grid), math.prod(attention.queries or (0,)))
        if attention.kind is MapKind.PAIRWISE and positions > MAX_POSITIONS:
            raise NotExportedError(
                f"it has maps of {positions:,} positions to each other, and more than {MAX_POSITIONS:,} are never held whole"
            )
        looks.append(None)
        weights.append(tape.pass_tap(attention))
        return weights[-1]

    def at_block(path: str, result: Any) -> None:
        """A block has ended: the features of its taps that have none yet are in what it returns, if they are."""
        inside = [at for at, look in enumerate(looks) if look is None and _within(tape.maps[at][0].name, path)]
        if inside and (found := _features(result, tape.maps[inside[0]][0], weights)) is not None:
            for at in inside:
                looks[at] = len(tape.looks)
            tape.look_at(found)

    noise = torch.randint(0, 256, (1, *opened.shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    x = normalise(noise, opened.mean, opened.std)
    with evaluating(opened.model), torch.no_grad():
        given = tape.given(x)
        for name in attention_scalars(opened.model):
            tape.given(opened.model.get_parameter(name), name)
        with edit_attention(opened.model, at_tap, required=False), _ended(opened.model, at_block), tape:
            output = opened.model(x)
        own = _own_head(opened)
        shares = not own and torch.equal(opened.probabilities(output), logits_of(output))
        with tape:
            if own:
                probabilities = opened.probabilities(output)
            else:
                probabilities = logits_of(output) if shares else class_probabilities(logits_of(output))
        result = tape.dense(probabilities).buffer
    if result.data is not None or result.size != len(opened.class_names):
        raise NotExportedError("its output does not depend on the picture")
    return given, result, looks


def _within(name: str, path: str) -> bool:
    """Whether the tap of a map lies in a module, or in a part of it."""
    holder = tap_of(name).rpartition(".")[0]
    return path in (holder, holder.rpartition(".")[0])


@contextmanager
def _ended(model: nn.Module, told: Callable[[str, Any], None]) -> Iterator[None]:
    """Reports what each module returns that holds a tap, or holds the holder: a part may return weights only."""
    holders = {path.rpartition(".")[0] for path in attention_taps(model)}
    blocks = (holders | {path.rpartition(".")[0] for path in holders}) - {""}

    def hook(path: str) -> Any:
        return lambda module, given, result: told(path, result)

    handles = [module.register_forward_hook(hook(path)) for path, module in model.named_modules() if path in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _features(result: Any, attention: AttentionMap, weights: Sequence[Tensor]) -> Tensor | None:
    """The features among what a block returns, (1, C, H, W): neither weights, nor a vector that stands for the picture."""
    stores = {own.untyped_storage()._cdata for own in weights}
    grid, tokens = attention.grid, attention.prefix + math.prod(attention.grid)
    for each in torch.utils._pytree.tree_leaves(result):
        if not isinstance(each, Tensor) or not each.numel() or each.shape[0] != 1 or each.untyped_storage()._cdata in stores:
            continue
        if each.ndim == 3 and attention.kind is MapKind.PAIRWISE and each.shape[1] == tokens:
            each = each[:, attention.prefix :].transpose(1, 2).unflatten(2, grid)
        if each.ndim == 4 and each.shape[1:3] == grid != each.shape[2:]:
            each = each.permute(0, 3, 1, 2)
        if each.ndim == 4 and each.shape[1] > 1 and each.shape[2] * each.shape[3] > 1:
            return each
    return None


def _own_head(opened: OpenNetwork) -> bool:
    """Whether a run's settings say what its output means; the output of any other network has to be looked at."""
    return isinstance(opened, OpenRun) and not opened.config.recorded


def _tap(opened: OpenNetwork, name: str, attention: AttentionMap) -> dict[str, Any]:
    """What there is to know of a map in the browser."""
    cells = opened.cells.get(tap_of(name))
    return {
        "name": name,
        "kind": str(attention.kind),
        "scale": str(attention.scale),
        "shape": list(attention.values.shape[1:]),
        "grid": list(attention.grid),
        "neutral": attention.neutral,
        "painted": painted_weight(attention.scale, attention.neutral),
        "prefix": attention.prefix,
        "queries": None if attention.queries is None else list(attention.queries),
        "cells": None if cells is None else [[cells.rows.start, cells.rows.step], [cells.columns.start, cells.columns.step]],
        "seeds": [mix(seed, "shuffle", attention.name) & 0xFFFFFFFF for seed in range(SHUFFLES)],
    }
