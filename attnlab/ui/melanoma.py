"""The article's story on a person's own copy of the data: train, judge the classifier, look at the gates, test the claim.

After "Image Classification with Attention": VGG16 with gates on pool-3 and pool-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab.attention import MapScale
from attnlab.config import DatasetConfig, RunConfig
from attnlab.data import DataError, ImageDataset, Split, load_dataset
from attnlab.explain import OpenError, OpenRun, open_run
from attnlab.explain.concentration import Claim, Concentration, article_claims, concentration
from attnlab.explain.faithfulness import Interval
from attnlab.models.article import article_config
from attnlab.runs.history import history
from attnlab.runs.naming import run_name
from attnlab.runs.records import RunRecord, RunState
from attnlab.training.snapshots import to_spatial
from attnlab.ui.state import add_to_chart, manager
from attnlab.ui.words import duration
from attnlab.viz.diagnosis import confusion_figure, operate, precision_recall_figure, roc_figure
from attnlab.viz.overlay import overlay

DRAWN, OWN = "drawn lesions", "my own images"
POSITIVE_NAMES = ("malignant", "melanoma", "positive", "1", "true", "yes")
SHOWN = 6
VERDICT = {
    True: (":green-badge[borne out]", "the interval lies above"),
    False: (":red-badge[contradicted]", "the interval lies below"),
    None: (":gray-badge[cannot be told]", "the interval includes"),
}


def start_form() -> None:
    """Choose the data and the size of the network, and start a run and, if wanted, its twin without gates."""
    source = st.segmented_control("Data", [DRAWN, OWN], default=DRAWN, required=True, key="melanoma.source")
    options: dict[str, Any] = {}
    if source == OWN:
        name = st.text_input(
            "Folder or archive with a CSV",
            key="melanoma.path",
            placeholder="/data/melanoma.zip",
            help="A .zip, .tar or folder that holds the images and one CSV with a name and a label for each.",
        ).strip()
        with st.expander("Columns and balance", icon=":material/table:"), st.grid(3, min_column_width=150):
            for option, label, default in (
                ("image_column", "Column with the image", "image_id"),
                ("label_column", "Column with the label", "target"),
                ("split_column", "Column with the split (optional)", ""),
            ):
                value = st.text_input(label, placeholder=default or "none", key=f"melanoma.{option}").strip()
                if value:
                    options[option] = value
            balance = st.text_input(
                "Keep of the larger class",
                placeholder="all",
                key="melanoma.balance",
                help="A number (the article keeps 6,000), or: equal. Drawn at random with seed 42.",
            ).strip()
            if balance:
                options["balance"] = int(balance) if balance.isdigit() else balance
    else:
        name = "lesions"
        st.caption("Synthetic: drawn by the computer after the ABCD rule, with a mask for each lesion. They stand in for data.")
    with st.grid(5, min_column_width=110):
        size = st.number_input("Image size", 32, 448, 64, step=32, key="melanoma.size", help="224 in the article.")
        width = st.number_input("Width", 2, 64, 8, key="melanoma.width", help="64 is VGG16, and slow without a GPU.")
        epochs = st.number_input("Epochs", 1, 200, 4, key="melanoma.epochs", help="2 in the article.")
        rate = st.number_input("Learning rate", 1e-6, 1.0, 1e-3, format="%.1e", key="melanoma.lr", help="1e-4 in the article.")
        seed = st.number_input("Seed", 0, 10_000, 0, key="melanoma.seed")
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Train", type="primary", icon=":material/play_arrow:", key="melanoma.start", disabled=not name)
        twin = st.checkbox("and the same network without attention", value=True, key="melanoma.twin")
    if start:
        _start(name, options, twin, image_size=size, width=width, epochs=epochs, lr=rate, seed=seed, batch_size=32)


def _start(name: str, options: dict[str, Any], twin: bool, **settings: Any) -> None:
    try:
        configs = [
            article_config(name, attention=attention, options=options, **settings)
            for attention in ([True, False] if twin else [True])
        ]
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    add_to_chart(manager().submit(config) for config in configs)
    st.rerun()


def article_runs() -> list[RunRecord]:
    """All runs of the article's network, newest first."""
    found = [record for record in manager().runs() if record.config.model.backbone == "attention_vgg16"]
    return sorted(found, key=lambda record: record.created, reverse=True)


@st.fragment(run_every=1.0)
def progress(were_live: frozenset[str]) -> None:
    """How the live runs are doing; draws the page anew when one ends."""
    live = [record for record in article_runs() if record.state.live]
    if {record.run_id for record in live} != were_live:
        st.rerun()
    for record in live:
        share = record.step / record.total_steps if record.total_steps else 0.0
        left = f", about {duration(record.eta_seconds)} left" if record.eta_seconds is not None else ""
        st.progress(min(share, 1.0), text=f"{run_name(record)}: {record.state}{left}")


def training_table(record: RunRecord) -> None:
    """Loss and ROC AUC of training and validation over each whole epoch, and the time the run took."""
    rows = [
        {
            "epoch": row["epoch"],
            "train loss": row["train_loss"],
            "validation loss": row["validation_loss"],
            "train AUC": row.get("train_auc"),
            "validation AUC": row.get("validation_auc"),
            "seconds": row.get("seconds"),
        }
        for row in history(record).epochs
    ]
    took = f" The run took {duration(record.seconds)}." if record.seconds else ""
    st.caption(f"Over each whole epoch, not its last batch.{took}")
    formats = {"seconds": "%.1f"}
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(name, format=formats.get(name, "%.4f"))
            for name in (rows[0] if rows else {})
            if name != "epoch"
        },
        key="melanoma.epochs_table",
    )


def diagnosis(record: RunRecord, others: Sequence[RunRecord]) -> None:
    """The test: AUC with its interval, ROC and precision-recall curves, confusion at a threshold of one's own."""
    test = record.result.get("extra", {})
    if "roc" not in test:
        st.info("This run has no ROC curve: it needs a test set in which both classes occur.", icon=":material/info:")
        return
    labels, scores = np.asarray(test["labels"]), np.asarray(test["probabilities"])
    class_names = _class_names(record)
    low, high = test["auc_interval"]
    threshold = st.slider(
        f"Called {class_names[1]} from", 0.0, 1.0, 0.5, 0.01, key="melanoma.threshold", bind="query-params", format="%.2f"
    )
    at = operate(labels, scores, threshold)
    with st.container(horizontal=True):
        st.metric("ROC AUC", f"{record.test_auc:.3f}", help="With a 95 % bootstrap interval over the test images.")
        st.metric("95 % interval", f"{low:.3f} to {high:.3f}")
        st.metric("Sensitivity", _percent(at.sensitivity), help=f"of the {int(labels.sum())} {class_names[1]} images")
        st.metric("Specificity", _percent(at.specificity), help=f"of the {int((1 - labels).sum())} {class_names[0]} images")
    compared = {run_name(run): run.result["extra"] for run in (record, *others) if "roc" in run.result.get("extra", {})}
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


def gates_figure(record: RunRecord) -> None:
    """The article's figure: originals, and the two gates as overlays, by class."""
    run, data = _opened(record)
    colours = st.segmented_control(
        "Colours",
        ["viridis", "jet"],
        default="viridis",
        required=True,
        format_func=lambda name: f"{name}, as in the article" if name == "jet" else name,
        key="melanoma.colours",
    )
    st.caption(
        "0.6 image + 0.4 colour map. The colours run from each layer's smallest to its largest weight over these images."
    )
    for label, name in enumerate(run.class_names):
        index = (data.test.labels == label).nonzero().flatten()[:SHOWN]
        if not len(index):
            continue
        st.markdown(f"**{name}**")
        split = data.test.select(index)
        sheets = [("originals", [image.permute(1, 2, 0).numpy() for image in split.images])]
        sheets += _overlays(run, split, colours or "viridis")
        for column, (title, pictures) in zip(st.columns(len(sheets), gap="small"), sheets, strict=True):
            column.image(_sheet(pictures), caption=title, width="stretch")


def claim_section(record: RunRecord) -> None:
    """How concentrated the gates are, by class, with intervals, and what that makes of the article's sentence."""
    run, data = _opened(record)
    measured = _measured(str(record.folder), record.config.to_json())
    positive = _positive(run.class_names)
    if data.test.masks is None:
        st.caption("These images come without lesion masks, so only the concentration can be measured.")
    for claim in article_claims(measured, positive):
        _show(claim)
    st.dataframe(
        [
            {
                "gate": _gate(str(row["layer"])),
                "class": row["class"],
                "images": row["images"],
                "relative entropy": _interval(row["entropy"]),
                "weight on the lesion": _interval(row["on_mask"]),
                "pointing game": _interval(row["pointing"]),
            }
            for row in measured.table(run.class_names)
        ],
        hide_index=True,
        key="melanoma.claims_table",
    )
    st.caption(
        "Mean over the test images with its 95 % interval. Relative entropy: 1 is a uniform map, 0 a single position. "
        "Weight on the lesion: mean weight inside the mask over mean weight, 1 is uniform. Pointing game: share of images "
        "whose largest weight lies on the lesion."
    )


def choose_run(records: Sequence[RunRecord]) -> tuple[RunRecord, list[RunRecord]]:
    """The finished run to look at, and the others on the same data to draw beside it."""
    by_id = {record.run_id: record for record in records}
    gated = [record for record in records if record.config.model.options.get("depths", 2)]
    chosen = st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(gated[0].run_id) if gated else 0,
        format_func=lambda run_id: run_name(by_id[run_id]),
        key="melanoma.run",
        bind="query-params",
    )
    record = by_id[chosen]
    others = [other for other in records if other.run_id != chosen and other.config.dataset == record.config.dataset]
    return record, others[:4]


def finished(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Those that were tested on two classes."""
    return [record for record in records if record.state is RunState.FINISHED and record.test_auc is not None]


def has_gates(record: RunRecord) -> bool:
    """Whether the network has gates to look at."""
    return bool(record.config.model.options.get("depths", 2))


@st.cache_resource(max_entries=4, show_spinner="Opening the run")
def _open(folder: str, config: str) -> OpenRun:
    return open_run(Path(folder))


@st.cache_resource(max_entries=4, show_spinner="Reading the images")
def _load(dataset: str) -> ImageDataset:
    return load_dataset(DatasetConfig.model_validate_json(dataset))


def _opened(record: RunRecord) -> tuple[OpenRun, ImageDataset]:
    try:
        return _open(str(record.folder), record.config.to_json()), _load(record.config.dataset.model_dump_json())
    except (OpenError, DataError) as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


@st.cache_resource(max_entries=8, show_spinner="Measuring the gates over the test images")
def _measured(folder: str, config: str) -> Concentration:
    data = _load(RunConfig.from_json(config).dataset.model_dump_json())
    return concentration(_open(folder, config), data.test)


def _overlays(run: OpenRun, split: Split, colours: str) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    sheets = []
    for attention in run.inspect(split.images).maps:
        maps = to_spatial(attention).numpy()
        if attention.scale is MapScale.SOFTMAX:
            maps = maps * maps[0].size
        low, high = maps.min(), maps.max()
        pictures = [
            overlay(image.permute(1, 2, 0).numpy(), (one - low) / max(high - low, 1e-9), colours=colours, opacity=0.4)
            for image, one in zip(split.images, maps, strict=True)
        ]
        unit = " x uniform" if attention.scale is MapScale.SOFTMAX else ""
        sheets.append((f"{_gate(attention.name)}: {low:.2f} to {high:.2f}{unit}", pictures))
    return sheets


def _sheet(pictures: Sequence[NDArray[np.uint8]], columns: int = 3, gap: int = 2) -> NDArray[np.uint8]:
    """Pictures in rows on white, enlarged by whole pixels so that small ones stay sharp."""
    factor = max(1, 160 // pictures[0].shape[0])
    tiles = [np.broadcast_to(p, (*p.shape[:2], 3)).repeat(factor, axis=0).repeat(factor, axis=1) for p in pictures]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    tiles = [np.pad(tile, ((gap, gap), (gap, gap), (0, 0)), constant_values=255) for tile in tiles]
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def _show(claim: Claim) -> None:
    badge, relation = VERDICT[claim.holds]
    st.markdown(f"{badge} {claim.sentence}")
    st.caption(f"{claim.figure}: {_interval(claim.interval)} over {claim.interval.count} images; {relation} {claim.null:g}.")


def _class_names(record: RunRecord) -> tuple[str, str]:
    names = _opened(record)[0].class_names
    return names[0], names[1]


def _positive(class_names: Sequence[str]) -> int:
    return next((i for i, name in enumerate(class_names) if name.lower() in POSITIVE_NAMES), len(class_names) - 1)


def _gate(tap: str) -> str:
    return next((f"pool-{part[4:]}" for part in tap.split(".") if part.startswith("pool")), tap)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _interval(interval: object) -> str:
    if not isinstance(interval, Interval):
        return "no masks"
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
