"""Who is at the browser of the page that is being drawn."""

from __future__ import annotations

import streamlit as st

from attnlab import paths
from attnlab.desk.desk import teachers_door
from attnlab.desk.permissions import Mode, Person, browser_of, server_mode

COOKIE = "attnlab_browser"
"""Holds the browser's number; `attnlab.ui.door` sets it."""


def browser() -> str:
    """The owner that stands for this browser; empty without a cookie."""
    return browser_of(st.context.cookies.get(COOKIE, ""))


def person() -> Person:
    """Whoever is at this browser. A page asks anew each time: the teacher may just have entered the token."""
    mode = server_mode()
    if mode is Mode.PERSONAL:
        return Person(mode)
    own = browser()
    return Person(mode, own, teachers_door(paths.home()).is_teacher(own))
