"""The Prefect server of a run: the one that is configured, or a temporary one on this machine."""

from __future__ import annotations

import signal
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

ANSWER_SECONDS = 20.0  # time in which a configured server must answer
PORT_TAKEN = 3  # exit code of a server whose port is in use; Prefect then starts another on another port


def ensure_server() -> None:
    """Check that the configured server answers. If none is configured, start the one that the flow would start itself.

    Errors: ConnectionError or ChildProcessError if there is no server for the flow; no process is left running.
    """
    from prefect.client.base import ServerType, determine_server_type

    if determine_server_type() is ServerType.EPHEMERAL:
        start_temporary_server()
    else:
        check_configured_server()


def check_configured_server() -> None:
    """Check the server that PREFECT_API_URL names.

    Errors: ConnectionError if it does not answer or has another version.
    """
    from prefect.client.base import ServerType
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": ANSWER_SECONDS}) as client,
    ):
        problem = client.api_healthcheck()
        try:
            if problem is None and client.server_type is ServerType.SERVER:
                client.raise_for_api_version_mismatch()
        except Exception as error:
            problem = error
        url = _without_user(str(client.api_url))
    if problem is not None:
        raise ConnectionError(
            f"PREFECT_API_URL={url}, set by the environment or a Prefect profile: {one_line(problem)}; start a "
            "Prefect server there, correct the address, or unset it for a temporary server"
        ) from problem


def start_temporary_server() -> None:
    """Start a server that ends with this process, but not by Ctrl-C.

    Ctrl-C reaches every process of the terminal. If it ended the server, the flow, which must report that it was
    stopped, would try to reach the server for more than a minute. Prefect also waits for its full timeout if the server
    has ended, so this waits for Prefect only while the server runs.
    Errors: ChildProcessError if the server does not start.
    """
    from prefect.server.api.server import SubprocessASGIServer

    server, started = SubprocessASGIServer(), Future[None]()
    Thread(target=_start, args=(server, started), name="prefect-server", daemon=True).start()
    try:
        while not started.done():
            if (code := _exit_code(server)) not in (None, PORT_TAKEN):
                raise ChildProcessError(f"it ended with exit code {code}")
            wait([started], timeout=0.1)
        started.result()
    except Exception as error:
        server.stop()
        raise ChildProcessError(
            f"Prefect's temporary server did not start: {one_line(error)}; PREFECT_HOME must be a folder on a local "
            "disk with free space, and 127.0.0.1 must be reachable; or name a server with PREFECT_API_URL"
        ) from error


def one_line(error: Exception) -> str:
    """The message of an error, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def _without_user(url: str) -> str:
    """The URL without user name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _start(server: SubprocessASGIServer, started: Future[None]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # of this thread; inherited by the server
    try:
        server.start()
        started.set_result(None)
    except Exception as error:
        started.set_exception(error)


def _exit_code(server: SubprocessASGIServer) -> int | None:
    process = server.server_process
    return None if process is None else process.poll()
