"""The nine networks of the report and the blocks, against a restatement of the published forward over its own names."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import build_attention
from attnlab.interop import ReferenceMismatch, load_reference
from attnlab.models import report_network
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
State = dict[str, Tensor]


def eca(x: Tensor, state: State, at: str) -> Tensor:
    weight = state[f"{at}.conv.weight"]
    means = F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(1, 2)  # (B, 1, C)
    gate = torch.sigmoid(F.conv1d(means, weight, padding=weight.shape[-1] // 2))
    return x * gate.transpose(1, 2).unsqueeze(-1)


def batch_norm(x: Tensor, state: State, at: str) -> Tensor:
    mean, var, weight, bias = (state[f"{at}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias)


def cbam_channel(x: Tensor, state: State, at: str) -> Tensor:
    def mlp(pooled: Tensor) -> Tensor:
        hidden = F.relu(F.linear(pooled.flatten(1), state[f"{at}.mlp.1.weight"], state[f"{at}.mlp.1.bias"]))
        return F.linear(hidden, state[f"{at}.mlp.3.weight"], state[f"{at}.mlp.3.bias"])

    scores = mlp(F.adaptive_avg_pool2d(x, 1)) + mlp(F.adaptive_max_pool2d(x, 1))
    return x * torch.sigmoid(scores)[:, :, None, None]


def cbam_spatial(x: Tensor, state: State, at: str) -> Tensor:
    pooled = torch.stack([x.max(dim=1).values, x.mean(dim=1)], dim=1)
    return x * torch.sigmoid(batch_norm(F.conv2d(pooled, state[f"{at}.conv.weight"], padding=3), state, f"{at}.bn"))


LAST = {32: (2, 1, 1), 30: (3, 3, 0), 15: (4, 1, 2), 13: (4, 1, 1)}  # stride, padding, output padding by width


def autoencoder(x: Tensor, state: State, at: str) -> Tensor:
    code, linear = x, state[f"{at}.encoder.0.weight"].dim() == 2
    for i in (0, 2, 4):
        weight, bias = state[f"{at}.encoder.{i}.weight"], state[f"{at}.encoder.{i}.bias"]
        code = F.linear(code, weight, bias) if linear else F.conv2d(code, weight, bias, stride=2, padding=1)
        code = code if linear and i == 4 else F.relu(code)  # the linear code of 12 numbers has no activation
    for i in (0, 2, 4):
        weight, bias = state[f"{at}.decoder.{i}.weight"], state[f"{at}.decoder.{i}.bias"]
        stride, padding, output_padding = LAST[x.shape[-1]] if i == 4 else (2, 1, 0)
        code = (
            F.linear(code, weight, bias)
            if linear
            else F.conv_transpose2d(code, weight, bias, stride=stride, padding=padding, output_padding=output_padding)
        )
        code = torch.sigmoid(code) if i == 4 else F.relu(code)
    return x * code


def attend(x: Tensor, state: State, layer: str, place: int) -> Tensor:
    if f"{layer}.eca{place}.conv.weight" in state:
        x = eca(x, state, f"{layer}.eca{place}")
    if f"{layer}.ae{place}.encoder.0.weight" in state:
        x = autoencoder(x, state, f"{layer}.ae{place}")
    if place == 1 and f"{layer}.att.ChannelGate.conv.weight" in state:
        x = eca(x, state, f"{layer}.att.ChannelGate")
    if place == 1 and f"{layer}.att.ChannelGate.mlp.1.weight" in state:
        x = cbam_channel(x, state, f"{layer}.att.ChannelGate")
    if place == 1 and f"{layer}.att.SpatialGate.spatial.conv.weight" in state:
        x = cbam_spatial(x, state, f"{layer}.att.SpatialGate.spatial")
    return x


def published_logits(x: Tensor, state: State) -> Tensor:
    """Two blocks and the classifier, in evaluation mode; a third block, where there is one, is never called."""
    for layer in ("layer1", "layer2"):
        for place, padding in ((1, 1), (2, 0)):
            x = F.conv2d(x, state[f"{layer}.conv{place}.weight"], state[f"{layer}.conv{place}.bias"], padding=padding)
            x = batch_norm(F.relu(attend(x, state, layer, place)), state, f"{layer}.bn{place}")
        x = F.max_pool2d(x, 2)
    hidden = F.relu(F.linear(x.flatten(1), state["fc1.weight"], state["fc1.bias"]))
    return F.linear(hidden, state["fc2.weight"], state["fc2.bias"])


@pytest.mark.parametrize("row", ROWS)
def test_published_weights_give_the_published_logits(row: str) -> None:
    state, x = random_state_dict(ROWS[row]), random_input(ROWS[row])
    network = report_network(row).eval()
    load_reference(network, state)
    assert sum(parameter.numel() for parameter in network.parameters()) == KEYS[ROWS[row]]["parameters"]
    expected = published_logits(x, state)
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


def reference_block(name: str, x: Tensor, state: State) -> Tensor:
    if name == "eca":
        return eca(x, {f"block.{key}": value for key, value in state.items()}, "block")
    if name == "cbam":
        return cbam_spatial(cbam_channel(x, state, "ChannelGate"), state, "SpatialGate.spatial")
    query, key, value = (
        F.conv2d(x, state[f"{p}_conv.weight"], state[f"{p}_conv.bias"]).flatten(2) for p in ("query", "key", "value")
    )
    attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
    return state["gamma"] * (value @ attention.transpose(1, 2)).view_as(x) + x


@pytest.mark.parametrize(("network", "name", "options"), block_cases(), ids=lambda case: str(case))
def test_reference_blocks_give_the_reference_outputs(network: str, name: str, options: dict) -> None:
    state, x = random_state_dict(network), random_input(network)
    block: nn.Module = build_attention(name, x.shape[1], tuple(x.shape[2:]), {name: options}).eval()
    load_reference(block, state)
    with torch.no_grad():
        assert (block(x) - reference_block(name, x, state)).abs().max() < 1e-5


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


def test_dicts_saved_before_batch_norm_counted_still_load() -> None:
    state = {name: value for name, value in random_state_dict("report/cnn").items() if "num_batches" not in name}
    load_reference(report_network("CNN"), state)


def test_a_module_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no reference implementation is known for Linear"):
        load_reference(nn.Linear(1, 1), {})
