"""Reads uploads, each in a process of its own, within bounds of memory.

`template` starts `python -m producer.server.uploads.reading DESCRIPTOR`, with its end of a pair of sockets.
Each message on it brings a connection to the server and the files of an upload, and is passed to a process that is
forked for it. That process sends its number, receives an order (a line of JSON: what to do with the files), and answers
with a JSON document: the job, what the file holds, or an error, ours or the system's. The server may kill it, and
removes what it wrote. When the server has ended, it is told to end and removes that itself, as `submit` does.
"""

from __future__ import annotations

import gc
import io
import json
import multiprocessing
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any, BinaryIO, cast

from contract import command, machine
from contract.errors import BulkqaError, InputError, StorageUnreachable
from contract.format import failure
from contract.namespace import open_queue
from contract.settings import Settings, load
from contract.storage import open_storage
from producer.chunks import Place
from producer.forecast.outlook import look
from producer.input.location import MOST_SENT, Documents, File, InputSpec, Single
from producer.input.options import Limits
from producer.jobs.check import glance
from producer.jobs.submit import sources_of, submit, submit_and_send
from producer.request import Request, request_of
from producer.results.columns import sent

#: What is imported only where it is used, elsewhere; some of it is in extras.
_LATER = (
    "celery.app.amqp", "celery.app.task", "celery.worker.worker", "contract.queue.app", "kombu.transport.redis",
    "openpyxl", "producer.input.documents.files",
)  # fmt: skip
#: A connection, a file, its columns, and documents.
_MOST = 3 + MOST_SENT
_FORK = multiprocessing.get_context("fork")
#: What the program itself takes, above what reading may.
_BESIDE = 1 << 30
_TOO_LARGE = InputError(
    "unreadable",
    "reading the file takes too much memory",
    "Split it into several files, or allow more memory: BULKQA_READ_MEMORY",
)


def main(descriptor: int) -> None:
    """Fork a process for each upload, until the server has ended or this is told to end. Then those that still read are
    told, and waited for."""
    command.interrupt_on_signals()
    command.block_pandas()
    with suppress(KeyboardInterrupt), socket.socket(fileno=descriptor) as control:
        _rehearse()
        gc.freeze()  # what is shared with the children stays so: else each copies it as it looks for garbage
        while (received := socket.recv_fds(control, 1, _MOST))[0]:
            _, files, flags, _ = received
            if not flags & socket.MSG_CTRUNC:  # some were one open file too many
                with suppress(OSError):  # or this is a process too many: the connection ends without a word
                    # A daemon, in multiprocessing's sense: it is told to end when this process ends.
                    _FORK.Process(target=_read_one, args=(control, *files), daemon=True).start()
            for number in files:
                os.close(number)


def _rehearse() -> None:
    """Submit a file to a folder: what its first use imports, or makes and keeps, is there for all that is forked."""
    for module in _LATER:
        with suppress(ModuleNotFoundError):
            import_module(module)
    settings, file = load(), io.BytesIO(b'{"question": "When?", "context": "Now."}\n')
    with suppress(OSError, StorageUnreachable), tempfile.TemporaryDirectory() as folder:
        outlook = look(settings, settings.model, None, None)
        submit(file, open_storage(folder, create=True), settings, request_of({}), outlook=outlook)


def _read_one(control: socket.socket, number: int, *files: int) -> None:
    """Read an upload: `number` is the connection to the server, `files` are those that were sent."""
    control.close()
    machine.end_with_parent()
    ended = suppress(ConnectionError, KeyboardInterrupt)  # of the server; or this is told to end
    with ended, socket.socket(fileno=number) as connection, connection.makefile("rw") as stream:
        print(os.getpid(), file=stream, flush=True)
        if order := stream.readline():
            json.dump(_answer(json.loads(order), files), stream)


def _answer(order: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    try:
        return _read(order, files)
    except BulkqaError as error:
        return {"error": failure.to_json(error)}
    except MemoryError:
        return {"error": failure.to_json(_TOO_LARGE)}
    except OSError as error:  # of a temporary file
        return {"os_error": [error.errno, error.strerror, error.filename]}


def _read(order: dict[str, Any], files: Sequence[int]) -> dict[str, Any]:
    current = load()
    _bound(current.read_memory + _BESIDE)
    request = request_of(order["options"]).with_row_limit(current.max_row_bytes)
    limits = Limits(current.api_upload_ratio, current.api_upload_rows, current.api_upload_text)
    request = replace(request, read=replace(request.read, limits=limits))
    names = order["names"]
    file, *documents = map(_named, files, names)  # after them those of the columns, if there are any
    given = Documents(tuple(documents), file) if documents else file
    if order["place"] is None:
        return _checked(given, request, current)
    for columns in files[len(names) :]:
        with _opened(columns) as opened:
            request = replace(request, columns=sent(opened.read()))
    return _submitted(given, Place(**order["place"]), request, current)


def _submitted(file: InputSpec, place: Place, request: Request, settings: Settings) -> dict[str, Any]:
    storage = open_storage(settings.storage_url, create=True)
    with closing(open_queue(settings, storage)) as queue:
        submitted = submit_and_send(
            file, storage, queue, settings, request, lambda _: command.check_interrupt(), place=place
        )
    return {"job": submitted.manifest.id, "new": submitted.new}


def _checked(file: InputSpec, request: Request, settings: Settings) -> dict[str, Any]:
    outlook = look(settings, request.model or settings.model, None, None)
    sources = sources_of(open_storage(settings.storage_url), settings, request) if request.reuse else None
    return asdict(glance(file, request.read, settings, outlook, request.options, sources))


def _named(number: int, name: str) -> Single:
    """A file under its name at the client. By a path, where it has one: what has to be read from its end is not copied
    first."""
    path = machine.path_anew(number)
    return File(name, name, path) if path else cast(BinaryIO, _Named(_opened(number), name))


def _opened(number: int) -> BinaryIO:
    return open(number, "rb", closefd=False)


class _Named:
    """A stream under a name."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _bound(most: int) -> None:
    """Limit the memory of this process, in bytes, where the kernel can."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:  # the server was started with less, which cannot be raised
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main(int(sys.argv[1]))
