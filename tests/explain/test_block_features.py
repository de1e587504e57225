"""The features shown beside a gate are those it multiplies."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from attnlab.attention import build_attention, record_attention
from attnlab.data import normalise
from attnlab.explain.block_features import features_before

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_gate_times_features_is_what_the_next_block_gets(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(build_attention("eca", 3, (6, 5)), build_attention("squeeze_excite", 3, (6, 5)))
    with record_attention(model) as maps, torch.inference_mode():
        model.eval()(normalise(images, MEAN, STD))
    first, second = maps
    seen = features_before(model, images, MEAN, STD, [first.name, second.name])
    torch.testing.assert_close(seen[first.name], normalise(images, MEAN, STD))
    torch.testing.assert_close(seen[second.name], seen[first.name] * first.values)


def test_another_threads_pictures_stay_out(images: torch.Tensor) -> None:
    """A server's sessions share one network: here a second forward runs while the hooks of the first are in place."""
    other = torch.zeros(4, 3, 6, 5)

    class Meanwhile(nn.Module):
        """Lets another thread's forward go through the rest of the network before its own."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if threading.current_thread() is threading.main_thread():
                thread = threading.Thread(target=lambda: model(other))
                thread.start()
                thread.join()
            return x

    gate = build_attention("eca", 3, (6, 5))
    model = nn.Sequential(gate, Meanwhile()).eval()
    with record_attention(model) as maps, torch.inference_mode():
        model[0](normalise(images, MEAN, STD))
    seen = features_before(model, images, MEAN, STD, [maps[0].name])
    torch.testing.assert_close(seen[maps[0].name], normalise(images, MEAN, STD))


def test_model_is_left_as_it_was(images: torch.Tensor) -> None:
    model = nn.Sequential(build_attention("eca", 3, (6, 5))).train()
    with record_attention(model) as maps:
        model(normalise(images, MEAN, STD))
    features_before(model, images, MEAN, STD, [maps[0].name])
    assert model.training
    assert all(not module._forward_pre_hooks for module in model.modules())
