"""Learn To Pay Attention: the paper's equations by hand, and the reference form's size."""

import math

import pytest
import torch
from torch.nn import functional as F

from attnlab.attention import MapScale, edit_attention, record_attention
from attnlab.attention._gates import GlobalAttention
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model


def vgg(width: int = 4, classes: int = 5, side: tuple[int, int] = (32, 32), **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = ModelConfig(backbone="pay_attention_vgg", width=width, options=options)
    return build_model(config, ImageShape(3, *side), classes).double().eval()


def attention(compatibility: str, normalize: str) -> GlobalAttention:
    return GlobalAttention(2, 2, compatibility=compatibility, normalize=normalize)


# Two positions with local vectors (1, 0) and (0, 2), the global vector (1, 2).
LOCAL = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
GUIDE = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("compatibility", "scores"),
    [
        ("dot", (1.0, 4.0)),  # <(1, 0), g> and <(0, 2), g>
        ("parametrised", (2 * 3 - 2, 3 + 0 - 2 - 2 * 1.0)),  # u = (3, -1) on (2, 2) and (1, 4)
    ],
)
def test_compatibility_and_readings_by_hand(compatibility: str, scores: tuple[float, float]) -> None:
    first, second = scores
    for normalize in ("softmax", "sigmoid"):
        module = attention(compatibility, normalize)
        if module.score is not None:
            module.score.weight.data = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1)
        with record_attention(module) as maps:
            reading = module(LOCAL, GUIDE)
        if normalize == "softmax":
            a = math.exp(first) / (math.exp(first) + math.exp(second))
            expected_map, expected = (a, 1 - a), (a, 2 * (1 - a))
        else:
            a, b = 1 / (1 + math.exp(-first)), 1 / (1 + math.exp(-second))
            expected_map, expected = (a, b), (a / 2, 2 * b / 2)
        torch.testing.assert_close(maps[0].values.flatten(), torch.tensor(expected_map))
        torch.testing.assert_close(reading[0], torch.tensor(expected))


def test_projection_only_where_channels_differ() -> None:
    same, other = GlobalAttention(4, 4, compatibility="dot", normalize="softmax"), vgg().get_submodule("attend.layer7")
    assert same.projector is None
    assert [weight.shape for weight in other.projector.parameters()] == [(32, 16, 1, 1)]


def test_reference_form_has_the_published_size() -> None:
    model = build_model(ModelConfig(backbone="pay_attention_vgg"), ImageShape(3, 32, 32), 10)
    assert sum(weight.numel() for weight in model.parameters()) == 19_855_434


@pytest.mark.parametrize(("pooling", "sides"), [("before", (48, 24, 12)), ("after", (24, 12, 6))])
@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
def test_maps_of_the_three_depths(pooling: str, sides: tuple[int, ...], normalize: str) -> None:
    model = vgg(side=(48, 64), pooling=pooling, normalize=normalize)
    with record_attention(model, required=False) as maps:
        model(torch.randn(2, 3, 48, 64, dtype=torch.float64))
    assert [one.grid for one in maps] == [(side, side * 4 // 3) for side in sides]
    assert {one.scale for one in maps} == {MapScale.SOFTMAX if normalize == "softmax" else MapScale.GATE}
    assert [one.name.split(".")[1] for one in maps] == ["layer7", "layer10", "layer13"]


@pytest.mark.parametrize("depths", [0, 1, 2])
def test_fewer_depths_keep_the_deepest(depths: int) -> None:
    model = vgg(depths=depths)
    with record_attention(model, required=False) as maps:
        model(torch.randn(1, 3, 32, 32, dtype=torch.float64))
    assert [one.name.split(".")[1] for one in maps] == ["layer7", "layer10", "layer13"][3 - depths :]


@torch.no_grad()
def test_independent_classifiers_average_their_probabilities() -> None:
    model = vgg(classifier="independent")
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    readings = []
    for attend in model.attend.values():
        attend.register_forward_hook(lambda module, inputs, output: readings.append(output))
    logits = model(images)
    votes = [one(reading).softmax(dim=1) for one, reading in zip(model.classifiers, readings, strict=True)]
    torch.testing.assert_close(logits.softmax(dim=1), sum(votes) / 3)
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(2, dtype=torch.float64))


@torch.no_grad()
def test_uniform_weights_read_the_mean_and_one_weight_reads_one_position() -> None:
    module = attention("dot", "softmax")
    with edit_attention(module, lambda one: torch.full_like(one.values, 0.5)):
        torch.testing.assert_close(module(LOCAL, GUIDE)[0], torch.tensor([0.5, 1.0]))
    with edit_attention(module, lambda one: F.one_hot(torch.tensor([1]), 2).view(1, 1, 1, 2)):
        torch.testing.assert_close(module(LOCAL, GUIDE)[0], torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize(
    "options",
    [{"depths": 4}, {"pooling": "during"}, {"compatibility": "cosine"}, {"normalize": "max"}, {"classifier": "none"}],
)
def test_a_value_that_is_not_offered_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be one of"):
        vgg(**options)


def test_weights_can_start_as_in_the_reference() -> None:
    """Xavier uniform lies within gain * sqrt(6 / (inputs + outputs)); the reference has gain sqrt 2 in the classifier too."""
    bounds, scales = {}, {}
    for start in ("plain", "reference"):
        torch.manual_seed(0)
        model = build_model(ModelConfig(backbone="pay_attention_vgg", options={"start": start}), ImageShape(3, 32, 32), 10)
        weight = model.classifiers[0].weight
        bounds[start] = weight.abs().max().item() / (6 / sum(weight.shape)) ** 0.5
        scales[start] = torch.cat([one.weight for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d)]).detach()
    assert bounds["plain"] == pytest.approx(1, abs=0.01) and bounds["reference"] == pytest.approx(2**0.5, abs=0.01)
    assert (scales["plain"] == 1).all()
    assert 0 <= scales["reference"].min() < 0.01 and 0.99 < scales["reference"].max() <= 1
