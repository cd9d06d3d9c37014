"""Uploads are read by a child process (`reading`), each with a time limit."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from contract.command import program
from contract.errors import BulkqaError, InputError
from contract.format import failure
from contract.settings import Settings
from producer.server.uploads.form import Upload

#: Seconds that a child has to remove what it wrote, after it was told to end.
_TIDYING = 10.0


@dataclass(frozen=True, slots=True)
class Reader:
    """Has uploads read: `turns` at once, each by a child of its own, within `seconds`."""

    settings: Settings
    turns: asyncio.Semaphore
    seconds: float = 900.0

    async def submit(self, upload: Upload, key: str | None = None) -> tuple[str, bool]:
        """Make a job of an upload: its id, and whether it is new. Raises what `submit` raises."""
        answer = await self._read(upload, {} if key is None else {"key": key}, only_check=False)
        return answer["job"], answer["new"]

    async def check(self, upload: Upload) -> dict[str, Any]:
        """The columns and the first rows of an upload (`producer.jobs.check.Glance`). Raises InputError."""
        return await self._read(upload, {}, only_check=True)

    async def _read(self, upload: Upload, options: dict[str, Any], *, only_check: bool) -> dict[str, Any]:
        numbers = [_number(file) for file in (upload.file, upload.columns) if file]
        paths = [f"/dev/fd/{number}" for number in numbers]
        order = {
            "path": paths[0], "columns": paths[1] if upload.columns else None, "name": upload.name,
            "options": {**upload.options, **options}, "only_check": only_check,
        }  # fmt: skip
        async with self.turns, self._child(numbers) as child:
            try:
                output, _ = await asyncio.wait_for(child.communicate(json.dumps(order).encode()), self.seconds)
            except TimeoutError:
                raise InputError(
                    "unreadable",
                    f"{upload.name}: reading it took more than {self.seconds:g} s",
                    "Split it into several files.",
                ) from None
        try:
            answer: dict[str, Any] = json.loads(output)
        except ValueError:
            raise _ended(upload.name, child.returncode) from None
        if "os_error" in answer:
            raise OSError(*answer["os_error"])
        if "error" in answer:
            raise failure.from_json(answer["error"])
        return answer

    @asynccontextmanager
    async def _child(self, numbers: list[int]) -> AsyncIterator[asyncio.subprocess.Process]:
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
            if child.returncode is None:  # it took too long, or the client has gone
                await asyncio.shield(_end(child))


def _number(file: BinaryIO) -> int:
    file.seek(0)  # on macOS the child shares the position
    return file.fileno()  # writes a file that is still in memory to disk


async def _end(child: asyncio.subprocess.Process) -> None:
    """Tell a child to end, so that it removes what it wrote; then kill it."""
    with suppress(ProcessLookupError):
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _TIDYING)
        except TimeoutError:
            child.kill()
            await child.wait()


def _ended(name: str, code: int | None) -> BulkqaError:
    """The error of a child without an answer: the file took more memory than allowed, and the kernel killed it."""
    if code is not None and (code < 0 or code == 1):
        return InputError(
            "unreadable",
            f"{name}: reading it takes more memory than allowed, or crashes the program that reads it",
            "Export it again from the program that made it, as CSV or Parquet.",
        )
    return BulkqaError(f"{name} was not read: its reader ended with exit status {code}")
