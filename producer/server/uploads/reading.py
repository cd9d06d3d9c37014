"""The child that reads an upload: `submit`, with a bound on memory and time, so that no file takes the server down.

Started as `python -m producer.server.uploads.reading`, with a JSON document on stdin: the file and what is to be done
with it. Prints another: the job, or what the file holds, or an error, ours or the system's. When it is told to end it
removes what it wrote, as `submit` does.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from contract import command, machine
from contract.errors import BulkqaError, InputError
from contract.format import failure

if TYPE_CHECKING:
    from contract.settings import Settings
    from producer.request import Request

#: What the program itself takes, above what reading may.
_BESIDE = 1 << 30
_TOO_LARGE = InputError(
    "unreadable",
    "reading the file takes too much memory",
    "Split it into several files, or allow more memory: BULKQA_READ_MEMORY",
)


def main() -> None:
    """Read one upload."""
    command.block_pandas()
    machine.end_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    order = json.load(sys.stdin)
    try:
        answer = _read(order)
    except BulkqaError as error:
        answer = {"error": failure.to_json(error)}
    except MemoryError:
        answer = {"error": failure.to_json(_TOO_LARGE)}
    except OSError as error:  # of a temporary file
        answer = {"os_error": [error.errno, error.strerror, error.filename]}
    json.dump(answer, sys.stdout)


def _read(order: dict[str, Any]) -> dict[str, Any]:
    from contract import settings
    from producer.request import request_of

    current = settings.load()
    _bound(current.read_memory + _BESIDE)
    request = request_of(order["options"]).with_row_limit(current.max_row_bytes)
    with Path(order["path"]).open("rb") as opened:
        file = cast(BinaryIO, _Named(opened, order["name"]))
        if order["only_check"]:
            return _checked(file, request, current)
        return _submitted(file, order["columns"], request, current)


def _submitted(file: BinaryIO, columns: str | None, request: Request, settings: Settings) -> dict[str, Any]:
    """`columns`: the path of those of a DataFrame."""
    from producer.backend import open_direct
    from producer.results.columns import sent

    if columns:
        request = replace(request, columns=sent(Path(columns).read_bytes()))
    with closing(open_direct(settings, create=True)) as backend:
        submitted = backend.submit(file, request)
    return {"job": submitted.manifest.id, "new": submitted.new}


def _checked(file: BinaryIO, request: Request, settings: Settings) -> dict[str, Any]:
    from producer.jobs.check import glance

    return asdict(glance(file, request.read, settings))


class _Named:
    """A file under its name at the client."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _bound(most: int) -> None:
    """Limit the memory of this process, in bytes, where the kernel can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:  # the server was started with less, which cannot be raised
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
