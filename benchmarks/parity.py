"""Writes docs/parity.md: how far our networks and blocks are from their public references, measured in float64.

    python -m benchmarks.parity

Needs timm and the tests of the repository, which hold the references (`tests/interop/parity_cases.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timm
import torch
import torchvision

from attnlab import paths
from tests.interop.parity import MODES, TOLERANCE, compare
from tests.interop.parity_cases import cases

INTRODUCTION = f"""# Do our networks compute what their references compute?

Names, shapes and parameter counts of weights do not answer this: one ReLU too many changes none of them. So each network and
block with a public reference is given the same weights as an independent evaluation of that reference, and both get the same
random images, in float64 on a CPU: a module of torchvision or timm where there is one, else plain functions written from the
description of the public code, which share nothing with attnlab ([independent.py](../tests/interop/independent.py),
[independent_gates.py](../tests/interop/independent_gates.py), [parity_tokens.py](../tests/interop/parity_tokens.py)).
For both modes the table shows the largest absolute difference of the outputs; in training mode also that of the running
statistics of batch norm after one step, and in both that of the gradients of the input and of all weights (relative to the
largest gradient where that is above 1). Dropout draws the same numbers on both sides.

A difference below {TOLERANCE:g} is rounding, and is tested (`tests/interop/test_parity.py`). What differs by definition
is said in the column *reference*; there the weights were chosen so that both must agree.

Measured with torch {{torch}}, torchvision {{torchvision}}, timm {{timm}}. Written by `python -m benchmarks.parity`.

| ours | reference | sizes | evaluation | training | statistics | gradients |
|---|---|---|---:|---:|---:|---:|
"""

NOTES = """
Not in the table, because nobody published code for them: `gated_cnn` (the report's network with the article's gates), three
blocks that are all called and CBAM after every convolution (what the report describes), dot products and independent
classifiers of Learn To Pay Attention (from the paper), the options of the autoencoders other than the published ones, and
`pooled_keys`. The options of the other gates that are not in the table change a width, a side or a table of numbers.
`SCSEModule` of segmentation_models.pytorch 0.6.0 was compared once without being installed, and there was no
difference. Public code that starts weights otherwise is listed under [departures](sources.md#where-attnlab-departs).
"""


def figure(value: float | None) -> str:
    """``3e-15``; ``0`` where nothing differs, a dash where there is nothing to compare."""
    return "–" if value is None else f"{value:.0e}" if value else "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=paths.DOCS / "parity.md")
    given = parser.parse_args()
    lines = []
    for case in cases():
        found = {mode: [compare(case, size, mode) for size in case.sizes] for mode in MODES}
        evaluation, training = (max(each.outputs for each in found[mode]) for mode in MODES)
        statistics = max((each.statistics for each in found["training"] if each.statistics is not None), default=None)
        gradients = max(each.gradients for each in (*found["evaluation"], *found["training"]))
        sizes = ", ".join(f"{height} x {width}" for height, width in case.sizes)
        figures = " | ".join(map(figure, (evaluation, training, statistics, gradients)))
        lines.append(f"| {case.ours} | {case.reference} | {sizes} | {figures} |")
        print(lines[-1], flush=True)
    head = INTRODUCTION.format(torch=torch.__version__, torchvision=torchvision.__version__, timm=timm.__version__)
    given.output.write_text(head + "\n".join(lines) + "\n" + NOTES)


if __name__ == "__main__":
    main()
