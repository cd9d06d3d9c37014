"""An upload on its way: read by a child, in the file that the request's body went to. Nothing of it stays here."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

from contract.command import program
from contract.errors import BulkqaError, InputError
from contract.format import failure
from contract.settings import Settings

#: Seconds that are left to a child that was told to end, to remove what it wrote.
_TIDYING = 10.0


def plain_name(given: str | None) -> str:
    """The last part of the name that a client gives to its file: it names nothing of this machine."""
    return PurePath((given or "").replace("\\", "/")).name[-200:] or "upload"


@dataclass(frozen=True, slots=True)
class Reader:
    """Has files read: so many at a time, each in a child of its own, for so many seconds."""

    settings: Settings
    turns: asyncio.Semaphore
    seconds: float = 900.0

    async def read(
        self,
        file: BinaryIO,
        name: str,
        options: Mapping[str, Any],
        columns: BinaryIO | None = None,
        *,
        only_check: bool = False,
    ) -> dict[str, Any]:
        """Submit a file with these options (`producer.request`): its `job`, and whether it is `new`. With `only_check`
        a look at it, and no job. Raises what `submit` would.

        `columns`: those of a DataFrame, as they are stored.
        """
        numbers = [_number(each) for each in (file, columns) if each]
        paths = [f"/dev/fd/{number}" for number in numbers]
        asked = {
            "path": paths[0], "columns": paths[1] if columns else None, "name": name, "options": dict(options),
            "only_check": only_check,
        }  # fmt: skip
        async with self.turns, self._child(numbers) as child:
            try:
                said, _ = await asyncio.wait_for(child.communicate(json.dumps(asked).encode()), self.seconds)
            except TimeoutError:
                raise InputError(
                    "unreadable", f"{name}: reading it took more than {self.seconds:g} s", "Send it in several."
                ) from None
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError:
            raise _ended(name, child.returncode) from None
        if "error" in found:
            raise failure.from_json(found["error"])
        return found

    @asynccontextmanager
    async def _child(self, numbers: list[int]) -> AsyncIterator[asyncio.subprocess.Process]:
        # Not flags: they may hold a password, and `ps` shows flags.
        env = os.environ | {
            "BULKQA_REDIS_URL": self.settings.redis_url,
            "BULKQA_STORAGE_URL": self.settings.storage_url,
            "BULKQA_MODEL": self.settings.model,
        }
        env.pop("BULKQA_API_TOKEN", None)
        pipe = asyncio.subprocess.PIPE
        command = program("producer.server.reading")
        child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env, pass_fds=numbers)
        try:
            yield child
        finally:
            if child.returncode is None:  # too late, or its client went away
                await asyncio.shield(_end(child))


def _number(file: BinaryIO) -> int:
    file.seek(0)  # on macOS the child goes on where we are
    return file.fileno()  # makes a file of one that is still in memory


async def _end(child: asyncio.subprocess.Process) -> None:
    """Ask a child to end, which removes what it wrote; then make it."""
    with suppress(ProcessLookupError):
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _TIDYING)
        except TimeoutError:
            child.kill()
            await child.wait()


def _ended(name: str, code: int | None) -> BulkqaError:
    """Why a child said nothing: what it was reading took more than it may have, and the kernel ended it."""
    if code is not None and (code < 0 or code == 1):
        return InputError(
            "unreadable",
            f"{name}: reading it takes more memory than it may, or breaks the program that reads it",
            "Write it anew in the program that it comes from, as CSV or Parquet.",
        )
    return BulkqaError(f"{name} was not read: the reader ended with exit status {code}")
