"""The list of lessons: what each is about, how long it takes, and where it begins."""

from __future__ import annotations

from functools import partial

import streamlit as st

from attnlab.desk.permissions import Action
from attnlab.lessons.catalogue import lessons
from attnlab.lessons.checking import link_of
from attnlab.lessons.views import PAGES
from attnlab.ui.format import plain
from attnlab.ui.hidden import download_button
from attnlab.ui.state import manager


def lesson_list() -> None:
    """All lessons that can be given, and what is wrong with the others."""
    st.title("Lessons", anchor=False)
    st.markdown(
        "A lesson goes from page to page with you. It says what to look at, lets you try it, and asks what you think before it "
        "explains. The link in the address bar brings you back to the step where you were."
    )
    known, left_out = lessons()
    with st.grid(3, min_column_width=280, border=True) as cards:
        for name, lesson in known.items():
            with cards.cell():
                st.subheader(lesson.title, anchor=False)
                st.caption(f"{lesson.minutes} minutes · {len(lesson.steps)} steps")
                st.markdown("Afterwards you can say:\n" + "\n".join(f"- {line}" for line in lesson.about))
                view = lesson.view_at(0)
                if view is not None:
                    st.page_link(
                        PAGES[view.page].file,
                        label="Start",
                        icon=":material/play_arrow:",
                        query_params={**link_of(view), "lesson": name, "step": "1"},
                    )
                if manager().may(Action.HAND_OUT):
                    download_button(
                        "Hand-out to print",
                        partial(manager().handout, name),
                        file_name=f"attnlab-{name}.html",
                        mime="text/html",
                        icon=":material/print:",
                        type="tertiary",
                        key=f"lessons.handout.{name}",
                        on_click="ignore",
                        help="One file with texts, figures and questions; the answers are on the last page.",
                    )
    for problems in left_out:
        st.warning(
            f"{plain(problems.path.name)} is left out: something is wrong with it. `attnlab lesson check` says so too.\n\n"
            + "\n".join(f"- {plain(str(problem))}" for problem in problems.problems),
            icon=":material/extension_off:",
        )
