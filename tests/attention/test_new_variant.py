"""A new variant is one new file: put into a folder of plug-ins, it is listed, built, recorded and trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attention.new_variant import VARIANT

ROOT = Path(__file__).resolve().parents[2]

USE = """
import json, torch
from attnlab.attention import list_attention, record_attention
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model

config = ModelConfig(attention="eca+brightness", attention_options={"brightness": {"power": 2}}, width=4)
model = build_model(config, ImageShape(3, 16, 20), classes=3)
with record_attention(model) as maps:
    model(torch.randn(2, 3, 16, 20)).sum().backward()
print(json.dumps({
    "listed": list(list_attention()),
    "defaults": list_attention()["brightness"].defaults,
    "maps": [[m.name, m.kind, list(m.values.shape)] for m in maps],
    "learns": all(p.grad is not None for p in model.parameters()),
}))
"""


@pytest.mark.slow
def test_one_new_file_is_a_new_variant(tmp_path: Path) -> None:
    (tmp_path / "brightness.py").write_text(VARIANT.strip() + "\n")
    environment = os.environ | {"ATTNLAB_PLUGINS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", USE], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "brightness" in seen["listed"]
    assert seen["defaults"] == {"power": 1}
    assert seen["learns"]
    assert [m for m in seen["maps"] if "brightness" in m[0]] == [
        ["blocks.0.attention1.brightness.tap", "spatial", [2, 1, 16, 20]],
        ["blocks.0.attention2.brightness.tap", "spatial", [2, 1, 14, 18]],
        ["blocks.1.attention1.brightness.tap", "spatial", [2, 1, 7, 9]],
        ["blocks.1.attention2.brightness.tap", "spatial", [2, 1, 5, 7]],
    ]
