"""Networks of others by name: built, fitted with weights from a file, opened as runs, and refused in a sentence."""

from __future__ import annotations

import json
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from attnlab import open_run, paths
from attnlab.adapters import NetworkUnavailable, allow_code, build_network, fitted_network, foreign_network, known_networks
from attnlab.cli.app import main
from attnlab.config import ModelConfig
from attnlab.data import Split
from attnlab.explain.honesty.measure import measure_honesty
from attnlab.explain.surgery.effect import accuracy_change, operate, standard_interventions
from attnlab.explain.surgery.operations import Intervention
from attnlab.explain.token_maps import TOKEN_MAPS, has_token_maps
from attnlab.models import ImageShape

SMALL_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path / "home"))
    return tmp_path


def small_vit(classes: int):
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=classes, **SMALL_VIT).eval()


def test_the_number_of_classes_follows_from_the_file():
    trained = small_vit(7)
    opened = fitted_network("timm/vit_tiny_patch16_224", trained.state_dict(), SMALL_VIT)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(opened(x), trained(x)) and opened(x).shape == (2, 7)


@pytest.fixture
def opened(home, capsys):
    """What the command line says of a network of timm with the weights of a file."""
    save_file(small_vit(10).state_dict(), home / "net.safetensors")
    options = [flag for name, value in SMALL_VIT.items() for flag in ("--option", f"{name}={value}")]
    weights = ["--weights", str(home / "net.safetensors")]
    assert main(["open", "timm/vit_tiny_patch16_224", *weights, "--images", "digits", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_named_network_opens_as_a_run_from_the_command_line(opened):
    assert opened["taps"] == ["blocks.0.attn.tap", "blocks.1.attn.tap"]
    run = open_run(paths.runs_dir() / opened["run_id"])
    images = torch.randint(0, 256, (2, *run.shape), dtype=torch.uint8)
    inspection = run.inspect(images)
    x = (images / 255 - 0.5) / 0.5
    torch.testing.assert_close(torch.from_numpy(inspection.probabilities), small_vit(10)(x).softmax(1).detach())
    assert run.shape == (3, 32, 32) and len(run.class_names) == 10
    assert [each.name for each in inspection.maps][:2] == ["blocks.0.attn.tap#h1", "blocks.0.attn.tap#h2"]
    assert all(each.cells is not None for each in inspection.maps)


CODE = """
import torch
from torch import nn

class Gate(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.mean(1, keepdim=True))

def make():
    return nn.Sequential(nn.Conv2d(3, 8, 3), Gate(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
"""


def test_code_of_ones_own_is_run_only_after_the_command_line_has_named_it(home, capsys, monkeypatch):
    (home / "my_net.py").write_text(CODE, encoding="utf-8")
    config = ModelConfig(backbone="python/my_net:make")
    with pytest.raises(NetworkUnavailable, match="attnlab open my_net:make"):
        build_network(config, ImageShape(3, 16, 16), 4)
    assert "my_net" not in sys.modules
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["open", "my_net:make", "--weights", "random", "--image-size", "16"]) == 0
    run_id = capsys.readouterr().out.splitlines()[1]
    run = open_run(paths.runs_dir() / run_id)
    assert [each.name for each in run.inspect(torch.zeros(1, 3, 16, 16, dtype=torch.uint8)).maps] == ["1.tap"]
    assert run.class_names == ("class 0", "class 1", "class 2", "class 3")
    sys.modules.pop("my_net", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timm/no_such_network", "--weights", "random"], "no_such_network cannot be built"),
        (["timm/resnet10t"], "which weights?"),
        (["timm/resnet10t", "--weights", "FILE"], "these are not the weights of timm/resnet10t"),
        (["torchvision/no_such_network", "--weights", "random"], "no_such_network cannot be built"),
        (["no_such_module:make", "--weights", "random"], "was not found in"),
        (["broken_net:make", "--weights", "random"], "broken_net cannot be imported: SyntaxError"),
        (["ending_net:make", "--weights", "random"], "ending_net cannot be imported: SystemExit"),
        (["torchvision/resnet18", "--weights", "random", "--image-size", "1"], "image_size: Input should be greater"),
        (["timm/hf-hub:somebody/net", "--weights", "random"], "is no name of a network of timm"),
        (["timm/resnet10t", "--weights", "random", "--option", "checkpoint_path=x.pth"], "checkpoint_path cannot be set"),
        (["timm/resnet10t", "--weights", "random", "--option", "img_size"], "--option img_size: expected name=value"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_a_sentence(home, capsys, monkeypatch, arguments, message):
    save_file(small_vit(3).state_dict(), home / "other.safetensors")
    (home / "broken_net.py").write_text("def make(:\n", encoding="utf-8")
    (home / "ending_net.py").write_text("raise SystemExit(4)\n", encoding="utf-8")
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [*sys.path])
    given = [str(home / "other.safetensors") if each == "FILE" else each for each in arguments]
    assert main(["open", *given]) != 0
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(paths.runs_dir().glob("*"))


def test_names_of_each_library_can_be_listed():
    assert "seresnet18" in known_networks("timm")
    assert "vit_b_16" in known_networks("torchvision")
    with pytest.raises(NetworkUnavailable, match="is no library whose networks attnlab knows"):
        known_networks("keras")
    with pytest.raises(NetworkUnavailable, match="names no network"):
        foreign_network("resnet18")


def test_a_damaged_list_of_allowed_code_allows_nothing(home):
    allow_code("my_net:make", str(home))
    (paths.home() / "own_networks.json").write_text("[1", encoding="utf-8")
    with pytest.raises(NetworkUnavailable, match="attnlab open my_net:make"):
        foreign_network("python/my_net:make")


def test_surgery_and_honesty_work_on_a_network_of_others_as_on_any_run(opened):
    run = open_run(paths.runs_dir() / opened["run_id"])
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randint(0, 256, (6, *run.shape), generator=generator, dtype=torch.uint8), torch.arange(6)
    head = Intervention("off", taps=("blocks.0.attn.tap#h2",))
    changes = accuracy_change(run.model, images, labels, run.mean, run.std, [*standard_interventions(run.model), head])
    assert [each.intervention.operation for each in changes][-1] == "off" and len(changes) > 4
    changed = operate(run.model, images, run.mean, run.std, head)
    assert changed.maps[0].values.any() and not changed.maps[1].values.any()
    masks = torch.zeros(6, *run.shape[1:], dtype=torch.bool)
    masks[:, 8:20, 8:20] = True
    found = measure_honesty(run, Split(images, labels, masks), count=6, steps=2)
    heads = [f"blocks.{block}.attn.tap#h{number}" for block in (0, 1) for number in (1, 2, 3)]
    assert [each.tap for each in found] == [*heads, *TOKEN_MAPS]
    assert all({"untrained", "random", "grad_cam"} <= set(each.values["pointing"]) for each in found)
    assert has_token_maps(run) and run.class_token
