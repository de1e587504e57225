"""What a link holds beside the widgets that Streamlit binds to it: values that belong to one run, map or picture."""

from __future__ import annotations

import streamlit as st


def linked(name: str, owner: str) -> str:
    """The link's value for its owner: the first in a session to ask for it. For another it is empty, and leaves the link."""
    if st.session_state.setdefault(f"link.{name}", owner) != owner:
        st.session_state[f"link.{name}"] = owner
        keep_linked(name, "")
    return st.query_params.get(name, "")


def keep_linked(name: str, value: str) -> None:
    """Puts a value into the link; an empty one is left out."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)
