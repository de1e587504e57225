"""Attention of networks that were not written for attnlab: found, named, proven, edited, and let go without a trace."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from timm.layers.create_attn import create_attn
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models import SwinTransformer as TorchvisionSwin
from torchvision.models import VisionTransformer as TorchvisionViT
from torchvision.models import mobilenet_v3_small
from torchvision.ops import SqueezeExcitation

from attnlab import adopt, edit_attention, record_attention
from attnlab.adapters import logits_of, preprocessing_of
from attnlab.attention import AttentionMap, attention_taps, locate_maps
from attnlab.geometry import Axis
from tests.adapters import hand_written as hand

SHAPE = (12, 16)


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def images(*shape: int, count: int = 3) -> Tensor:
    return torch.randn(count, 3, *shape, generator=torch.Generator().manual_seed(1))


def found(network: nn.Module, x: Tensor) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """What is recorded of an adopted network in evaluation: (name, kind, scale, shape for one image)."""
    with adopt(network.eval(), x[:1]) as adopted, record_attention(adopted.model, required=False) as maps, torch.no_grad():
        adopted.model(x)
    assert all(len(each.values) == len(x) for each in maps)
    return [(each.name, each.kind.value, each.scale.value, tuple(each.values.shape[1:])) for each in maps]


N = 12 * 16
PAIR = ("pairwise", "softmax", (N, N))
HAND = {
    hand.SequentialSE: [("2.tap", "channel", "gate", (16, 1, 1))],
    hand.ExpandedSE: [("2.tap", "channel", "gate", (16, 1, 1))],
    hand.InPlaceHardSE: [("2.tap", "channel", "gate", (16, 1, 1))],
    hand.Cbam: [("2.tap", "channel", "gate", (16, 1, 1)), ("2.tap2", "spatial", "gate", (1, *SHAPE))],
    hand.Bam: [("2.tap", "element", "factor", (16, *SHAPE))],
    hand.Residual: [("2.tap", "spatial", "gate", (1, *SHAPE))],
    hand.Scse: [("2.tap", "channel", "gate", (16, 1, 1)), ("2.tap2", "spatial", "gate", (1, *SHAPE))],
    hand.Coordinate: [("2.rows.tap", "element", "gate", (16, 12, 1)), ("2.columns.tap", "element", "gate", (16, 1, 16))],
    hand.Triplet: [
        ("2.columns.tap", "element", "gate", (16, 1, 16)),
        ("2.rows.tap", "element", "gate", (16, 12, 1)),
        ("2.tap", "spatial", "gate", (1, *SHAPE)),
    ],
    hand.Sagan: [("2.tap", *PAIR)],
    hand.Einsum: [("2.tap#h1", *PAIR), ("2.tap#h2", *PAIR)],
    hand.GlobalContext: [("2.tap", "spatial", "softmax", (1, *SHAPE))],
    hand.SelectiveKernel: [("2.tap", "branch", "softmax", (2, 16, 1, 1))],
    hand.Multihead: [("2.attention.tap#h1", *PAIR), ("2.attention.tap#h2", *PAIR)],
    hand.Encoder: [(f"2.layers.layers.{layer}.self_attn.tap#h{head}", *PAIR) for layer in (0, 1) for head in (1, 2)],
    hand.Rows: [("2.tap", *PAIR)],
    hand.Alone: [("2.tap", *PAIR), ("2.tap2", *PAIR)],
    hand.BetweenChannels: [],
    hand.OneNumber: [],
    hand.Activations: [],
}


@pytest.mark.parametrize("block", HAND, ids=lambda block: block.__name__)
def test_attention_of_hand_written_blocks_is_found(block):
    assert found(hand.network(block), images(*SHAPE)) == HAND[block]


TIMM_BLOCKS = {
    "se": [("channel", "gate")],
    "ese": [("channel", "gate")],
    "eca": [("channel", "gate")],
    "ceca": [("channel", "gate")],
    "cbam": [("channel", "gate"), ("spatial", "gate")],
    "lcbam": [("channel", "gate"), ("spatial", "gate")],
    "coord": [("element", "gate"), ("element", "gate")],
    "ela": [("element", "gate"), ("element", "gate")],
    "gc": [("spatial", "softmax"), ("channel", "gate")],
    "gca": [("spatial", "softmax")],
    "sk": [("branch", "softmax")],
    "splat": [("branch", "softmax")],
    "nl": [("pairwise", "softmax")],
    "bottleneck": [("pairwise", "softmax")] * 4,
    "halo": [("pairwise", "softmax")] * 8,
}


def with_timm_block(name: str) -> nn.Module:
    options = {"feat_size": (16, 16)} if name == "bottleneck" else {}
    block = create_attn(name, 32, **options)
    for parameter in block.parameters():  # some start at zero, where every edit is without effect
        nn.init.normal_(parameter, std=0.3)
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), block, nn.AdaptiveMaxPool2d(2), nn.Flatten())


@pytest.mark.parametrize("name", TIMM_BLOCKS)
def test_timm_blocks_are_found(name):
    assert [(kind, scale) for _, kind, scale, _ in found(with_timm_block(name), images(16, 16))] == TIMM_BLOCKS[name]


# Surgery does what a copy of the network does that is edited by hand.

Edit = Callable[[AttentionMap], Tensor | None]
ByHand = Callable[[nn.Module], None]


def off(attention: AttentionMap) -> Tensor:
    """Gates let everything pass; what is gathered is left away; what cannot be left away is read alike."""
    rows = {"branch": attention.values.shape[1], "spatial": attention.values[0].numel()}
    neutral = 1 / rows[attention.kind.value] if attention.neutral is None else attention.neutral
    return torch.full_like(attention.values, neutral)


def first_head_off(attention: AttentionMap) -> Tensor | None:
    return torch.zeros_like(attention.values) if attention.name.endswith("#h1") else None


def without(path: str, model: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Identity())


def zeroed(path: str, model: nn.Module, inputs: int | None = None) -> None:
    """Sets the weights of a layer to zero; of its first inputs only, if there is a number."""
    layer = model.get_submodule(path)
    with torch.no_grad():
        layer.weight[:, :inputs] = 0
        if inputs is None and layer.bias is not None:
            layer.bias.zero_()


def silent(path: str, channels: int, model: nn.Module) -> None:
    """Sets the first channels of what a module returns to zero."""

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(output[:, :channels]), output[:, channels:]], 1)

    model.get_submodule(path).register_forward_hook(hook)


def all_of(*edits: ByHand) -> ByHand:
    def edit_all(model: nn.Module) -> None:
        for edit in edits:
            edit(model)

    return edit_all


def heads_of(prefix: str, layer: str, depth: int, width: int) -> ByHand:
    return all_of(*(partial(zeroed, f"{prefix}{block}.{layer}", inputs=width) for block in range(depth)))


def timm_vit() -> nn.Module:
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=10, reg_tokens=2)


def timm_swin() -> nn.Module:
    return SwinTransformer(
        img_size=64, patch_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 4), window_size=4, num_classes=10
    )


def torchvision_vit() -> nn.Module:
    model = TorchvisionViT(image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=48, num_classes=10)
    nn.init.normal_(model.heads.head.weight, std=0.3)  # torchvision starts it at zero
    return model


def torchvision_swin() -> nn.Module:
    return TorchvisionSwin([4, 4], 12, [2, 2], [2, 4], [4, 4], num_classes=10)


def torchvision_gates() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), SqueezeExcitation(16, 4, scale_activation=nn.Hardsigmoid), nn.Flatten(2))


def hugging_face(name: str, attention: str, **options: object) -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="the extra 'models' is not installed")
    config = getattr(transformers, f"{name}Config")(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48, image_size=32, patch_size=8, **options
    )
    config._attn_implementation = attention
    return getattr(transformers, f"{name}ForImageClassification")(config)


SURGERY: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], Edit, ByHand]] = {
    **{
        f"timm {name}": (partial(with_timm_block, name), (16, 16), off, partial(without, "2"))
        for name in ("se", "ese", "eca", "ceca", "cbam", "lcbam", "coord", "ela")
    },
    "timm gca": (partial(with_timm_block, "gca"), (16, 16), off, partial(zeroed, "2.conv_attn")),
    "timm sk": (partial(with_timm_block, "sk"), (16, 16), off, partial(zeroed, "2.attn.fc_select")),
    "timm splat": (partial(with_timm_block, "splat"), (16, 16), off, partial(zeroed, "2.fc2")),
    "timm nl": (partial(with_timm_block, "nl"), (16, 16), off, partial(zeroed, "2.g")),
    "timm bottleneck": (partial(with_timm_block, "bottleneck"), (16, 16), first_head_off, partial(silent, "2", 8)),
    "timm halo": (partial(with_timm_block, "halo"), (16, 16), first_head_off, partial(silent, "2", 4)),
    "timm ViT": (timm_vit, (32, 32), first_head_off, heads_of("blocks.", "attn.proj", 2, 8)),
    "timm Swin": (
        timm_swin,
        (64, 64),
        first_head_off,
        all_of(heads_of("layers.0.blocks.", "attn.proj", 2, 6), heads_of("layers.1.blocks.", "attn.proj", 2, 6)),
    ),
    "torchvision ViT": (
        torchvision_vit,
        (32, 32),
        first_head_off,
        heads_of("encoder.layers.encoder_layer_", "self_attention.out_proj", 2, 8),
    ),
    "torchvision Swin": (
        torchvision_swin,
        (64, 64),
        first_head_off,
        all_of(heads_of("features.1.", "attn.proj", 2, 6), heads_of("features.3.", "attn.proj", 2, 6)),
    ),
    "torchvision gate": (torchvision_gates, (12, 16), off, partial(without, "1")),
    "transformers ViT": (
        partial(hugging_face, "ViT", "sdpa"),
        (32, 32),
        first_head_off,
        heads_of("vit.layers.", "attention.o_proj", 2, 8),
    ),
    "transformers ViT, eager": (
        partial(hugging_face, "ViT", "eager"),
        (32, 32),
        first_head_off,
        heads_of("vit.layers.", "attention.o_proj", 2, 8),
    ),
    "hand-written SE": (partial(hand.network, hand.SequentialSE), SHAPE, off, partial(without, "2")),
    "hand-written residual": (partial(hand.network, hand.Residual), SHAPE, off, partial(without, "2")),
    "hand-written sum": (partial(hand.network, hand.Scse), SHAPE, off, partial(without, "2")),
    "hand-written margins": (partial(hand.network, hand.Triplet), SHAPE, off, partial(without, "2")),
    "hand-written SAGAN": (partial(hand.network, hand.Sagan), SHAPE, off, partial(without, "2")),
    "hand-written rows": (partial(hand.network, hand.Rows), SHAPE, off, partial(without, "2")),
    "nn.MultiheadAttention": (
        partial(hand.network, hand.Multihead),
        SHAPE,
        first_head_off,
        partial(zeroed, "2.attention.out_proj", inputs=8),
    ),
    "nn.TransformerEncoder": (
        partial(hand.network, hand.Encoder),
        SHAPE,
        first_head_off,
        heads_of("2.layers.layers.", "self_attn.out_proj", 2, 8),
    ),
}


@pytest.mark.parametrize("case", SURGERY)
def test_surgery_changes_the_logits_as_a_copy_that_is_edited_by_hand(case):
    build, shape, edit, by_hand = SURGERY[case]
    model, x = build().eval(), images(*shape)
    edited = copy.deepcopy(model)
    by_hand(edited)
    with adopt(model, x[:1]) as adopted, torch.no_grad():
        plain = logits_of(model(x))
        assert adopted.taps and not adopted.untapped
        torch.testing.assert_close(logits_of(adopted.model(x)), plain, rtol=0, atol=1e-6)
        with edit_attention(adopted.model, edit):
            got = logits_of(adopted.model(x))
    torch.testing.assert_close(got, logits_of(edited(x)), rtol=1e-4, atol=2e-5)
    assert (got - plain).abs().max() > 1e-4


# The maps are those of the network, computed on another way.


def test_gates_are_what_the_network_multiplies_by():
    model, x = with_timm_block("se").eval(), images(16, 16)
    seen: list[Tensor] = []
    model[2].gate.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with adopt(model, x) as adopted, torch.no_grad(), record_attention(adopted.model) as maps:
        adopted.model(x)
    assert torch.equal(maps[0].values, seen[-1])


def test_heads_of_a_transformer_are_its_softmax_whether_it_runs_fused_or_not():
    model, x = timm_vit().eval(), images(32, 32)
    with adopt(model, x) as adopted, torch.no_grad(), record_attention(adopted.model) as maps:
        adopted.model(x)
    seen: list[Tensor] = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(x)
    expected = torch.cat([layer.unbind(1)[head][None] for layer in seen for head in range(3)])
    torch.testing.assert_close(torch.stack([each.values for each in maps]), expected)
    assert [each.name for each in maps][:4] == [
        "blocks.0.attn.tap#h1",
        "blocks.0.attn.tap#h2",
        "blocks.0.attn.tap#h3",
        "blocks.1.attn.tap#h1",
    ]
    assert all((each.prefix, each.grid, each.queries) == (3, (4, 4), (4, 4)) for each in maps)


@pytest.mark.parametrize("build", [timm_swin, torchvision_swin], ids=["timm", "torchvision"])
def test_shifted_windows_are_laid_into_the_map_of_the_layer(build):
    model, x = build().eval(), images(64, 64, count=2)
    size, window = 16, 4  # 64 pixels in patches of 4, windows of 4 x 4
    with adopt(model, x) as adopted, torch.no_grad(), record_attention(adopted.model) as maps:
        adopted.model(x)
    assert [tuple(each.values.shape[1:]) for each in maps] == [(256, 256)] * 4 + [(64, 64)] * 8
    for each, shift in ((maps[0], 0), (maps[2], 2)):  # the second block of a stage is shifted by half a window
        torch.testing.assert_close(each.values.sum(-1), torch.ones(2, 256))
        for row, column in ((0, 0), (5, 9), (15, 15), (1, 14)):
            reached = each.values[:, row * size + column].amax(0).view(size, size) > 1e-6
            at = ((row - shift) % size // window, (column - shift) % size // window)
            inside = {
                (r, c)
                for r in range(size)
                for c in range(size)
                if ((r - shift) % size // window, (c - shift) % size // window) == at
            }
            # What the shift brings together from two ends of the picture is masked.
            near = {(r, c) for r, c in inside if abs(r - row) < window and abs(c - column) < window}
            assert {(r, c) for r, c in reached.nonzero().tolist()} == near


def test_maps_lie_where_the_patches_are():
    with adopt(timm_vit().eval(), images(32, 32)) as adopted:
        cells = locate_maps(adopted.model, (3, 32, 32))
    assert cells["blocks.1.attn.tap"].rows == Axis(4, 8, 8)
    with adopt(timm_swin().eval(), images(64, 64)) as adopted:
        cells = locate_maps(adopted.model, (3, 64, 64))
    assert cells["layers.0.blocks.0.attn.tap"].columns == Axis(2, 4, 4)
    assert cells["layers.1.blocks.0.attn.tap"].columns == Axis(4, 8, 8)  # patches of 2 x 2 are merged
    with adopt(hand.PatchTransformer().eval(), images(16, 32)) as adopted:
        assert locate_maps(adopted.model, (3, 16, 32))["tap"].columns.centres(2).tolist() == [2, 6]


def test_another_size_than_the_example_is_looked_at_anew():
    adopted = adopt(hand.network(hand.Multihead).eval(), images(12, 16))
    with record_attention(adopted.model) as maps, torch.no_grad():
        adopted.model(images(20, 8))
    assert (maps[0].grid, tuple(maps[0].values.shape)) == ((20, 8), (3, 160, 160))


# What stays behind, and what is said.


def state(model: nn.Module) -> list[object]:
    """All that a network could carry away: its classes, attributes, and how many hooks of each kind it has."""

    def hooks(module: nn.Module) -> dict[str, int]:
        return {name: len(value) for name, value in vars(module).items() if "hooks" in name}

    return [(path, type(module), sorted(vars(module)), hooks(module)) for path, module in model.named_modules()]


class Broken(hand.SequentialSE):
    armed = False

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if Broken.armed:
            raise RuntimeError("a fault in somebody's code")
        return y


def test_the_network_is_untouched_before_and_after_release_and_after_an_exception(monkeypatch):
    model, x = hand.network(Broken).eval(), images(*SHAPE)
    before = state(model)
    adopted = adopt(model, x)
    twin = adopted.model
    assert state(model) == before
    monkeypatch.setattr(Broken, "armed", True)
    with pytest.raises(RuntimeError, match="a fault in somebody's code"), record_attention(twin):
        twin(x)
    monkeypatch.setattr(Broken, "armed", False)
    with record_attention(twin) as maps, torch.no_grad():
        torch.testing.assert_close(twin(x), model(x), rtol=0, atol=0)
    assert len(maps) == 1
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in twin.modules())
    adopted.release()
    assert adopted.model is model and state(model) == before and not attention_taps(twin)
    with pytest.raises(ValueError, match="has no attention that attnlab can record"), record_attention(model):
        pass


def test_two_threads_record_their_own_forwards():
    model = hand.network(hand.Cbam).eval()
    adopted = adopt(model, images(*SHAPE))
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = torch.randn(2, 3, *SHAPE, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            features, mlp = model[1](model[0](x)), model[2].mlp
            gate = torch.sigmoid(mlp(features.mean((2, 3), keepdim=True)) + mlp(features.amax((2, 3), keepdim=True)))
            for _ in range(20):
                with record_attention(adopted.model) as maps:
                    adopted.model(x)
                if len(maps) != 2 or not torch.allclose(maps[0].values, gate, atol=1e-6):
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_training_the_network_trains_the_twin_and_a_gradient_goes_through_a_map():
    model, x = hand.network(hand.SequentialSE).eval(), images(*SHAPE)
    with adopt(model, x) as adopted:
        with torch.no_grad():
            model[2][3].bias.add_(1)
            assert torch.equal(adopted.model(x), model(x))
        with record_attention(adopted.model, detach=False) as maps:
            adopted.model(x).sum().backward()
    assert maps[0].values.requires_grad and model[2][1].weight.grad is not None


@pytest.mark.parametrize(
    ("block", "reason"),
    [(hand.BetweenChannels, "It attends to channels"), (hand.OneNumber, "Its weights are the same for every image")],
)
def test_what_cannot_be_tapped_is_listed_with_the_reason(block, reason):
    with adopt(hand.network(block).eval(), images(*SHAPE)) as adopted:
        assert [each.path for each in adopted.untapped] == ["2"] and adopted.untapped[0].reason.startswith(reason)


def test_a_map_of_too_many_positions_is_listed():
    with adopt(hand.network(hand.Sagan).eval(), images(40, 40)) as adopted:
        assert not adopted.taps
        assert adopted.untapped[0].reason == "Its map has 1,600 positions, and maps of up to 1,024 are shown."


def test_every_tap_is_proven_on_the_example():
    with adopt(timm_vit().eval(), images(32, 32)) as adopted:
        proof = adopted.taps["blocks.0.attn.tap"]
        assert adopted.difference == 0.0
    assert (proof.heads, proof.shape) == (3, (19, 19))
    assert proof.row_error < 1e-5 and proof.difference < 1e-5 and proof.cells is not None


def test_the_example_may_be_left_out_where_the_network_says_what_it_takes():
    model = timm.create_model("resnet10t", block_args={"attn_layer": "se"}).eval()
    with adopt(model) as adopted:
        assert len(adopted.taps) == 4
    assert preprocessing_of(model).std == (0.229, 0.224, 0.225)
    assert preprocessing_of(mobilenet_v3_small(weights=None)).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (nn.Flatten(), None, "does not say which images it takes"),
        (hand.network(hand.Cbam), torch.zeros(3, 12, 16), r"\(B, C, H, W\), got a tensor of shape \(3, 12, 16\)"),
        (hand.network(hand.Cbam), torch.zeros(1, 3, 12, 16, dtype=torch.uint8), "in floating point"),
        (hand.network(hand.Cbam), torch.zeros(1, 4, 12, 16), "Sequential does not take images of shape"),
        (torch.jit.script(nn.ReLU()), torch.zeros(1, 3, 12, 16), "compiled to TorchScript"),
    ],
    ids=["no example", "one image", "bytes", "channels", "script"],
)
def test_what_cannot_be_adopted_is_refused_in_a_sentence(model, example, message):
    with pytest.raises(ValueError, match=message):
        adopt(model, example)
