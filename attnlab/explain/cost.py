"""What a network costs: parameters, operations per image, and milliseconds per image on this machine."""

from __future__ import annotations

import time
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from attnlab.attention import record_attention
from attnlab.config import ModelConfig
from attnlab.maps import over_one_position
from attnlab.models import ImageShape, build_model


def count_flops(config: ModelConfig, shape: ImageShape, classes: int) -> int:
    """Floating point operations of one forward of one image, a multiply-add counted as two.

    Counted by `torch.utils.flop_counter` on the meta device: matrix products, convolutions and attention. Element-wise
    operations, pooling and normalisation are not counted.

    Raises:
        ValueError: when the network cannot be built for these images.
    """
    with torch.device("meta"):
        model = build_model(config, shape, classes).eval()
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
        model = build_model(config, shape, classes)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def single_positions(config: ModelConfig, shape: ImageShape, classes: int) -> list[str]:
    """The taps whose map has a single position, where softmax attention is always 1 and so does nothing.

    Takes a forward on the meta device: no memory, no arithmetic.

    Raises:
        ValueError: when the network cannot be built for these images.
    """
    with torch.device("meta"):
        model = build_model(config, shape, classes).eval()
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
    model = build_model(config, shape, classes).eval().to(device)
    images = torch.rand(batch, *shape, device=device)
    times = []
    with torch.inference_mode():
        for turn in range(repeats + 2):
            start = time.perf_counter()
            model(images)
            if device != "cpu":
                torch.cuda.synchronize(device)
            if turn >= 2:
                times.append(time.perf_counter() - start)
    return 1000 * median(times) / batch
