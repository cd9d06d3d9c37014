"""The server as a process: listens, says where, and ends in order."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from contract.errors import UsageError
from contract.settings import Settings
from producer.server.app import make_app

#: Seconds that requests under way have to end; who only watches is not waited for longer.
_GRACE = 3


def run(settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until the process is told to end. `ready` gets the address. Raises UsageError where it cannot be had."""
    app = make_app(settings)
    with _listening(host, port) as listener:
        where = f"[{host}]" if ":" in host else host
        config = uvicorn.Config(
            app,
            log_config=None,  # the logs are ours
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACE,
            server_header=False,
            proxy_headers=False,
        )
        ready(f"http://{where}:{listener.getsockname()[1]}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server raises it anew when it has ended
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error}", "Name another: --port 0 takes a free one."
        ) from error
