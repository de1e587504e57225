"""Baselines: each against what its definition says by hand, or against captum called directly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from attnlab.config import ModelConfig
from attnlab.data import normalise
from attnlab.explain.baselines import BASELINES, BaselineContext, attention_map, last_convolution, spatial_taps, untrained_twin
from attnlab.explain.token_maps import TOKEN_MAPS
from attnlab.models import ImageShape, build_model
from attnlab.training import CheckpointEvent, Event, train
from tests.explain.examples import CONFIG, DATA, FirstPixels, opened

GENERATOR = torch.Generator().manual_seed(3)
IMAGES = torch.randint(0, 256, (4, 3, 14, 12), generator=GENERATOR, dtype=torch.uint8)
CLASSES = torch.tensor([0, 1, 1, 0])


@pytest.fixture(scope="module")
def context() -> BaselineContext:
    torch.manual_seed(5)
    run = opened(build_model(CONFIG.model, ImageShape(3, 14, 12), 2))
    return BaselineContext(run, untrained_twin(run), spatial_taps(run)[-1])


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in TOKEN_MAPS])
def test_every_baseline_has_the_images_size_no_negative_weight_and_no_dependence_on_neighbours(
    name: str, context: BaselineContext
) -> None:
    maps = BASELINES[name].make(context, IMAGES, CLASSES).on(IMAGES)
    assert maps.shape == (4, 14, 12) and maps.dtype == torch.float32 and not maps.requires_grad
    assert bool((maps >= 0).all()) and bool(torch.isfinite(maps).all())
    alone = BASELINES[name].make(context, IMAGES[2:3], CLASSES[2:3]).on(IMAGES)
    torch.testing.assert_close(alone, maps[2:3], rtol=1e-3, atol=1e-5)


def test_the_twin_has_the_weights_the_training_began_with(context: BaselineContext) -> None:
    began: list[dict[str, torch.Tensor]] = []

    def note(event: Event) -> None:
        if isinstance(event, CheckpointEvent) and event.best and event.state.best is not None:
            began.append(event.state.best.weights)

    train(CONFIG.changed(training__lr=1e-30, training__optimizer="sgd", training__momentum=0.0), on_event=note, dataset=DATA)
    twin = context.twin.model.state_dict()
    parameters = dict(context.twin.model.named_parameters())
    assert began and parameters
    for name in parameters:
        torch.testing.assert_close(began[0][name], twin[name], rtol=1e-6, atol=1e-25, msg=name)
    of_twin = attention_map(context.twin, IMAGES, context.tap)
    made = BASELINES["untrained"].make(context, IMAGES, CLASSES)
    torch.testing.assert_close(made.values, of_twin.values, rtol=0, atol=0)
    assert made.cells == of_twin.cells == context.run.cells[context.tap]


def test_the_random_map_has_the_grid_of_the_map_and_repeats_for_the_same_image(context: BaselineContext) -> None:
    like = attention_map(context.run, IMAGES, context.tap)
    made = BASELINES["random"].make(context, IMAGES, CLASSES)
    assert made.values.shape == like.values.shape and made.cells == like.cells
    assert torch.equal(made.values, BASELINES["random"].make(context, IMAGES, CLASSES).values)
    other = BASELINES["random"].make(context, IMAGES.roll(1, 0), CLASSES).values
    assert torch.equal(other, made.values.roll(1, 0)), "it belongs to the image, not to its place"
    assert not torch.equal(made.values[0], made.values[1])
    assert 0.4 < float(made.values.mean()) < 0.6 and float(made.values.std()) == pytest.approx(12**-0.5, abs=0.03)


def test_grad_cam_is_captums_on_the_last_convolution_outside_attention(context: BaselineContext) -> None:
    layer, cells = last_convolution(context.run)
    names = {id(module): name for name, module in context.run.model.named_modules()}
    assert "attention" not in names[id(layer)]
    x = normalise(IMAGES, DATA.mean, DATA.std)
    cam = LayerGradCam(context.run.model, layer).attribute(x, target=CLASSES, relu_attributions=True).detach()
    # 14 x 12 pixels, two convolutions, the second without padding: 12 x 10 cells, the first over the second pixel.
    placed = BASELINES["grad_cam"].make(context, IMAGES, CLASSES)
    assert cells is not None and placed.cells == cells
    assert cells.rows.centres(12).tolist() == [1.5 + k for k in range(12)]
    torch.testing.assert_close(placed.values, cam[:, 0])
    torch.testing.assert_close(placed.on(IMAGES)[:, 1:-1, 1:-1], cam[:, 0])


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (ModelConfig(backbone="attention_vgg16", width=4), "blocks.4.6"),
        (ModelConfig(backbone="pay_attention_vgg", width=4), "block6.4"),
        (ModelConfig(backbone="gated_cnn", width=4), "blocks.block3.conv2"),
        (ModelConfig(backbone="resnet_cifar", width=4, attention="cbam"), "layer3.2.conv2"),
    ],
)
def test_grad_cam_never_sits_in_what_makes_the_weights(model: ModelConfig, wanted: str) -> None:
    run = opened(build_model(model, ImageShape(3, 64, 64), 3), (3, 64, 64))
    names = {id(module): name for name, module in run.model.named_modules()}
    assert names[id(last_convolution(run)[0])] == wanted


@pytest.mark.parametrize("name", ["occlusion", "integrated_gradients"])
def test_pixels_the_score_does_not_see_have_no_weight(name: str) -> None:
    run = opened(FirstPixels())
    maps = (
        BASELINES[name]
        .make(BaselineContext(run, run, "tap"), torch.full_like(IMAGES, 200), torch.ones(4, dtype=torch.long))
        .values
    )
    assert bool((maps[:, :4, :4] > 0).all())
    assert float(maps[:, 6:].abs().max()) == 0 and float(maps[:, :, 6:].abs().max()) == 0


def test_integrated_gradients_of_a_linear_score_are_weight_times_input() -> None:
    run = opened(FirstPixels())
    maps = (
        BASELINES["integrated_gradients"].make(BaselineContext(run, run, "tap"), IMAGES, torch.ones(4, dtype=torch.long)).values
    )
    x = normalise(IMAGES, DATA.mean, DATA.std)
    torch.testing.assert_close(maps[:, :4, :4], x[:, :, :4, :4].abs().sum(dim=1) / 16)


def test_the_centre_prior_and_the_edges_by_hand(context: BaselineContext) -> None:
    centre = BASELINES["centre_prior"].make(context, IMAGES, CLASSES).values[0]
    assert float(centre.max()) == pytest.approx(float(centre[7, 6]))
    torch.testing.assert_close(centre, centre.flip(0, 1))
    # half a side from the centre is two deviations
    assert float(centre[0, 6] / centre[6, 6]) == pytest.approx(np.exp(-((6.5 / 14) ** 2 - (0.5 / 14) ** 2) / (2 * 0.25**2)))
    step = torch.zeros(1, 3, 14, 12, dtype=torch.uint8)
    step[..., 6:] = 10
    edges = BASELINES["edges"].make(context, step, CLASSES[:1]).values[0]
    assert torch.equal(edges[:, 5:7], torch.full((14, 2), 40.0))  # Sobel: (1 + 2 + 1) x the step
    assert float(edges[:, :5].sum() + edges[:, 7:].sum()) == 0


def test_gates_of_channels_have_no_map(context: BaselineContext) -> None:
    channel = context.tap.replace("cbam_spatial", "eca")
    assert "eca" in channel and channel not in spatial_taps(context.run)
    with pytest.raises(ValueError, match="one weight for the whole image"):
        attention_map(context.run, IMAGES, channel)
    with pytest.raises(ValueError, match="no map 'nowhere'"):
        attention_map(context.run, IMAGES, "nowhere")
