"""The ways to give an image of one's own: upload, clipboard, camera. The newest one counts."""

from __future__ import annotations

from functools import partial

import streamlit as st

from attnlab.data.decode import SUFFIXES, DecodedImage, ImageRefused, decode_image
from attnlab.ui.components.paste import paste

MOST_MEGABYTES = 20
"""Of one image, uploaded or pasted."""

_NEWEST = "inspect.own.newest"


def ask_image() -> tuple[bytes, DecodedImage] | None:
    """The image as bytes and decoded; `None` until there is one, or when it is refused, with the reason on the page."""
    left, right = st.columns(2)
    contents: dict[str, bytes] = {}
    upload = left.file_uploader(
        "An image",
        type=sorted(suffix.removeprefix(".") for suffix in SUFFIXES),
        key="inspect.upload",
        max_upload_size=MOST_MEGABYTES,
        on_change=partial(_note, "upload"),
    )
    if upload is not None:
        contents["upload"] = upload.getvalue()
    with right:
        pasted = paste(most=MOST_MEGABYTES << 20, key="inspect.paste", on_change=partial(_note, "paste"))
        if pasted is not None:
            contents["paste"] = pasted
        with st.expander("Take a photo with the camera", icon=":material/photo_camera:"):
            st.caption("Browsers allow the camera only on pages with https or on localhost.")
            if st.toggle("Camera on", key="inspect.camera.on"):
                photograph = st.camera_input(
                    "Photo", key="inspect.camera", label_visibility="collapsed", on_change=partial(_note, "camera")
                )
                if photograph is not None:
                    contents["camera"] = photograph.getvalue()
    if not contents:
        st.caption("The image stays on this server. The network knows only the classes it was trained on.")
        return None
    newest = st.session_state.get(_NEWEST)
    content = contents[newest] if newest in contents else next(iter(contents.values()))
    try:
        decoded = decode_image(content)
    except ImageRefused as error:
        st.error(f"This image cannot be used: {error}", icon=":material/error:")
        return None
    for notice in decoded.notices:
        st.caption(notice)
    return content, decoded


def _note(source: str) -> None:
    st.session_state[_NEWEST] = source
