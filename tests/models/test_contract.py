"""What every registered network promises: a new file under attnlab/models is held to it without a line here."""

import copy
import itertools

import pytest
import torch
from safetensors.torch import load, save

from attnlab.attention import MapScale, record_attention, weight_rows
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model, list_models

NETWORKS = list_models()
OPTION_VALUES = [
    (name, option, value) for name, net in NETWORKS.items() for option, values in net.options.items() for value in values
]
PLACES = [(name, placement) for name, net in NETWORKS.items() for placement in net.placements]
NARROW = 4
HEADS = 24  # a width that all offered numbers of heads divide
CLASSES = 2


def config(name: str, **changes: object) -> ModelConfig:
    attention = "eca" if NETWORKS[name].placements else "none"
    placement = next(iter(NETWORKS[name].placements), "every_conv")
    width = HEADS if "heads" in NETWORKS[name].options else NARROW
    return ModelConfig(**{"backbone": name, "width": width, "attention": attention, "placement": placement, **changes})


def wide_image(name: str, channels: int = 3) -> ImageShape:
    """Not square, and a size every option can take."""
    step = NETWORKS[name].multiple
    return ImageShape(channels, -(-64 // step) * step, -(-64 // step) * step + max(step, 5) // step * step)


def network(name: str, **changes: object) -> tuple[torch.nn.Module, torch.Tensor]:
    """A seeded network in double precision and three images for it."""
    torch.manual_seed(0)
    shape = wide_image(name)
    model = build_model(config(name, **changes), shape, CLASSES).double()
    return model, torch.randn(3, *shape, dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_gradients_and_maps(name: str) -> None:
    model, images = network(name)
    with record_attention(model, required=False) as maps:
        logits = model(images)
    assert logits.shape == (3, CLASSES)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    without = [path for path, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()]
    assert without == []
    assert maps, "a network with attention shows none"
    for one in maps:
        assert one.values.shape[0] == 3
        assert one.values.min() >= 0
        if one.scale is MapScale.SOFTMAX:
            rows = weight_rows(one).sum(dim=-1)
            torch.testing.assert_close(rows, torch.ones_like(rows))
        else:
            assert one.values.max() <= 1


@pytest.mark.parametrize("name", NETWORKS)
def test_samples_are_independent_when_not_training(name: str) -> None:
    model, images = network(name)
    model.eval()
    with torch.no_grad():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_recording_changes_no_bit(name: str) -> None:
    model, images = network(name)
    model.eval()
    with torch.no_grad():
        plain = model(images)
        with record_attention(model, required=False):
            recorded = model(images)
    assert torch.equal(plain, recorded)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_and_a_saved_file_give_the_same_logits(name: str) -> None:
    model, images = network(name)
    model(images)  # batch norm has seen something, and a forward has happened
    model.eval()
    other, _ = network(name)
    other.load_state_dict(load(save(model.state_dict())))
    other.eval()
    with torch.no_grad():
        expected = model(images)
        assert torch.equal(copy.deepcopy(model)(images), expected)
        assert torch.equal(other(images), expected)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_image_works(name: str, channels: int) -> None:
    side = NETWORKS[name].min_size
    smallest = {option: min(values) for option, values in NETWORKS[name].options.items() if option in ("blocks", "depth")}
    model = build_model(config(name, options=smallest), ImageShape(channels, side, side), 10)
    assert model(torch.randn(2, channels, side, side)).shape == (2, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_size_it_cannot_take_is_refused_with_the_right_one(name: str) -> None:
    net = NETWORKS[name]
    wrong = [net.min_size - 1] + ([net.min_size + 1] if net.multiple > 1 else [])
    for height, width in itertools.product(wrong, wrong):
        with pytest.raises(ValueError, match=rf"at least {net.min_size} pixels.*got {height} x {width}"):
            build_model(config(name), ImageShape(3, height, width), CLASSES)


@pytest.mark.parametrize(("name", "option", "value"), OPTION_VALUES)
def test_every_offered_value_builds_and_answers(name: str, option: str, value: object) -> None:
    most = (
        {"blocks": max(NETWORKS[name].options["blocks"])} if option == "stages" and "blocks" in NETWORKS[name].options else {}
    )
    model, images = network(name, options=most | {option: value})
    with record_attention(model, required=False):
        logits = model(images)
    assert logits.shape in {(3, CLASSES), (3, 1)}
    assert logits.isfinite().all()


@pytest.mark.parametrize(("name", "placement"), PLACES)
def test_attention_stands_at_every_offered_place(name: str, placement: str) -> None:
    model, images = network(name, placement=placement)
    plain, _ = network(name, placement=placement, attention="none")
    with record_attention(model, required=False) as maps:
        model(images)
    assert maps
    assert len(model.state_dict()) > len(plain.state_dict())


@pytest.mark.parametrize("name", [name for name, net in NETWORKS.items() if not net.placements])
def test_attention_of_its_own_takes_no_block(name: str) -> None:
    with pytest.raises(ValueError, match="its own attention"):
        build_model(config(name, attention="eca"), wide_image(name), CLASSES)
