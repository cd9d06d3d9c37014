"""Uploads are read by child processes (`reading`), for no longer than their clients wait and a time limit allows."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, TypeVar

from starlette.requests import ClientDisconnect

from contract.command import program
from contract.errors import BulkqaError, InputError
from contract.format import failure
from contract.settings import Settings
from contract.storage import Storage
from producer.chunks import Place
from producer.jobs.submit import place_of, withdraw
from producer.server.uploads.form import Upload
from producer.server.uploads.line import Line

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """Has uploads read in turn, each by a child of its own, within `seconds`."""

    settings: Settings
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
        documents = [(name, _number(file)) for name, file in upload.documents]
        file, columns = _number(upload.file), _number(upload.columns) if upload.columns else None
        numbers = [file, *([] if columns is None else [columns]), *(number for _, number in documents)]
        order = {
            "file": file, "columns": columns, "name": upload.name, "documents": documents, "options": dict(options),
            "place": place and asdict(place),
        }  # fmt: skip
        output, code = await _while_there(upload, self._in_turn(upload, order, numbers, place))
        try:
            answer: dict[str, Any] = json.loads(output)
        except ValueError:
            raise _ended(upload.name, code) from None
        if "os_error" in answer:
            raise OSError(*answer["os_error"])
        if "error" in answer:
            raise failure.from_json(answer["error"])
        return answer

    async def _in_turn(
        self, upload: Upload, order: dict[str, Any], numbers: list[int], place: Place | None
    ) -> tuple[bytes, int | None]:
        """What a child prints, and its exit status."""
        async with self.line.turn(upload.client), self._child(numbers, place) as child:
            try:
                output, _ = await asyncio.wait_for(child.communicate(json.dumps(order).encode()), self.seconds)
            except TimeoutError:
                raise InputError(
                    "unreadable",
                    f"{upload.name}: reading it took more than {self.seconds:g} s",
                    "Split it into several files.",
                ) from None
        return output, child.returncode

    @asynccontextmanager
    async def _child(self, numbers: list[int], place: Place | None) -> AsyncIterator[asyncio.subprocess.Process]:
        # Not as flags: `ps` shows flags, and these can hold a password.
        env = os.environ | {
            "BULKQA_REDIS_URL": self.settings.redis_url,
            "BULKQA_STORAGE_URL": self.settings.storage_url,
            "BULKQA_MODEL": self.settings.model,
        }
        env.pop("BULKQA_API_TOKEN", None)
        pipe = asyncio.subprocess.PIPE
        command = program("producer.server.uploads.reading")
        child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env, pass_fds=numbers)
        try:
            yield child
        finally:
            if child.returncode != 0:
                await asyncio.shield(self._end(child, place))

    async def _end(self, child: asyncio.subprocess.Process, place: Place | None) -> None:
        """Kill a child, if it still reads, and remove what it wrote."""
        if child.returncode is None:  # it took too long, or the client has gone
            child.kill()
            await child.wait()
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


def _ended(name: str, code: int | None) -> BulkqaError:
    """The error of a child without an answer: the file took more memory than allowed, and the kernel killed it."""
    if code is not None and (code < 0 or code == 1):
        return InputError(
            "unreadable",
            f"{name}: reading it takes more memory than allowed, or crashes the program that reads it",
            "Export it again from the program that made it, as CSV or Parquet.",
        )
    return BulkqaError(f"{name} was not read: its reader ended with exit status {code}")
