"""`producer serve`: HTTP and a page in front of the storage and Redis; with --local also Redis and a worker."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import UsageError
from producer.cli.flags import with_flags
from producer.cli.options import Place


@with_flags
def serve(
    place: Place,
    host: Annotated[str, typer.Option(help="address to listen on; one that others reach needs BULKQA_API_TOKEN")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free")] = 8321,
    local: Annotated[bool, typer.Option("--local", help="start Redis and a worker too, on this machine")] = False,
    model_dir: Annotated[
        Path | None,
        typer.Option("--model", help="model directory, with --local [BULKQA_MODEL_DIR]", show_default=False),
    ] = None,
) -> None:
    """Serve jobs over HTTP, with a page for a browser."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise UsageError("this installation has no server", "Install it: pip install 'bulkqa[web]'")
    if model_dir is not None and not local:
        raise UsageError("--model is the worker's, and none is started without --local", "Say both, or neither.")
    with ExitStack() as resources:
        redis = place.redis
        if local:
            from producer import local as here

            here.require(place.redis)
            flags = {"storage": place.storage, "model": model_dir}
            given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
            redis = resources.enter_context(here.stack(given, place.redis)).redis_url
        _serve(Place(redis, place.storage), host, port)


def _serve(place: Place, host: str, port: int) -> None:
    from contract import logs
    from producer.cli import view
    from producer.server.access import check_address, tokens_of
    from producer.server.run import run

    given = place.settings()
    logs.set_up(given.log_format, given.log_level)
    check_address(host, tokens_of(given.api_token.get_secret_value()))
    run(given, host, port, lambda url: view.say(f"bulkqa serves {url} (storage {given.storage_url}); Ctrl-C stops it"))
