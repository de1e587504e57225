"""The guided networks of the sources, against a restatement of their reference forward over its own names."""

import warnings
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from attnlab.attention import MapScale, record_attention
from attnlab.config import ModelConfig
from attnlab.interop import (
    ReferenceMismatch,
    UnknownReference,
    WeightsUnavailable,
    load_imagenet_features,
    load_reference,
    open_reference,
    recognise,
    reference_config,
    start_weights,
)
from attnlab.models import ImageShape, build_model, report_network
from tests.interop.independent import learn_to_pay_attention, vgg16_with_gates
from tests.interop.reference import KEYS, random_input, random_state_dict

CHOICES = [(pooling, normalize) for pooling in ("before", "after") for normalize in ("softmax", "sigmoid")]


def agrees(module: torch.nn.Module, x: Tensor, expected: Tensor) -> bool:
    assert expected.std() > 0.05, "logits too small to tell anything"
    with torch.no_grad():
        return bool((module(x) - expected).abs().max() < 1e-4)


@pytest.mark.parametrize(("pooling", "normalize"), CHOICES)
@torch.no_grad()
def test_learn_to_pay_attention_gives_the_reference_logits(pooling: str, normalize: str) -> None:
    name = f"l2pa/{pooling}-{normalize}"
    state, x = random_state_dict(name), random_input(name)
    module = open_reference(state, pooling=pooling, normalize=normalize)
    assert not module.training
    assert sum(weight.numel() for weight in module.parameters()) == KEYS[name]["parameters"]
    assert agrees(module, x, learn_to_pay_attention(x, state, pooling, normalize))
    with record_attention(module) as maps:
        module(x)
    assert {one.scale for one in maps} == {MapScale.SOFTMAX if normalize == "softmax" else MapScale.GATE}


@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
@torch.no_grad()
@pytest.mark.slow
def test_vgg16_with_gates_gives_the_reference_logits(normalize: str) -> None:
    state, x = random_state_dict(f"attnmel/{normalize}"), random_input(f"attnmel/{normalize}")
    module = open_reference(state, normalize=normalize)
    assert agrees(module, x, vgg16_with_gates(x, state, normalize))
    theirs = {f"classify.{name[4:]}" if name.startswith("cls.") else name: value for name, value in state.items()}
    assert agrees(open_reference(theirs, normalize=normalize), x, module(x))


@torch.no_grad()
def test_other_classes_sizes_and_the_network_without_attention() -> None:
    state = random_state_dict("l2pa/after-softmax")
    state["classify.weight"], state["classify.bias"] = torch.randn(100, 512) / 20, torch.randn(100)
    state["dense.weight"] = torch.randn(512, 512, 1, 2) / 30
    plain = {name: value for name, value in state.items() if not name.startswith(("attn", "projector"))}
    x = torch.randn(2, 3, 32, 64)
    config, shape, classes = reference_config(plain)
    assert (config.options["depths"], shape, classes) == (0, ImageShape(3, 32, 64), 100)
    assert agrees(open_reference(plain), x, learn_to_pay_attention(x, plain, "after", "softmax"))


@pytest.mark.parametrize("name", [name for name in KEYS if not name.startswith(("l2pa", "attnmel"))])
@torch.no_grad()
def test_report_networks_and_blocks_are_recognised_and_opened(name: str) -> None:
    state, x = random_state_dict(name), random_input(name)
    source = name.split("/")[0]
    reference = recognise(state)
    assert reference.name == source
    assert reference.network == (source == "report")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = open_reference(state)
    assert sum(weight.numel() for weight in module.parameters()) == KEYS[name]["parameters"]
    assert module(x).shape == ((len(x), 10) if source == "report" else x.shape)


@torch.no_grad()
def test_a_report_network_opens_with_its_own_logits_and_any_number_of_classes() -> None:
    state, x = random_state_dict("report/eca_spatial"), random_input("report/eca_spatial")
    ours = report_network("CNN + CBAM spatial + ECA").eval()
    load_reference(ours, state)
    torch.testing.assert_close(open_reference(state)(x), ours(x))
    state["fc2.weight"], state["fc2.bias"] = torch.randn(3, 512), torch.randn(3)
    assert open_reference(state)(x).shape == (4, 3)


def test_what_is_assumed_is_said() -> None:
    state = random_state_dict("l2pa/after-softmax")
    with pytest.warns(UserWarning, match="pooling='after', normalize='softmax'"):
        assumed = reference_config(state)
    assert assumed == reference_config(state, pooling="after", normalize="softmax")
    assert recognise(state).choices == {"pooling": ("after", "before"), "normalize": ("softmax", "sigmoid")}


@pytest.mark.parametrize(
    ("network", "choices", "message"),
    [
        ("l2pa/after-softmax", {"pooling": "during"}, "pooling must be one of 'after', 'before'; got 'during'"),
        ("l2pa/after-softmax", {"scale": "softmax"}, "has no choice 'scale'; choices: pooling, normalize"),
        ("attnmel/softmax", {"pooling": "after"}, "has no choice 'pooling'; choices: normalize"),
        ("report/cnn", {"normalize": "softmax"}, "has no choice 'normalize'; choices: none"),
    ],
)
def test_a_choice_that_is_not_open_is_refused(network: str, choices: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_reference(random_state_dict(network), **choices)


def test_what_is_not_known_or_does_not_fit_is_said() -> None:
    with pytest.raises(UnknownReference, match="known: Network of the report, Learn To Pay Attention"):
        open_reference(torchvision.models.resnet18(weights=None).state_dict())
    state = random_state_dict("report/eca")
    del state["layer2.bn1.bias"]
    with pytest.raises(ReferenceMismatch, match=r"missing: layer2\.bn1\.bias"):
        open_reference(state)
    state = {**random_state_dict("sagan/32"), "value_conv.weight": torch.zeros(3, 32, 1, 1)}
    with pytest.raises(ReferenceMismatch, match=r"value_conv\.weight is \(3, 32, 1, 1\), needed \(32, 32, 1, 1\)"):
        open_reference(state)


def test_a_few_shapes_cannot_ask_for_gigabytes() -> None:
    markers = {name: torch.zeros(1) for name in ("conv_block6.op.0.weight", "attn3.op.weight")}
    state = {
        **markers,
        "conv_block1.op.0.weight": torch.zeros(512, 1, 1, 1),
        "dense.weight": torch.zeros(1, 1, 1, 1),
        "classify.weight": torch.zeros(2, 1),
    }
    with pytest.raises(ValueError, match=r"belong to a module with [\d,]+ weights, but the file holds only \d+"):
        open_reference(state, pooling="after", normalize="softmax")


def network(backbone: str, channels: int = 3, **changes: object) -> torch.nn.Module:
    return build_model(ModelConfig(backbone=backbone, **changes), ImageShape(channels, 64, 64), 2)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("backbone", ["attention_vgg16", "resnet18"])
def test_imagenet_features_come_from_a_local_file(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = (
        torchvision.models.resnet18(weights=None)
        if backbone == "resnet18"
        else torchvision.models.vgg16_bn(weights=None).features
    )
    prefix = "" if backbone == "resnet18" else "features."
    file = tmp_path / "weights.pth"
    torch.save({prefix + name: value for name, value in theirs.state_dict().items()}, file)
    model = network(backbone, options={"pretrained": str(file)})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_weights(model)
    images = torch.randn(1, 3, 64, 64)
    model.eval(), theirs.eval()
    if backbone == "resnet18":
        theirs.fc = model.fc
        torch.testing.assert_close(model(images), theirs(images))
    else:
        x = images
        for block in model.blocks:
            x = F.max_pool2d(block(x), 2)
        torch.testing.assert_close(x, theirs(images))
    kept = "fc." if backbone == "resnet18" else "head."
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith(kept))


@pytest.mark.slow
@torch.no_grad()
def test_a_grey_image_is_answered_as_its_three_equal_channels(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), file)
    grey, colour = network("resnet18", channels=1).eval(), network("resnet18").eval()
    for model in (grey, colour):
        load_imagenet_features(model, file)
    colour.fc.load_state_dict(grey.fc.state_dict())
    image = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(grey(image), colour(image.expand(1, 3, 64, 64)), rtol=1e-4, atol=1e-5)


def test_without_a_network_the_message_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = network("attention_vgg16", options={"pretrained": "imagenet"})
    with pytest.raises(WeightsUnavailable, match=r"could not be downloaded.*Download https://.*vgg16_bn.*path of the file"):
        start_weights(model)


@pytest.mark.slow
def test_imagenet_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), file)
    with pytest.raises(WeightsUnavailable, match="fit width 64"):
        load_imagenet_features(network("resnet18", width=8), file)
    with pytest.raises(WeightsUnavailable, match=r"not those of torchvision's vgg16_bn: features\.0\.weight is missing"):
        load_imagenet_features(network("attention_vgg16"), file)
    with pytest.raises(WeightsUnavailable, match="no ImageNet weights fit SmallCnn"):
        load_imagenet_features(network("small_cnn"), file)


def test_nothing_is_read_unless_it_is_asked_for() -> None:
    model = network("resnet18", width=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_weights(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
