"""The child that reads an upload: `submit`, with bounds on memory, time and what comes of the file, so that none takes
the server down.

Started as `python -m producer.server.uploads.reading`, with a JSON document on stdin: the file and what is to be done
with it. Prints another: the job, or what the file holds, or an error, ours or the system's. The server kills it, and
removes what it wrote; when the server is killed it is told to end, and does that itself, as `submit` does.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from contract import command, machine
from contract.errors import BulkqaError, InputError
from contract.format import failure

if TYPE_CHECKING:
    from contract.settings import Settings
    from producer.input.location import InputSpec, Single
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
    from producer.input.options import Limits
    from producer.request import request_of

    current = settings.load()
    _bound(current.read_memory + _BESIDE)
    request = request_of(order["options"]).with_row_limit(current.max_row_bytes)
    limits = Limits(current.api_upload_ratio, current.api_upload_rows, current.api_upload_text)
    request = replace(request, read=replace(request.read, limits=limits))
    with ExitStack() as files:
        file = _file(order, files)
        if order["place"] is None:
            return _checked(file, request, current)
        return _submitted(file, order, request, current)


def _submitted(file: InputSpec, order: dict[str, Any], request: Request, settings: Settings) -> dict[str, Any]:
    from producer.backend import open_direct
    from producer.chunks import Place
    from producer.jobs.submit import submit_and_send
    from producer.results.columns import sent

    if order["columns"] is not None:
        with open(order["columns"], "rb") as columns:  # noqa: PTH123
            request = replace(request, columns=sent(columns.read()))
    with closing(open_direct(settings, create=True)) as backend:
        place = Place(**order["place"])
        submitted = submit_and_send(file, backend.storage, backend.queue, settings, request, place=place)
    return {"job": submitted.manifest.id, "new": submitted.new}


def _checked(file: InputSpec, request: Request, settings: Settings) -> dict[str, Any]:
    from contract.storage import open_storage
    from producer.forecast.outlook import look
    from producer.jobs.check import glance
    from producer.jobs.submit import sources_of

    outlook = look(settings, request.model or settings.model, None, None)
    sources = sources_of(open_storage(settings.storage_url), settings, request) if request.reuse else None
    return asdict(glance(file, request.read, settings, outlook, request.options, sources))


def _file(order: dict[str, Any], files: ExitStack) -> InputSpec:
    """The file of an order, or its documents with their questions."""
    from producer.input.location import Documents

    file, *documents = [
        _named(files.enter_context(open(number, "rb")), name)  # noqa: PTH123, SIM115 - a descriptor
        for name, number in [(order["name"], order["file"]), *order.get("documents", ())]
    ]
    return Documents(tuple(documents), file) if documents else file


def _named(opened: BinaryIO, name: str) -> Single:
    """A file under its name at the client. By a path, where it has one: what has to be read from its end is not copied
    first."""
    from producer.input.location import File

    path = machine.path_anew(opened.fileno())
    return File(name, name, path) if path else cast(BinaryIO, _Named(opened, name))


class _Named:
    """A stream under a name."""

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
