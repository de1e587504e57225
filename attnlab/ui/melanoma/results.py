"""The lower half of the Melanoma page: the results of a finished run of the article's network.

How well it separates the classes, where its gates look, and whether the article's claim about them is true here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.attention import AttentionMap, to_spatial
from attnlab.data import DataError
from attnlab.explain import OpenError, OpenRun
from attnlab.explain.concentration import Claim, Concentration, article_claims, concentration
from attnlab.maps import MapScale, colour_ends, relative_weights
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history
from attnlab.runs.naming import attention_name
from attnlab.runs.records import RunRecord
from attnlab.stats.intervals import Interval
from attnlab.ui.background import show_progress
from attnlab.ui.format import duration, plain
from attnlab.ui.glossary import ENTROPY, UNIFORM
from attnlab.ui.reading import left_out_of_run
from attnlab.ui.run_cache import dataset_job, opened_network, pictures_stamp, run_dataset
from attnlab.viz.diagnosis import confusion_figure, operating_point, precision_recall_figure, roc_figure
from attnlab.viz.melanoma_figure import contact_sheet, gate_overlays

POSITIVE_NAMES = ("malignant", "melanoma", "positive", "1", "true", "yes")
IMAGES_PER_CLASS = 6
VERDICT = {
    True: (":green-badge[supported]", "the interval lies above"),
    False: (":red-badge[contradicted]", "the interval lies below"),
    None: (":gray-badge[inconclusive]", "the interval includes"),
}


def training_table(record: RunRecord) -> None:
    """Loss and ROC AUC of training and validation for each epoch, the time the run took, and the images it left out."""
    rows = [
        {
            "epoch": row["epoch"],
            "train loss": row["train_loss"],
            "validation loss": row["validation_loss"],
            "train AUC": row.get("train_auc"),
            "validation AUC": row.get("validation_auc"),
            "seconds": row.get("seconds"),
            "best": bool(row.get("best")),
        }
        for row in history(record).epochs
    ]
    best = max((row["epoch"] for row in rows if row["best"]), default=None)
    for row in rows:
        row["best"] = "tested" if row["epoch"] == best else ""
    took = f" The run took {duration(record.seconds)}." if record.seconds else ""
    st.caption(
        f"Each row covers a whole epoch, not only its last batch. The epoch with the best validation AUC is tested.{took}"
    )
    figures = dict.fromkeys(("train loss", "validation loss", "train AUC", "validation AUC"), "%.4f") | {"seconds": "%.1f"}
    st.dataframe(
        rows,
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(name, format=text) for name, text in figures.items()},
        key="melanoma.epochs_table",
    )
    left_out_of_run(record, "melanoma")


def diagnosis(record: RunRecord, others: Sequence[RunRecord]) -> None:
    """The test: AUC with its interval, ROC and precision-recall curves, and the confusion matrix at a chosen threshold."""
    test = record.result.get("extra", {})
    if "roc" not in test:
        st.info("This run has no ROC curve, because that needs test images of both classes.", icon=":material/info:")
        return
    labels, scores = np.asarray(test["labels"]), np.asarray(test["probabilities"])
    class_names = (RunFolder(record.folder).dataset_summary() or {}).get("class_names") or _network(record).class_names
    low, high = test["auc_interval"]
    threshold = st.slider(
        "Decision threshold",
        0.0,
        1.0,
        0.5,
        0.01,
        key="melanoma.threshold",
        bind="query-params",
        format="%.2f",
        help=f"An image is classified as {plain(class_names[1])} when its score is at least this high.",
    )
    at = operating_point(labels, scores, threshold)
    with st.container(horizontal=True):
        st.metric(
            "ROC AUC",
            f"{record.test_auc:.3f}",
            help="Over all test images: how often an image of the second class scores higher than one of the first.",
        )
        st.metric(
            "95% interval",
            f"{low:.3f} to {high:.3f}",
            help="A bootstrap over the test images. Training again would add more variation.",
        )
        st.metric(
            "Sensitivity",
            _percent(at.sensitivity),
            help=f"Share of the {int(labels.sum())} {plain(class_names[1])} images that are recognised.",
        )
        st.metric(
            "Specificity",
            _percent(at.specificity),
            help=f"Share of the {int((1 - labels).sum())} {plain(class_names[0])} images that are recognised.",
        )
    st.caption(f"Scores range from {scores.min():.2f} to {scores.max():.2f}; focal loss pulls scores towards 0.5.")
    compared = {_short(run): run.result["extra"] for run in (record, *others) if "roc" in run.result.get("extra", {})}
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.markdown("**ROC curve**")
        st.plotly_chart(
            roc_figure({name: extra["roc"] for name, extra in compared.items()}, at), key="melanoma.roc", alt="ROC curve"
        )
    with middle:
        st.markdown("**Precision and recall**")
        curves = {name: extra["precision_recall"] for name, extra in compared.items()}
        st.plotly_chart(
            precision_recall_figure(curves, float(labels.mean()), at), key="melanoma.pr", alt="Precision over recall"
        )
    with right:
        st.markdown("**Confusion at the threshold**")
        st.plotly_chart(confusion_figure(at.confusion, class_names), key="melanoma.confusion", alt="Confusion matrix")


def images_ready(record: RunRecord) -> bool:
    """Whether the images of the run have been drawn or read, or cannot be; shows how far that is until then."""
    job = dataset_job(record)
    with suppress(DataError):  # said where the images are needed
        job.result()
    show_progress([job], "Drawing or reading the test images, in percent")
    return job.ended


def gates_figure(record: RunRecord) -> None:
    """The article's figure: the originals and the two gates as overlays, by class."""
    run = _network(record)
    pictures, labels = _pictures(record)
    colours = st.segmented_control(
        "Colours",
        ["viridis", "jet"],
        default="viridis",
        required=True,
        format_func=lambda name: f"{name}, as in the article" if name == "jet" else name,
        key="melanoma.colours",
    )
    chosen = {name: (labels == label).nonzero().flatten()[:IMAGES_PER_CLASS] for label, name in enumerate(run.class_names)}
    by_class = {name: pictures[index] for name, index in chosen.items()}
    maps = _gate_maps(str(record.folder), pictures_stamp(record), run, by_class)
    bounds = [_bounds([class_maps[gate] for class_maps in maps.values()]) for gate in range(len(next(iter(maps.values()))))]
    st.caption(
        "Each overlay is 60% image and 40% colour map, smoothed between the gate's positions as in the article. The colours of "
        "a gate span its smallest to its largest weight in these images of both classes, so that even faint differences show; "
        f"single weights far above all others do not stretch them. {UNIFORM}"
    )
    for name, class_maps in maps.items():
        images = [image.permute(1, 2, 0).numpy() for image in pictures[chosen[name]]]
        sheets = [("originals", images)]
        for attention, ends in zip(class_maps, bounds, strict=True):
            overlays = gate_overlays(
                images, _weights(attention), bounds=ends, colours=colours or "viridis", cells=attention.cells
            )
            sheets.append((_sheet_title(attention, ends), overlays))
        st.markdown(f"**{plain(name)}**")
        for column, (title, sheet) in zip(st.columns(len(sheets), gap="small"), sheets, strict=True):
            column.image(contact_sheet(sheet), caption=title, width="stretch", alt=f"{title}, {name}, one below the other")


def claim_section(record: RunRecord, others: Sequence[RunRecord]) -> None:
    """How concentrated the gates are, by class, with intervals, and what that means for the article's claim.

    Args:
        others: runs on the same data; those that differ only in the seed can be tested as well.
    """
    run = _network(record)
    try:
        data = run_dataset(record)
    except DataError:
        st.info(
            "The claim is tested on all test images of the run, which are not on this machine. What came out of it on real "
            "images is in docs/melanoma.md.",
            icon=":material/info:",
        )
        return
    measured = _concentration(str(record.folder), pictures_stamp(record), record)
    positive = _positive(run.class_names)
    if data.test.masks is None:
        st.caption("These images have no lesion masks, so only the concentration can be measured.")
    for claim in article_claims(measured, positive):
        _show(claim)
    _other_seeds([other for other in others if other.config.group == record.config.group], positive)
    st.dataframe(
        [
            {
                "gate": gate_name(str(row["layer"])),
                "class": row["class"],
                "images": row["images"],
                "relative entropy": interval_text(row["entropy"]),
                "weight on the lesion": interval_text(row["on_mask"]),
                "pointing game": interval_text(row["pointing"]),
            }
            for row in measured.table(run.class_names)
        ],
        hide_index=True,
        key="melanoma.claims_table",
    )
    st.caption(
        f"Means over the test images with their 95% intervals. {ENTROPY} Weight on the lesion: mean weight inside the mask "
        "divided by the mean weight of the image; 1 means uniform. Pointing game: share of images whose largest weight lies on "
        "the lesion. An interval shows that a difference is not due to the choice of these images. It does not show that the "
        "difference is large enough to matter, and another seed may give another result."
    )


def _other_seeds(siblings: Sequence[RunRecord], positive: int) -> None:
    """The same claims for the other seeds, since an interval over images does not show how much training again varies."""
    siblings = [sibling for sibling in siblings if RunFolder(sibling.folder).has_weights]
    if not siblings or not st.toggle("Also test the other seeds", key="melanoma.siblings"):
        return
    by_claim: dict[str, dict[str, str]] = {}
    for sibling in siblings:
        for claim in article_claims(_concentration(str(sibling.folder), pictures_stamp(sibling), sibling), positive):
            verdict = VERDICT[claim.holds][0].split("[")[1].rstrip("]")
            row = by_claim.setdefault(claim.sentence, {"claim": claim.sentence})
            row[f"seed {sibling.config.seed}"] = f"{verdict}: {interval_text(claim.interval)}"
    st.dataframe(list(by_claim.values()), hide_index=True, key="melanoma.siblings_table")


def gate_name(tap: str) -> str:
    """``head.gates.pool3.tap`` -> ``pool-3``; the tap itself where it names no pool."""
    return next((f"pool-{part[4:]}" for part in tap.split(".") if part.startswith("pool")), tap)


def interval_text(interval: object) -> str:
    """A value with its interval, with as many digits as the width of the interval justifies."""
    if not isinstance(interval, Interval):
        return "no masks"
    width = interval.high - interval.low
    digits = 2 if not math.isfinite(width) or width <= 0 else min(6, max(2, 2 - math.floor(math.log10(width))))
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def _network(record: RunRecord) -> OpenRun:
    """The network of a run; where it cannot be read the page says why and ends."""
    try:
        return opened_network(record)
    except OpenError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()


def _pictures(record: RunRecord) -> tuple[Tensor, Tensor]:
    """The test images of a run (uint8, B, C, H, W) and their labels; where they cannot be read, those that the run kept."""
    try:
        test = run_dataset(record).test
    except DataError as error:
        probes = RunFolder(record.folder).probes()
        if probes is None:
            st.error(plain(str(error)), icon=":material/error:")
            st.stop()
        reason = "The test images of this run are not shipped" if record.demo else plain(str(error)).rstrip(".")
        st.caption(f"{reason}. These are some of the {len(probes.labels)} images that the run kept.")
        return torch.from_numpy(probes.images), torch.from_numpy(probes.labels)
    return test.images, test.labels


@st.cache_resource(max_entries=8, show_spinner=False)
def _gate_maps(folder: str, stamp: str, _run: OpenRun, _pictures: Mapping[str, Tensor]) -> dict[str, list[AttentionMap]]:
    """Class -> the gates of its pictures, for the classes that have some."""
    return {name: list(_run.inspect(images).maps) for name, images in _pictures.items() if len(images)}


@st.cache_resource(max_entries=8, show_spinner="Measuring the gates over the test images")
def _concentration(folder: str, stamp: str, _record: RunRecord) -> Concentration:
    return concentration(opened_network(_record), run_dataset(_record).test)


def _weights(attention: AttentionMap) -> NDArray[np.float32]:
    """The maps of n images, (n, h, w), as `relative_weights`."""
    maps = to_spatial(attention).numpy()
    return relative_weights(maps, attention.scale, maps[0].size)


def _bounds(maps: Sequence[AttentionMap]) -> tuple[float, float]:
    """Where the colours of a gate begin and end: one outlier of a softmax gate would make all other weights one colour."""
    weights = np.concatenate([_weights(attention) for attention in maps])
    if maps[0].scale is MapScale.SOFTMAX:
        return colour_ends(weights.reshape(len(weights), -1))
    return float(weights.min()), float(weights.max())


def _sheet_title(attention: AttentionMap, ends: tuple[float, float]) -> str:
    """The gate, the weights between which its colours lie, and those that they do not show."""
    unit = " × uniform" if attention.scale is MapScale.SOFTMAX else ""
    weights = _weights(attention)
    above = int((weights > ends[1] * 1.001).sum())
    beyond = (
        f"; {above} of {weights.size:,} weights {'is' if above == 1 else 'are'} higher, up to {weights.max():.1f}"
        if above
        else ""
    )
    return f"{gate_name(attention.name)}: {ends[0]:.2f} to {ends[1]:.2f}{unit}{beyond}"


def _show(claim: Claim) -> None:
    badge, relation = VERDICT[claim.holds]
    st.markdown(f"{badge} {plain(claim.sentence)}")
    st.caption(
        f"{claim.figure}: {interval_text(claim.interval)} over {claim.interval.count} images; {relation} {claim.null:g}."
    )


def _short(record: RunRecord) -> str:
    """The name of a run among runs on the same data, which differ in attention and seed."""
    named = record.title and record.title != record.run_id
    return record.title if named else f"{attention_name(record.config)}, seed {record.config.seed}"


def _positive(class_names: Sequence[str]) -> int:
    return next((i for i, name in enumerate(class_names) if name.lower() in POSITIVE_NAMES), len(class_names) - 1)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"
