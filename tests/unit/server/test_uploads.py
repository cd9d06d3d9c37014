"""An upload and the child that reads it: its bounds, and what a client may call its file."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from contract.errors import InputError, UsageError
from contract.format import layout
from contract.settings import Settings
from contract.storage import open_storage

pytest.importorskip("starlette")

from starlette.requests import Request

from producer.server.uploads.form import Upload, plain_name, received_form
from producer.server.uploads.reader import Reader
from tests.acceptance.cluster import until


def read(settings: Settings, data: bytes, seconds: float) -> dict:
    async def once() -> dict:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            reader = Reader(settings, asyncio.Semaphore(1), seconds)
            return await reader.check(Upload(file, "rows.csv", {}))

    return asyncio.run(once())


def test_a_child_that_takes_too_long_is_ended(settings: Settings):
    storage = open_storage(settings.storage_url, create=True)
    with pytest.raises(InputError, match=r"more than 0\.01 s"):
        read(settings, b"question|context\na?|b\n", 0.01)
    assert storage.list(layout.JOBS) == []


def test_a_file_is_read_under_the_name_that_it_has_at_its_client(settings: Settings):
    found = read(settings, b"question|context\na?|b\n", 60)
    assert (found["name"], found["columns"]) == ("rows.csv", ["question", "context"])
    assert [row["question"] for row in found["rows"]] == ["a?"]
    assert found["notes"] == []
    assert read(settings, b"A title\nquestion|context\na?|b\n", 60)["notes"] == [
        "rows.csv: a line above the header was passed over"
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
    async with received_form(Request({"type": "http", "headers": headers}, receive)) as upload:
        return upload


def test_a_field_that_comes_twice_is_refused_not_dropped():
    assert asyncio.run(form([FILE, ("question", b"q")])).options == {"question": "q"}
    for fields in ([FILE, FILE], [FILE, ("question", b"q"), ("question", b"r")], [FILE, ("file", b"")]):
        with pytest.raises(UsageError, match="more than once") as caught:
            asyncio.run(form(fields))
        assert caught.value.remedy


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
        asked = {"path": str(path), "name": path.name, "only_check": True, "options": {}}
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
