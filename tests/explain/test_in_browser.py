"""The network in the browser computes what PyTorch computes: over the registry, with and without changed attention.

Node runs all of it in one process, with the modules that the pages use.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import AttentionTap, MapKind, build_attention, list_attention
from attnlab.config import ModelConfig
from attnlab.explain.in_browser import NotExportedError, exported, kept_export
from attnlab.explain.inspection import OpenNetwork
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import operate
from attnlab.explain.surgery.operations import OPERATIONS, Intervention, applicable, painted_weight
from attnlab.models import ImageShape, build_model, list_models
from tests.explain.examples import CONFIG, opened

CLOSE = 1e-4
SHAPE = ImageShape(3, 14, 12)
COMPOSITIONS = ("eca+cbam_spatial", "squeeze_excite+self_attention", "halo+eca")
EDITED = ("cbam", "self_attention", "pay_attention_vgg", "selective_kernel", "gct", "bottleneck")
SMALL: dict[str, dict[str, Any]] = {
    "pay_attention_vgg": {"width": 8},
    "attention_vgg16": {"width": 8},
    "gated_cnn": {"width": 8},
    "resnet18": {"width": 8},
}


@dataclass
class Case:
    """A network, and what is to be done with it: name -> intervention, `None` for none."""

    run: OpenNetwork
    runs: dict[str, Intervention | None] = field(default_factory=lambda: {"as it is": None})


def network(model: ModelConfig, shape: ImageShape = SHAPE) -> OpenRun:
    """Every parameter away from a value such as gamma = 0, every mean and variance of a batch norm away from 0 and 1."""
    torch.manual_seed(0)
    made = build_model(model, shape, 2).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for name, buffer in made.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(torch.rand_like(buffer) * 0.2)
    return opened(made, shape, CONFIG.changed(model=model.model_dump()))


def of_variant(name: str) -> OpenRun:
    heads = {name: {"heads": 2}} if name in list_attention() and "heads" in list_attention()[name].options else {}
    return network(ModelConfig(attention=name, attention_options=heads, width=8, options={"blocks": 1, "hidden": 64}))


def of_network(name: str) -> OpenRun:
    return network(ModelConfig(backbone=name, **SMALL.get(name, {})), ImageShape(3, 32, 32))


def interventions(run: OpenNetwork, image: Tensor) -> Iterator[tuple[str, Intervention]]:
    """Each operation that fits the network, whole and in part, everywhere and at one map or head."""
    maps = run.inspect(image).maps
    for operation in applicable(run.model):
        part = {"temperature": 0.3, "gamma": -0.7}.get(operation.name, 0.4)
        whole = {"temperature": 2.0, "gamma": 0.0}.get(operation.name, 1.0)
        fitting = [each for each in maps if each.kind in operation.kinds]
        for amount, attention in ((part, fitting[0]), (whole, fitting[-1])):
            made = Intervention(operation.name, amount, seed=7)
            if operation.name == "paint":
                made = painted(made, run, attention)
            elif amount == whole and not operation.needs:
                made = replace(made, taps=(attention.name,))
            yield f"{operation.name} {amount} {attention.name}", made


def painted(made: Intervention, run: OpenNetwork, attention: Any) -> Intervention:
    """A stripe painted and one erased, on the grid of one map."""
    shape = (attention.values.shape[1],) if attention.kind is MapKind.CHANNEL else attention.grid
    target = torch.full(shape, torch.nan)
    target[..., 0] = painted_weight(attention.scale, attention.neutral)
    target[..., -1] = 0.0
    taps = (attention.name,) if attention.kind is MapKind.CHANNEL or attention.scale != "gate" else None
    if taps is None and any(each.scale != "gate" for each in run.inspect(torch.zeros(1, *run.shape, dtype=torch.uint8)).maps):
        taps = (attention.name,)
    return replace(made, target=target, cells=attention.cells, located=run.cells, taps=taps)


def for_node(made: Intervention | None) -> dict[str, Any] | None:
    """An intervention as the page has it."""
    if made is None:
        return None
    known: dict[str, Any] = {"operation": made.operation, "amount": made.amount, "seed": made.seed, "taps": made.taps}
    if made.target is not None:
        cells = made.cells
        known["painted"] = {
            "weights": [None if np.isnan(value) else value for value in made.target.flatten().tolist()],
            "grid": list(made.target.shape) if made.target.ndim == 2 else None,
            "cells": cells and [[cells.rows.start, cells.rows.step], [cells.columns.start, cells.columns.step]],
        }
    return known


def numbers(run: OpenNetwork, image: Tensor, made: Intervention | None, content: bytes) -> NDArray[np.float32]:
    """What PyTorch computes: probabilities, every map, and the features that the file says can be looked at first."""
    features: list[Tensor] = []
    block = first_block(run, image, content)
    watched = block and block.register_forward_hook(lambda module, given, result: features.append(of_block(result)))
    if made is None:
        seen = run.inspect(image)
    else:
        seen = operate(run.model, image, run.mean, run.std, made, probabilities=run.probabilities)
    if watched:
        watched.remove()
    maps = [each.values.numpy().ravel() for each in seen.maps]
    return np.concatenate([seen.probabilities.ravel(), *maps, *(each.detach().numpy().ravel() for each in features[-1:])])


def first_block(run: OpenNetwork, image: Tensor, content: bytes) -> nn.Module | None:
    """The module whose output the first look of a file shows: the one around the tap that returns numbers of this shape."""
    about = json.loads(content[4 : 4 + int.from_bytes(content[:4], "little")])
    if not about["looks"]:
        return None
    path = next(tap["name"] for tap in about["taps"] if tap["features"] == 0).partition("#")[0].rpartition(".")[0]
    fitting = []
    for name in (path, path.rpartition(".")[0]):
        block, shapes = run.model.get_submodule(name), []
        handle = block.register_forward_hook(lambda module, given, result, seen=shapes: seen.append(of_block(result).shape[1:]))
        run.inspect(image)
        handle.remove()
        fitting += [block] if list(shapes[0]) == about["looks"][0] else []
    return fitting[0]


def of_block(result: Any) -> Tensor:
    """The features that a block returns; those of a transformer as a picture, without a class token, which comes first."""
    result = result[0] if isinstance(result, tuple) else result
    side = int(result.shape[1] ** 0.5)
    return result[:, -side * side :].transpose(1, 2).unflatten(2, (side, side)) if result.ndim == 3 else result


def computed(cases: dict[str, Case], folder: Path) -> dict[tuple[str, str], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(case, run) -> what PyTorch and what the browser's program computes."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; it runs the JavaScript")
    written, expected = [], {}
    for number, (name, case) in enumerate(cases.items()):
        image = torch.randint(0, 256, (1, *case.run.shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
        content = exported(case.run)
        (folder / f"{number}.net").write_bytes(content)
        (folder / f"{number}.picture").write_bytes(image.numpy().tobytes())
        runs = []
        for index, (label, made) in enumerate(case.runs.items()):
            expected[name, label] = (numbers(case.run, image, made, content), folder / f"{number}.{index}.out")
            out = f"{number}.{index}.out"
            runs.append({"out": out, "plain": label == "without WebAssembly", "intervention": for_node(made)})
        written.append({"network": f"{number}.net", "picture": f"{number}.picture", "runs": runs})
    (folder / "cases.json").write_text(json.dumps(written))
    script = Path(__file__).with_name("in_browser.mjs")
    done = subprocess.run([node, str(script), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {key: (mine, np.fromfile(file, np.float32)) for key, (mine, file) in expected.items()}


def far(results: dict[tuple[str, str], tuple[NDArray[np.float32], NDArray[np.float32]]], name: str) -> list[str]:
    """The runs of a case whose numbers are not those of PyTorch."""
    found = []
    for (case, label), (torch_numbers, browser_numbers) in results.items():
        if case == name:
            assert torch_numbers.shape == browser_numbers.shape
            apart = np.abs(torch_numbers - browser_numbers) / np.maximum(1, np.abs(torch_numbers))
            if not apart.max() <= CLOSE:
                found.append(f"{label}: {apart.max():.1e}")
    return found


NAMES = [*list_attention(), *COMPOSITIONS, *sorted(set(list_models()) - {"small_cnn", "melanoma"})]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cases = {}
    for name in NAMES:
        case = cases[name] = Case(of_network(name) if name in list_models() else of_variant(name))
        if name in EDITED:
            image = torch.randint(0, 256, (1, *case.run.shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
            case.runs |= dict(interventions(case.run, image))
    cases["eca"].runs["without WebAssembly"] = None
    return computed(cases, tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_all_maps_and_features_are_those_of_pytorch(results: Any, name: str) -> None:
    assert far(results, name) == []


def test_every_operation_of_surgery_is_compared(results: Any) -> None:
    compared = {label.split()[0] for _, label in results}
    assert set(OPERATIONS) <= compared
    changed = [
        label
        for (name, label), (numbers_of_torch, _) in results.items()
        if label.split()[0] in OPERATIONS and np.abs(numbers_of_torch - results[name, "as it is"][0]).max() > 10 * CLOSE
    ]
    assert {label.split()[0] for label in changed} == set(OPERATIONS)


class Foreign(nn.Module):
    """Operations that no network of attnlab uses, and weights that a program of another size would get wrong."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1)
        self.second = nn.Conv2d(8, 8, (3, 1), padding=(2, 0), dilation=(2, 1), groups=4)
        self.up = nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.block = build_attention("eca", 8, (7, 6))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.norm(self.second(self.first(x))))
        if self.case == "resampled":
            x = F.interpolate(F.interpolate(x, scale_factor=2, mode="bilinear"), size=(5, 9), mode="nearest")
            x = F.adaptive_avg_pool2d(F.avg_pool2d(F.pad(x, (1, 2, 0, 1), mode="reflect"), 2, ceil_mode=True), (2, 3))
        if self.case == "moved":
            x = torch.roll(x, (1, -2), (2, 3)).flip(2)[:, [3, 1, 0, 2, 4, 7, 6, 5]]
            x = F.unfold(x, 3, padding=1).view(1, 8, 9, -1).permute(0, 1, 3, 2).contiguous()
        if self.case == "in place":
            x = self.up(x)
            x[:, :2] *= 0.5
            x[:, 4:].add_(x[:, :4]).clamp_(-1, 1)
            x = F.relu6(F.silu(x, inplace=True)) - 1 / (x.abs() + 2)
        if self.case == "attended":
            tokens = x.flatten(2).transpose(1, 2).unflatten(-1, (2, 4)).transpose(1, 2)
            x = F.scaled_dot_product_attention(tokens, tokens, F.softplus(tokens)).transpose(2, 3).flatten(1, 2)[..., None]
        return self.head(x.mean(dim=(2, 3)))


@pytest.mark.parametrize("case", ["resampled", "moved", "in place", "attended"])
def test_operations_of_other_peoples_networks(case: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert far(computed({case: Case(opened(Foreign(case)))}, tmp_path), case) == []


def test_a_network_that_no_run_belongs_to(tmp_path: Path) -> None:
    """It may return scores, or probabilities already, and nothing but its output says which."""
    torch.manual_seed(0)
    scores = Foreign("scores").eval()
    about = {"class_names": ("a", "b"), "mean": (0.4,) * 3, "std": (0.2,) * 3, "shape": (3, 14, 12), "name": "foreign"}
    cases = {
        name: Case(OpenNetwork(model=model, **about))
        for name, model in (("scores", scores), ("shares", nn.Sequential(scores, nn.Softmax(1)).eval()))
    }
    results = computed(cases, tmp_path)
    assert far(results, "scores") == far(results, "shares") == []
    assert np.allclose(results["scores", "as it is"][0][:2], results["shares", "as it is"][0][:2])


def test_the_file_of_a_run_is_kept_until_its_weights_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path))
    run = of_variant("eca")
    first = kept_export(run)
    written = first.stat().st_mtime_ns
    assert first.is_relative_to(tmp_path) and first.read_bytes() == exported(run)
    assert kept_export(of_variant("eca")) == first and first.stat().st_mtime_ns == written
    with torch.no_grad():
        next(run.model.parameters()).add_(1)
    assert kept_export(run).read_bytes() == exported(run) != first.read_bytes()


class Deciding(nn.Module):
    """Looks at the picture before it goes on."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.tap = AttentionTap(MapKind.SPATIAL)
        self.large = nn.Parameter(torch.zeros(6_000_000 if how == "large" else 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.tap(x[:, :1].sigmoid())
        if self.how == "decides" and x.mean() > 0:
            x = -x
        if self.how == "computes much":
            x = (x.mean() + torch.ones(600, 600)) @ torch.ones(600, 600)
            return x[None, 0, :2]
        if self.how == "complex":
            x = torch.fft.fft2(x).abs()
        return x.mean(dim=(2, 3))[:, :2]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("decides", "what it computes next depends on what it sees"),
        ("large", "its weights take 24 MB"),
        ("computes much", "one picture takes 432 million operations"),
        ("complex", "operation"),
    ],
)
def test_a_network_that_cannot_run_in_the_browser_says_why(how: str, why: str) -> None:
    with pytest.raises(NotExportedError, match=why):
        exported(opened(Deciding(how)))
