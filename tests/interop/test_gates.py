"""State dicts of the gates' public code, by their own names and shapes, load into ours; what does not fit is named."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import get_attention
from attnlab.interop import ReferenceMismatch, load_reference

KEYS: dict[str, dict] = json.loads((Path(__file__).parent / "gates_state_dicts.json").read_text())


def built(case: str) -> nn.Module:
    """Our block for a public module."""
    _, channels, *size = KEYS[case]["input"]
    return get_attention(KEYS[case]["variant"]).block(channels, tuple(size), **KEYS[case]["options"]).eval()


def weights(case: str) -> dict[str, Tensor]:
    """Numbers that are all different, under the public names."""
    return {
        name: torch.full(shape, 7) if name.endswith("tracked") else torch.rand(shape) + 0.1
        for name, shape in KEYS[case]["state_dict"]
    }


@pytest.mark.parametrize("case", KEYS)
def test_public_state_dicts_load_by_their_own_names(case: str) -> None:
    torch.manual_seed(0)
    block, state = built(case), weights(case)
    assert sum(parameter.numel() for parameter in block.parameters()) == KEYS[case]["parameters"]
    load_reference(block, state)
    loaded = sorted(value.sum().item() for value in block.state_dict().values())
    assert loaded == sorted(value.sum().item() for value in state.values())
    assert block(torch.rand(KEYS[case]["input"])).isfinite().all()


@pytest.mark.parametrize("case", [case for case, known in KEYS.items() if known["state_dict"]])
def test_what_is_missing_or_unknown_is_told_by_the_public_name(case: str) -> None:
    state = weights(case)
    name = next(iter(state))
    state["strange.weight"] = state.pop(name)
    with pytest.raises(ReferenceMismatch, match=rf"missing: {name}; unexpected: strange\.weight"):
        load_reference(built(case), state)


def test_filters_that_the_public_code_stores_are_checked_against_ours() -> None:
    case = "fca/32-low16-dct7x7-7x7"
    block = built(case)
    filters = block.get_buffer("filters")
    load_reference(block, weights(case) | {"dct_layer.weight": filters.clone()})
    for other in (filters.flip(0), filters[:, :5]):
        with pytest.raises(ReferenceMismatch, match=r"dct_layer\.weight holds other constants"):
            load_reference(block, weights(case) | {"dct_layer.weight": other})
