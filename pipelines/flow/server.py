"""The Prefect server of a run: the one that is configured, or a temporary one on this machine."""

from __future__ import annotations

import signal
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

ANSWER_SECONDS = 20.0  # that a configured server has
PORT_TAKEN = 3  # exit code of a server that Prefect then starts on another port


def find_server() -> None:
    """See that the configured server answers; without one start the server that the flow would start itself.

    ConnectionError, with no process left behind, when there is no server for the flow.
    """
    from prefect.client.base import ServerType, determine_server_type

    if determine_server_type() is ServerType.EPHEMERAL:
        start_temporary_server()
    else:
        check_configured_server()


def check_configured_server() -> None:
    """ConnectionError when the server that PREFECT_API_URL names does not answer, or has another version."""
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
            f"PREFECT_API_URL={url}, as the environment or a Prefect profile has it: {one_line(problem)}; start a "
            "Prefect server there, correct the address, or unset it for a temporary server"
        ) from problem


def start_temporary_server() -> None:
    """Start a server that ends with this process, but not by Ctrl-C. ChildProcessError when it does not come up.

    Ctrl-C reaches every process of the terminal. A server that ends with it leaves the flow, which has to report that
    it was stopped, trying to reach it for more than a minute. Prefect waits its whole time for a server that has ended,
    so this waits for Prefect only while the server lives.
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
    """What an error says, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def _without_user(url: str) -> str:
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
