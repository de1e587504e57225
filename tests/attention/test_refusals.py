"""What a variant cannot do is refused in one sentence before anything is trained: it names the variant, the option and what is
possible. Over the registry."""

from typing import Any

import pytest

from attnlab.attention import build_attention, build_mixer, list_attention, mixers
from attnlab.config import ModelConfig, RunConfig, explain
from attnlab.models import ImageShape, build_model

IMAGES = ImageShape(3, 16, 16)
OPTIONS = [(name, option) for name, variant in list_attention().items() for option in variant.options]
WRONG: tuple[Any, ...] = (None, "nonsense", "", -1, 10**9, 2.5, [3], {"a": 1}, True, False, float("nan"))


def make(name: str, options: dict[str, Any], channels: int = 16, size: tuple[int, int] = (6, 5)) -> object:
    if name in mixers():
        return build_mixer(name, channels, channels, size, {name: options})
    return build_attention(name, channels, size, {name: options})


def one_sentence(error: ValueError) -> str:
    text = str(error)
    assert "\n" not in text and len(text) < 500 and "Traceback" not in text
    return text


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_a_wrong_value_of_an_option_is_refused_with_those_on_offer(name: str, option: str) -> None:
    offered = list_attention()[name].options[option]
    for value in WRONG:
        if any(known == value and isinstance(known, bool) == isinstance(value, bool) for known in offered):
            continue
        with pytest.raises(ValueError) as refused:
            make(name, {option: value})
        text = one_sentence(refused.value)
        assert text.startswith(f"{name}: {option} must be one of ") and all(repr(known) in text for known in offered), value


@pytest.mark.parametrize("name", list_attention())
def test_so_is_an_option_that_there_is_not_and_a_size_that_cannot_be(name: str) -> None:
    known = list_attention()[name].options
    with pytest.raises(ValueError) as refused:
        make(name, {"kernel": 3})
    assert one_sentence(refused.value) == f"{name} has no option kernel; its options: {', '.join(known) or 'none'}"
    for channels, size in ((0, (6, 5)), (-2, (6, 5)), (16, (0, 5)), (16, (6, -1))):
        with pytest.raises(ValueError, match=f"^{name} needs at least one channel and one position, got ") as refused:
            make(name, {}, channels, size)
        one_sentence(refused.value)


@pytest.mark.parametrize("name", list_attention())
def test_a_network_refuses_the_same_and_a_configuration_keeps_what_it_was_given(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} has no option kernel"):
        build_model(ModelConfig(attention=name, width=16, attention_options={name: {"kernel": 3}}), IMAGES, 5)
    with pytest.raises(ValueError, match=f"^options given for eca_of_old, which '{name}' does not contain"):
        build_model(ModelConfig(attention=name, width=16, attention_options={"eca_of_old": {}}), IMAGES, 5)


@pytest.mark.parametrize("name", ["split_attention", "bottleneck", "halo"])
def test_channels_that_do_not_divide_are_refused_with_what_would(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{name} cannot (split|divide) 7 channels into .* (set heads to|use a multiple of) "
    ) as refused:
        make(name, {}, 7)
    one_sentence(refused.value)


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"attention_options": {"eca": 3}}, "model.attention_options.eca"),
        ({"placement": "everywhere"}, "'every_conv', 'block_first', 'block_end' or 'before_classifier'"),
        ({"attention_start": "zero"}, "'published' or 'identity'"),
    ],
)
def test_a_configuration_of_another_kind_is_refused_by_its_field(tree: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as refused:
        RunConfig.model_validate({"model": {"attention": "eca"} | tree})
    assert told in explain(refused.value)
