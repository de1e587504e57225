"""Maps that put the layers of a transformer together: read from where the network reads, measured as any other map."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from attnlab.adapters import adopt
from attnlab.data import Split
from attnlab.explain.baselines import BASELINES, BaselineContext, attention_map, baselines_of, measured_maps, spatial_taps
from attnlab.explain.honesty.comparison import CEILING, MAP
from attnlab.explain.honesty.measure import measure_honesty
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import accuracy_change
from attnlab.explain.surgery.operations import Intervention, operated
from attnlab.explain.token_maps import TOKEN_MAPS, has_token_maps, read_tokens, token_map
from attnlab.explain.transformers.rollout import attention_rollout
from attnlab.maps import tap_titles
from attnlab.models import ImageShape, build_model
from tests.explain.examples import CONFIG, DATA, FirstPixels, opened
from tests.explain.token_network import TokenNetwork

IMAGES = torch.randint(0, 256, (3, 3, 14, 12), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
VIT = CONFIG.changed(
    model__backbone="vit", model__attention="none", model__width=8, model__options={"depth": 2, "heads": 2, "registers": 4}
)


def transformer(**options: object) -> OpenRun:
    config = VIT.changed(model__options=VIT.model.options | options)
    torch.manual_seed(5)
    return opened(build_model(config.model, ImageShape(3, 14, 12), 2), config=config)


@pytest.fixture(scope="module")
def run() -> OpenRun:
    return transformer()


def test_the_rollout_of_a_network_is_the_class_tokens_row_over_the_patches_where_they_lie(run: OpenRun) -> None:
    reading = read_tokens(run, IMAGES)
    assert reading is not None and reading.layers.prefix == 5 and run.class_token
    found = attention_map(run, IMAGES, "rollout")
    rows = attention_rollout(reading.layers.weights)[:, 0, 5:]
    torch.testing.assert_close(found.values, rows.unflatten(1, (4, 3)))
    assert found.cells == run.cells[spatial_taps(run)[0].partition("#")[0]] and found.cells is not None
    shown = run.inspect(IMAGES, derived=True).maps[-1]
    assert shown.name == "rollout" and shown.cells == found.cells and tap_titles([shown.name])["rollout"] == "attention rollout"
    torch.testing.assert_close(shown.values[:, 0, 5:], rows)


@pytest.mark.parametrize(
    ("readout", "read"),
    [("class_token", [0]), ("mean", range(4, 16)), ("mean_beside_class_token", range(5, 17))],
)
def test_what_is_read_after_the_last_layer_is_found_by_gradients_not_by_names(readout: str, read: range) -> None:
    """Registers come first without a class token, and a class token need not be what is classified."""
    net = transformer(readout=readout)
    reading = read_tokens(net, IMAGES)
    assert reading is not None
    expected = torch.zeros(3, reading.layers.read.shape[1])
    expected[:, list(read)] = 1 / len(read)
    torch.testing.assert_close(reading.layers.read.float(), expected)
    assert net.class_token == (readout == "class_token")


def test_a_network_that_pools_its_tokens_is_read_by_the_weights_of_its_pooling() -> None:
    config = CONFIG.changed(model__backbone="cct", model__attention="none", model__width=8, model__options={})
    net = opened(build_model(config.model, ImageShape(3, 14, 12), 2), config=config)
    reading = read_tokens(net, IMAGES)
    assert reading is not None and reading.layers.pooled and not net.class_token
    pooling = net.inspect(IMAGES).maps[-1].values.flatten(1)
    torch.testing.assert_close(reading.layers.read, pooling)
    rows = (pooling[:, None] @ attention_rollout(reading.layers.weights)).unflatten(2, (4, 3))[:, 0]
    torch.testing.assert_close(attention_map(net, IMAGES, "rollout").values, rows)


def test_relevance_depends_on_the_class_and_rollout_does_not(run: OpenRun) -> None:
    classes = torch.zeros(3, dtype=torch.long)
    for name in TOKEN_MAPS:
        one, other = token_map(run, IMAGES, name, classes), token_map(run, IMAGES, name, 1 - classes)
        assert bool((one.values >= 0).all()) and one.values.shape == (3, 4, 3)
        assert torch.equal(one.values, other.values) == (name == "rollout")
        alone = token_map(run, IMAGES[1:2], name, classes[:1])
        torch.testing.assert_close(alone.values, one.values[1:2], rtol=1e-4, atol=1e-6)


def test_networks_that_are_no_transformers_have_none_of_these_maps_and_are_measured_as_ever() -> None:
    net = opened(FirstPixels())
    assert not has_token_maps(net) and not net.class_token
    assert measured_maps(net) == spatial_taps(net) == ["tap"]
    assert list(baselines_of(net)) == [name for name in BASELINES if name not in TOKEN_MAPS]
    with pytest.raises(ValueError, match="Class relevance needs attention of several blocks over the same tokens"):
        token_map(net, IMAGES, "class_relevance")


class Adds(torch.nn.Module):
    """Attends between the positions of a map, or of tokens made of it, and adds what it gathers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return x + self.attention(tokens, tokens, tokens)[0].transpose(1, 2).unflatten(2, tuple(x.shape[2:]))


def adopted(*between: torch.nn.Module) -> torch.nn.Module:
    """Somebody's network: a convolution, attention, something, attention, and a classifier."""
    torch.manual_seed(6)
    ends = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, 4), Adds(8), *between, Adds(8), *ends)
    return adopt(model.eval(), torch.zeros(1, 3, 16, 12)).only_logits()


def built(**settings: object) -> torch.nn.Module:
    config = {"model__width": 8, "model__options": {}, "model__attention_options": {}, **settings}
    return build_model(CONFIG.changed(**config).model, ImageShape(3, 16, 12), 2)


@pytest.mark.parametrize(
    ("make", "transformer"),
    [
        (lambda: adopted(torch.nn.Conv2d(8, 8, 3, padding=1)), False),
        (lambda: adopted(torch.nn.Conv2d(8, 8, 1), torch.nn.GELU()), True),  # an MLP of each position
        (lambda: built(model__backbone="resnet_cifar", model__attention="self_attention", model__options={"depth": 14}), False),
        (lambda: built(model__attention="bottleneck", model__options={"blocks": 1}), False),  # in place of convolutions
        (lambda: built(model__backbone="cct", model__attention="none"), True),
        (lambda: built(model__backbone="vit", model__attention="none", model__options={"stem": "convolutions"}), True),
    ],
    ids=["convolution between", "layer of each position between", "resnet_cifar", "bottleneck", "cct", "vit"],
)
def test_attention_on_one_grid_is_a_transformers_where_nothing_else_mixes_its_tokens(
    make: Callable[[], torch.nn.Module], transformer: bool
) -> None:
    net = opened(make(), (3, 16, 12))
    pairs = [each.queries for each in net.inspect(torch.zeros(1, 3, 16, 12, dtype=torch.uint8)).maps if each.queries]
    assert len(pairs) > len(set(pairs)), "there is attention twice on one grid"
    assert has_token_maps(net) == transformer


def test_a_transformer_without_a_convolution_has_no_grad_cam_and_all_other_baselines() -> None:
    class Linear(torch.nn.Module):
        """Patches by a linear layer."""

        def __init__(self, wide: int) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3 * 16, wide)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            height, width = x.shape[2] // 4, x.shape[3] // 4
            return (
                self.linear(torch.nn.functional.unfold(x, 4, stride=4).transpose(1, 2))
                .transpose(1, 2)
                .unflatten(2, (height, width))
            )

    model = TokenNetwork((3, 16, 12))
    model.add_module("patches", Linear(8))
    net = opened(model, (3, 16, 12))
    assert list(baselines_of(net)) == [name for name in BASELINES if name != "grad_cam"]
    images = torch.zeros(2, 3, 16, 12, dtype=torch.uint8)
    made = BASELINES["class_relevance"].make(BaselineContext(net, net, "rollout"), images, torch.tensor([0, 1]))
    assert made.values.shape == (2, 4, 3) and made.cells is None


def test_maps_of_all_layers_are_measured_against_masks_random_maps_and_the_untrained_network(run: OpenRun) -> None:
    masks = torch.zeros(6, 14, 12, dtype=torch.bool)
    masks[:, 4:9, 3:8] = True
    split = Split(DATA.test.images[:6], DATA.test.labels[:6], masks)
    found = {
        each.tap: each
        for each in measure_honesty(run, split, count=6, steps=4, baselines=["grad_cam", "untrained", "random", *TOKEN_MAPS])
    }
    assert list(found) == [*spatial_taps(run), *TOKEN_MAPS] and len(spatial_taps(run)) == 4
    for tap in TOKEN_MAPS:
        others = {"grad_cam", "untrained", "random", *TOKEN_MAPS} - {tap}
        assert set(found[tap].values["pointing"]) == {MAP, CEILING, *others}, "it is not compared with itself"
        assert {each.baseline for each in found[tap].comparisons("deletion")} == others
        for measure, by_name in found[
            spatial_taps(run)[0]
        ].values.items():  # as a baseline of another map it has the same figures
            np.testing.assert_allclose(found[tap].values[measure][MAP], by_name[tap])
        assert np.isfinite(found[tap].twin).all() and found[tap].sentences()


@pytest.mark.parametrize("foreign", [False, True], ids=["vit", "timm"])
def test_a_head_that_is_off_gathers_nothing_whoever_wrote_the_network(foreign: bool) -> None:
    """As if the weights that read its output were 0; uniform is another operation."""
    if foreign:
        timm = pytest.importorskip("timm", reason="timm is not installed")
        torch.manual_seed(7)
        plain = timm.create_model("vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=8, depth=2, num_heads=2).eval()
        model, name = adopt(plain, torch.zeros(1, 3, 16, 16)).only_logits(), "blocks.1.attn"
    else:
        torch.manual_seed(7)
        plain = model = built(model__backbone="vit", model__attention="none", model__options={"heads": 2}).eval()
        name = "blocks.1.attention"
    x = torch.randn(2, 3, 16, 16)
    masked = copy.deepcopy(plain)
    with torch.no_grad():
        masked.get_submodule(name).proj.weight[:, 4:] = 0
        expected = masked(x)
        with operated(model, Intervention("off", taps=[f"{name}.tap#h2"])) as edited:
            torch.testing.assert_close(edited(x), expected)
        with operated(model, Intervention("uniform", taps=[f"{name}.tap#h2"])) as edited:
            assert not torch.allclose(edited(x), expected)


def test_single_heads_can_be_switched_off_on_one_image_and_over_many(run: OpenRun) -> None:
    taps = spatial_taps(run)
    changes = accuracy_change(
        run.model,
        DATA.test.images,
        DATA.test.labels,
        run.mean,
        run.std,
        [Intervention("off", taps=[taps[0]]), Intervention("off", taps=[taps[0].partition("#")[0]])],
    )
    assert [change.n for change in changes] == [11, 11] and changes[0].true_class.value != changes[1].true_class.value
