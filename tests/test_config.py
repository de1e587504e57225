"""Configurations: what is written today and what was written before."""

import json

import pytest

from attnlab import paths
from attnlab.config import RunConfig

DEMO = sorted(paths.DEMO_RUNS.iterdir())


@pytest.mark.parametrize("folder", DEMO, ids=lambda folder: folder.name)
def test_a_run_made_before_a_setting_was_added_keeps_its_id(folder) -> None:
    """The shipped configurations do not name the newer settings; links and folders name their ids."""
    config = RunConfig.from_json((folder / "config.json").read_text())
    assert config.run_id == folder.name
    assert RunConfig.from_json(config.to_json()).run_id == folder.name


def test_newer_settings_count_as_soon_as_they_are_used() -> None:
    plain = RunConfig()
    newer = {"training__plateau_patience": 1, "protocol__loss_average": "batches", "model__control": "neutral"}
    for path, value in newer.items():
        changed = plain.changed(**{path: value})
        assert changed.config_hash != plain.config_hash and changed.group != plain.group
        section, name = path.split("__")
        assert json.loads(changed.to_json())[section][name] == value
