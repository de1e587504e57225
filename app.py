"""attnlab: the server, and what it draws for every visitor. Everything else is in pages/ and attnlab/ui."""

import streamlit as st

from attnlab.runs.errors import FolderError
from attnlab.ui import door, networks
from attnlab.ui.hidden import lock_parts
from attnlab.ui.lessons.panel import with_lesson
from attnlab.ui.problems import told
from attnlab.ui.room.strip import room_strip
from attnlab.ui.shell import ICON, READABLE, navigation

if __name__ != "__main__":  # `streamlit run` imports the server from here ...
    app = st.App(__file__, routes=networks.routes(), middleware=door.middleware(), lifespan=door.lifespan)
else:  # ... which runs this file for every visitor
    page = navigation()
    st.set_page_config(page_title=f"{page.title} · attnlab", page_icon=str(ICON), layout="wide")
    st.logo(str(ICON), size="small")
    st.html(READABLE)
    with told((FolderError, OSError)):
        room_strip(page)
    with told((FolderError, OSError)):
        with_lesson(page)
        lock_parts()
