"""The class board on the screen, which draws itself again as runs of the room end."""

from __future__ import annotations

import streamlit as st

from attnlab.rooms.board import BoardRow
from attnlab.ui.format import plain
from attnlab.ui.state import rooms

EVERY_SECONDS = 3.0


def class_board(code: str, *, large: bool = False) -> None:
    """The table of all runs of the room, and whether the class has enough of them.

    Args:
        large: for the projector.
    """
    st.fragment(_board, run_every=EVERY_SECONDS)(code, large)


def variant_title(variant: str) -> str:
    """What a variant is called in a sentence."""
    return "the plain network" if variant == "none" else variant.replace("+", " + ")


def _board(code: str, large: bool) -> None:
    desk = rooms()
    room = desk.get(code) if desk.leads else desk.mine()
    if room is None or room.code != code:
        return
    found = desk.board(room)
    if not found.rows:
        st.info("The runs that are trained in this room appear here.", icon=":material/info:")
        return
    lines = ["| variant | seeds | test accuracy, % | against the plain network |", "|---|---:|---:|---|"]
    lines += [f"| {plain(row.name)} | {_seeds(row)} | {_accuracy(row)} | {plain(row.difference)} |" for row in found.rows]
    with st.container(key="room-board-large" if large else "room-board"):
        st.markdown("\n".join(lines))
        st.markdown("  \n".join(plain(sentence) for sentence in found.enough))
    if not large:
        st.caption(
            "One seed is one training. Accuracy is the mean ± the standard deviation over the seeds; the difference to the "
            "plain network has its 95% interval. What is said of enough seeds is corrected for the number of variants."
        )


def _seeds(row: BoardRow) -> str:
    waiting = f", {row.training} under way" if row.training else ""
    return f"{row.group.n}{waiting}"


def _accuracy(row: BoardRow) -> str:
    if row.group.mean is None:
        return "–"
    spread = f"\u00a0±\u00a0{100 * row.group.std:.1f}" if row.group.std is not None else ""
    return f"{100 * row.group.mean:.1f}{spread}"
