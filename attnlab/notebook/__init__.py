"""The viewer in a notebook, or as a file, from Python: `attnlab.show`. It needs no server, and starts no Streamlit."""

from attnlab.notebook.shown import Shown, show

__all__ = ["Shown", "show"]
