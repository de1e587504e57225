"""The ways by which a person hands in a picture: upload, clipboard, camera. The newest one counts."""

from __future__ import annotations

from functools import partial

import streamlit as st

from attnlab.data.decode import DecodedImage, ImageRefused, decode_image
from attnlab.ui.components.paste import paste

MOST_MEGABYTES = 20
"""Of one picture, by upload or from the clipboard."""

_NEWEST = "inspect.own.newest"


def given_picture() -> tuple[bytes, DecodedImage] | None:
    """The picture as handed in and as decoded; `None` until there is one, or when it is refused, which is said on the page."""
    left, right = st.columns(2)
    given: dict[str, bytes] = {}
    upload = left.file_uploader(
        "A picture (JPEG, PNG, WebP, GIF, BMP)",
        type=["jpg", "jpeg", "png", "webp", "gif", "bmp"],
        key="inspect.upload",
        max_upload_size=MOST_MEGABYTES,
        on_change=partial(_note, "upload"),
    )
    if upload is not None:
        given["upload"] = upload.getvalue()
    with right:
        pasted = paste(most=MOST_MEGABYTES << 20, key="inspect.paste", on_change=partial(_note, "paste"))
        if pasted is not None:
            given["paste"] = pasted
        with st.expander("Take one with the camera", icon=":material/photo_camera:"):
            st.caption("Browsers give the camera only to pages on https or on this very machine.")
            if st.toggle("Camera on", key="inspect.camera.on"):
                photograph = st.camera_input(
                    "Photograph", key="inspect.camera", label_visibility="collapsed", on_change=partial(_note, "camera")
                )
                if photograph is not None:
                    given["camera"] = photograph.getvalue()
    if not given:
        st.caption("The picture stays on this machine. The network knows only the classes it was trained on.")
        return None
    newest = st.session_state.get(_NEWEST)
    content = given[newest] if newest in given else next(iter(given.values()))
    try:
        decoded = decode_image(content)
    except ImageRefused as error:
        st.error(f"This picture cannot be used: {error}", icon=":material/error:")
        return None
    for notice in decoded.notices:
        st.caption(notice)
    return content, decoded


def _note(source: str) -> None:
    st.session_state[_NEWEST] = source
