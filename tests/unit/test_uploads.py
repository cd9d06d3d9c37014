"""An upload and the child that reads it: its bounds, and what a client may call its file."""

from __future__ import annotations

import asyncio
import tempfile

import pytest

from contract.errors import InputError
from contract.format import layout
from contract.settings import Settings
from contract.storage import open_storage

pytest.importorskip("starlette")

from producer.server.submission import of_form
from producer.server.uploads import Reader, plain_name


def read(settings: Settings, data: bytes, seconds: float) -> dict:
    async def once() -> dict:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            reader = Reader(settings, asyncio.Semaphore(1), seconds)
            return await reader.read(file, "rows.csv", **of_form({}).asked(), only_check=True)

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


@pytest.mark.parametrize(
    ("given", "name"),
    [("a.csv", "a.csv"), ("../../etc/passwd", "passwd"), ("C:\\x\\a.csv", "a.csv"), ("", "upload"), (None, "upload")],
)
def test_a_name_names_nothing_of_this_machine(given: str | None, name: str):
    assert plain_name(given) == name
