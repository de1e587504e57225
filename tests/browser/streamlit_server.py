"""A Streamlit server on a free port of this machine, as long as a test needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import pytest

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60
_END_SECONDS = 20


@contextmanager
def serve(script: Path, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """``streamlit run script`` in the project's folder; gives the address where it answers.

    Args:
        log: what the server prints.
        environment: variables besides those of this process.
    """
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.address", "127.0.0.1"]
    command += ["--server.headless", "true", "--server.port"]
    with served(command, log, os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}), ROOT) as url:
        yield url


@contextmanager
def served(command: list[str], log: Path, environment: Mapping[str, str], cwd: Path) -> Iterator[str]:
    """A command that starts a server, with a free port behind it; gives the address where it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as stream:
        server = subprocess.Popen([*command, str(port)], cwd=cwd, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (URLError, TimeoutError):
            time.sleep(0.05)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
