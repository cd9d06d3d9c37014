"""`producer serve`: an HTTP server and a web page for the storage and Redis; --local starts Redis and a worker too."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import MissingExtra, UsageError
from producer.cli.flags import with_flags
from producer.cli.options import DirectConnection


@with_flags
def serve(
    connection: DirectConnection,
    host: Annotated[
        str, typer.Option(help="address to listen on; one that other machines can reach needs BULKQA_API_TOKEN")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0: any free one")] = 8321,
    local: Annotated[bool, typer.Option("--local", help="also start Redis and a worker on this machine")] = False,
    model_dir: Annotated[
        Path | None,
        typer.Option("--model", help="model directory, with --local [BULKQA_MODEL_DIR]", show_default=False),
    ] = None,
) -> None:
    """Serve jobs over HTTP, with a web page."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingExtra("producer serve", "fastapi and uvicorn", "web")
    if model_dir is not None and not local:
        raise UsageError("--model needs --local: without it no worker is started", "Give both or neither.")
    with ExitStack() as resources:
        redis = connection.redis
        if local:
            from producer.local import require, stack

            require(connection.redis)
            flags = {"storage": connection.storage, "model": model_dir}
            redis = resources.enter_context(stack(flags, connection.redis)).redis_url
        _serve(DirectConnection(redis, connection.storage), host, port)


def _serve(connection: DirectConnection, host: str, port: int) -> None:
    from contract import logs
    from producer.cli import messages
    from producer.server.access import check_address, tokens_of
    from producer.server.run import run

    settings = connection.settings()
    logs.set_up(settings.log_format, settings.log_level)
    say = logging.getLogger("bulkqa.server").info if logs.is_json() else messages.say
    check_address(host, tokens_of(settings.api_token.get_secret_value()))
    run(
        settings,
        host,
        port,
        lambda url: say(f"bulkqa serves {url} (storage {settings.storage_url}); stop it with Ctrl-C"),
    )
