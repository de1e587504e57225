"""Self-attention with and without its N x N map, side by side: CPU time and peak memory at (1, 128, H, H).

Each measurement runs in a process of its own, so that the peak is its own; the two forms alternate. Time is the CPU time
of the process on ``--threads`` threads: with one, it is what the arithmetic costs, whoever else uses the machine (with
more, threads that wait for each other on a busy machine count as work). The direct form runs where its maps fit into
``--memory`` GiB. Writes ``docs/figures/self_attention.json`` and, drawn from it,
``docs/figures/self_attention.svg``; ``--draw`` only draws.

    python benchmarks/self_attention.py [--sides 16 32 64 128 256] [--repeats 3] [--memory 12] [--threads 1] [--draw]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHANNELS = 128
FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
ROWS = 50  # rows timed for one figure
TRIES = 5  # steps of a small map in one process, the fastest counts: the first pays for touching memory
MAPS_HELD = 5  # of the direct form, forward and backward together; decides only where it is tried


def peak_mib() -> float:
    """The most memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(form: str, side: int, threads: int) -> dict[str, float]:
    """One child's figures: CPU seconds and peak extra MiB of a forward and of a forward with backward, or of single rows."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import torch

    from attnlab.attention.self_attention import SelfAttention

    torch.set_num_threads(threads)

    def direct(model: SelfAttention, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (part(x).flatten(2) for part in (model.query, model.key, model.value))
        attention = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=-1)
        return model.gamma * torch.bmm(value, attention.transpose(1, 2)).view_as(x) + x

    def made(side: int, backward: bool) -> tuple[SelfAttention, torch.Tensor]:
        torch.manual_seed(0)
        model = SelfAttention(CHANNELS, (side, side))
        model.gamma.data.fill_(0.5)
        return model, torch.randn(1, CHANNELS, side, side, requires_grad=backward)

    def step(side: int, backward: bool) -> float:
        model, x = made(side, backward)
        begin = time.process_time()
        with torch.set_grad_enabled(backward):
            y = direct(model, x) if form == "direct" else model(x)
        if backward:
            y.sum().backward()
        return time.process_time() - begin

    if form == "row":
        model, x = made(side, False)
        with torch.inference_mode():
            begin = time.process_time()
            keys = model.keys(x)
            result = {"keys_s": time.process_time() - begin}
            model.row(x, [(0, 0)], keys)
            before, begin = peak_mib(), time.process_time()
            for i in range(ROWS):
                model.row(x, [(i % side, side // 2)], keys)
            return result | {"row_s": (time.process_time() - begin) / ROWS, "row_mib": peak_mib() - before}
    step(8, True)
    before, tries = peak_mib(), TRIES if side <= 64 else 1
    result = {"forward_s": min(step(side, False) for _ in range(tries)), "forward_mib": peak_mib() - before}
    return result | {"training_s": min(step(side, True) for _ in range(tries)), "training_mib": peak_mib() - before}


def run(sides: list[int], repeats: int, memory: float, threads: int) -> dict[str, object]:
    import torch

    machine = {
        "device": "CPU",
        "processor": platform.machine(),
        "threads": threads,
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    rows = []
    for side in sides:
        map_gib = side**4 * 4 / 2**30
        forms = ["direct", "fast", "row"] if MAPS_HELD * map_gib < memory else ["fast", "row"]
        runs: dict[str, list[dict[str, float]]] = {form: [] for form in forms}
        for _ in range(repeats if side < 256 else 1):
            for form in forms:
                command = [sys.executable, __file__, "--child", form, str(side), str(threads)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                runs[form].append(json.loads(done.stdout))
        for form, measured in runs.items():
            row: dict[str, object] = {"side": side, "form": form, "n": len(measured), "map_gib": map_gib}
            for key in measured[0]:
                values = [one[key] for one in measured]
                row[key] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
            rows.append(row)
            print(json.dumps(row), flush=True)
    machine["load_after"] = round(os.getloadavg()[0], 2)
    return {"channels": CHANNELS, "machine": machine, "rows": rows}


def draw(figures: dict[str, Any]) -> str:
    """Two log-log panels, memory and time of a forward with backward against H, as SVG that reads on light and dark."""
    width, height, left, top, plot_w, plot_h = 860, 330, 62, 40, 330, 220
    colours = {"direct": "#d1642a", "fast": "#2a78d1"}
    sides = sorted({row["side"] for row in figures["rows"]})
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" '
        'fill="#808080"><title>Self-attention at (1, 128, H, H), forward and backward: memory and CPU time</title>'
    ]
    panels = [("training_mib", "peak extra memory, MiB", (0, 4)), ("training_s", "CPU seconds", (-3, 3))]
    for panel, (key, title, (low, high)) in enumerate(panels):
        x0 = left + panel * (plot_w + 90)

        def at(side: float, value: float, x0: int = x0, low: int = low, high: int = high) -> tuple[float, float]:
            across = math.log2(side / sides[0]) / max(math.log2(sides[-1] / sides[0]), 1)
            up = (math.log10(value) - low) / (high - low)
            return x0 + across * plot_w, top + (1 - up) * plot_h

        parts.append(f'<text x="{x0}" y="{top - 16}">{title}, forward and backward</text>')
        for power in range(low, high + 1):
            y = at(sides[0], 10**power)[1]
            parts.append(f'<path d="M{x0} {y:.1f}h{plot_w}" stroke="#80808055"/>')
            parts.append(f'<text x="{x0 - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>')
        for side in sides:
            x = at(side, 10**low)[0]
            parts.append(f'<text x="{x:.1f}" y="{top + plot_h + 20}" text-anchor="middle">{side}</text>')
        parts.append(f'<text x="{x0 + plot_w / 2}" y="{top + plot_h + 42}" text-anchor="middle">H</text>')
        for form, colour in colours.items():
            chosen = [row for row in figures["rows"] if row["form"] == form]
            points = [at(row["side"], row[key]["median"]) for row in chosen]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    for i, (form, colour) in enumerate(colours.items()):
        label = {"direct": "direct: holds the N x N map", "fast": "attnlab: never holds it"}[form]
        parts.append(f'<rect x="{left + i * 220}" y="{height - 16}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{left + 20 + i * 220}" y="{height - 10}">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=float, default=12.0, help="GiB the direct form may take; it needs about 5 maps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--draw", action="store_true", help="draw the stored figures again, without measuring")
    parser.add_argument("--child", nargs=3, metavar=("FORM", "SIDE", "THREADS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child[0], int(given.child[1]), int(given.child[2]))))
        return
    stored = FIGURES / "self_attention.json"
    if not given.draw:
        FIGURES.mkdir(parents=True, exist_ok=True)
        stored.write_text(json.dumps(run(given.sides, given.repeats, given.memory, given.threads), indent=1) + "\n")
    stored.with_suffix(".svg").write_text(draw(json.loads(stored.read_text())))


if __name__ == "__main__":
    main()
