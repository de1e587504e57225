"""A visitor of the app without a browser: the WebSocket and the messages that Streamlit's own page would send and receive.

One costs a hundredth of a Chromium, so many of them fit beside the server that they try. A visitor keeps the elements of its
page, the values of its widgets, its cookies, and the clocks of fragments that refresh themselves; nothing is drawn, and no
JavaScript runs, so a component's message is what its script would have sent.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

MOST_CACHED = 64
"""Large messages that the server is told of, as a browser does: it then sends only their names."""
KEPT_BEYOND = 4
"""So many times more are kept than that: a name of what it was told of before may still be on its way."""
ERROR = 1  # Alert.Format


class Stuck(RuntimeError):
    """The server has not answered in time, or the page has no such widget."""


@dataclass
class _Shown:
    """An element of the page, the fragment it belongs to, and the run of the script that drew it last."""

    element: Element
    fragment: str
    run: str


@dataclass
class Visitor:
    """One browser with one page open. For one thread.

    Args:
        address: of the server, as ``http://127.0.0.1:8501``.
        patience: seconds until an answer counts as missing.

    Attributes:
        exceptions: the errors that a page has shown instead of a part of it.
        complaints: the red messages of pages.
        received: bytes that came.
    """

    address: str
    patience: float = 60.0
    exceptions: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    received: int = 0

    def __post_init__(self) -> None:
        self._jar = CookieJar()
        self._http = build_opener(HTTPCookieProcessor(self._jar))
        self._socket: ClientConnection | None = None
        self._shown: dict[tuple[int, ...], _Shown] = {}
        self._values: dict[str, WidgetState] = {}
        self._clocks: dict[str, tuple[float, float]] = {}  # fragment -> (interval, due)
        self._cached: dict[str, ForwardMsg] = {}
        self._pages: dict[str, tuple[str, str]] = {}  # address -> (hash, name)
        self._page, self._session, self._query = "", "", ""  # the page that is asked for
        self._drawn = ""  # the page of the newest run
        self._run, self._fragments, self._of_page = "", frozenset[str](), False
        self._upload_places: list[FileURLs] = []

    # What a person does

    def open(self, page: str, query: str = "") -> float:
        """Opens a page by its address, as ``train``, on the first visit over HTTP, later by the menu. Returns the seconds
        until all of it was there.
        """
        began = time.perf_counter()
        if self._socket is None:
            self._connect(page)
            self._query = query
            self._send_rerun(name=page)
        else:
            hash_, name = self._pages[page]
            self._values.clear()
            self._clocks.clear()
            self._query, self._page = query, hash_
            self._send_rerun(hash_=hash_, name=name)
        self._until_drawn()
        return time.perf_counter() - began

    def choose(self, key: str, value: Any) -> float:
        """Gives a widget a value: a text for a select box, a list for several choices, a mapping for a component, true for
        a button. Returns the seconds until the page had its answer.

        Args:
            key: the end of the widget's key.

        Raises:
            Stuck: when there is none, or no answer.
        """
        shown, kind, id_ = self._widget(key)
        state = WidgetState(id=id_)
        if kind in ("button", "download_button"):
            state.trigger_value = True
        elif kind in ("selectbox", "text_input"):
            state.string_value = value
        elif kind in ("button_group", "multiselect"):
            state.string_array_value.data.extend([value] if isinstance(value, str) else value)
        elif kind == "checkbox":
            state.bool_value = value
        elif kind == "number_input":
            state.double_array_value.data.append(value)
        elif kind == "bidi_component":
            state.json_value = json.dumps(value)
        else:
            raise Stuck(f"no value is known for a {kind}")
        self._values[id_] = state
        try:
            return self._answered(shown.fragment)
        finally:
            if kind in ("button", "download_button"):
                del self._values[id_]

    def upload(self, key: str, name: str, content: bytes) -> float:
        """Hands a file to an uploader, and returns the seconds until the page had its answer."""
        began = time.perf_counter()
        shown, _, id_ = self._widget(key)
        asked = BackMsg()
        asked.file_urls_request.request_id = uuid.uuid4().hex
        asked.file_urls_request.file_names.append(name)
        asked.file_urls_request.session_id = self._session
        self._send(asked)
        end = time.monotonic() + self.patience
        while not self._upload_places:
            self._take(end)
        (place,) = self._upload_places
        self._upload_places = []
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}", "X-Xsrftoken": self._xsrf}
        request = Request(self.address + place.upload_url, data=body, headers=headers, method="PUT")
        try:
            self._http.open(request, timeout=self.patience).close()
        except HTTPError as error:
            raise Stuck(f"the upload was refused: {error.code} {error.read(200).decode(errors='replace')}") from error
        state = WidgetState(id=id_)
        info = state.file_uploader_state_value.uploaded_file_info.add(name=name, size=len(content), file_id=place.file_id)
        info.file_urls.CopyFrom(place)
        self._values[id_] = state
        self._answered(shown.fragment)
        return time.perf_counter() - began

    def stay(self, seconds: float) -> None:
        """Looks at the page for a while; what refreshes itself does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._take(end, quiet=True)

    def until(self, key: str) -> None:
        """Looks at the page until it has this widget: one that appears after an answer that another answer overtook.

        Raises:
            Stuck: when it does not appear.
        """
        end = time.monotonic() + self.patience
        while not any(name.endswith(key) for name in self.keys()):
            if time.monotonic() > end:
                raise Stuck(f"the page has no widget {key!r}")
            self.stay(0.1)

    def leave(self) -> None:
        """Closes the tab. The cookies stay, so the next `open` is the same browser."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._page = None, ""
        for known in (self._shown, self._values, self._clocks, self._cached):
            known.clear()

    # What is on the page

    def options(self, key: str) -> list[str]:
        """What a widget offers, as it is written on the page."""
        shown, kind, _ = self._widget(key)
        proto = getattr(shown.element, kind)
        return [option.content for option in proto.options] if kind == "button_group" else list(proto.options)

    def data(self, key: str) -> Any:
        """The data of a component."""
        shown, _, _ = self._widget(key)
        proto = shown.element.bidi_component
        return json.loads(proto.json or proto.mixed.json)

    def texts(self) -> str:
        """What the page says outside of widgets."""
        found = []
        for _, shown in sorted(self._shown.items(), key=lambda each: each[0]):
            kind = shown.element.WhichOneof("type") or "empty"
            if "body" in getattr(shown.element, kind).DESCRIPTOR.fields_by_name:
                found.append(getattr(shown.element, kind).body)
        return " | ".join(found)

    def keys(self, start: str = "") -> list[str]:
        """The keys of the widgets that can be used now and begin like this, in the order of the page."""
        found = (id_.split("-", 2)[-1] for _, (_, _, id_) in sorted(self._widgets(), key=lambda each: each[0]))
        return [key for key in found if key.startswith(start)]

    # Messages

    @property
    def _xsrf(self) -> str:
        return next((cookie.value or "" for cookie in self._jar if cookie.name == "_streamlit_xsrf"), "")

    def _connect(self, page: str) -> None:
        with self._http.open(Request(f"{self.address}/{page}", headers={"Accept": "text/html"}), timeout=self.patience) as got:
            got.read()
        with self._http.open(f"{self.address}/_stcore/health", timeout=self.patience) as got:
            got.read()  # it brings the token that uploads need
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._jar)
        protocols: Any = ["streamlit", self._xsrf] if self._xsrf else ["streamlit"]
        self._socket = connect(
            f"ws://{urlsplit(self.address).netloc}/_stcore/stream",
            subprotocols=protocols,
            max_size=None,
            additional_headers={"Cookie": cookies, "Origin": self.address},
            open_timeout=self.patience,
            ping_timeout=None,
        )

    def _send(self, message: BackMsg) -> None:
        if self._socket is None:
            raise Stuck("no page is open")
        self._socket.send(message.SerializeToString())

    def _send_rerun(self, *, hash_: str = "", name: str = "", fragment: str = "", by_clock: bool = False) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash, state.page_name = self._query, hash_ or self._page, name
        state.fragment_id, state.is_auto_rerun = fragment, by_clock
        state.widget_states.widgets.extend(self._values.values())
        state.cached_message_hashes.extend(list(self._cached)[-MOST_CACHED:])
        state.context_info.url, state.context_info.timezone, state.context_info.locale = self.address, "UTC", "en"
        self._send(message)

    def _answered(self, fragment: str) -> float:
        began = time.perf_counter()
        self._send_rerun(fragment=fragment)
        self._until_drawn(fragment)
        return time.perf_counter() - began

    def _until_drawn(self, fragment: str = "") -> None:
        """Until a run of the page, or one that drew this fragment, has ended.

        Streamlit also says of a fragment that was drawn to its end that it ended early for another run, when that run is one
        of another fragment which begins before the message is sent.
        """
        end, begun, early = time.monotonic() + self.patience, False, False
        while True:
            message = self._take(end)
            kind = message.WhichOneof("type") if message is not None else None
            if kind == "new_session":
                begun = begun or self._of_page or fragment in self._fragments
                if early and not begun:
                    return
            elif kind == "script_finished" and message is not None and begun:
                before = self._of_page and bool(self._page) and self._drawn != self._page  # still of the page before
                early = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN and not self._of_page
                if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN and not before:
                    self._page = self._page or self._drawn
                    return
                begun = False

    def _take(self, end: float, *, quiet: bool = False) -> ForwardMsg | None:
        """The next message, at most until ``end``; sends what is due meanwhile.

        Raises:
            Stuck: when nothing came until then, unless ``quiet``.
        """
        assert self._socket is not None
        while True:
            now = time.monotonic()
            for name, (interval, due) in list(self._clocks.items()):
                if now >= due:
                    self._clocks[name] = (interval, now + interval)
                    self._send_rerun(fragment=name, by_clock=True)
            next_due = min([end, *(due for _, due in self._clocks.values())])
            try:
                content = self._socket.recv(max(0.0, next_due - time.monotonic()))
            except TimeoutError:
                if time.monotonic() < end:
                    continue
                if quiet:
                    return None
                raise Stuck(f"no answer within {self.patience:.0f} s") from None
            assert isinstance(content, bytes)
            self.received += len(content)
            message = ForwardMsg.FromString(content)
            if message.WhichOneof("type") == "ref_hash":
                known = ForwardMsg()
                known.CopyFrom(self._cached[message.ref_hash])
                known.metadata.CopyFrom(message.metadata)
                message = known
            elif message.metadata.cacheable:
                self._cached[message.hash] = message
                if len(self._cached) > KEPT_BEYOND * MOST_CACHED:
                    del self._cached[next(iter(self._cached))]
            self._apply(message)
            return message

    def _apply(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._run, self._fragments = message.metadata.run.script_run_id, frozenset(message.metadata.run.fragment_ids)
            self._of_page = not self._fragments
            self._session = message.new_session.initialize.session_id or self._session
            if self._of_page:
                self._drawn = ""
                self._clocks.clear()
        elif kind == "navigation":
            self._drawn = message.navigation.page_script_hash
            self._pages = {
                "" if page.is_default else page.url_pathname: (page.page_script_hash, page.page_name)
                for page in message.navigation.app_pages
            }
        elif kind == "delta":
            self._draw(tuple(message.metadata.delta_path), message)
        elif kind == "auto_rerun":
            if self._clocks.get(message.auto_rerun.fragment_id, (0.0,))[0] != message.auto_rerun.interval:
                interval = message.auto_rerun.interval
                self._clocks[message.auto_rerun.fragment_id] = (interval, time.monotonic() + interval)
        elif kind == "stop_auto_rerun":
            for name in message.stop_auto_rerun.fragment_ids:
                self._clocks.pop(name, None)
        elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._forget_stale()
        elif kind == "session_event" and message.session_event.WhichOneof("type") == "script_compilation_exception":
            self.exceptions.append(message.session_event.script_compilation_exception.message)
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "file_urls_response":
            if message.file_urls_response.error_msg:
                self.exceptions.append(message.file_urls_response.error_msg)
            self._upload_places = list(message.file_urls_response.file_urls)

    def _draw(self, path: tuple[int, ...], message: ForwardMsg) -> None:
        delta = message.delta
        if delta.WhichOneof("type") != "new_element":
            self._shown.pop(path, None)
            return
        element = delta.new_element
        self._shown[path] = _Shown(element, delta.fragment_id, self._run)
        if element.WhichOneof("type") == "exception":
            self.exceptions.append(f"{element.exception.type}: {element.exception.message}")
        elif element.WhichOneof("type") == "alert" and element.alert.format == ERROR:
            self.complaints.append(element.alert.body)

    def _forget_stale(self) -> None:
        for path, shown in list(self._shown.items()):
            if shown.run != self._run and (self._of_page or shown.fragment in self._fragments):
                del self._shown[path]

    def _widgets(self) -> Iterator[tuple[tuple[int, ...], tuple[_Shown, str, str]]]:
        for path, shown in self._shown.items():
            kind = shown.element.WhichOneof("type") or "empty"
            proto = getattr(shown.element, kind)
            if "id" in proto.DESCRIPTOR.fields_by_name and not getattr(proto, "disabled", False) and proto.id:
                yield path, (shown, kind, proto.id)

    def _widget(self, key: str) -> tuple[_Shown, str, str]:
        for _, found in self._widgets():
            if found[2].endswith(f"-{key}"):
                return found
        raise Stuck(f"the page has no widget {key!r}")
