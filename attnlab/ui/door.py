"""What stands before Streamlit: who may connect, which browser it is, what may be uploaded, and what a page may load.

`app.py` puts `Door` around the server, so it holds for `attnlab app` and for ``streamlit run app.py`` alike, whatever the
settings are. Streamlit itself checks that a WebSocket comes from a page of this server, and that an upload does (XSRF).
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import secrets
import threading
import webbrowser
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.runtime import get_instance

from attnlab import paths
from attnlab.desk.limits import LIMITS
from attnlab.desk.permissions import Mode, browser_of, server_mode
from attnlab.desk.teacher import teacher_token
from attnlab.ui.who import COOKIE
from attnlab.worker.openmp import leave_a_core

_COOKIE_SECONDS = 400 * 24 * 60 * 60  # browsers keep none longer
_UPLOAD = "/_stcore/upload_file/"

SERVER_BYTES = 1 << 30
"""Uploads that all browsers together may have in the server's memory."""
BROWSER_BYTES = 600 << 20
"""And those of one browser, on the own machine; in a classroom `LIMITS.kept_bytes`."""

POLICY = (
    "default-src 'self'; script-src 'self' {scripts} 'wasm-unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' {sockets} data: blob:; worker-src 'self' blob:; frame-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
)
"""The browser loads nothing from another host, whatever a page contains, and runs no script or text that is not the server's
own file. What is still allowed is needed: the components of this app are modules that Streamlit loads from a ``blob:``; its
protocol library compiles a small WebAssembly; and its style sheets, those of Plotly and of formulas are written into the page.
Older browsers need the sockets named.
"""

_HEADERS = {
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass
class Uploads:
    """Which uploads a page has asked for, and how much each browser has in the server's memory. Any thread may use it."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))  # session -> widget -> most bytes
    _browser: dict[str, str] = field(default_factory=dict)  # session -> its browser
    _asked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # session -> ids of files it asked to send
    _arriving: dict[tuple[str, str], int] = field(default_factory=dict)  # (session, file) -> bytes

    def expect(self, session: str, browser: str, widget: str, most_bytes: int) -> None:
        """A page of this session shows a widget that takes files."""
        with self._lock:
            self._browser[session] = browser
            self._open[session][widget] = most_bytes

    def close(self, session: str) -> None:
        """The session shows another page, without any of those widgets so far."""
        with self._lock:
            self._open.pop(session, None)

    def ask(self, session: str, file_ids: list[str]) -> None:
        """The browser of the session asks where to send so many files."""
        with self._lock:
            self._asked[session].update(file_ids)

    def admit(self, session: str, file: str, browser: str, size: int, held: dict[str, int], most: int) -> str:
        """Whether a file may be sent: why not, in a sentence, or nothing. What was admitted is counted until `arrived`.

        Args:
            held: session -> bytes that the server has of it.
            most: bytes that one browser may have there.
        """
        with self._lock:
            for gone in set(self._browser) - set(held):
                for known in (self._browser, self._open, self._asked):
                    known.pop(gone, None)
            if file not in self._asked.get(session, ()) or not self._open.get(session):
                return "No page of this app has asked for this file."
            if self._browser.get(session, browser) != browser:
                return "This page belongs to another browser."
            if size > max(self._open[session].values()):
                return "The file is too large."
            arriving = sum(self._arriving.values())
            if sum(held.values()) + arriving + size > SERVER_BYTES:
                return "The server holds too many uploads at the moment. Try again later."
            mine = {known for known, who in self._browser.items() if who == browser}
            own = sum(held[known] for known in mine) + sum(n for (known, _), n in self._arriving.items() if known in mine)
            if own + size > most:
                return "This browser has sent as much as it may. Close other pages of this app, or wait a few minutes."
            self._arriving[session, file] = size
            return ""

    def arrived(self, session: str, file: str) -> None:
        """The file is in the server's memory, or was refused after all."""
        with self._lock:
            self._arriving.pop((session, file), None)


UPLOADS = Uploads()


class Door:
    """The outermost layer of the server.

    Args:
        app: what is behind it.
        mode: who may come in.
        uploads: which files may.
    """

    def __init__(self, app: ASGIApp, mode: Mode, uploads: Uploads) -> None:
        self.app, self.mode, self.uploads = app, mode, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        if refused := self._stranger(request):
            await _refuse(scope, receive, send, 403, refused)
        elif scope["type"] == "http" and _UPLOAD in scope["path"] and scope["method"] not in ("OPTIONS", "GET", "HEAD"):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, self._marked(scope, request, send))

    def _stranger(self, request: HTTPConnection) -> str:
        """Why a connection is refused, in a sentence; empty when it is not."""
        if self.mode is Mode.CLASSROOM:
            return ""
        if request.client is not None and not _is_loopback(request.client.host):
            return "This attnlab answers its own machine only. Whoever started it lets others in with: attnlab app --classroom"
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        allowed = {*config.get_option("server.allowedHosts"), str(config.get_option("browser.serverAddress"))}
        if _is_loopback(host) or host in allowed:
            return ""
        return (
            f"This attnlab answers its own machine only, by the name localhost. To use it under another name, set "
            f"server.allowedHosts, or start it with: attnlab app --classroom (asked for: {host!r})"
        )

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        session, _, file = scope["path"].rpartition(_UPLOAD)[2].partition("/")
        request = HTTPConnection(scope)
        browser = browser_of(request.cookies.get(COOKIE, ""))
        if scope["method"] != "PUT":
            await self.app(scope, receive, send)
            return
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            await _refuse(scope, receive, send, 411, "The size of the file is missing.")
            return
        most = LIMITS.kept_bytes if self.mode is Mode.CLASSROOM else BROWSER_BYTES
        # A form is a little larger than the file in it.
        size = max(0, int(length) - (64 << 10))
        if refused := self.uploads.admit(session, file, browser, size, _held(), most):
            await _refuse(scope, receive, send, 413 if "too large" in refused else 403, refused)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self.uploads.arrived(session, file)

    def _marked(self, scope: Scope, request: HTTPConnection, send: Send) -> Send:
        """Adds the headers, and in a classroom the cookie by which a browser is known, to a page."""
        if scope["type"] != "http":
            return send

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                host = request.headers.get("host", "")
                sockets = f"ws://{host} wss://{host}" if re.fullmatch(r"[\w.:\[\]-]+", host) else ""
                headers["Content-Security-Policy"] = POLICY.format(sockets=sockets, scripts=inline_scripts())
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self.mode is Mode.CLASSROOM and "text/html" in request.headers.get("accept", ""):
                    headers.append("set-cookie", _cookie(request.cookies.get(COOKIE, ""), request.headers, scope))
            await send(message)

        return marked


def middleware() -> list[Middleware]:
    """For `streamlit.App`."""
    return [Middleware(Door, mode=server_mode(), uploads=UPLOADS)]


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Around the life of the server: notes which files browsers ask to send, and says where it answers and with which token."""
    manager: Any = get_instance().uploaded_file_mgr
    give: Callable[..., list[Any]] = manager.get_upload_urls

    def get_upload_urls(session_id: str, file_names: Any) -> list[Any]:
        urls = give(session_id, file_names)
        UPLOADS.ask(session_id, [url.file_id for url in urls])
        return urls

    manager.get_upload_urls = get_upload_urls  # Streamlit has no hook for it, and forgets which ids it gave away
    if not config.get_option("server.headless"):  # Streamlit opens the browser only where it starts the server itself
        address, port = config.get_option("server.address"), config.get_option("server.port")
        host = "localhost" if address in (None, "0.0.0.0", "::") else address
        webbrowser.open(f"http://{host}:{port}/{str(config.get_option('server.baseUrlPath')).strip('/')}")
    if server_mode() is Mode.CLASSROOM:
        leave_a_core()
        port, address = config.get_option("server.port"), config.get_option("server.address")
        print(f"\n  Classroom. Students open http://THIS-MACHINE:{port}", flush=True)
        if _is_loopback(str(address)):
            print("  It listens on this machine alone; `attnlab app --classroom` lets others in.", flush=True)
        print(f"  The teacher's token, to be entered once on the page Classroom: {teacher_token(paths.home())}\n", flush=True)
    yield


def _held() -> dict[str, int]:
    """Session -> bytes of uploads in the server's memory, for every session there is."""
    runtime: Any = get_instance()
    stored: Any = runtime.uploaded_file_mgr.file_storage
    sessions = {info.session.id for info in runtime._session_mgr.list_sessions()}
    return {name: sum(len(file.data) for file in list(stored.get(name, {}).values())) for name in sessions | set(stored)}


def _cookie(known: str, headers: Headers, scope: Scope) -> str:
    """The browser's number, kept for as long as browsers allow. Scripts cannot read it, and no other site's page sends it."""
    number = (
        known if 32 <= len(known) <= 64 and known.replace("-", "").replace("_", "").isalnum() else secrets.token_urlsafe(32)
    )
    path = "/" + str(config.get_option("server.baseUrlPath")).strip("/")
    secure = "; Secure" if scope.get("scheme") == "https" or headers.get("x-forwarded-proto") == "https" else ""
    return f"{COOKIE}={number}; Path={path}; Max-Age={_COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}"


def _is_loopback(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@cache
def inline_scripts() -> str:
    """The digests of the scripts that stand in Streamlit's own page, as a policy names them."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    written = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in written)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text[:120]})
        return
    await PlainTextResponse(text, status)(scope, receive, send)
