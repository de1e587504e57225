"""What a network costs: parameters, operations per image, and milliseconds per image on this machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attnlab.adapters import build_network
from attnlab.attention import record_attention
from attnlab.config import ModelConfig
from attnlab.maps import over_one_position
from attnlab.models import ImageShape
from attnlab.runs.measured import NetworkCost


def count_flops(config: ModelConfig, shape: ImageShape, classes: int) -> int:
    """Floating point operations of one forward of one image, a multiply-add counted as two.

    Counted by `torch.utils.flop_counter` on the meta device: matrix products, convolutions and attention. Element-wise
    operations, pooling and normalisation are not counted.

    Raises:
        ValueError: when the network cannot be built for these images.
    """
    with torch.device("meta"):
        model = build_network(config, shape, classes, tapped=False).eval()
        image = torch.empty(1, *shape)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops()


def count_parameters(config: ModelConfig, shape: ImageShape, classes: int) -> int:
    """Trainable parameters, counted on the meta device: no memory, no arithmetic.

    Raises:
        ValueError: when the network cannot be built for these images.
    """
    with torch.device("meta"):
        model = build_network(config, shape, classes, tapped=False)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def single_positions(config: ModelConfig, shape: ImageShape, classes: int) -> list[str]:
    """The taps whose map has a single position, where softmax attention is always 1 and so does nothing.

    Takes a forward on the meta device: no memory, no arithmetic.

    Raises:
        ValueError: when the network cannot be built for these images.
    """
    with torch.device("meta"):
        model = build_network(config, shape, classes, tapped=False).eval()
        image = torch.empty(1, *shape)
    with torch.inference_mode(), record_attention(model, required=False) as maps:
        model(image)
    return [attention.name for attention in maps if over_one_position(attention.kind, attention.scale, attention.grid)]


def milliseconds_per_image(
    config: ModelConfig, shape: ImageShape, classes: int, *, device: str = "cpu", batch: int = 32, repeats: int = 7
) -> float:
    """Median wall time of a forward of ``batch`` random images, divided by ``batch``, after two warm-up forwards.

    The weights are random too, since they do not change the time.

    Args:
        shape: of the images. classes: of the data set.
        repeats: timed forwards.

    Raises:
        ValueError: when the network cannot be built for these images.
    """
    model = build_network(config, shape, classes, tapped=False).eval().to(device)
    images = torch.rand(batch, *shape, device=device)
    times = [_forward_seconds(model, images) for _ in range(repeats + 2)]
    return 1000 * median(times[2:]) / batch


def measure_networks(
    networks: Mapping[str, ModelConfig],
    shape: ImageShape,
    classes: int,
    *,
    device: str = "cpu",
    batch: int = 32,
    rounds: int = 9,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, NetworkCost]:
    """What networks cost per image, measured side by side: in each round every network once, in an order drawn anew.

    So a machine that is busy for a while slows all of them. Times are medians over the rounds, of which one more comes first
    and does not count. The weights are random, since they do not change the time.

    Args:
        networks: name -> network; one that cannot be built for these images is left out.
        shape: of the images. classes: of the data set.
        batch: images at once.
        tell: called with the rounds done and the rounds in all.
    """
    models = {}
    for name, config in networks.items():
        try:
            models[name] = build_network(config, shape, classes, tapped=False).to(device)
        except ValueError:
            continue
    images = torch.rand(batch, *shape, device=device)
    labels = torch.arange(batch, device=device) % classes
    forward: dict[str, list[float]] = {name: [] for name in models}
    backward: dict[str, list[float]] = {name: [] for name in models}
    order, drawn = list(models), random.Random(0)
    for turn in range(rounds + 1):
        tell(turn, rounds + 1)
        drawn.shuffle(order)
        for name in order:
            forward[name].append(_forward_seconds(models[name].eval(), images))
            backward[name].append(_backward_seconds(models[name].train(), images, labels))
    tell(rounds + 1, rounds + 1)
    return {
        name: NetworkCost(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            flops=count_flops(networks[name], shape, classes),
            forward=1000 * median(forward[name][1:]) / batch,
            backward=1000 * median(backward[name][1:]) / batch,
            memory=kept_bytes(model.train(), images, labels) // batch,
        )
        for name, model in models.items()
    }


def kept_bytes(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Bytes of activations that a forward in training keeps for the backward pass. The same on every machine.

    Each piece of memory is counted once, whatever shares it; parameters and buffers are not counted.
    """
    own = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers(), images, labels)}
    kept: dict[int, tuple[Tensor, int]] = {}  # with the tensor, so that no other one takes its memory over

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (tensor, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        nn.functional.cross_entropy(model(images), labels)
    return sum(size for _, size in kept.values())


def _forward_seconds(model: nn.Module, images: Tensor) -> float:
    with torch.inference_mode():
        start = time.perf_counter()
        model(images)
        _finish(images)
    return time.perf_counter() - start


def _backward_seconds(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Of the backward pass alone."""
    model.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(model(images), labels)
    _finish(images)
    start = time.perf_counter()
    loss.backward()
    _finish(images)
    return time.perf_counter() - start


def _finish(images: Tensor) -> None:
    """Waits for the arithmetic of a GPU."""
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
