"""What stands before the server: who may connect, by which name, as which browser, and with which upload."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from attnlab.desk.permissions import Mode, browser_of
from attnlab.ui.door import SERVER_BYTES, Door, Uploads
from attnlab.ui.who import COOKIE
from tests.conftest import ROOT

PAGE = {"accept": "text/html"}
MB = 1 << 20


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("inside")
    await socket.close()


def client(mode: Mode, *, host: str = "localhost:8501", peer: str = "127.0.0.1") -> TestClient:
    """A browser at the address ``peer`` that asks for a server by the name ``host``."""
    routes = [Route("/{page:path}", lambda request: HTMLResponse("inside")), WebSocketRoute("/stream", talk)]
    door = Door(Starlette(routes=routes), mode, Uploads())
    return TestClient(door, base_url=f"http://{host}", client=(peer, 50000))


@pytest.mark.parametrize(
    ("host", "peer", "inside"),
    [
        ("localhost:8501", "127.0.0.1", True),
        ("127.0.0.1:8501", "127.0.0.1", True),
        ("[::1]:8501", "::1", True),
        ("lab.localhost", "::ffff:127.0.0.1", True),
        ("192.0.2.7:8501", "192.0.2.9", False),
        ("localhost:8501", "192.0.2.9", False),
        ("localhost:8501", "::ffff:192.0.2.9", False),
        ("evil.example", "127.0.0.1", False),  # a page of that name whose address was changed to this machine's
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("192.0.2.7", "127.0.0.1", False),
    ],
)
def test_without_a_classroom_the_own_machine_alone_comes_in(host: str, peer: str, inside: bool) -> None:
    mine = client(Mode.PERSONAL, host=host, peer=peer)
    answer = mine.get("/train", headers=PAGE)
    assert (answer.status_code, "inside" in answer.text) == ((200, True) if inside else (403, False))
    assert inside or "attnlab app --classroom" in answer.text
    if inside:
        with mine.websocket_connect(f"ws://{host}/stream") as socket:
            assert socket.receive_text() == "inside"
    else:
        with pytest.raises(WebSocketDisconnect), mine.websocket_connect(f"ws://{host}/stream") as socket:
            socket.receive_text()
    assert client(Mode.CLASSROOM, host=host, peer=peer).get("/train", headers=PAGE).status_code == 200


def test_a_browser_is_known_by_a_number_that_scripts_and_links_do_not_have() -> None:
    mine = client(Mode.CLASSROOM)
    first = mine.get("/", headers=PAGE)
    header, number = first.headers["set-cookie"], mine.cookies[COOKIE]
    assert len(number) >= 43, "256 bits"
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="):
        assert part in header
    assert number not in first.text
    mine.get("/train", headers=PAGE)
    assert mine.cookies[COOKIE] == number, "the same after a reload"
    assert "set-cookie" not in mine.get("/static/a.js").headers
    assert client(Mode.CLASSROOM).get("/", headers=PAGE).cookies[COOKIE] != number
    assert "set-cookie" not in client(Mode.PERSONAL).get("/", headers=PAGE).headers
    assert number not in browser_of(number) and len(browser_of(number)) == 32 and browser_of("") == ""


@pytest.mark.parametrize("number", ["short", "x" * 5000, "a; Domain=evil.example" + "b" * 30, "!" * 43])
def test_a_number_that_no_server_gave_is_replaced(number: str) -> None:
    headers = {**PAGE, "cookie": f"{COOKIE}={number}".encode("latin-1", "replace").decode("latin-1")}
    answer = client(Mode.CLASSROOM).get("/", headers=headers)
    assert number not in answer.headers["set-cookie"]


def test_a_page_loads_nothing_from_another_host() -> None:
    answer = client(Mode.CLASSROOM, host="lab.school:8501").get("/", headers=PAGE)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    for name, sources in policy.items():
        hosts = [source for source in sources.split() if not source.startswith("'") and not source.endswith(":")]
        assert hosts == (["ws://lab.school:8501", "wss://lab.school:8501"] if name == "connect-src" else []), name
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_page_runs_no_script_but_those_of_the_server() -> None:
    policy = client(Mode.CLASSROOM).get("/", headers=PAGE).headers["content-security-policy"]
    (scripts,) = [part.split()[1:] for part in policy.split(";") if part.strip().startswith("script-src ")]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "data:"} & set(scripts)

    class Page(HTMLParser):
        inside, written = False, ""

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "script" and "src" not in dict(attributes)

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

        def handle_data(self, data: str) -> None:
            if self.inside:
                digest = b64encode(sha256(data.encode()).digest()).decode()
                assert f"'sha256-{digest}'" in scripts, data
                self.written += data

    page = Page()
    page.feed((Path(streamlit.__file__).parent / "static" / "index.html").read_text())
    assert page.written, "Streamlit's page has a script of its own, which must run"


def test_the_settings_beside_the_app_keep_it_to_the_own_machine_and_check_where_requests_come_from() -> None:
    server = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]
    assert server["address"] == "127.0.0.1"
    assert server["enableXsrfProtection"] and server["enableCORS"]


@pytest.mark.parametrize("mode", Mode)
def test_an_upload_needs_its_size(mode: Mode) -> None:
    def pieces():  # sent without a length
        yield b"x" * 100

    assert client(mode).put("/_stcore/upload_file/session/file", content=pieces()).status_code == 411


# Which uploads are admitted

ME, OTHER = browser_of("a" * 43), browser_of("b" * 43)
MOST = 300 * MB


@pytest.fixture
def uploads() -> Uploads:
    """A session of mine that shows a widget for 100 MB and has asked to send three files."""
    made = Uploads()
    made.expect("mine", ME, "form.upload", 100 * MB)
    made.ask("mine", ["one", "two", "three"])
    return made


def refused(uploads: Uploads, file: str = "one", size: int = MB, *, who: str = ME, held: dict[str, int] | None = None) -> str:
    return uploads.admit("mine", file, who, size, held or {"mine": 0}, MOST)


def test_an_upload_that_a_widget_asked_for_is_admitted(uploads: Uploads) -> None:
    assert refused(uploads) == ""


def test_an_upload_that_nobody_asked_for_is_refused(uploads: Uploads) -> None:
    assert "No page" in refused(uploads, "invented")
    assert "No page" in uploads.admit("another session", "one", ME, MB, {"mine": 0, "another session": 0}, MOST)
    uploads.close("mine")
    assert "No page" in refused(uploads), "the page with the widget is no longer shown"
    uploads.expect("mine", ME, "inspect.upload", 20 * MB)
    assert refused(uploads) == ""


def test_an_upload_into_the_page_of_another_browser_is_refused(uploads: Uploads) -> None:
    assert "another browser" in refused(uploads, who=OTHER)


def test_an_upload_larger_than_the_widget_takes_is_refused(uploads: Uploads) -> None:
    assert "too large" in refused(uploads, size=101 * MB)


def test_one_browser_may_send_so_much_in_all_its_pages(uploads: Uploads) -> None:
    uploads.expect("also mine", ME, "form.upload", 100 * MB)
    held = {"mine": 150 * MB, "also mine": 100 * MB}
    assert "as much as it may" in refused(uploads, size=60 * MB, held=held)
    assert refused(uploads, size=50 * MB, held=held) == ""
    assert "as much as it may" in refused(uploads, "two", MB, held=held), "what is on its way counts"
    uploads.arrived("mine", "one")
    assert refused(uploads, "two", MB, held=held) == ""


def test_all_browsers_together_may_send_so_much(uploads: Uploads) -> None:
    assert "holds too many" in refused(uploads, held={"mine": 0, "others": SERVER_BYTES})


def test_a_session_that_is_gone_is_forgotten(uploads: Uploads) -> None:
    uploads.admit("x", "x", OTHER, 1, {"x": 0}, MOST)
    assert "No page" in refused(uploads)
