"""Short names say whether and how a network attends, for every registered network."""

from pathlib import Path

import pytest

from attnlab.attention import attention_taps
from attnlab.config import ModelConfig, RunConfig
from attnlab.models import ImageShape, build_model, list_models
from attnlab.runs.naming import PLAIN, attention_name, run_names, short_names
from attnlab.runs.records import RunRecord, RunState


def named(**model: object) -> str:
    return attention_name(RunConfig(model=ModelConfig(**model)))


@pytest.mark.parametrize("backbone", list_models())
def test_a_network_is_called_plain_exactly_when_nothing_in_it_attends(backbone: str) -> None:
    network = list_models()[backbone]
    for options in [{}, *({"depths": depths} for depths in network.options.get("depths", ()))]:
        model = ModelConfig(backbone=backbone, width=4, options=options)
        attends = bool(attention_taps(build_model(model, ImageShape(3, 64, 64), 2)))
        assert (named(backbone=backbone, options=options) != PLAIN) == attends, options


def test_gates_of_the_network_and_variants_are_named_together() -> None:
    assert named(attention="eca+cbam_spatial") == "eca + cbam_spatial"
    assert named(backbone="gated_cnn", attention="eca") == "built-in gates + eca"
    assert named(backbone="attention_vgg16", options={"depths": 0}) == PLAIN


def test_runs_beside_each_other_have_names_of_their_own() -> None:
    """The seed where it tells them apart, and the end of the id where nothing in the name does."""

    def record(run_id: str, **settings: object) -> RunRecord:
        config = RunConfig().changed(**settings)
        return RunRecord(run_id, config.group, run_id, config, RunState.FINISHED, Path(run_id))

    records = [
        record("run-aaaaaa", model__attention="eca"),
        record("run-bbbbbb", model__attention="cbam"),
        record("run-cccccc", model__attention="cbam", seed=1),
        record("run-dddddd", model__attention="cbam", seed=1, training__lr=0.5),
    ]
    assert list(short_names(records).values()) == [
        "eca",
        "cbam · seed 0",
        "cbam · seed 1 · cccccc",
        "cbam · seed 1 · dddddd",
    ]
    assert run_names(records)["run-dddddd"] == "cbam · digits · small_cnn · seed 1 · dddddd"
    assert run_names(records)["run-bbbbbb"] == "cbam · digits · small_cnn · seed 0"
