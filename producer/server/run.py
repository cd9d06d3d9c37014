"""The server process: listens, reports its address, and shuts down in order."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from contract.errors import UsageError
from contract.remedy import Remedy, Set
from contract.settings import Settings
from producer.server.app import make_app

#: Seconds that open requests have to end at shutdown; clients that only watch are then cut off.
_GRACE = 3


def run(settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until the process is told to end. `ready` is called with the URL. Raises UsageError if the address cannot
    be used."""
    app = make_app(settings)
    with _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        config = uvicorn.Config(
            app,
            log_config=None,  # contract.logs has set it up
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACE,
            server_header=False,
            proxy_headers=False,
        )
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server raises it again after its shutdown
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        free = Remedy("Name another port, or let the system choose a free one: ", Set(port=0))
        raise UsageError(f"cannot listen on {host}:{port}: {error}", free) from error
