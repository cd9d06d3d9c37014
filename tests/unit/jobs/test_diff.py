"""What two jobs answer differently, row by row or by id."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from contract.format import layout, part
from contract.format.job import Answer, Options, Row, RowError, Span, answered, failed
from contract.ledger.stored import StoredJob
from contract.settings import Settings
from producer.jobs import diff, diff_document
from producer.jobs.diff import differences
from producer.jobs.diff_document import By, Summary
from tests.making import job_of
from tests.twins.storage import MemoryStorage


def scored(storage: MemoryStorage, settings: Settings, answers: dict[str, str | None], chunk_rows: int = 3) -> str:
    """A job of a row for each id, whose answer is given: "" is no answer, None an error."""
    lines = [f"{name}|what is {name}?|the words a b c d" for name in answers]
    data = "\n".join(["id|question|context", *lines, ""]).encode()
    manifest = job_of(storage, settings.model_copy(update={"chunk_rows": chunk_rows}), data)
    stored = StoredJob.open(storage, manifest.id)
    for number in range(manifest.chunks):
        rows = stored.rows(number)
        storage.create(layout.part(manifest.id, number), part.encode(_outcome(row, answers) for row in rows)[0])
    return manifest.id


def _outcome(row: Row, answers: dict[str, str | None]) -> dict:
    text = answers[row.id or ""]
    if text is None:
        return failed(row, RowError("inference_error", "x"), Options())
    start = (row.context or "").index(text) if text else 0
    spans = (Span(text, start, start + len(text), 0.5, 1.0),) if text else ()
    return answered(row, Answer(spans, 0.0, 0.5), Options())


def compare(storage: MemoryStorage, first: str, second: str, *, by: By = "row") -> tuple[dict, dict[str, int]]:
    summary = Summary()
    found = {c["id"]: c for c in differences(storage, first, second, summary, by=by)}
    return found, {name: count for name, count in asdict(summary).items() if count}


FIRST = {"r0": "a", "r1": "b", "r2": "", "r3": "c", "r4": "d", "r5": None, "r6": ""}
SECOND = {"r0": "a", "r1": "a b", "r2": "c", "r3": "", "r4": None, "r5": None, "r6": None}


def test_every_kind_of_difference_is_told_and_counted_whatever_the_chunks(settings: Settings) -> None:
    storage = MemoryStorage()
    first, second = scored(storage, settings, FIRST, 3), scored(storage, settings, SECOND, 2)
    found, counts = compare(storage, first, second)
    assert {name: change["kind"] for name, change in found.items()} == {
        "r1": "changed",
        "r2": "only_second_answered",
        "r3": "only_first_answered",
        "r4": "only_first_answered",
        "r6": "changed",
    }
    assert counts == {"same": 2, "changed": 2, "only_first_answered": 2, "only_second_answered": 1}
    assert found["r1"]["first"] == {"status": "answered", "answer": "b", "start": 12, "end": 13, "score": 0.5}
    assert found["r1"]["second"]["answer"] == "a b"
    assert compare(storage, first, first) == ({}, {"same": 7})


def test_rows_in_another_order_are_joined_by_id(settings: Settings) -> None:
    storage = MemoryStorage()
    first, second = scored(storage, settings, FIRST), scored(storage, settings, dict(reversed(SECOND.items())))
    found, counts = compare(storage, first, second, by="id")
    assert list(found) == ["r1", "r2", "r3", "r4", "r6"]
    assert counts == {"same": 2, "changed": 2, "only_first_answered": 2, "only_second_answered": 1}
    assert compare(storage, first, second)[1]["not_comparable"] == 6, "r3 is in the middle either way"


def test_rows_of_one_job_only_are_counted(settings: Settings) -> None:
    storage = MemoryStorage()
    first, second = scored(storage, settings, FIRST), scored(storage, settings, {"r1": "b", "new": "a"})
    assert compare(storage, first, second, by="id")[1] == {"same": 1, "missing": 7}
    shorter = scored(storage, settings, {"r0": "a"})
    assert compare(storage, first, shorter)[1] == {"same": 1, "missing": 6}


def test_of_an_unfinished_job_what_is_ready_is_compared(settings: Settings) -> None:
    storage = MemoryStorage()
    first, second = scored(storage, settings, FIRST), scored(storage, settings, FIRST)
    storage.delete(layout.part(second, 1))
    assert compare(storage, first, second)[1] == {"same": 3, "missing": 4}


def test_the_same_words_at_another_place_are_another_answer(settings: Settings) -> None:
    storage = MemoryStorage()
    one = scored(storage, settings, {"r0": "a"})
    row = StoredJob.open(storage, one).rows(0)[0]
    other = scored(storage, settings, {"r0": "a"})
    moved = answered(row, Answer((Span("a", 99, 100, 0.5, 1.0),), 0.0, 0.5), replace(Options()))
    storage.delete(layout.part(other, 0))
    storage.create(layout.part(other, 0), part.encode([moved])[0])
    assert compare(storage, one, other)[1] == {"changed": 1}


def document_of(changes: list[dict], summary: Summary) -> list[bytes]:
    return (
        "".join(diff_document.write("a", "b", [[], *([change] for change in changes[:1]), [], changes[1:]], summary))
        .encode()
        .splitlines(keepends=True)
    )


@pytest.mark.parametrize("changes", [[], [{"kind": "changed", "answer": '"], "summary": {'}], [{"row": 1}, {"row": 2}]])
def test_the_document_is_json_and_gives_its_changes_and_counts_again(changes: list[dict]) -> None:
    lines = document_of(changes, Summary(same=3, changed=len(changes)))
    whole = json.loads(b"".join(lines))
    assert (whole["first"], whole["second"], whole["changes"]) == ("a", "b", changes)
    assert len(lines) == 1 + len(changes)
    counted = Summary()
    assert list(diff_document.read(lines, counted)) == changes
    assert counted == Summary(same=3, changed=len(changes))


def test_a_count_of_a_later_version_is_passed_over() -> None:
    lines = [line.replace(b'"same"', b'"newer": 1, "same"') for line in document_of([], Summary(same=3))]
    counted = Summary()
    assert list(diff_document.read(lines, counted)) == []
    assert counted == Summary(same=3)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"<html>", b'{"first": "a", "second": "b", "changes": ['])
def test_anything_but_a_whole_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"diff document"):
        list(diff_document.read(data.splitlines(), Summary()))
    lines = document_of([{"row": 1}, {"row": 2}], Summary())
    with pytest.raises(ValueError, match="cut short"):
        list(diff_document.read(lines[:-1], Summary()))


@pytest.mark.parametrize("by", ["id", "row"])
def test_the_rows_of_two_large_jobs_are_compared_in_batches_that_hold_no_context(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, by: By
) -> None:
    monkeypatch.setattr(diff, "_BATCH", 2)
    storage = MemoryStorage()
    first = scored(storage, settings, dict.fromkeys(map(str, range(20)), "a"))
    second = scored(storage, settings, dict.fromkeys(map(str, range(20)), "a") | {"19": "b"})
    found = list(diff.batches(storage, first, second, Summary(), by=by))
    assert len(found) >= 10, "one for each two rows, though only the last row differs"
    (change,) = [change for changes in found for change in changes]
    assert "the words" not in json.dumps(change)
