"""The child that reads an upload: `submit`, with a bound on memory and time, so that no file takes the server down.

Started as `python -m producer.server.reading`: a JSON document on stdin says what is asked for, one on stdout what came
of it, an id or an error. Where it is told to end it removes what it wrote, as `submit` does.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from contract import command, machine
from contract.errors import BulkqaError, InputError
from contract.format import failure

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
    asked = json.load(sys.stdin)
    try:
        said = _read(asked)
    except BulkqaError as error:
        said = {"error": failure.to_json(error)}
    except MemoryError:
        said = {"error": failure.to_json(_TOO_LARGE)}
    json.dump(said, sys.stdout)


def _read(asked: dict[str, Any]) -> dict[str, Any]:
    from contract import settings
    from contract.storage import open_storage
    from producer.request import request_of

    given = settings.load()
    _bound(given.read_memory + _BESIDE)
    request = request_of(asked["options"]).with_row_limit(given.max_row_bytes)
    if asked["only_check"]:
        return _checked(asked, request.read, given)
    from contract.namespace import open_queue
    from producer.jobs.submit import submit_and_send
    from producer.results.columns import sent

    storage = open_storage(given.storage_url, create=True)
    if asked["columns"]:
        request = replace(request, columns=sent(Path(asked["columns"]).read_bytes()))
    with Path(asked["path"]).open("rb") as file, closing(open_queue(given, storage)) as queue:
        submitted = submit_and_send(_named(file, asked["name"]), storage, queue, given, request)
    return {"job": submitted.manifest.id, "new": submitted.new}


def _checked(asked: dict[str, Any], read: Any, given: Any) -> dict[str, Any]:
    """The first rows of a file, and its columns; of what can be read of it without being asked which is which."""
    from producer.jobs.check import glance

    with Path(asked["path"]).open("rb") as file:
        return asdict(glance(_named(file, asked["name"]), read, given))


class _Named:
    """A file under the name that it has where it comes from."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _named(file: BinaryIO, name: str) -> BinaryIO:
    return cast(BinaryIO, _Named(file, name))


def _bound(most: int) -> None:
    """Let this process have no more memory than that, in bytes, where the kernel keeps such a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:  # who started the server allows less, and it cannot be raised
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
