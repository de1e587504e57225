"""The app as a process of its own, on a free port and with a home of its own, for the benchmarks that visit it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import psutil

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("", "train", "inspect", "compare", "league", "reproduce", "search", "melanoma", "open")
"""Addresses of the pages that everybody has."""
_START_SECONDS, _END_SECONDS = 120, 30


@dataclass(frozen=True)
class AppServer:
    """
    Attributes:
        address: where it answers.
        process: the server; its workers are children of it.
        home: its ATTNLAB_HOME.
    """

    address: str
    process: psutil.Process
    home: Path

    def cpu_seconds(self) -> float:
        """What the server itself has used, without its workers."""
        times = self.process.cpu_times()
        return times.user + times.system

    def workers_cpu_seconds(self) -> float:
        """What its worker processes have used, those that have ended included."""
        ended = self.process.cpu_times()
        total = ended.children_user + ended.children_system
        for child in self.process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                total += times.user + times.system
        return total


@contextmanager
def app_server(home: Path, *, classroom: bool = False) -> Iterator[AppServer]:
    """Starts the app on this machine, in a session of its own as a service has, and ends it again with its workers.

    Raises:
        RuntimeError: when it does not answer; the message ends with what it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    mode = "classroom" if classroom else "personal"
    environment = os.environ | {"ATTNLAB_HOME": str(home), "ATTNLAB_MODE": mode, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.address", "127.0.0.1"]
    log = home / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [*command, "--server.port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _START_SECONDS
        while True:
            with suppress(URLError, TimeoutError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                break
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not answer:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield AppServer(address, psutil.Process(server.pid), home)
    finally:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(server.pid).children(recursive=True)
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(_END_SECONDS)
            for left in [*children, psutil.Process(server.pid)] if server.poll() is None else children:
                with suppress(psutil.NoSuchProcess):
                    left.kill()
        server.wait()
