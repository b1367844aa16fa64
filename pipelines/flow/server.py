"""The temporary Prefect server of a run on a machine without one."""

from __future__ import annotations

import signal


def start_temporary_server() -> None:
    """Start the server that the flow would start itself, but deaf to Ctrl-C; nothing if a server is configured.

    Ctrl-C reaches every process of the terminal. A server that ends with it leaves the flow, which has to report that
    it was stopped, trying to reach it for more than a minute.
    """
    from prefect.client.base import ServerType, determine_server_type
    from prefect.server.api.server import SubprocessASGIServer

    if determine_server_type() is not ServerType.EPHEMERAL:
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by the server
    try:
        SubprocessASGIServer().start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
