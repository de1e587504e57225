"""Choose, start and watch runs: the form on the left, the live chart and the queue on the right."""

import streamlit as st

from attnlab.ui.shell import inside_app
from attnlab.ui.train.board import BOARD, board
from attnlab.ui.waiting import until_drawn


def form() -> None:
    from attnlab.ui.train.launch import launcher

    launcher()


inside_app()
st.title("Train", anchor=False)
left, right = st.columns([5, 7], gap="large")
with right, st.container(key=BOARD):
    board()
with left, until_drawn(height=640):
    form()
