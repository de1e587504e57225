"""Links that a class is given: the address that students reach, the QR code of it, and the builder of links."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

from attnlab.desk.permissions import Mode
from attnlab.lessons.catalogue import lessons
from attnlab.lessons.checking import link_of
from attnlab.lessons.views import PARTS
from attnlab.rooms.room import Room
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import run_names
from attnlab.ui.hidden import HIDE, LOCK
from attnlab.ui.room.strip import ROOM
from attnlab.ui.shell import ADDRESSES, PAGES
from attnlab.ui.state import manager

INSPECT, TRAIN = "pages/inspect_attention.py", "pages/train.py"
_CODE = """<img src="{source}" alt="QR code of {link}" style="width: {side}; max-width: 100%; border-radius: 6px">"""


def address_of(room: Room | None) -> str:
    """Where students reach this server, without a slash at the end: as the teacher says, else as this browser does.

    Where this browser uses the machine's own name, the address of the machine in its network stands in.
    """
    if room is not None and room.address:
        return room.address
    url = urlsplit(st.context.url or "http://localhost:8501")
    host = url.netloc
    if is_own_machine(url.geturl()) and manager().person.mode is Mode.CLASSROOM and (found := _network_address()):
        host = f"{found}:{url.port}" if url.port else found
    return f"{url.scheme}://{host}{url.path.rstrip('/').removesuffix(f'/{ROOM}')}"  # without this page's own part


def is_own_machine(address: str) -> bool:
    """Whether an address means "this machine", which is another one for each student."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _network_address() -> str:
    """The address of this machine in its network; empty where it has none. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("10.255.255.255", 9))
            found = str(probe.getsockname()[0])
    except OSError:
        return ""
    return "" if ipaddress.ip_address(found).is_loopback else found


def qr_code(link: str, side: str = "12rem") -> None:
    """The QR code of a link, dark on light in every theme, as readers want it."""
    source = segno.make(link, error="m").svg_data_uri(border=3, dark="#111", light="#fff")
    st.html(_CODE.format(source=source, link=escape(link), side=side))


def link_builder(room: Room | None) -> None:
    """Puts a link together: what to open, what to hide and what to lock."""
    st.markdown("A link opens exactly what you choose here, on any browser. What it hides or locks stays so on every page.")
    known, _ = lessons()
    left, right = st.columns(2)
    lesson = left.selectbox("Lesson", ["", *known], format_func=_lesson_title, key="build.lesson")
    if lesson:
        steps = known[lesson].steps
        titles = [f"{number}. {step.title}" for number, step in enumerate(steps, 1)]
        step = right.selectbox("Step", range(len(steps)), format_func=titles.__getitem__, key=f"build.step.{lesson}")
        view = known[lesson].view_at(step)
        page, parameters = (view.page, link_of(view)) if view is not None else ("", {})
        parameters |= {"lesson": lesson, "step": str(step + 1)}
    else:
        pages = {file: title for file, title, _ in PAGES}
        first = list(pages).index(INSPECT)
        file = right.selectbox("Page", list(pages), index=first, format_func=pages.__getitem__, key="build.page")
        page, parameters = address_of_page(file), _of_page(file, room)
    left, right = st.columns(2)
    words = {name: part.words for name, part in PARTS.items()}
    hidden = left.multiselect("Hide", list(words), format_func=words.__getitem__, key="build.hide", select_all=False)
    locked = right.multiselect(
        "Lock (seen, but not to be changed)",
        [name for name in words if name not in hidden],
        format_func=words.__getitem__,
        key="build.lock",
        select_all=False,
    )
    parameters |= {name: ",".join(parts) for name, parts in ((HIDE, hidden), (LOCK, locked)) if parts}
    query = urlencode(parameters, doseq=True, safe=",")
    link = f"{address_of(room)}/{page}" + (f"?{query}" if query else "")
    st.code(link, language=None, wrap_lines=True)
    qr_code(link)


def address_of_page(file: str) -> str:
    """Of a page, below the app's own address."""
    return "" if file == PAGES[0][0] else ADDRESSES.get(file, Path(file).stem)


def _lesson_title(name: str) -> str:
    return lessons()[0][name].title if name else "no lesson"


def _of_page(file: str, room: Room | None) -> dict[str, str | list[str]]:
    """What the link of a page says beside the page."""
    left, right = st.columns(2)
    if file == INSPECT:
        records = [record for record in manager().runs() if RunFolder(record.folder).has_weights]
        names = {"": "as the page opens"} | run_names(records)
        run = left.selectbox("Run", list(names), format_func=names.__getitem__, key="build.run")
        image = right.number_input("Test image", 1, 100_000, 1, key="build.image", help="1 is the first one.")
        return {"img": str(int(image) - 1), **({"run": run} if run else {})}
    if file == TRAIN:
        from attnlab.attention import list_attention

        variants = {"none": "the plain network"} | {name: variant.title for name, variant in list_attention().items()}
        variant = left.selectbox("Variant", list(variants), format_func=variants.__getitem__, key="build.variant")
        seed = right.number_input("Seed", 0, 99_999, None, key="build.seed", placeholder="the next free one")
        return {"attention": variant, **({} if seed is None else {"seed": str(int(seed))})}
    return {ROOM: room.code} if room is not None and address_of_page(file) == ROOM else {}


def seed_link(variant: str, epochs: int, seed: int) -> Mapping[str, str]:
    """The parameters with which *Train* offers a run of the room."""
    return {"attention": variant, "epochs": str(epochs), "seed": str(seed)}
