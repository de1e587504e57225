"""The nine networks of the report and the blocks, against a restatement of the published forward over its own names."""

import pytest
import torch
from torch import nn

from attnlab.attention import build_attention
from attnlab.interop import ReferenceMismatch, load_reference
from attnlab.models import report_network
from tests.interop.independent import cbam, eca, report_logits, self_attention
from tests.interop.reference import KEYS, random_input, random_state_dict

ROWS = {
    "CNN": "report/cnn",
    "CNN + ECA": "report/eca",
    "CNN + CBAM": "report/cbam",
    "CNN with three hidden layers": "report/deeper_cnn",
    "CNN + conv. autoencoder": "report/autoencoder",
    "CNN + conv. autoencoder + ECA": "report/autoencoder_eca",
    "CNN + linear autoencoder": "report/linear_autoencoder",
    "CNN + linear autoencoder + ECA": "report/linear_autoencoder_eca",
    "CNN + CBAM spatial + ECA": "report/eca_spatial",
}


@pytest.mark.parametrize("row", ROWS)
def test_published_weights_give_the_published_logits(row: str) -> None:
    state, x = random_state_dict(ROWS[row]), random_input(ROWS[row])
    network = report_network(row).eval()
    load_reference(network, state)
    assert sum(parameter.numel() for parameter in network.parameters()) == KEYS[ROWS[row]]["parameters"]
    expected = report_logits(x, state)
    assert expected.std() > 0.1
    with torch.no_grad():
        assert (network(x) - expected).abs().max() < 1e-4


def block_cases() -> list[tuple[str, str, dict]]:
    return [
        ("eca/64-3", "eca", {"kernel_size": 3}),
        ("eca/128-5", "eca", {"kernel_size": "adaptive"}),
        ("eca/512-5", "eca", {"kernel_size": "adaptive"}),
        ("cbam/64", "cbam", {}),
        ("cbam/256", "cbam", {}),
        ("sagan/32", "self_attention", {}),
        ("sagan/128", "self_attention", {}),
    ]


REFERENCE_BLOCKS = {"eca": eca, "cbam": cbam, "self_attention": self_attention}


@pytest.mark.parametrize(("network", "name", "options"), block_cases(), ids=lambda case: str(case))
def test_reference_blocks_give_the_reference_outputs(network: str, name: str, options: dict) -> None:
    state, x = random_state_dict(network), random_input(network)
    block: nn.Module = build_attention(name, x.shape[1], tuple(x.shape[2:]), {name: options}).eval()
    load_reference(block, state)
    with torch.no_grad():
        assert (block(x) - REFERENCE_BLOCKS[name](x, state, "")).abs().max() < 1e-5


def test_a_wrong_dict_lists_what_is_missing_unexpected_and_misshaped_and_changes_nothing() -> None:
    network = report_network("CNN + ECA")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = random_state_dict("report/eca")
    del state["layer2.eca2.conv.weight"]
    state["layer9.conv1.weight"] = torch.zeros(1)
    state["fc2.bias"] = torch.zeros(7)
    with pytest.raises(ReferenceMismatch) as caught:
        load_reference(network, state)
    assert caught.value.missing == ["layer2.eca2.conv.weight"]
    assert caught.value.unexpected == ["layer9.conv1.weight"]
    assert caught.value.misshaped == ["fc2.bias is (7,), needed (10,)"]
    for part in ("missing: layer2.eca2.conv.weight", "unexpected: layer9.conv1.weight", "mis-shaped: fc2.bias is (7,)"):
        assert part in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    quantised = {name: value.to(torch.int8) for name, value in random_state_dict("report/eca").items()}
    with pytest.raises(ReferenceMismatch, match=r"holds whole numbers \(int8\)"):
        load_reference(network, quantised)


def test_dicts_saved_before_batch_norm_counted_still_load() -> None:
    state = {name: value for name, value in random_state_dict("report/cnn").items() if "num_batches" not in name}
    load_reference(report_network("CNN"), state)


def test_a_module_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no reference implementation is known for Linear"):
        load_reference(nn.Linear(1, 1), {})
