"""A missing Prefect server is an error of one line, and a server that fails to start is not left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from pipelines.flow.server import ensure_server
from tests.processes import is_running

LEAVE = """
import subprocess, sys
from pipelines.flow.stopping import Stopping
stopping = Stopping()
left = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(left.pid, flush=True)
raise ConnectionError("no start")
"""


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which no process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_configured_server_that_does_not_answer_is_named_in_one_line(closed_port: int) -> None:
    url, began = f"http://me:secret@127.0.0.1:{closed_port}/api", time.monotonic()
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(ConnectionError) as failure:
        ensure_server()
    said = str(failure.value)
    assert said.startswith(f"PREFECT_API_URL=http://127.0.0.1:{closed_port}/api") and "unset it" in said
    assert "\n" not in said and "secret" not in said and time.monotonic() - began < 30


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """What is started as temporary server; the test says what that is."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(server: SubprocessASGIServer) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([sys.executable, "-c", os.environ["SERVER"]]))
        return processes[-1]

    monkeypatch.setattr(SubprocessASGIServer, "_run_uvicorn_command", start)
    settings = {PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}
    with temporary_settings(settings, restore_defaults={PREFECT_API_URL}):
        yield processes
    for process in processes:
        process.kill()


def test_a_server_that_ends_at_once_is_not_waited_for(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER", "raise SystemExit(7)")
    began = time.monotonic()
    with pytest.raises(ChildProcessError, match=r"it ended with exit code 7; PREFECT_HOME must be"):
        ensure_server()
    assert time.monotonic() - began < 30 and len(started) == 1


def test_a_server_that_cannot_be_reached_is_stopped(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that answers for it."""
    monkeypatch.setenv("SERVER", "import time; time.sleep(600)")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HTTP_PROXY", "socks9://127.0.0.1:9")  # which httpx refuses when it is asked to connect
    monkeypatch.setenv("http_proxy", "socks9://127.0.0.1:9")
    with pytest.raises(ChildProcessError, match="temporary server did not start") as failure:
        ensure_server()
    assert "\n" not in str(failure.value)
    assert len(started) == 1 and started[0].wait(20) == -signal.SIGTERM


def test_a_process_that_fails_leaves_nothing_running() -> None:
    root = Path(__file__).parents[3]
    process = subprocess.run([sys.executable, "-c", LEAVE], capture_output=True, text=True, cwd=root, check=False)
    left = int(process.stdout)
    deadline = time.monotonic() + 10
    while is_running(left):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.02)
    assert process.returncode == 1 and "no start" in process.stderr
