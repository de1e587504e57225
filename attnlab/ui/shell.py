"""The pages of the app and the menu that leads from one to another."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from attnlab.desk.permissions import Mode, server_mode
from attnlab.ui.hidden import keep_hidden, shown
from attnlab.ui.uploads import page_shown

_INSIDE = "shell.inside"
ICON = Path(__file__).parent / "components" / "icon.svg"

# A page's address is its file's name, unless `ADDRESSES` has another. No symbols: Streamlit would fetch a page's symbol for the
# browser's tab from a third-party server.
MENU = {
    "Learn": (
        ("pages/home.py", "Home", "What attention is, in one animated image, and where to go from here."),
        ("pages/lessons.py", "Lessons", "Short lessons that go from page to page and ask before they show."),
        ("pages/room.py", "Room", "Where a class works together: its lesson, its predictions, and the runs of all of it."),
        ("pages/predict.py", "Predict", "Say where a network will look, which class it says, or which is better; then see."),
        ("pages/anatomy.py", "Anatomy", "One variant taken apart: formula with numbers, data path, cost and code."),
    ),
    "Train": (
        ("pages/train.py", "Train", "Choose a variant, train it in the background, and watch loss and accuracy."),
        ("pages/search.py", "Search", "Try other depths, widths, activations and placements of an attention block."),
    ),
    "Look": (
        ("pages/inspect_attention.py", "Inspect", "See the attention maps of a trained run, image by image and step by step."),
        ("pages/open_checkpoint.py", "Open", "Open a network that was trained elsewhere and see its attention."),
    ),
    "Compare": (
        (
            "pages/compare.py",
            "Compare",
            "Mean, spread and significance of many runs; parameters, cost and curves side by side.",
        ),
        ("pages/league.py", "League", "Every variant against the plain network and a neutral control, with what it costs."),
    ),
    "Reproduce": (
        ("pages/reproduce.py", "Reproduce", "Train the report's Table 1 again, and see what each departure of its code costs."),
        ("pages/melanoma.py", "Melanoma", "The article's two gates on a VGG16, and whether they look at the lesion."),
    ),
}
"""The pages by what people do there: (file, title, what it is for)."""
PAGES = tuple(page for pages in MENU.values() for page in pages)
CLASSROOM_PAGE = ("pages/classroom.py", "Classroom", "What this browser may do, and where the teacher enters the token.")
"""Only in that mode, in the first part of the menu."""


ADDRESSES = {"pages/inspect_attention.py": "inspect", "pages/open_checkpoint.py": "open"}
"""Addresses as people write them, where the file cannot have that name. The file's name works as an address too.

Until `st.navigation` has been called once in the process, only files in pages/ have addresses; those of ``pages/1_inspect.py``
and ``pages/1_open.py`` are without the number."""


READABLE = """<style>
button[data-selected="true"] { color: inherit !important; }
[data-testid="stCaptionContainer"] { opacity: 1; color: color-mix(in srgb, currentColor 68%, transparent); }
[data-testid="stMainBlockContainer"] { padding-top: 4.25rem; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding-top: 3.5rem; } }
</style>"""
"""Text of enough contrast where the theme has none to set: the chosen segment of a control, in dark its own colour on a tint of
it, and captions, which would fade their links too. The page begins right below the menu, so that more of it is seen."""


def navigation() -> StreamlitPage:
    """Shows the menu, unless the link hides it, and returns the page to run."""
    st.session_state[_INSIDE] = True
    keep_hidden()
    first = next(iter(MENU))
    more = {first: (*MENU[first], CLASSROOM_PAGE)} if server_mode() is Mode.CLASSROOM else {}
    menu = {
        section: [
            st.Page(file, title=title, help=text, default=file == PAGES[0][0], url_path=ADDRESSES.get(file))
            for file, title, text in pages
        ]
        for section, pages in {**MENU, **more}.items()
    }
    older = [
        st.Page(file, title=title, help=text, url_path=Path(file).stem, visibility="hidden")
        for file, title, text in PAGES
        if file in ADDRESSES
    ]
    menu[list(menu)[-1]] += older  # last, since whoever switches to a file gets the first page of it
    page = st.navigation(menu, position="top" if shown("menu") else "hidden")
    page_shown(page.url_path)
    return page


def inside_app() -> None:
    """The first line of every page: makes sure that app.py runs around it.

    Streamlit takes a folder called pages/ for its older kind of multipage app until `st.navigation` has been called once
    in the process. The first visitor of a fresh server who follows a link to a page would see it without menu and page
    config; for them the page is run again, inside the app.
    """
    if _INSIDE not in st.session_state:
        navigation()
        st.rerun()
