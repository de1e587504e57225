"""The compact convolutional transformer: its maps and the weights of the public code."""

import pytest
import torch
from torch import Tensor

from attnlab.attention import edit_attention, locate_maps, record_attention
from attnlab.config import ModelConfig
from attnlab.interop import load_reference, open_reference, recognise, reference_config
from attnlab.maps import MapKind, MapScale, tap_titles
from attnlab.models import ImageShape, build_model
from attnlab.models.cct import sine_table
from tests.interop.parity_tokens import cct_parts

SHAPES = {
    "tokenizer.conv_layers.0.0.weight": (64, 3, 3, 3),
    "tokenizer.conv_layers.1.0.weight": (128, 64, 3, 3),
    "classifier.positional_emb": (1, 64, 128),
    "classifier.attention_pool.weight": (1, 128),
    "classifier.attention_pool.bias": (1,),
    "classifier.norm.weight": (128,),
    "classifier.norm.bias": (128,),
    "classifier.fc.weight": (10, 128),
    "classifier.fc.bias": (10,),
} | {
    f"classifier.blocks.{block}.{name}": shape
    for block in range(2)
    for name, shape in {
        "pre_norm.weight": (128,),
        "pre_norm.bias": (128,),
        "self_attn.qkv.weight": (384, 128),
        "self_attn.proj.weight": (128, 128),
        "self_attn.proj.bias": (128,),
        "linear1.weight": (128, 128),
        "linear1.bias": (128,),
        "norm1.weight": (128,),
        "norm1.bias": (128,),
        "linear2.weight": (128, 128),
        "linear2.bias": (128,),
    }.items()
}
"""The state dict of ``cct_2_3x2_32``."""


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in SHAPES.items():
        value = torch.randn(shape, generator=generator)
        state[name] = value * (2 / value[0].numel()) ** 0.5 if value.dim() > 1 else ("norm" in name) + 0.1 * value
    return state


def network(height: int, across: int, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig(backbone="cct", options=options), ImageShape(3, height, across), 10).eval()


@pytest.mark.parametrize("size", [(32, 32), (16, 64)])
@torch.no_grad()
def test_public_weights_give_the_public_logits_and_maps(size: tuple[int, int]) -> None:
    state, x = weights(), torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    logits, attention, pooling = cct_parts(x, state)
    assert logits.std() > 0.1
    assert recognise(state).name == "cct"
    with pytest.warns(UserWarning, match="assuming heads='64 channels each'"):
        config, shape, classes = reference_config(state)
    assert (shape, classes, config.options["heads"]) == (ImageShape(3, 32, 32), 10, 2)
    loaded = network(*size)
    load_reference(loaded, state)
    for model in (open_reference(state, heads="2"), loaded):
        assert sum(parameter.numel() for parameter in model.parameters()) == 283_723
        with record_attention(model) as maps:
            found = model(x)
        assert torch.equal(found, model(x))
        torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-5)
        by_name = {each.name: each for each in maps}
        for block in range(2):
            for head in range(2):
                each = by_name[f"blocks.{block}.attention.tap#h{head + 1}"]
                assert (each.kind, each.prefix, each.grid) == (MapKind.PAIRWISE, 0, (size[0] // 4, size[1] // 4))
                torch.testing.assert_close(each.values, attention[block][:, head], rtol=1e-5, atol=1e-6)
        pooled = by_name["pooling.tap"]
        assert (pooled.kind, pooled.scale) == (MapKind.SPATIAL, MapScale.SOFTMAX)
        torch.testing.assert_close(pooled.values.flatten(1), pooling, rtol=1e-5, atol=1e-6)
    assert tap_titles(list(by_name))["pooling.tap"] == "pooling"


@torch.no_grad()
def test_a_table_of_sines_is_known_as_one_and_need_not_be_stored() -> None:
    state = weights()
    learned = open_reference(state, heads="2")
    state["classifier.positional_emb"] = sine_table(64, 128)
    assert reference_config(state, heads="2")[0].options["positions"] == "sine"
    x = torch.randn(2, 3, 32, 32)
    logits = cct_parts(x, state)[0]
    torch.testing.assert_close(open_reference(state, heads="2")(x), logits, rtol=1e-5, atol=1e-5)
    del state["classifier.positional_emb"]
    torch.testing.assert_close(open_reference(state, heads="2", positions="sine")(x), logits, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(open_reference(state, heads="2", positions="none")(x), logits)
    assert not torch.allclose(learned(x), logits)
    with pytest.raises(ValueError, match="has positions for 64 tokens; images of 32 x 48 make 96"):
        learned(torch.randn(1, 3, 32, 48))


@torch.no_grad()
def test_pooling_acts_on_the_forward_and_can_be_fixed() -> None:
    x = torch.randn(2, 3, 20, 28)
    free, fixed = network(20, 28), build_model(ModelConfig(backbone="cct", control="neutral"), ImageShape(3, 20, 28), 10)
    fixed.load_state_dict(free.state_dict())
    with record_attention(fixed.eval()) as maps:
        uniform = fixed(x)
    assert all(torch.equal(each.values, torch.full_like(each.values, 1 / 35)) for each in maps)
    with edit_attention(free, lambda attention: torch.full_like(attention.values, 1 / 35)):
        torch.testing.assert_close(free(x), uniform)

    def corner(attention: object) -> Tensor | None:
        if attention.name != "pooling.tap":  # type: ignore[attr-defined]
            return None
        weights = torch.zeros_like(attention.values)  # type: ignore[attr-defined]
        weights[..., 0, 0] = 1
        return weights

    with edit_attention(free, corner):
        assert not torch.allclose(free(x), uniform)


def test_maps_lie_where_the_tokenizer_looks() -> None:
    located = locate_maps(network(32, 40), (3, 32, 40))
    assert set(located) == {"blocks.0.attention.tap", "blocks.1.attention.tap", "pooling.tap"}
    assert {(cells.rows.start, cells.rows.step, cells.rows.field) for cells in located.values()} == {(0.5, 4, 13)}


def test_drop_path_rises_with_the_blocks_and_keeps_the_mean() -> None:
    first, last = network(32, 32, drop_path=0.1).train().blocks
    torch.manual_seed(0)
    added = last._dropped(torch.ones(2000, 1, 1))
    assert added.unique().tolist() == pytest.approx([0, 1 / 0.9])
    assert added.mean().item() == pytest.approx(1, abs=0.03)
    assert first._dropped(added) is added and last.eval()._dropped(added) is added
