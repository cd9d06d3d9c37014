"""An upload and the child that reads it: its bounds, and what a client may call its file."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from contract.errors import InputError, UsageError
from contract.format import layout
from contract.settings import Settings
from contract.storage import Storage, open_storage

pytest.importorskip("starlette")

from starlette.requests import ClientDisconnect, Request

from producer.chunks import Place
from producer.jobs.submit import place_of, submit, withdraw
from producer.request import request_of
from producer.server.uploads.form import Upload, plain_name, received_form
from producer.server.uploads.line import Line
from producer.server.uploads.reader import Reader
from tests.acceptance.cluster import until


@pytest.fixture
def settings(settings: Settings, redis_url: str) -> Settings:
    return settings.model_copy(update={"redis_url": redis_url})


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings.storage_url, create=True)


def reader(settings: Settings, storage: Storage, seconds: float = 60) -> Reader:
    return Reader(settings, storage, Line(2), seconds)


async def never() -> None:
    await asyncio.Event().wait()


def upload(file: Any, gone: Callable[[], Awaitable[None]] = never) -> Upload:
    return Upload(file, "rows.csv", {}, "somebody", gone)


def checked(settings: Settings, storage: Storage, data: bytes) -> dict[str, Any]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return asyncio.run(reader(settings, storage).check(upload(file)))


def test_a_file_is_read_under_the_name_that_it_has_at_its_client(settings: Settings, storage: Storage):
    found = checked(settings, storage, b"question|context\na?|b\n")
    assert (found["name"], found["columns"]) == ("rows.csv", ["question", "context"])
    assert [row["question"] for row in found["rows"]] == ["a?"]
    assert found["notes"] == []
    assert checked(settings, storage, b"A title\nquestion|context\na?|b\n")["notes"] == [
        "rows.csv: a line above the header was skipped"
    ]


FILE = ("file", b"question|context\na?|b\n")


async def form(fields: list[tuple[str, bytes]]) -> Upload:
    """What a server makes of a form."""
    request = httpx.Request(
        "POST",
        "http://x/",
        files=[(name, (f"{name}.csv" if name == "file" else None, value)) for name, value in fields],
    )
    body = request.read()

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(name.lower(), value) for name, value in request.headers.raw]
    scope = {"type": "http", "headers": headers, "state": {"client": "somebody"}}
    async with received_form(Request(scope, receive)) as upload:
        return upload


def test_a_field_that_comes_twice_is_refused_not_dropped():
    assert asyncio.run(form([FILE, ("question", b"q")])).options == {"question": "q"}
    for fields in ([FILE, FILE], [FILE, ("question", b"q"), ("question", b"r")], [FILE, ("file", b"")]):
        with pytest.raises(UsageError, match="more than once") as caught:
            asyncio.run(form(fields))
        assert caught.value.remedy


class Endless:
    """A file of many rows whose end does not come."""

    def __init__(self, folder: Path) -> None:
        os.mkfifo(path := folder / "rows")
        self._pipe = os.open(path, os.O_RDWR)
        self._rest = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = threading.Thread(target=self._write)
        self._writer.start()

    def _write(self) -> None:
        os.write(self._pipe, b"question|context\n" + b"who is it?|nobody knows\n" * 200_000)

    def seek(self, _: int) -> None:
        pass

    def fileno(self) -> int:
        return self._pipe

    def close(self) -> None:
        while self._writer.is_alive():  # what nobody has read
            with suppress(BlockingIOError):
                os.read(self._rest, 1 << 16)
        os.close(self._rest)
        os.close(self._pipe)


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endless]:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    file = Endless(tmp_path)
    yield file
    file.close()
    assert list((tmp_path / "temporary").iterdir()) == []


def chunks(storage: Storage) -> list[str]:
    jobs = storage.list(layout.JOBS)
    return [name for job in jobs for name, _ in storage.sizes(layout.folder(job))]


async def written(storage: Storage) -> None:
    """Wait until a child has written chunks."""
    await asyncio.to_thread(until, lambda: chunks(storage), "chunks")


def children() -> list[psutil.Process]:
    """Those that read."""
    alive = (child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE)
    return [child for child in alive if "producer.server.uploads.reading" in child.cmdline()]


linux = pytest.mark.skipif(sys.platform != "linux", reason="a pipe is opened anew")


@linux
def test_a_child_ends_when_its_client_leaves_and_what_it_wrote_is_removed(
    settings: Settings, storage: Storage, endless: Endless
):
    with pytest.raises(ClientDisconnect):
        asyncio.run(reader(settings, storage).submit(upload(endless, lambda: written(storage))))
    assert (children(), storage.list(layout.JOBS)) == ([], [])


@linux
def test_a_client_may_leave_before_its_turn(settings: Settings, storage: Storage, endless: Endless):
    shared = reader(settings, storage)

    async def leaves() -> None:
        await written(storage)
        assert len(children()) == 1, "the other waits"

    async def both() -> list[Any]:
        first = asyncio.create_task(shared.submit(upload(endless)))
        with pytest.raises(ClientDisconnect):
            await shared.submit(upload(endless, leaves))
        first.cancel()
        return await asyncio.gather(first, return_exceptions=True)

    assert isinstance(asyncio.run(both())[0], asyncio.CancelledError)
    assert (children(), storage.list(layout.JOBS)) == ([], [])


@linux
@pytest.mark.parametrize("key", [None, "a key"])
def test_what_a_killed_child_wrote_is_removed(key: str | None, settings: Settings, storage: Storage, endless: Endless):
    async def killed() -> None:
        await written(storage)
        for child in children():
            child.kill()
        await never()

    with pytest.raises(InputError, match="crashes the program that reads it"):
        asyncio.run(reader(settings, storage).submit(upload(endless, killed), key))
    assert chunks(storage) == []


@linux
def test_a_child_that_takes_too_long_is_ended(settings: Settings, storage: Storage, endless: Endless):
    with pytest.raises(InputError, match=r"more than 3 s"):
        asyncio.run(reader(settings, storage, 3).submit(upload(endless)))
    assert (children(), storage.list(layout.JOBS)) == ([], [])


def test_a_job_that_came_to_be_is_not_withdrawn(settings: Settings, storage: Storage):
    """Its submission may have been killed just after it wrote the manifest."""
    for key in (None, "a key"):
        place = place_of(key)
        request = request_of({"key": key})
        job = submit(io.BytesIO(b"question|context\na?|b\n"), storage, settings, request, place=place).manifest.id
        before = sorted(storage.sizes(layout.folder(job)))
        withdraw(storage, place)
        assert sorted(storage.sizes(layout.folder(job))) == before
        withdraw(storage, Place(job, layout.new_chunks()))
        assert sorted(storage.sizes(layout.folder(job))) == before


@contextmanager
def child(path: Path, allowed: int = resource.RLIM_INFINITY) -> Iterator[subprocess.Popen[str]]:
    """The child that reads, under a limit that it did not set itself."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "producer.server.uploads.reading"]
    with subprocess.Popen(
        command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed)),
    ) as process:
        assert process.stdin
        asked = {"file": str(path), "name": path.name, "place": None, "columns": None, "options": {}}
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        process.stdin = None
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process is read")
def test_the_kernel_lets_a_child_have_no_more_memory_than_reading_may(tmp_path: Path, settings: Settings):
    """Seen while it reads what does not come."""
    os.mkfifo(tmp_path / "rows.csv")
    most = settings.read_memory + (1 << 30)
    with child(tmp_path / "rows.csv") as process:
        until(lambda: psutil.Process(process.pid).rlimit(resource.RLIMIT_DATA) == (most, most), "the limit")


def test_a_server_that_may_have_less_reads_within_that(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("question|context\na?|b\n")
    with child(tmp_path / "rows.csv", 900 << 20) as process:
        said, complaint = process.communicate(timeout=60)
    assert json.loads(said or "{}").get("columns") == ["question", "context"], complaint


@pytest.mark.parametrize(
    ("given", "name"),
    [("a.csv", "a.csv"), ("../../etc/passwd", "passwd"), ("C:\\x\\a.csv", "a.csv"), ("", "upload"), (None, "upload")],
)
def test_a_name_names_nothing_of_this_machine(given: str | None, name: str):
    assert plain_name(given) == name
