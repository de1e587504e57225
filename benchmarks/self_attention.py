"""Self-attention with and without its N x N map, side by side: time and peak memory at (1, 128, H, H).

Each measurement runs in a process of its own, so that the peak is its own; the two forms alternate. The direct form runs
where its maps fit into ``--memory`` GiB. Writes ``docs/figures/self_attention.json``.

    python benchmarks/self_attention.py [--sides 16 32 64 128 256] [--repeats 3] [--memory 12]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHANNELS = 128
OUT = Path(__file__).resolve().parents[1] / "docs" / "figures" / "self_attention.json"
SYNC_ROW = 50  # rows timed for one figure


def measure(form: str, side: int) -> dict[str, float]:
    """Seconds and peak extra MiB of one forward and one forward with backward; for the fast form also of single rows."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from attnlab.attention.self_attention import SelfAttention

    torch.manual_seed(0)

    def direct(model: SelfAttention, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (part(x).flatten(2) for part in (model.query, model.key, model.value))
        attention = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=-1)
        return model.gamma * torch.bmm(value, attention.transpose(1, 2)).view_as(x) + x

    def step(side: int, backward: bool) -> float:
        model = SelfAttention(CHANNELS, (side, side))
        model.gamma.data.fill_(0.5)
        x = torch.randn(1, CHANNELS, side, side, requires_grad=backward)
        begin = time.perf_counter()
        with torch.set_grad_enabled(backward):
            y = direct(model, x) if form == "direct" else model(x)
        if backward:
            y.sum().backward()
        return time.perf_counter() - begin

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    step(8, True)
    before = peak()
    result = {"forward_s": step(side, False), "forward_mib": peak() - before}
    result |= {"training_s": step(side, True), "training_mib": peak() - before}
    if form == "fast":
        model, x = SelfAttention(CHANNELS, (side, side)), torch.randn(1, CHANNELS, side, side)
        with torch.inference_mode():
            keys = model.keys(x)
            begin = time.perf_counter()
            for i in range(SYNC_ROW):
                model.row(x, [(i % side, side // 2)], keys)
            result["row_s"] = (time.perf_counter() - begin) / SYNC_ROW
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=float, default=12.0, help="GiB the direct form may take; it needs about 5 maps")
    parser.add_argument("--child", nargs=2, metavar=("FORM", "SIDE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child[0], int(given.child[1]))))
        return

    import torch

    rows = []
    for side in given.sides:
        map_gib = side**4 * 4 / 2**30
        forms = ["direct", "fast"] if 5 * map_gib < given.memory else ["fast"]
        runs: dict[str, list[dict[str, float]]] = {form: [] for form in forms}
        for _ in range(given.repeats if side < 256 else 1):
            for form in forms:
                command = [sys.executable, __file__, "--child", form, str(side)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs[form].append(json.loads(done.stdout))
        for form, measured in runs.items():
            row: dict[str, object] = {"side": side, "form": form, "n": len(measured), "map_gib": map_gib}
            for key in measured[0]:
                values = [run[key] for run in measured]
                row[key] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
            rows.append(row)
            print(json.dumps(row), flush=True)
    machine = {
        "device": "CPU",
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"channels": CHANNELS, "machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
