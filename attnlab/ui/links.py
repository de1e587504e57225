"""Values in a link that belong to one run, map or image, beside those of the widgets that Streamlit binds to it."""

from __future__ import annotations

import streamlit as st


def linked(name: str, owner: str) -> str:
    """The value in the link, which belongs to the first owner that asks in a session. For another owner it is removed."""
    if st.session_state.setdefault(f"link.{name}", owner) != owner:
        st.session_state[f"link.{name}"] = owner
        keep_linked(name, "")
    return st.query_params.get(name, "")


def keep_linked(name: str, value: str) -> None:
    """Puts a value into the link; an empty one is removed from it."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)
