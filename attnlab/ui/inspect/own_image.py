"""An image of one's own: the ways to give it (upload, clipboard, camera; the newest counts), and what a network sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab.data.decode import SUFFIXES, DecodedImage, Fit, ImageRefused, Region, decode_image, fit_array, seen_region
from attnlab.ui.components.paste import paste
from attnlab.ui.format import plain
from attnlab.ui.uploads import camera_input, file_uploader

MOST_MEGABYTES = 20
"""Of one image, uploaded or pasted."""

PREVIEW_SIDE = 160
MOST_CLASSES = 12
FITS: dict[Fit, str] = {"crop": "Crop the centre", "pad": "Fit the whole image"}

_NEWEST = "inspect.own.newest"


def ask_image() -> tuple[bytes, DecodedImage] | None:
    """The image as bytes and decoded; `None` until there is one, or when it is refused, with the reason on the page."""
    left, right = st.columns(2)
    contents: dict[str, bytes] = {}
    upload = file_uploader(
        "An image",
        place=left,
        type=sorted(suffix.removeprefix(".") for suffix in SUFFIXES),
        key="inspect.upload",
        most_megabytes=MOST_MEGABYTES,
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
                photograph = camera_input(
                    "Photo",
                    most_megabytes=MOST_MEGABYTES,
                    key="inspect.camera",
                    label_visibility="collapsed",
                    on_change=partial(_note, "camera"),
                )
                if photograph is not None:
                    contents["camera"] = photograph.getvalue()
    if not contents:
        st.caption("The image stays on this server.")
        return None
    newest = st.session_state.get(_NEWEST)
    content = contents[newest] if newest in contents else next(iter(contents.values()))
    try:
        decoded = decode_image(content)
    except ImageRefused as error:
        st.error(f"This image cannot be used: {plain(str(error))}", icon=":material/error:")
        return None
    for notice in decoded.notices:
        st.caption(notice)
    return content, decoded


def choose_fit(pixels: NDArray[np.uint8], size: tuple[int, int], usual: Fit) -> Fit:
    """Says what a network of this input size (H, W) sees of a picture, (h, w, 3), and offers the other way to fit it.

    Args:
        usual: how the network's training images were fitted.
    """
    picture = pixels.shape[0], pixels.shape[1]
    region = seen_region(picture, size)  # of the centre
    if region.width > picture[1] - 1 and region.height > picture[0] - 1:
        return "crop"
    left, right = st.columns([1, 3], vertical_alignment="center")
    with right:
        fit: Fit = (
            st.segmented_control(
                "Shape",
                list(FITS),
                default=usual,
                required=True,
                format_func=FITS.__getitem__,
                key="inspect.own.fit",
                help="The network was trained on images of one shape.",
            )
            or usual
        )
        whole = f"{picture[1]:,} × {picture[0]:,} pixels"
        if fit == "crop":
            st.caption(f"The network sees the bright part: {region.width:,.0f} × {region.height:,.0f} of {whole}.")
        else:
            st.caption(f"The network sees all {whole}; the sides are filled with the mean colour.")
    seen = _whole_picture(pixels, seen_region(picture, size, fit))
    left.image(seen, caption="Your image", width=PREVIEW_SIDE, alt="Your image, bright where the network sees it")
    return fit


def _whole_picture(pixels: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The picture, made small, with everything outside the region dark and a line around it."""
    scale = min(1.0, 2 * PREVIEW_SIDE / max(pixels.shape[:2]))
    small = fit_array(pixels, (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))))
    top, left = max(0, round(region.y * scale)), max(0, round(region.x * scale))
    inside = slice(top, round((region.y + region.height) * scale)), slice(left, round((region.x + region.width) * scale))
    shown = (small // 3).astype(np.uint8)
    shown[inside] = 255
    core = slice(inside[0].start + 2, inside[0].stop - 2), slice(inside[1].start + 2, inside[1].stop - 2)
    shown[core] = small[core]
    return shown


def say_classes(names: Sequence[str]) -> None:
    """Says what a prediction can be at most: one of the classes that the network was trained on."""
    listed = ", ".join(names[:MOST_CLASSES]) + (f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else "")
    st.info(
        plain(
            f"The network knows only its {len(names)} classes: {listed}. It names one of them whatever the image shows, so a "
            "high percentage does not mean that the image shows it."
        ),
        icon=":material/info:",
    )


def _note(source: str) -> None:
    st.session_state[_NEWEST] = source
