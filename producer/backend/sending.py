"""What a server is sent of an input and a request: files, read in blocks, and the fields of a form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from contract.errors import UsageError
from producer.backend.protocol import Reading
from producer.input.documents.files import documents_of, questions_of
from producer.input.location import MOST_SENT, Documents, InputSpec, Many, One, locate
from producer.input.options import checked
from producer.input.raw import RawFile
from producer.request import Request


def locations_of(spec: InputSpec, notes: list[str]) -> list[tuple[str, One]]:
    """What is sent, each with its field. Adds to `notes` what is skipped. Raises UsageError for too much."""
    if isinstance(spec, Documents):
        where, documents = documents_of(spec, notes)
        if len(documents) > MOST_SENT:
            raise UsageError(
                f"{where.label} has {len(documents):,} documents, and a server takes {MOST_SENT} at a time",
                "Submit them in parts, or on a machine that shares the storage.",
            )
        return [("questions", questions_of(spec)), *(("documents", each) for each in documents)]
    location = locate(spec)
    if isinstance(location, Many):
        raise UsageError(
            f"{location.label} is several files, and a server takes one at a time",
            "Submit them one by one, or write them as one Parquet file.",
        )
    return [("file", location)]


class Upload:
    """An input as the body of a request: read in blocks, never held as a whole."""

    def __init__(self, file: RawFile, progress: Callable[[Reading], None] | None) -> None:
        self.name = file.name
        self._file = file
        self._progress = progress

    def fileno(self) -> int:
        """The file's descriptor, for its size. Raises OSError if it has none."""
        return self._file.fileno()

    def read(self, count: int) -> bytes:
        """The next bytes; none at the end."""
        data = self._file.read(count)
        if self._progress:
            self._progress(self._file)
        return data


def form_of(request: Request) -> dict[str, str]:
    """A request as the fields of a form. What has its default is left out: the server has its own."""
    request = replace(request, read=checked(request.read))
    return {option.name: _text(value) for option, value in request.changed() if not option.local}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
