"""The script for a GPU, at its tiny size on a CPU: every part runs, and the file says what it found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attnlab.attention import list_attention
from attnlab.models import list_models

ROOT = Path(__file__).resolve().parents[2]


def script(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "WHEELS": ""}
    return subprocess.run(
        [ROOT / "benchmarks" / "on_gpu.sh", output, *options], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_every_part_runs_on_a_cpu_and_is_written(tmp_path: Path) -> None:
    ended = script(tmp_path / "found.json", "--tiny")
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    parts = found["parts"]
    assert (found["device"], found["tiny"]) == ("cpu", True)
    assert set(parts) == {"equality", "stacked_is_single", "determinism", "out_of_memory", "worker_faults", "speed", "table1"}
    assert not [part for part in parts.values() if "failed" in part]
    named = {f"variant {name}" for name in list_attention()} | {f"network {name}" for name in list_models()}
    assert set(parts["equality"]["differences"]) == named and parts["equality"]["all_equal"]
    assert parts["stacked_is_single"]["equal"]
    assert parts["determinism"]["difference"] == 0
    assert parts["out_of_memory"]["left_out"] == "needs CUDA"
    assert parts["worker_faults"]["as promised"] and "out of bounds" in parts["worker_faults"]["assert"]["reason"]
    row = parts["speed"]["rows"]["CNN"]
    assert row["plain"] > 0 and row["ours"] > 0 and row["share_of_peak"] > 0
    assert len(parts["table1"]["rows"]["CNN"]["accuracies"]) == 2


@pytest.mark.slow
def test_when_no_time_is_left_the_parts_say_so(tmp_path: Path) -> None:
    assert script(tmp_path / "found.json", "--tiny", "--seconds", "0").returncode == 0
    parts = json.loads((tmp_path / "found.json").read_text())["parts"]
    assert {part["left_out"] for part in parts.values()} == {"no time was left"}


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_what_to_do(tmp_path: Path) -> None:
    ended = script(tmp_path / "found.json")
    assert ended.returncode != 0 and "--tiny runs every part on the CPU" in ended.stderr
