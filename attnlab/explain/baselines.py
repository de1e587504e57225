"""What a map of attention is measured against: maps of the same images that need no attention, by name.

    grad_cam              Selvaraju et al., ICCV 2017, arXiv:1610.02391, by captum on the last convolution outside attention
    occlusion             Zeiler and Fergus, ECCV 2014, arXiv:1311.2901, by captum; probability lost under a grey square
    integrated_gradients  Sundararajan et al., ICML 2017, arXiv:1703.01365, by captum, from the mean colour
    untrained             the same map of the same network before training (Adebayo et al., NeurIPS 2018, arXiv:1810.03292)
    centre_prior          a Gaussian at the centre, where people put the object (Judd et al., ICCV 2009)
    edges                 the length of the Sobel gradient of the grey image
    random                a random weight for every cell of the tap's own map, drawn anew for each image

and of transformers the maps that put their layers together (`attnlab.explain.token_maps`), which are measured as maps too.

Only `untrained` and `random` depend on the tap. On the class depend the first three, and those of transformers but for
attention rollout. Signs: Grad-CAM and occlusion keep evidence for the class; integrated gradients take the absolute value of
evidence for or against it, summed over the colours.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torch import Tensor, nn

from attnlab.adapters import build_network
from attnlab.attention import attention_taps, evaluating, locate_calls, to_spatial, to_strength
from attnlab.attention._gates import WeightedReadout
from attnlab.data import normalise
from attnlab.explain.calls import observe_calls
from attnlab.explain.open_run import OpenRun
from attnlab.explain.placed import PlacedMaps as PlacedMaps
from attnlab.explain.token_maps import TOKEN_MAPS, has_token_maps, token_map
from attnlab.geometry import Cells
from attnlab.models import ImageShape
from attnlab.training.seeding import mix

CENTRE_SIGMA = 0.25
"""Standard deviation of the centre prior, as a share of each side."""
GRADIENT_STEPS = 32
"""Steps of integrated gradients from the mean colour to the image."""
WINDOWS = 6
"""The grey square of the occlusion is a sixth of the shorter side wide, and moves by half its width."""


@dataclass(frozen=True, eq=False)
class BaselineContext:
    """What a baseline may use.

    Attributes:
        run: the network; captum puts hooks on it, so no other thread may use it meanwhile.
        twin: the same network before training, see `untrained_twin`.
        tap: path of the tap whose map is measured.
    """

    run: OpenRun
    twin: OpenRun
    tap: str


@dataclass(frozen=True)
class Baseline:
    """One kind of map.

    Attributes:
        name: key in `BASELINES`. title: as a heading. phrase: inside a sentence.
        meaning: how the map comes about, without a full stop.
        make: (context, uint8 images (B, C, H, W), classes (B,)) -> maps with no weight below 0.
        slow: takes many forward or backward passes per image.
        of_tap: whether it depends on the tap; the others are the same for every map of a network.
        applies: whether it can be made of a network.
    """

    name: str
    title: str
    phrase: str
    meaning: str
    make: Callable[[BaselineContext, Tensor, Tensor], PlacedMaps]
    slow: bool = False
    of_tap: bool = False
    applies: Callable[[OpenRun], bool] = lambda run: True


def attention_map(run: OpenRun, images: Tensor, tap: str, classes: Tensor | None = None) -> PlacedMaps:
    """The map of ``tap`` by position, as the network made it, or one of `TOKEN_MAPS`.

    SPATIAL as it is, ELEMENT the mean over the channels, PAIRWISE the attention each position receives; of factors, their size.

    Args:
        images: uint8 (B, C, H, W).
        classes: (B,) of maps that depend on a class; the predicted ones when `None`.

    Raises:
        ValueError: when there is no such map, or it has no positions (channel gates).
    """
    if tap in TOKEN_MAPS:
        return token_map(run, images, tap, classes)
    by_name = {attention.name: attention for attention in run.inspect(images).maps}
    if tap not in by_name:
        raise ValueError(f"the network makes no map {tap!r} of these images; it makes {', '.join(by_name) or 'none'}")
    maps = to_strength(by_name[tap])
    if maps.shape[1] * maps.shape[2] == 1:
        raise ValueError(f"{tap!r} gives one weight for the whole image: there is nothing to compare by position")
    return PlacedMaps(maps, by_name[tap].cells)


def spatial_taps(run: OpenRun) -> list[str]:
    """The taps whose maps have positions, in the order of the forward. Takes one forward."""
    maps = run.inspect(torch.zeros(1, *run.shape, dtype=torch.uint8)).maps
    return [attention.name for attention in maps if to_spatial(attention)[0].numel() > 1]


def measured_maps(run: OpenRun) -> list[str]:
    """The maps of a network that can be measured: of `spatial_taps`, and those that put a transformer's layers together."""
    return [*spatial_taps(run), *(TOKEN_MAPS if has_token_maps(run) else ())]


def baselines_of(run: OpenRun) -> dict[str, Baseline]:
    """The baselines that can be made of a network, by name."""
    return {name: baseline for name, baseline in BASELINES.items() if baseline.applies(run)}


def untrained_twin(run: OpenRun) -> OpenRun:
    """The network with the initial weights that the run's seed gives, with which its training began.

    A training that started from ImageNet weights began elsewhere: its twin is random throughout, as the sanity check wants.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(run.config.seed, "weights"))
        model = build_network(run.config.model, ImageShape(*run.shape), len(run.class_names))
    return replace(run, model=model.eval(), notice="")


def last_convolution(run: OpenRun) -> tuple[nn.Conv2d, Cells | None]:
    """The last convolution of the forward whose output has positions, and where these lie.

    One inside an attention block is returned only where there is no other.

    Raises:
        ValueError: when there is none.
    """
    convolutions = {name: module for name, module in run.model.named_modules() if isinstance(module, nn.Conv2d)}
    called: list[str] = []

    def note(name: str, features: Tensor, output: Tensor) -> None:
        if output.shape[-1] * output.shape[-2] > 1:
            called.append(name)

    observe_calls(run.model, torch.zeros(1, *run.shape), convolutions, note)
    if not called:
        raise ValueError("the network has no convolution with positions, which Grad-CAM needs")
    blocks = tuple(f"{path}." for path in _attention_blocks(run.model) if path)
    outside = [name for name in called if not name.startswith(blocks)]
    last = convolutions[(outside or called)[-1]]
    return last, locate_calls(run.model, run.shape, {"last": last})["last"].leaving


def _attention_blocks(model: nn.Module) -> set[str]:
    """Paths of the modules that compute attention weights: the holder of a tap, or the readout around it."""
    owners = {tap.rpartition(".")[0] for tap in attention_taps(model)}
    return {path.rpartition(".")[0] if isinstance(model.get_submodule(path), WeightedReadout) else path for path in owners}


def _grad_cam(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    run = context.run
    layer, cells = last_convolution(run)
    with evaluating(run.model), torch.enable_grad():
        cam = LayerGradCam(lambda x: run.class_scores(run.model(x)), layer)
        maps = cam.attribute(_input(run, images), target=classes, relu_attributions=True)
    assert isinstance(maps, Tensor)
    return PlacedMaps(maps[:, 0].detach().float(), cells)


def _occlusion(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    run = context.run
    channels, height, width = run.shape
    side = max(2, round(min(height, width) / WINDOWS))
    step = max(1, side // 2)
    with evaluating(run.model), torch.inference_mode():
        lost = Occlusion(lambda x: run.probabilities(run.model(x))).attribute(
            _input(run, images),
            target=classes,
            sliding_window_shapes=(channels, side, side),
            strides=(channels, step, step),
            baselines=0.0,
            perturbations_per_eval=4,
        )
    return PlacedMaps(lost.mean(dim=1).clamp_min(0).float(), None)


def _integrated_gradients(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    run = context.run
    with evaluating(run.model), torch.enable_grad():
        attributions = IntegratedGradients(lambda x: run.class_scores(run.model(x))).attribute(
            _input(run, images), baselines=0.0, target=classes, n_steps=GRADIENT_STEPS, internal_batch_size=128
        )
    assert isinstance(attributions, Tensor)
    return PlacedMaps(attributions.detach().abs().sum(dim=1).float(), None)


def _untrained(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    return attention_map(context.twin, images, context.tap, classes)


def _centre_prior(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    height, width = images.shape[2:]
    y = (torch.arange(height) + 0.5) / height - 0.5
    x = (torch.arange(width) + 0.5) / width - 0.5
    distance = y[:, None] ** 2 + x[None, :] ** 2
    return PlacedMaps(torch.exp(-distance / (2 * CENTRE_SIGMA**2)).expand(len(images), height, width).clone(), None)


def _edges(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    grey = images.float().mean(dim=1).numpy()
    lengths = [cv2.magnitude(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)) for image in grey]
    return PlacedMaps(torch.from_numpy(np.stack(lengths)), None)


def _random(context: BaselineContext, images: Tensor, classes: Tensor) -> PlacedMaps:
    """Drawn by the image itself, so that the same image gets the same map in whatever company it is measured."""
    like = attention_map(context.run, images, context.tap, classes)
    weights = torch.empty_like(like.values)
    for weight, image in zip(weights, images, strict=True):
        seed = mix(zlib.crc32(image.numpy().tobytes()), "random map", context.tap)
        weight.uniform_(generator=torch.Generator().manual_seed(seed))
    return PlacedMaps(weights, like.cells)


def _token_baseline(name: str) -> Baseline:
    about = TOKEN_MAPS[name]
    return Baseline(
        name,
        about.title,
        about.phrase,
        about.meaning,
        lambda context, images, classes: token_map(context.run, images, name, classes),
        applies=has_token_maps,
    )


def _has_convolution(run: OpenRun) -> bool:
    try:
        last_convolution(run)
    except ValueError:
        return False
    return True


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "grad_cam",
            "Grad-CAM",
            "Grad-CAM",
            "features of the last convolution, weighted by the gradient of the class score",
            _grad_cam,
            applies=_has_convolution,
        ),
        Baseline(
            "occlusion",
            "Occlusion",
            "occlusion",
            "how much the probability falls when a grey square covers this place",
            _occlusion,
            slow=True,
        ),
        Baseline(
            "integrated_gradients",
            "Integrated gradients",
            "integrated gradients",
            "how much each pixel contributes to the class score, for or against it",
            _integrated_gradients,
            slow=True,
        ),
        *map(_token_baseline, TOKEN_MAPS),
        Baseline(
            "untrained",
            "Untrained network",
            "the untrained network",
            "the same map of the same network before training",
            _untrained,
            of_tap=True,
        ),
        Baseline("centre_prior", "Centre prior", "the centre prior", "a Gaussian at the centre of the image", _centre_prior),
        Baseline("edges", "Edges", "the edges", "where the image has edges, by the Sobel filter", _edges),
        Baseline("random", "Random map", "a random map", "a random weight for each cell of this map", _random, of_tap=True),
    )
}
"""Every baseline, by name."""


def _input(run: OpenRun, images: Tensor) -> Tensor:
    return normalise(images, run.mean, run.std)
