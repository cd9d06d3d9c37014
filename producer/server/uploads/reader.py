"""Uploads are read by child processes (`reading`), for no longer than their clients wait and a time limit allows."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, TypeVar

from starlette.requests import ClientDisconnect

from contract.errors import InputError
from contract.format import failure
from contract.storage import Storage
from producer.chunks import Place
from producer.jobs.submit import place_of, withdraw
from producer.server.uploads.form import Upload
from producer.server.uploads.line import Line
from producer.server.uploads.template import Template

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """Has uploads read in turn, each by a child of its own, within `seconds`."""

    template: Template
    storage: Storage
    line: Line
    seconds: float = 900.0

    async def submit(self, upload: Upload, key: str | None = None) -> tuple[str, bool]:
        """Make a job of an upload: its id, and whether it is new. Raises what `submit` raises, and ClientDisconnect."""
        options = upload.options if key is None else {**upload.options, "key": key}
        answer = await self._read(upload, options, place_of(options.get("key")))
        return answer["job"], answer["new"]

    async def check(self, upload: Upload) -> dict[str, Any]:
        """The columns and the first rows of an upload (`producer.jobs.check.Glance`). Raises InputError, and
        ClientDisconnect."""
        return await self._read(upload, upload.options, None)

    async def _read(self, upload: Upload, options: Mapping[str, Any], place: Place | None) -> dict[str, Any]:
        """What a child says of an upload. It writes to `place`, if there is one; all of that is removed if it ends
        without a word."""
        names, documents = zip((upload.name, upload.file), *upload.documents, strict=True)
        files = [*documents, *([upload.columns] if upload.columns else [])]
        order = {"names": names, "options": dict(options), "place": place and asdict(place)}
        answer = await _while_there(upload, self._in_turn(upload, order, [_number(file) for file in files], place))
        if answer is None:
            raise InputError(
                "unreadable",
                f"{upload.name}: reading it takes more memory than allowed, or crashes the program that reads it",
                "Export it again from the program that made it, as CSV or Parquet.",
            )
        if "os_error" in answer:
            raise OSError(*answer["os_error"])
        if "error" in answer:
            raise failure.from_json(answer["error"])
        return answer

    async def _in_turn(
        self, upload: Upload, order: dict[str, Any], files: list[int], place: Place | None
    ) -> dict[str, Any] | None:
        async with self.line.turn(upload.client):
            try:
                async with asyncio.timeout(self.seconds):
                    return await self._answer(order, files, place)
            except TimeoutError:
                raise InputError(
                    "unreadable",
                    f"{upload.name}: reading it took more than {self.seconds:g} s",
                    "Split it into several files.",
                ) from None

    async def _answer(self, order: dict[str, Any], files: list[int], place: Place | None) -> dict[str, Any] | None:
        """The answer of a new child; None if it ended without one. Raises OSError if there is no room for it."""
        answer = None
        async with self._child(files) as (child, stream, writer):
            try:
                writer.write(json.dumps(order).encode() + b"\n")
                answer = json.loads(await stream.read())
            except (ValueError, ConnectionError):  # it said nothing, or no more
                pass
            finally:
                if answer is None:
                    await asyncio.shield(self._end(child, stream, place))
        return answer

    @asynccontextmanager
    async def _child(self, files: list[int]) -> AsyncIterator[tuple[int, asyncio.StreamReader, asyncio.StreamWriter]]:
        """The number of a new child, and the connection to it."""
        for _ in range(2):  # a template that was killed a moment ago may have taken the first with it
            stream, writer = await asyncio.open_connection(sock=self.template.fork(files))
            with closing(writer):
                if number := await stream.readline():
                    yield int(number), stream, writer
                    return
        raise OSError(errno.EAGAIN, "no process could be started for the upload")

    async def _end(self, child: int, stream: asyncio.StreamReader, place: Place | None) -> None:
        """Kill a child, if it still reads, and remove what it wrote."""
        if not stream.at_eof():  # it took too long, or the client has gone
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ConnectionError):
                await stream.read()  # to the end, which is that of the child
        if place:
            await asyncio.to_thread(withdraw, self.storage, place)


async def _while_there(upload: Upload, work: Coroutine[Any, Any, T]) -> T:
    """The result of work that is given up when the client of an upload leaves: then raises ClientDisconnect."""
    tasks = working, gone = asyncio.ensure_future(work), asyncio.ensure_future(upload.gone())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _number(file: BinaryIO) -> int:
    file.seek(0)  # on macOS the child shares the position
    return file.fileno()  # writes a file that is still in memory to disk
