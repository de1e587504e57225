"""State dicts of public blocks are recognised by their names, built as large as they are, and what is missing is named."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from attnlab.attention import build_attention, build_mixer, get_attention, mixers
from attnlab.cli.app import main
from attnlab.interop import REFERENCES, ReferenceMismatch, UnknownReference, open_reference, recognise
from attnlab.interop._names import _RENAMES
from tests.interop.test_gates import KEYS, weights

SIZE = (6, 5)
CASES: list[tuple[str, dict[str, object], dict[str, str]]] = [
    ("coordinate", {}, {}),
    ("coordinate", {"bias": False, "reduction": 4}, {}),
    ("bam", {"reduction": 4}, {}),
    ("triplet", {"kernel_size": 5}, {}),
    ("triplet", {"spatial": False}, {}),
    ("srm", {}, {}),
    ("fca", {"dct_size": 7}, {}),
    ("fca", {"dct_size": 7, "frequencies": "low8"}, {"frequencies": "low8"}),
    ("gct", {"norm": "l1"}, {"norm": "l1"}),
    ("global_context", {"reduction": 4}, {}),
    ("global_context", {"fusion": "scale", "reduction": 4}, {}),
    ("global_context", {"fusion": "both", "pooling": "mean", "reduction": 4}, {}),
    ("scse", {"reduction": 4}, {}),
    ("large_kernel", {"kernel_size": 15}, {}),
    ("gather_excite", {"extent": 4}, {"extent": "4"}),
    ("gather_excite", {"extent": 8, "learned": True}, {}),
    ("gather_excite", {"extent": 0, "learned": True}, {}),
    ("selective_kernel", {"reduction": 2}, {}),
    ("selective_kernel", {"branches": 3, "split_input": False, "dilated": False}, {"split_input": "no"}),
    ("split_attention", {}, {}),
    ("split_attention", {"radix": 4, "groups": 2, "batch_norm": True}, {}),
    ("bottleneck", {}, {}),
    ("bottleneck", {"heads": 2}, {}),
    ("halo", {}, {}),
    ("halo", {"heads": 2, "block": 4, "halo": 1}, {"block": "4"}),
    ("non_local", {"reduction": 2}, {}),
    ("external", {"slots": 16}, {}),
    ("double_attention", {"reduction": 4}, {"distribution": "descriptors", "residual": "yes"}),
    ("dual", {"reduction": 4, "channel_scores": "plain"}, {"channel_scores": "plain"}),
]


def public(name: str, options: dict[str, object]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Our block with random weights, and these under the public names."""
    torch.manual_seed(0)
    known = {name: options}
    made = build_mixer(name, 16, 32, SIZE, known) if name in mixers() else build_attention(name, 32, SIZE, known)
    ours = made.get_submodule(name).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    rename, *_ = _RENAMES[type(ours)]
    return ours, {rename(ours, key): value for key, value in ours.state_dict().items()}


@pytest.mark.parametrize(("name", "options", "choices"), CASES, ids=str)
@torch.no_grad()
def test_a_public_block_is_recognised_and_answers_as_ours(
    name: str, options: dict[str, object], choices: dict[str, str]
) -> None:
    ours, state = public(name, options)
    assert recognise(state).name == name and not recognise(state).network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of choices that are assumed
        opened = open_reference(state, **choices)
    x = torch.randn(2, 16 if name in mixers() else 32, *SIZE)
    assert type(opened) is get_attention(name).block and torch.equal(opened(x), ours(x))


@pytest.mark.parametrize("case", [case for case, known in KEYS.items() if known["state_dict"]])
def test_files_with_public_names_and_shapes_open(case: str) -> None:
    state = weights(case)
    assert recognise(state).name == KEYS[case]["variant"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_reference(state)
    assert opened(torch.rand(KEYS[case]["input"])).shape == tuple(KEYS[case]["input"])


def test_every_new_variant_with_public_weights_is_in_the_table() -> None:
    """One without parameters has nothing to recognise."""
    blocks = {reference.name for reference in REFERENCES if not reference.network}
    assert blocks - {"eca", "cbam", "sagan"} == {name for name, _, _ in CASES}


def test_stored_filters_tell_the_frequencies() -> None:
    ours, state = public("fca", {"frequencies": "bot4", "dct_size": 14})
    state["dct_layer.weight"] = ours.get_buffer("filters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_reference(state)
    assert torch.equal(opened.get_buffer("filters"), ours.get_buffer("filters"))


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES} - {"large_kernel", "fca"}))
def test_what_is_missing_is_told_by_its_public_name(name: str) -> None:
    options = next(options for known, options, _ in CASES if known == name)
    _, state = public(name, options)
    lost = [key for key in state if not key.endswith("tracked")][-1]
    del state[lost]
    with warnings.catch_warnings(), pytest.raises(ValueError, match=lost.replace(".", r"\.")) as refused:
        warnings.simplefilter("ignore")
        open_reference(state)
    assert isinstance(refused.value, ReferenceMismatch | UnknownReference) or "is missing" in str(refused.value)


def test_names_that_are_nearly_those_of_a_block_and_blocks_inside_a_network_are_told() -> None:
    _, state = public("coordinate", {})
    with pytest.raises(UnknownReference, match=r"they look like Coordinate attention, but conv_h\.weight is missing"):
        recognise({key: value for key, value in state.items() if key != "conv_h.weight"})
    network = {f"layer{at}.0.att.{key}": value for at in (1, 2) for key, value in state.items()}
    held = r"they hold 2 blocks of Coordinate attention, the first under layer1\.0\.att, in a network that is not known"
    with pytest.raises(UnknownReference, match=held):
        recognise(network | {"stem.weight": torch.zeros(1)})


def test_the_command_line_names_the_variant_of_a_file_or_what_is_missing(
    private_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, state = public("gct", {})
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "gct.safetensors")
    assert main(["open", str(tmp_path / "gct.safetensors"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["reference"], told["network"]) == ("gct", False)
    _, state = public("external", {})
    del state["conv1.bias"]
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "other.safetensors")
    assert main(["open", str(tmp_path / "other.safetensors")]) != 0
    assert "missing: conv1.bias" in capsys.readouterr().err
