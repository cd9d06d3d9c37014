"""An upload and the child that reads it: its bounds, and what a client may call its file."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import socket
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
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
from producer.server.uploads.template import Template
from tests.acceptance.cluster import until


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder for temporary files of those that read."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Settings:
    return Settings(storage_url=str(tmp_path_factory.mktemp("storage")), redis_url=redis_url, chunk_rows=3)


@pytest.fixture(scope="module")
def template(settings: Settings, temporary: Path) -> Iterator[Template]:
    with Template(settings) as template:
        yield template


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    """The storage of the settings, without jobs."""
    storage = open_storage(settings.storage_url, create=True)
    yield storage
    storage.discard(layout.JOBS)


def reader(template: Template, storage: Storage, seconds: float = 60) -> Reader:
    return Reader(template, storage, Line(2), seconds)


ROWS = b"question|context\na?|b\n"


async def never() -> None:
    await asyncio.Event().wait()


def upload(file: Any, gone: Callable[[], Awaitable[None]] = never) -> Upload:
    return Upload(file, "rows.csv", {}, "somebody", gone)


def checked(template: Template, storage: Storage, data: bytes = ROWS) -> dict[str, Any]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return asyncio.run(reader(template, storage).check(upload(file)))


def test_a_file_is_read_under_the_name_that_it_has_at_its_client(template: Template, storage: Storage):
    found = checked(template, storage)
    assert (found["name"], found["columns"]) == ("rows.csv", ["question", "context"])
    assert [row["question"] for row in found["rows"]] == ["a?"]
    assert found["notes"] == []
    assert checked(template, storage, b"A title\nquestion|context\na?|b\n")["notes"] == [
        "rows.csv: a line above the header was skipped"
    ]


FILE = ("file", ROWS)


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
def endless(tmp_path: Path, temporary: Path) -> Iterator[Endless]:
    file = Endless(tmp_path)
    yield file
    file.close()
    assert list(temporary.iterdir()) == []


def chunks(storage: Storage) -> list[str]:
    jobs = storage.list(layout.JOBS)
    return [name for job in jobs for name, _ in storage.sizes(layout.folder(job))]


async def written(storage: Storage) -> None:
    """Wait until a child has written chunks."""
    await asyncio.to_thread(until, lambda: chunks(storage), "chunks")


def children() -> list[psutil.Process]:
    """Those that read: forked, so with the command line of their parent."""
    alive = [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    ours = {child.pid for child in alive if "producer.server.uploads.reading" in child.cmdline()}
    return [child for child in alive if child.ppid() in ours]


def parent() -> psutil.Process:
    """The template that was started last."""
    own = [each for each in psutil.Process().children() if "producer.server.uploads.reading" in each.cmdline()]
    return max(own, key=psutil.Process.create_time)


linux = pytest.mark.skipif(sys.platform != "linux", reason="a pipe is opened anew")


@linux
def test_a_child_ends_when_its_client_leaves_and_what_it_wrote_is_removed(
    template: Template, storage: Storage, endless: Endless
):
    with pytest.raises(ClientDisconnect):
        asyncio.run(reader(template, storage).submit(upload(endless, lambda: written(storage))))
    until(lambda: not children(), "the end of the child")
    assert storage.list(layout.JOBS) == []


@linux
def test_a_client_may_leave_before_its_turn(template: Template, storage: Storage, endless: Endless):
    shared = reader(template, storage)

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
    until(lambda: not children(), "the end of the child")
    assert storage.list(layout.JOBS) == []


@linux
@pytest.mark.parametrize("key", [None, "a key"])
@pytest.mark.parametrize("killed", [children, lambda: [parent()]], ids=["the child", "the template"])
def test_what_a_killed_child_wrote_is_removed_and_others_are_read_as_before(
    key: str | None,
    killed: Callable[[], list[psutil.Process]],
    template: Template,
    storage: Storage,
    endless: Endless,
):
    """A template takes its children with it, and is started anew."""

    async def kill() -> None:
        await written(storage)
        for each in killed():
            each.kill()
            await asyncio.to_thread(until, lambda: each.status() == psutil.STATUS_ZOMBIE, "its death")  # noqa: B023
        await never()

    with pytest.raises(InputError, match="crashes the program that reads it"):
        asyncio.run(reader(template, storage).submit(upload(endless, kill), key))
    until(lambda: not children(), "the end of the child")
    assert chunks(storage) == []
    assert checked(template, storage)["columns"] == ["question", "context"]


def test_an_upload_that_a_killed_template_had_not_begun_is_read_by_the_next(
    template: Template, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    fork, killed = template.fork, []

    def dies(files: Sequence[int]) -> socket.socket:
        connection = fork(files)
        if not killed:
            killed.append(parent())
            killed[0].kill()
        return connection

    checked(template, storage)
    parent().suspend()
    monkeypatch.setattr(template, "fork", dies)
    assert checked(template, storage)["columns"] == ["question", "context"]
    assert parent() != killed[0]


@linux
def test_a_child_that_takes_too_long_is_ended(template: Template, storage: Storage, endless: Endless):
    with pytest.raises(InputError, match=r"more than 3 s"):
        asyncio.run(reader(template, storage, 3).submit(upload(endless)))
    until(lambda: not children(), "the end of the child")
    assert storage.list(layout.JOBS) == []


def test_a_job_that_came_to_be_is_not_withdrawn(settings: Settings, storage: Storage):
    """Its submission may have been killed just after it wrote the manifest."""
    for key in (None, "a key"):
        place = place_of(key)
        request = request_of({"key": key})
        job = submit(io.BytesIO(ROWS), storage, settings, request, place=place).manifest.id
        before = sorted(storage.sizes(layout.folder(job)))
        withdraw(storage, place)
        assert sorted(storage.sizes(layout.folder(job))) == before
        withdraw(storage, Place(job, layout.new_chunks()))
        assert sorted(storage.sizes(layout.folder(job))) == before


@linux
def test_a_child_may_have_no_more_memory_than_reading_may(
    template: Template, settings: Settings, storage: Storage, endless: Endless
):
    limits = []

    async def looks() -> None:
        await written(storage)
        limits.extend(child.rlimit(resource.RLIMIT_DATA) for child in children())

    with pytest.raises(ClientDisconnect):
        asyncio.run(reader(template, storage).submit(upload(endless, looks)))
    most = settings.read_memory + (1 << 30)
    assert limits == [(most, most)]


@linux
def test_a_server_that_may_have_less_reads_within_that(settings: Settings, storage: Storage):
    with Template(settings) as limited:
        parent().rlimit(resource.RLIMIT_DATA, (900 << 20, 900 << 20))
        assert checked(limited, storage)["columns"] == ["question", "context"]


@linux
def test_a_template_is_fit_to_be_forked(template: Template, storage: Storage):
    """It has no threads but one of the allocator, which knows of forks; and never pandas, which Arrow imports."""
    checked(template, storage)
    threads = [path.read_text().strip() for path in Path(f"/proc/{parent().pid}/task").glob("*/comm")]
    assert sum(name != "jemalloc_bg_thd" for name in threads) == 1, threads
    assert not [each.path for each in parent().memory_maps() if "/pandas/" in each.path]


@pytest.mark.parametrize(
    ("given", "name"),
    [("a.csv", "a.csv"), ("../../etc/passwd", "passwd"), ("C:\\x\\a.csv", "a.csv"), ("", "upload"), (None, "upload")],
)
def test_a_name_names_nothing_of_this_machine(given: str | None, name: str):
    assert plain_name(given) == name
