"""The principle of attention to play with: a person paints the mask, and the classifier answers at once, in the browser."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from attnlab import paths
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.ui import warmup
from attnlab.ui.background import Job, show_progress
from attnlab.ui.components.hand import hand
from attnlab.viz.snapshots import probes_and_classes


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
    found = probes_and_classes(RunFolder(path))
    job = _network(str(path), RunFolder(path).weights_stamp)
    file = job.result()
    if found is None or (file is None and job.ended):
        return
    if file is None:
        show_progress([job], "Preparing the network for the browser")
        return
    probes, _ = found
    truths = [int(label) if label >= 0 else None for label in probes.labels]
    hand(file.name, probes.images, truths, key="home.hand")


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


@st.cache_resource(max_entries=2, show_spinner=False)
def _network(path: str, stamp: int) -> Job[Path | None]:
    return Job(lambda tell: _made(Path(path)))


def _made(path: Path) -> Path | None:
    """The file of the network with a place for a mask; `None` where there is none, which the page does without."""
    from attnlab.explain.by_hand import with_hand_gate
    from attnlab.explain.in_browser import NotExportedError, kept_export
    from attnlab.explain.open_run import OpenError, open_run

    try:
        run = with_hand_gate(open_run(path))
        return None if run is None else kept_export(run)
    except (OpenError, NotExportedError, OSError):
        return None
