"""The neutral control: the same network with the weights of its attention fixed, for every registered variant."""

import pytest
import torch

from attnlab.attention import attention_taps, edit_attention, list_attention, neutral_weights, record_attention
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model

SHAPE = ImageShape(3, 20, 20)


def network(**settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig.model_validate({"width": 8} | settings), SHAPE, 5).eval()


def images() -> torch.Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", list_attention())
def test_a_control_is_its_variant_with_weights_that_never_change(name: str) -> None:
    learned, control = network(attention=name), network(attention=name, control="neutral")
    assert learned.state_dict().keys() == control.state_dict().keys()
    for (path, one), other in zip(learned.named_parameters(), control.parameters(), strict=True):
        assert torch.equal(one, other), path  # from the same values, not only the same number
    x = images()
    with record_attention(control) as maps:
        out = control(x)
    assert torch.equal(out, control(x)), "recording changed the output"
    assert {each.name.partition("#")[0] for each in maps} == set(attention_taps(control))
    for each in maps:
        rows = each.values.flatten(1)
        assert name == "halo" or torch.equal(each.values, neutral_weights(each)), each.name
        assert torch.allclose(rows, rows[:1]), f"{each.name} depends on the image"
    if name != "halo":  # whose queries reach their window only, while "off" speaks of all positions
        with edit_attention(learned, neutral_weights):
            assert torch.allclose(learned(x), out, atol=1e-5)
    control.train()(x).sum().backward()
    untouched = [path for path, parameter in control.named_parameters() if parameter.grad is None]
    assert all("attention" in path or "mixer" in path for path in untouched), untouched


def test_gates_let_everything_pass_in_a_control() -> None:
    control, x = network(attention="eca", control="neutral"), images()
    plain = network()
    plain.load_state_dict(control.state_dict(), strict=False)
    assert torch.equal(control(x), plain(x))


def test_a_window_is_read_uniformly_in_a_control() -> None:
    control = network(attention="halo", attention_options={"halo": {"block": 4, "halo": 1}}, control="neutral")
    with record_attention(control) as maps:
        control(images())
    reached = maps[0].values[0]
    assert reached.sum(dim=-1).tolist() == pytest.approx([1] * len(reached))
    assert reached[:, 1:].unique().tolist() == pytest.approx([0, 1 / 36])


def test_only_the_variant_is_fixed_where_the_network_has_attention_of_its_own() -> None:
    fixed = {
        attention: [name for name, tap in attention_taps(model).items() if tap.fixed]
        for attention in ("none", "eca")
        for model in [network(backbone="gated_cnn", options={"blocks": 2}, attention=attention, control="neutral")]
    }
    assert fixed["none"] and all("gates" in name for name in fixed["none"])
    assert fixed["eca"] and all(".eca." in name for name in fixed["eca"])


def test_a_network_without_attention_has_no_control() -> None:
    with pytest.raises(ValueError, match=r"small_cnn without attention has no weights to fix; set model\.control"):
        network(control="neutral")
