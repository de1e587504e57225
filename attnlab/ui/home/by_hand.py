"""The principle of attention to play with: a person paints the mask, and the classifier answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab import paths
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.ui import warmup
from attnlab.ui.components.before_after import before_after
from attnlab.ui.components.mask_editor import ERASED, PAINTED, Canvas, mask_editor, painted_cells
from attnlab.ui.format import plain
from attnlab.viz.snapshots import probes_and_classes

if TYPE_CHECKING:
    from attnlab.explain.by_hand import GateByHand

EVERYTHING, NOTHING = "everything", "nothing"


def mask_by_hand() -> None:
    """Shows it as soon as torch is there; nothing without a shipped run of a network without attention."""
    folder = _plain_run(str(paths.DEMO_RUNS))
    if folder is None:
        return
    st.subheader("Be the attention yourself", anchor=False)
    st.markdown(
        "Every gate does the same: $X' = X \\odot f(X)$. The features $X$ are multiplied by a mask $f(X)$ that the network "
        "computes from them. Here **you** are $f$: erase what the network shall not see, and watch what it then says."
    )
    if warmup.ready():
        st.fragment(_play)(folder)
    else:
        st.fragment(_when_ready, run_every=0.5)()


def _when_ready() -> None:
    if warmup.ready():
        st.rerun()
    st.skeleton(height=260)


def _play(path: Path) -> None:
    import torch

    found = probes_and_classes(RunFolder(path))
    gate = _gate(str(path), RunFolder(path).weights_stamp)
    if found is None or gate is None:
        return
    probes, classes = found
    with st.container(horizontal=True):
        chosen = st.segmented_control(
            "Picture",
            range(len(probes.labels)),
            default=0,
            required=True,
            format_func=lambda index: f"{index + 1}",
            key="home.hand.picture",
        )
        start = st.segmented_control(
            "At first the mask lets pass",
            (EVERYTHING, NOTHING),
            default=EVERYTHING,
            required=True,
            key="home.hand.start",
            help="Everything: erase what shall not pass. Nothing: paint what shall.",
        )
    picture = chosen or 0
    image = torch.from_numpy(probes.images[picture])
    strength = gate.strength(image)
    size = (image.shape[1], image.shape[2])
    frame = (0.0, 0.0, 1.0, 1.0) if gate.cells is None else gate.cells.frame((strength.shape[0], strength.shape[1]), size)
    canvas = Canvas(
        f"features, {start} passes",
        strength,
        np.ascontiguousarray(probes.images[picture].transpose(1, 2, 0)),
        frame=frame,
    )
    key = "home.hand.mask"
    cells = painted_cells(canvas, key)
    cells = np.zeros(strength.shape, np.uint8) if cells is None else cells
    mask = _mask(cells, passes=start != NOTHING)
    open_mask = np.ones_like(mask)
    before, after = gate.probabilities(image, open_mask), gate.probabilities(image, mask)
    left, right = st.columns([3, 2], gap="large")
    with left:
        mask_editor(
            canvas,
            strength * mask,
            cells,
            key=key,
            captions=("X, as the network made it", "X', after your mask"),
            unit="strength",
        )
    with right:
        truth = int(probes.labels[picture])
        st.markdown(_says(classes, before, after, truth))
        before_after(classes, before, after, truth=truth if truth >= 0 else None, key="home.hand.answer")


def _says(classes: tuple[str, ...], before: NDArray[np.float32], after: NDArray[np.float32], truth: int) -> str:
    first, then = int(before.argmax()), int(after.argmax())
    what = plain(classes[then])
    share = f"{100 * float(after[then]):.0f} %"
    judged = "" if truth < 0 else (", which is right" if then == truth else f", but it is {plain(classes[truth])}")
    if first == then:
        return f"The network still says **{what}** ({share}){judged}."
    return f"With your mask the network says **{what}** ({share}){judged}. Without it, it says {plain(classes[first])}."


def _mask(cells: NDArray[np.uint8], *, passes: bool) -> NDArray[np.float32]:
    """1 where features pass and 0 where not, float32 (h, w)."""
    mask = np.full(cells.shape, 1.0 if passes else 0.0, np.float32)
    mask[cells == PAINTED] = 1
    mask[cells == ERASED] = 0
    return mask


@st.cache_resource(max_entries=2, show_spinner=False)
def _plain_run(runs: str) -> Path | None:
    """The first shipped run of a network that could have attention and has none."""
    for folder in run_folders(Path(runs)):
        try:
            model = folder.config.model
            if model.attention == "none" and model.backbone == "small_cnn" and probes_and_classes(folder) is not None:
                return folder.path
        except FolderError:
            continue
    return None


@st.cache_resource(max_entries=2, show_spinner="Opening the network")
def _gate(path: str, stamp: int) -> GateByHand | None:
    from attnlab.explain.by_hand import gate_by_hand
    from attnlab.explain.open_run import open_run

    return gate_by_hand(open_run(Path(path)))
