"""Starting as the identity: exact where a variant says that it can, refused by name where its mathematics does not allow it."""

import pytest
import torch

from attnlab.attention import attention_taps, build_attention, get_attention, list_attention, mixers, start_as_identity
from attnlab.config import ModelConfig, RunConfig
from attnlab.models import ImageShape, build_model, list_models

ABLE = [name for name, variant in list_attention().items() if variant.identity]
UNABLE = [name for name in list_attention() if name not in ABLE]
TAKING = [name for name, network in list_models().items() if network.placements]
IMAGES = ImageShape(3, 32, 32)


def config(name: str, **more: object) -> ModelConfig:
    return ModelConfig(**{"attention": name, "width": 8, "attention_start": "identity", **more})


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ABLE)
def test_the_output_is_the_input_exactly(name: str, training: bool) -> None:
    torch.manual_seed(0)
    model = build_attention(name, 16, (7, 5)).train(training)
    for parameter in model.parameters():  # as a network may have drawn them
        torch.nn.init.normal_(parameter)
    x = torch.randn(3, 16, 7, 5)
    assert not torch.equal(model(x), x)
    start_as_identity(model, name)
    assert torch.equal(model(x), x)


@pytest.mark.parametrize("name", ABLE)
def test_it_learns_from_there(name: str) -> None:
    model = build_attention(name, 16, (7, 5))
    start_as_identity(model, name)
    model(torch.randn(3, 16, 7, 5)).square().sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("name", UNABLE)
def test_others_are_refused_by_name_with_the_reason_and_with_what_can(name: str) -> None:
    variant = get_attention(name)
    with pytest.raises(ValueError, match=f"^{name} cannot start as the identity, because ") as refused:
        build_model(config(name, width=16), IMAGES, 5)
    assert variant.why_no_identity in str(refused.value) and all(able in str(refused.value) for able in ABLE)
    assert "start_as_identity" not in variant.why_no_identity, "a built-in variant gives its own reason"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("global_context", {"fusion": "scale"}, "global_context can start as the identity with fusion = 'add' only"),
        ("global_context", {"fusion": "both"}, "global_context can start as the identity with fusion = 'add' only"),
        ("double_attention", {"residual": False}, "double_attention cannot start as the identity with residual = False"),
    ],
)
def test_so_are_options_that_do_not_allow_it(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(config(name, attention_options={name: options}), IMAGES, 5)


def test_one_block_of_a_composition_that_cannot_refuses_the_whole() -> None:
    with pytest.raises(ValueError, match="eca cannot start as the identity"):
        build_model(config("gct+eca"), IMAGES, 5)


@pytest.mark.parametrize(
    ("backbone", "placement"), [(name, place) for name in TAKING for place in list_models()[name].placements]
)
def test_a_network_starts_as_it_is_without_attention_wherever_the_blocks_sit(backbone: str, placement: str) -> None:
    """Also where the network draws the weights of all its parts itself."""
    torch.manual_seed(0)
    model = build_model(config("gct+global_context", backbone=backbone, placement=placement), IMAGES, 5).eval()
    plain = build_model(ModelConfig(backbone=backbone, width=8), IMAGES, 5).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    images = torch.randn(2, *IMAGES)
    assert torch.equal(model(images), plain(images))
    one = placement == "before_classifier"
    own = [tap for tap in attention_taps(model) if ".gct." in tap]
    assert (len(own) == 1) == one and (not one or own[0].startswith("attention_last."))


def test_before_the_classifier_there_is_one_place_whatever_the_stages() -> None:
    with pytest.raises(ValueError, match="before the classifier there is one place, after all stages; stages must be 'all'"):
        build_model(ModelConfig(attention="eca", placement="before_classifier", options={"stages": "1"}), IMAGES, 5)
    mixed = ModelConfig(
        attention="selective_kernel+eca", placement="before_classifier", width=8, options={"stages": "1"}
    )  # the stages are those of the mixer
    taps = list(attention_taps(build_model(mixed, IMAGES, 5)))
    assert [tap.split(".")[0] for tap in taps] == ["blocks", "attention_last"]


def test_ids_follow_only_what_has_an_effect() -> None:
    def group(**model: object) -> str:
        return RunConfig(model=ModelConfig(**model)).group

    assert group(attention="gct") != group(attention="gct", attention_start="identity")
    assert group() == group(attention_start="identity")
    assert group(attention="eca") != group(attention="eca", placement="block_end")
    for name in mixers():
        assert group(attention=name) == group(attention=name, placement="block_end")
        assert group(attention=f"{name}+eca") != group(attention=f"{name}+eca", placement="block_end")
