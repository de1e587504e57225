"""The article's network on dermoscopy images: ROC AUC with and without attention, and what the gates look at.

    python -m benchmarks.melanoma DATA             trains a narrow network, three seeds each with and without gates
    python -m benchmarks.melanoma DATA --measure   measures the runs that are there, and draws the figure again
    python -m benchmarks.melanoma lesions          the gates on drawn lesions that lie anywhere, over the seeds

DATA is a folder or archive with ``marking.csv`` (``image_id``, ``target``), the images, and lesion masks. All of it is split
as in the article, 80/20 with random state 1234, but stratified; a fifth of the training images is held out to choose the
epoch, by its ROC AUC. The runs go to ATTNLAB_HOME, where the app shows them. Writes ``docs/figures/melanoma.json`` and the
article's figure, ``docs/figures/melanoma-gates.png``, of the run with the best validation AUC. On drawn lesions it writes
``docs/figures/melanoma-drawn.json``: for each gate the weight on the lesion, with its interval over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from attnlab import paths
from attnlab.attention import to_spatial
from attnlab.config import RunConfig
from attnlab.data import ImageDataset, Split, load_dataset, options_of_a_new_run
from attnlab.experiments.demo import trained
from attnlab.explain import open_run
from attnlab.explain.concentration import article_claims, concentration
from attnlab.maps import relative_weights
from attnlab.models.melanoma import SMALL, dermoscopy_config, melanoma_config
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.records import RunState
from attnlab.stats.intervals import auc_interval
from attnlab.stats.significance import paired_t_test
from attnlab.training.device import prepare_process
from attnlab.viz.melanoma_figure import contact_sheet, gate_overlays

SHOWN = 4
RESAMPLES = 2000


def finished(wanted: RunConfig, *, measure_only: bool) -> RunFolder:
    """The finished run of a configuration; trained now where there is none."""
    there = [folder for folder in run_folders(paths.runs_dir()) if folder.config == wanted]
    if measure_only and not (there and there[0].observe().state is RunState.FINISHED):
        raise SystemExit(f"there is no finished run of seed {wanted.seed} in {paths.runs_dir()}; run without --measure")
    folder = trained(wanted, paths.runs_dir())
    print(folder.run_id, f"AUC {result(folder)['test_auc']:.3f}", flush=True)
    return folder


def scores(folder: RunFolder) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels and probabilities of class 1 of the test images."""
    extra = result(folder)["extra"]
    return np.asarray(extra["labels"]), np.asarray(extra["probabilities"], np.float32)


def result(folder: RunFolder) -> dict[str, Any]:
    end = folder.end()
    assert end is not None  # it is finished
    return end["result"]


def summary(folders: Sequence[RunFolder]) -> dict[str, Any]:
    """Each seed's AUC with its interval over the images; the mean over seeds; the AUC of the seeds' mean probability."""
    areas = [result(folder)["test_auc"] for folder in folders]
    labels = scores(folders[0])[0]
    mean_score = np.mean([scores(folder)[1] for folder in folders], axis=0)
    return {
        "test_images": len(labels),
        "test_malignant": int(labels.sum()),
        "seeds": [
            {
                "seed": folder.config.seed,
                "auc": result(folder)["test_auc"],
                "interval": result(folder)["extra"]["auc_interval"],
                "best_epoch": result(folder)["best_epoch"],
                "validation_auc": best_validation(folder),
                "seconds": result(folder)["seconds"],
                "parameters": folder.progress()["parameters"],
            }
            for folder in folders
        ],
        "mean": float(np.mean(areas)),
        "sd": float(np.std(areas, ddof=1)),
        "together": float(roc_auc_score(labels, mean_score)),
        "together_interval": auc_interval(labels, mean_score),
    }


def best_validation(folder: RunFolder) -> float:
    return max(
        row["validation_auc"] for row in folder.metrics() if row["kind"] == "epoch" and row["validation_auc"] is not None
    )


def difference(one: Sequence[RunFolder], other: Sequence[RunFolder]) -> dict[str, Any]:
    """AUC of ``one`` minus ``other``: by seed with a paired t-test, and of the mean probabilities with a paired bootstrap."""
    by_seed = [result(a)["test_auc"] - result(b)["test_auc"] for a, b in zip(one, other, strict=True)]
    labels = scores(one[0])[0]
    ours, theirs = (np.mean([scores(folder)[1] for folder in side], axis=0) for side in (one, other))
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(labels), size=len(labels)) for _ in range(RESAMPLES))
    differences = [
        roc_auc_score(labels[i], ours[i]) - roc_auc_score(labels[i], theirs[i]) for i in drawn if 0 < labels[i].sum() < len(i)
    ]
    low, high = np.quantile(differences, [0.025, 0.975])
    return {
        "by_seed": by_seed,
        "p_paired_t": paired_t_test(by_seed).p,
        "together": float(roc_auc_score(labels, ours) - roc_auc_score(labels, theirs)),
        "together_interval": [float(low), float(high)],
    }


def colour_baseline(data: ImageDataset) -> dict[str, Any]:
    """Logistic regression on colours alone: mean, deviation and quantiles of each channel. What a network must beat."""

    def features(split: Split) -> NDArray[np.float32]:
        pixels = split.images.flatten(2).float() / 255
        quantiles = torch.quantile(pixels, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=2).permute(1, 0, 2).flatten(1)
        return torch.cat([pixels.mean(2), pixels.std(2), quantiles], dim=1).numpy()

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(features(data.train), data.train.labels.numpy())
    labels, predicted = data.test.labels.numpy(), model.predict_proba(features(data.test))[:, 1].astype(np.float32)
    return {"auc": float(roc_auc_score(labels, predicted)), "interval": auc_interval(labels, predicted)}


def gates(folder: RunFolder, data: ImageDataset) -> dict[str, Any]:
    """How concentrated the gates are by class, and the article's claim."""
    opened = open_run(folder.path)
    measured = concentration(opened, data.test)
    rows = [
        {key: value if isinstance(value, str | int) else [value.value, value.low, value.high] for key, value in row.items()}
        for row in measured.table(opened.class_names)
    ]
    claims = [
        {
            "sentence": claim.sentence,
            "holds": claim.holds,
            "figure": claim.figure,
            "value": [claim.interval.value, claim.interval.low, claim.interval.high],
            "null": claim.null,
            "images": claim.interval.count,
        }
        for claim in article_claims(measured, positive=1)
    ]
    return {"seed": folder.config.seed, "rows": rows, "claims": claims}


def drawn(seeds: int, *, measure_only: bool) -> dict[str, Any]:
    """What each gate puts on drawn malignant-like lesions (1 is uniform), by seed, and the mean with its t interval."""
    options = options_of_a_new_run("lesions")
    wanted = [melanoma_config("lesions", seed=seed, options=options, **SMALL) for seed in range(seeds)]
    folders = [finished(each, measure_only=measure_only) for each in wanted]
    data = load_dataset(wanted[0].dataset)
    by_gate: dict[str, list[float]] = {}
    for folder in folders:
        opened = open_run(folder.path)
        for row in concentration(opened, data.test).table(opened.class_names):
            if row["class"] == opened.class_names[1]:
                by_gate.setdefault(row["layer"], []).append(row["on_mask"].value)
    shallow, deep = by_gate.values()
    by_gate["the second minus the first"] = [b - a for a, b in zip(shallow, deep, strict=True)]
    found: dict[str, Any] = {"options": options, "auc": [result(folder)["test_auc"] for folder in folders]}
    for name, values in by_gate.items():
        mean = paired_t_test(values)
        found[name] = {"by_seed": values, "mean": mean.value, "interval": list(mean.interval)}
    return found


def draw(folder: RunFolder, data: ImageDataset, target: Path) -> None:
    """The article's figure: originals, pool-3 and pool-4 side by side; benign images above, malignant ones below."""
    opened = open_run(folder.path)
    index = torch.cat([(data.test.labels == label).nonzero().flatten()[:SHOWN] for label in (0, 1)])
    images = [image.permute(1, 2, 0).numpy() for image in data.test.images[index]]
    sheets = [contact_sheet(images, columns=SHOWN)]
    for attention in opened.inspect(data.test.images[index]).maps:
        maps = to_spatial(attention).numpy()
        maps = relative_weights(maps, attention.scale, maps[0].size)
        sheets.append(
            contact_sheet(gate_overlays(images, maps, bounds=(maps.min(), maps.max()), cells=attention.cells), columns=SHOWN)
        )
        print(f"{attention.name}: colours from {maps.min():.2f} to {maps.max():.2f}")
    gap = np.full((sheets[0].shape[0], 24, 3), 255, np.uint8)
    whole = np.concatenate([sheets[0], gap, sheets[1], gap, sheets[2]], axis=1)
    Image.fromarray(whole).save(target, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--measure", action="store_true", help="train nothing")
    given = parser.parse_args()
    prepare_process(int(os.environ.get("ATTNLAB_THREADS", "1")))
    if str(given.data) == "lesions":
        told = json.dumps(drawn(given.seeds, measure_only=given.measure), indent=1)
        (paths.DOCS / "figures" / "melanoma-drawn.json").write_text(told + "\n")
        print(told)
        return
    sides: dict[bool, list[RunFolder]] = {True: [], False: []}
    for seed in range(given.seeds):
        for attention, folders in sides.items():
            wanted = dermoscopy_config(
                str(given.data.resolve()), attention=attention, image_size=given.image_size, seed=seed, epochs=given.epochs
            )
            folders.append(finished(wanted, measure_only=given.measure))
    gated, plain = sides[True], sides[False]
    data = load_dataset(gated[0].config.dataset)
    found = {
        "machine": {
            "device": "CPU",
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "images": {part: len(getattr(data, part)) for part in ("train", "validation", "test")},
        "epochs": given.epochs,
        "gates": summary(gated),
        "without": summary(plain),
        "difference": difference(gated, plain),
        "colours_alone": colour_baseline(data),
        "concentration": [gates(folder, data) for folder in gated],
    }
    (paths.DOCS / "figures" / "melanoma.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(max(gated, key=best_validation), data, paths.DOCS / "figures" / "melanoma-gates.png")
    print(json.dumps({key: value for key, value in found.items() if key != "concentration"}, indent=1))


if __name__ == "__main__":
    main()
