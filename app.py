"""attnlab: page config and navigation. Everything else is in pages/ and attnlab/ui."""

import streamlit as st

from attnlab.runs.errors import FolderError
from attnlab.ui.problems import told
from attnlab.ui.shell import ICON, navigation

page = navigation()
st.set_page_config(page_title=f"{page.title} · attnlab", page_icon=str(ICON), layout="wide")
st.logo(str(ICON), size="small")
with told((FolderError, OSError)):
    page.run()
