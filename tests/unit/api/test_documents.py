"""`Client.submit(documents=..., questions=...)`: what may be given, and what comes back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bulkqa import Client, Job
from contract.errors import InputError, UsageError
from tests.making import finish


def answered(client: Client, **asked: Any) -> list[tuple[Any, ...]]:
    """Document, question and status of each row."""
    job = client.submit(**asked)
    return rows_of(client, job)


def rows_of(client: Client, job: Job) -> list[tuple[Any, ...]]:
    finish(job.id, client._backend.storage, client._backend.queue, client._backend.settings)  # type: ignore[attr-defined]
    frame = job.results()
    return list(zip(frame["document"], frame["question"], frame["status"], strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"word{name} it is")
    return tmp_path


@pytest.mark.parametrize(
    "questions",
    [
        ["what?", "who?"],
        [{"question": "what?"}, {"question": "who?"}],
        pd.DataFrame({"question": ["what?", "who?"]}, index=["x", "y"]),
        io.StringIO("what?\nwho?\n"),
        b"question|topic\nwhat?|a\nwho?|b\n",
    ],
)
def test_questions_are_any_data_or_a_list_of_texts(client: Client, folder: Path, questions: Any):
    assert answered(client, documents=folder, questions=questions) == [
        (f"{name}.txt", question, "answered") for name in "ab" for question in ("what?", "who?")
    ]


def test_documents_are_a_list_of_paths_or_a_frame(client: Client, folder: Path):
    paths = [folder / "b.txt", str(folder / "a.txt")]
    assert answered(client, documents=paths, questions=["what?"]) == [
        ("b.txt", "what?", "answered"), ("a.txt", "what?", "answered"),
    ]  # fmt: skip
    frame = pd.DataFrame({"body": ["word it is", None], "id": ["x", "y"]})
    assert answered(client, documents=frame, questions=["what?"], text="body") == [
        ("x", "what?", "answered"), ("y", "what?", "error"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="several files, in a list"):
        client.submit(documents=[folder, folder / "a.txt"], questions=["what?"])


def test_data_and_documents_exclude_each_other(client: Client, folder: Path):
    for asked in ({}, {"documents": folder}, {"questions": ["what?"]}, {"data": "x.csv", "documents": folder}):
        with pytest.raises((UsageError, InputError)):
            client.submit(**asked)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="either data, or documents"):
        client.submit(documents=folder)
