"""The body of a request that brings a file: streamed to a temporary file, its fields checked.

Not by the form models of the framework: they read the whole body before anything else of a route runs, such as the
check for room; they take an empty field for a missing one, where `id=` asks for no ids; and a route of theirs takes
either a form or JSON.
"""

from __future__ import annotations

import errno
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from io import SEEK_END
from itertools import chain
from pathlib import PurePath
from typing import Any, BinaryIO

from fastapi import Request
from starlette.concurrency import iterate_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from contract.errors import StorageUnreachable, UsageError
from contract.storage import Storage
from producer.input.location import MOST_SENT
from producer.server.access import client_of
from producer.server.problems import Refused
from producer.server.submission import of_form, of_object

#: Where the files of the storage lie that a request may name.
INPUTS = "inputs/"
_ASK = "For example: curl -F documents=@a.pdf -F documents=@b.docx -F 'questions=When was it built?'"
#: Bytes of a file in a form that are held in memory: a form may have many.
MultiPartParser.spool_max_size = 64 << 10
#: Bytes of a field that is no file, at most.
_FIELD = 64 << 10
#: Errors of a path that names no file.
_NO_FILE = (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent, the options that came with it, and who sent it. With documents, it is that of their
    questions."""

    file: BinaryIO
    name: str
    options: Mapping[str, Any]
    client: str
    gone: Callable[[], Awaitable[None]]  #: returns when the client has left
    columns: BinaryIO | None = None  #: of a frame, as they are stored
    documents: tuple[tuple[str, BinaryIO], ...] = ()  #: each with its name

    def size(self) -> int:
        """The bytes that were sent, without the columns."""
        return sum(file.seek(0, SEEK_END) for file in (self.file, *(file for _, file in self.documents)))


@asynccontextmanager
async def received(request: Request, storage: Storage) -> AsyncIterator[Upload]:
    """The file of a form, or the file of the storage that a JSON object names."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with received_form(request) as upload:
            yield upload
    elif kind == "application/json":
        fields = await _json(request)
        url = fields.pop("url", None)
        with tempfile.TemporaryFile() as copy:
            async for _ in iterate_in_threadpool(_copying(storage, url, copy)):
                if await request.is_disconnected():
                    raise ClientDisconnect
            options = of_object(fields).options()
            yield Upload(copy, plain_name(str(url)), options, client_of(request.scope), partial(_gone, request))
    else:
        raise Refused(415, "unsupported_media", "a job is made of multipart/form-data or application/json",
                      "For example: curl -F file=@questions.csv")  # fmt: skip


@asynccontextmanager
async def received_form(request: Request) -> AsyncIterator[Upload]:
    """The file of a form, or its documents with their questions."""
    async with form_of(request, files=2 + MOST_SENT, fields=50) as form, AsyncExitStack() as resources:
        counts = Counter(name for name, _ in form.multi_items() if name != "documents")
        if repeated := next((name for name, count in counts.items() if count > 1), None):
            raise UsageError(f"the form has the field {repeated!r} more than once", "Give it once: a job has one file.")
        fields = dict(form)
        file, columns = fields.pop("file", None), fields.pop("columns", None)
        questions, documents = fields.pop("questions", None), _documents(form)
        fields.pop("documents", None)
        if isinstance(questions, str) and documents:
            copy = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            copy.write(questions.encode("utf-8", "surrogatepass"))
            questions = UploadFile(copy, filename="questions")
        if documents or questions is not None:
            if not documents or not isinstance(questions, UploadFile) or file is not None:
                raise UsageError("documents and questions go together, in place of a file", _ASK)
            file = questions
        if not isinstance(file, UploadFile):
            raise UsageError("there is no file in the form", "Send it as its field: curl -F file=@questions.csv")
        beside = columns.file if isinstance(columns, UploadFile) else None
        name, options = plain_name(file.filename), of_form(fields).options()
        yield Upload(file.file, name, options, client_of(request.scope), partial(_gone, request), beside, documents)


def _documents(form: FormData) -> tuple[tuple[str, BinaryIO], ...]:
    """The documents of a form, as they were sent. Their names may have folders, and name no file of this machine."""
    sent = form.getlist("documents")
    if len(sent) > MOST_SENT or not all(isinstance(each, UploadFile) for each in sent):
        raise UsageError(f"documents must be files, at most {MOST_SENT} in a form", _ASK)
    return tuple((_label(each.filename), each.file) for each in sent if isinstance(each, UploadFile))


def _label(name: str | None) -> str:
    return (name or "").replace("\\", "/").lstrip("/")[-500:] or "document"


async def _gone(request: Request) -> None:
    """Wait until the client has left. Its whole body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def form_of(request: Request, files: int, fields: int) -> AsyncIterator[FormData]:
    """A form of so many files and fields at most. Raises Refused."""
    try:
        form = await request.form(max_files=files, max_fields=fields, max_part_size=_FIELD)
    except UnicodeError:
        raise Refused(400, "bad_charset", "the form is not text in its charset", "Send it as UTF-8.") from None
    try:
        yield form
    finally:
        await form.close()


async def _json(request: Request) -> dict[str, Any]:
    try:
        fields = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "bad_json", f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UsageError("the body is not a JSON object")
    return fields


def _copying(storage: Storage, url: object, copy: BinaryIO) -> Iterator[int]:
    """Copy a file of the storage, if requests may name it, a block at a time."""
    key = str(url).removeprefix(f"{storage.url.rstrip('/')}/")
    plain = isinstance(url, str) and "\0" not in key and key == key.encode("utf-8", "ignore").decode()
    if not plain or not key.startswith(INPUTS) or ".." in key.split("/"):
        raise UsageError(f"url must name a file of the storage below {INPUTS}", f"For example: {INPUTS}questions.csv")
    try:
        blocks = storage.blocks(key)
        first = next(blocks, b"")
    except FileNotFoundError:
        raise Refused(404, "unknown_input", f"there is no {key} in the storage") from None
    except StorageUnreachable as error:
        if getattr(error.__cause__, "errno", None) not in _NO_FILE:
            raise
        raise UsageError(f"{key} is not a file of the storage", f"For example: {INPUTS}questions.csv") from None
    yield from map(copy.write, chain([first], blocks))


def plain_name(name: str | None) -> str:
    """The last part of a client's file name: it names no file of this machine."""
    return PurePath((name or "").replace("\\", "/")).name[-200:] or "upload"
