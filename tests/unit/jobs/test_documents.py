"""A job of documents: what it stores besides its chunks, what its predictions have, and that damage is found."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from contract.errors import BulkqaError, UsageError
from contract.format import documents, layout
from contract.format.job import Documents as Recorded
from contract.format.job import Groups, Manifest, Options
from contract.ledger import records
from contract.queue import Queue
from contract.settings import Settings
from contract.storage import Storage
from producer.input.location import Documents
from producer.jobs.diff import differences
from producer.jobs.diff_document import Summary
from producer.jobs.submit import submit, withdraw
from producer.jobs.verify import verify_job
from producer.request import Request
from producer.results import pages
from producer.results.documents import texts
from tests.documents.small import pdf
from tests.making import finish, predictions

QUESTIONS = b"id|question\nwhen|When was it built?\nwho|Who built it?\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    (made / "a.pdf").write_bytes(pdf("The tower.", "A page " + "and more " * 60))
    (made / "b.txt").write_text("The same text.")
    (made / "c.txt").write_text("The same text.")
    (made / "d.pdf").write_bytes(pdf(""))
    return made


def submitted(folder: Path, storage: Storage, settings: Settings, **request) -> Manifest:
    asked = Documents(str(folder), io.BytesIO(QUESTIONS))
    return submit(asked, storage, settings, Request(**request)).manifest


def test_the_index_and_each_text_once_are_stored(folder: Path, storage: Storage, settings: Settings):
    manifest = submitted(folder, storage, settings)
    index = storage.read(layout.documents(manifest.id))
    assert manifest.documents == Recorded(4, 2, hashlib.sha256(index).hexdigest())
    assert manifest.groups == Groups("question", 2, scattered=True)
    stored = list(documents.from_bytes(index))
    assert [(each.name, each.pages, each.error and each.error.code) for each in stored] == [
        ("a.pdf", 2, None), ("b.txt", None, None), ("c.txt", None, None), ("d.pdf", None, "no_text"),
    ]  # fmt: skip
    lengths = {each.text_sha256: each.characters for each in stored if each.text_sha256}
    assert sorted(storage.list(layout.texts(manifest.id))) == sorted(f"{digest}.txt" for digest in lengths)
    assert {digest: len(storage.read(layout.text(manifest.id, digest)).decode()) for digest in lengths} == lengths
    assert all(layout.kind_of(name) for name, _ in storage.sizes(layout.folder(manifest.id)))


def test_the_same_documents_with_a_key_are_one_job(folder: Path, storage: Storage, settings: Settings):
    first = submitted(folder, storage, settings, key="k")
    assert submitted(folder, storage, settings, key="k").id == first.id


def test_predictions_have_page_and_excerpt_in_place_of_the_context(
    folder: Path, storage: Storage, queue: Queue, settings: Settings
):
    manifest = submitted(folder, storage, settings, options=Options(top_k=2))
    finish(manifest.id, storage, queue, settings)
    of = predictions(storage, manifest.id)
    assert [(one["document"], one["id"], one["group"], one["status"]) for one in of[:2] + of[6:]] == [
        ("a.pdf", "when", "when", "answered"), ("a.pdf", "who", "who", "answered"),
        ("d.pdf", "when", "when", "error"), ("d.pdf", "who", "who", "error"),
    ]  # fmt: skip
    digests = {each.name: each.text_sha256 for each in texts.index(storage, manifest)}
    for one in of[:6]:
        text = storage.read(layout.text(manifest.id, digests[one["document"]])).decode()
        begin = one["excerpt_start"]
        assert text[one["start"] : one["end"]] == one["answer"]
        assert one["excerpt"] == text[begin : one["end"] + 150]
        assert begin == max(0, one["start"] - 150)
        assert one["page"] == (1 + text.count("\f", 0, one["start"]) if "\f" in text else None)
    assert not any("context" in one for one in of)
    assert verify_job(storage, manifest.id).problems == ()
    report = records.report(storage, manifest.id)
    assert report
    errors = storage.read(layout.errors(manifest.id)).decode().splitlines()
    assert [line.split("|")[:3] for line in errors] == [
        ["document", "id", "question"],
        ["d.pdf", "when", "When was it built?"],
        ["d.pdf", "who", "Who built it?"],
    ]


@pytest.mark.parametrize("what", ["text", "missing text", "index"])
def test_an_altered_text_or_index_is_found(folder: Path, storage: Storage, settings: Settings, what: str):
    manifest = submitted(folder, storage, settings)
    name = storage.list(layout.texts(manifest.id))[0]
    key = layout.documents(manifest.id) if what == "index" else f"{layout.texts(manifest.id)}/{name}"
    storage.delete(key)
    if what != "missing text":
        storage.create(key, b"other")
    (problem,) = verify_job(storage, manifest.id).problems
    assert "altered or removed" in problem


def test_the_documents_of_a_job_and_their_texts_are_read_and_checked(
    folder: Path, storage: Storage, settings: Settings
):
    manifest = submitted(folder, storage, settings)
    assert [each.name for each in texts.index(storage, manifest)] == ["a.pdf", "b.txt", "c.txt", "d.pdf"]
    assert texts.text(storage, manifest, 1) == texts.text(storage, manifest, 2) == "The same text."
    assert (texts.text(storage, manifest, 0) or "").count("\f") == 2
    assert texts.text(storage, manifest, 3) is None
    with pytest.raises(UsageError, match="4 documents, and no document 4"):
        texts.text(storage, manifest, 4)
    for name in storage.list(layout.texts(manifest.id)):
        storage.delete(f"{layout.texts(manifest.id)}/{name}")
        storage.create(f"{layout.texts(manifest.id)}/{name}", b"other")
    with pytest.raises(BulkqaError, match="was altered or removed"):
        texts.text(storage, manifest, 0)


def test_a_page_of_one_question_has_its_answers_in_all_documents(
    folder: Path, storage: Storage, queue: Queue, settings: Settings
):
    manifest = submitted(folder, storage, settings)
    finish(manifest.id, storage, queue, settings)
    rows = pages.of_question(manifest, 1)
    page = pages.page_in_order(storage, manifest.id, rows, 1, 2, pages.RowFilter())
    assert [(each["document"], each["id"]) for each in page.predictions] == [("b.txt", "who"), ("c.txt", "who")]
    assert (page.next, page.rows) == (3, 4)
    with pytest.raises(UsageError, match="2 questions, and no question 2"):
        pages.of_question(manifest, 2)


def test_a_diff_by_id_joins_the_questions_of_each_document(
    folder: Path, storage: Storage, queue: Queue, settings: Settings
):
    first = submitted(folder, storage, settings)
    (folder / "a.pdf").unlink()
    (folder / "c.txt").write_text("Another text. " * 30)
    second = submitted(folder, storage, settings)
    for manifest in (first, second):
        finish(manifest.id, storage, queue, settings)
    summary = Summary()
    changes = list(differences(storage, first.id, second.id, summary, by="id"))
    assert summary.missing == 2
    assert summary.same + len(changes) == 6
    assert {change["group"] for change in changes} <= {"when", "who"}


def test_a_submission_that_is_withdrawn_leaves_nothing(folder: Path, storage: Storage, settings: Settings):
    from producer.chunks import Place

    manifest = submitted(folder, storage, settings)
    storage.delete(layout.manifest(manifest.id))
    withdraw(storage, Place(manifest.id, manifest.chunks_folder))
    assert list(storage.sizes(layout.folder(manifest.id))) == []
