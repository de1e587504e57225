"""A training loop of one's own that attnlab records: `python examples/record_a_training.py`, then `attnlab app`.

The lines with ``recorder`` are all that is added. The task is drawn here, so nothing is downloaded: is the bright spot in the
left half of the picture or in the right one?
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import attnlab


def pictures(count: int) -> tuple[Tensor, Tensor]:
    """(pictures (B, 3, 16, 16) in [0, 1], labels (B,): 0 where the spot is on the left, 1 on the right)."""
    x = 0.3 * torch.rand(count, 3, 16, 16)
    rows, columns = torch.randint(2, 13, (count,)), torch.randint(2, 13, (count,))
    for picture, row, column in zip(x, rows, columns, strict=True):
        picture[:, row : row + 2, column : column + 2] = 1
    return x, (columns > 7).long()


def network() -> nn.Module:
    """A convolution, CBAM on its features, and scores of the two classes."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        attnlab.build_attention("cbam", 16, (16, 16)),
        nn.AdaptiveAvgPool2d((1, 4)),
        nn.Flatten(),
        nn.Linear(64, 2),
    )


def main(epochs: int = 4, steps: int = 40) -> attnlab.Recorder:
    """Trains, and records it."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    test, truth = pictures(200)
    with attnlab.Recorder(
        model,
        test[:8],
        labels=truth[:8].tolist(),
        class_names=["left", "right"],
        mean=0.5,
        std=0.25,
        name="my own training",
        data="bright spots",
        settings={"lr": 0.01, "epochs": epochs},
        steps=epochs * steps,
    ) as recorder:
        accuracy = 0.0
        for epoch in range(1, epochs + 1):
            for step in range(1, steps + 1):
                x, y = pictures(32)
                loss = nn.functional.cross_entropy(model((x - 0.5) / 0.25), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.log((epoch - 1) * steps + step, loss=loss, lr=0.01)
            with torch.no_grad():
                accuracy = (model.eval()((test - 0.5) / 0.25).argmax(1) == truth).float().mean().item()
                model.train()
            recorder.log(epoch=epoch, val_acc=accuracy)
        recorder.close(test_accuracy=accuracy)
    print(f"recorded as {recorder.run_id}, test accuracy {accuracy:.0%}; `attnlab app` shows it")
    return recorder


if __name__ == "__main__":
    main()
