"""Networks and images whose explanations can be told by hand: a small configuration on noise, and a network of two sums."""

from pathlib import Path

import torch
from torch import nn

from attnlab.attention import AttentionTap, MapKind
from attnlab.config import DatasetConfig, ModelConfig, RunConfig, TrainingConfig
from attnlab.data import ImageDataset, Provenance, Split
from attnlab.explain.open_run import OpenRun

CONFIG = RunConfig(
    dataset=DatasetConfig(name="noise"),
    model=ModelConfig(attention="eca+cbam_spatial", width=4, options={"blocks": 1, "hidden": 64}),
    training=TrainingConfig(epochs=2, batch_size=8, device="cpu"),
)


def split(count: int) -> Split:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 14, 12), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(count) % 2)


DATA = ImageDataset(
    name="noise",
    class_names=("even", "odd"),
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.25),
    train=split(24),
    validation=split(9),
    test=split(11),
    provenance=Provenance("drawn in a test", "0"),
)


def opened(model: nn.Module, shape: tuple[int, int, int] = (3, 14, 12), config: RunConfig = CONFIG) -> OpenRun:
    """A network as if it were of a run that was opened."""
    return OpenRun(
        name="run",
        folder=Path("run"),
        config=config,
        model=model.eval(),
        class_names=("even", "odd"),
        mean=DATA.mean,
        std=DATA.std,
        shape=shape,
    )


class FirstPixels(nn.Module):
    """Class 1 is the mean of the upper left 4 x 4 pixels; the weights of a spatial gate are the first colour."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 1, bias=False)
        self.tap = AttentionTap(MapKind.SPATIAL)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.tensor([[0.0, 0, 0], [1, 1, 1]])[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.tap(x[:, :1].sigmoid())
        return self.convolution(x)[:, :, :4, :4].mean(dim=(2, 3))
