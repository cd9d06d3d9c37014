"""What is read of a job under way, and of one that has ended and was damaged since: all rows, or a word why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.errors import BulkqaError
from contract.format import layout
from contract.format.job import Manifest
from contract.ledger import records
from contract.ledger.reconcile import reconcile
from contract.settings import Settings
from contract.storage import Storage
from producer.jobs.verify import verify_job
from producer.results.lines import ready_lines
from producer.results.output import errors_beside
from tests.making import Hand, finish, finish_parts, job_of, part_of
from tests.twins.queue import MemoryQueue


@pytest.fixture
def ended(storage: Storage, settings: Settings) -> Manifest:
    """A job of 8 rows in 3 chunks."""
    manifest = job_of(storage, settings)
    finish(manifest.id, storage, MemoryQueue(), settings)
    return manifest


def flip(storage: Storage, key: str) -> None:
    data = storage.read(key)
    storage.replace(key, data[:20] + bytes([data[20] ^ 1]) + data[21:])


def rows(blocks: list[bytes]) -> list[int]:
    return [json.loads(line)["row"] for block in blocks for line in block.splitlines()]


def test_a_job_that_has_ended_is_read_whole_though_its_parts_are_not(storage: Storage, ended: Manifest):
    before = list(ready_lines(ended.id, storage))
    assert rows(before) == list(range(8))
    assert [len(block.splitlines()) for block in before] == [3, 3, 2], "a block a chunk, and no more is held"
    flip(storage, layout.part(ended.id, 1))
    assert list(ready_lines(ended.id, storage)) == before
    for number in range(3):
        storage.delete(layout.part(ended.id, number))
    assert list(ready_lines(ended.id, storage)) == before


def test_the_first_rows_are_read_without_looking_at_the_whole_document(
    storage: Storage, ended: Manifest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(type(storage), "blocks")
    assert rows([next(ready_lines(ended.id, storage))]) == [0, 1, 2]
    assert rows(list(ready_lines(ended.id, storage, offset=4, ahead=1))) == [4, 5, 6, 7]


@pytest.mark.parametrize("how", ["altered", "removed"])
def test_where_the_document_is_damaged_the_parts_are_read(storage: Storage, ended: Manifest, how: str):
    before = list(ready_lines(ended.id, storage))
    key = layout.predictions(ended.id)
    flip(storage, key) if how == "altered" else storage.delete(key)
    assert list(ready_lines(ended.id, storage)) == before


def test_what_is_lost_is_named_and_the_remedy_brings_it_back(storage: Storage, settings: Settings, ended: Manifest):
    before = list(ready_lines(ended.id, storage))
    document, report = layout.predictions(ended.id), layout.report(ended.id)
    flip(storage, document)
    flip(storage, layout.part(ended.id, 1))
    with pytest.raises(BulkqaError, match=r"predictions\.json was altered or removed .* and so was part 1") as caught:
        list(ready_lines(ended.id, storage))
    remedy = f"Remove {storage.locate(document)} and {storage.locate(report)}, then: producer repair {ended.id}"
    assert remedy in (caught.value.remedy or "")
    storage.delete(document)
    storage.delete(report)
    finish(ended.id, storage, MemoryQueue(), settings)
    assert list(ready_lines(ended.id, storage)) == before
    assert verify_job(storage, ended.id).problems == ()


def test_following_waits_for_a_damaged_part_to_be_scored_again(storage: Storage, settings: Settings):
    manifest, queue = job_of(storage, settings), MemoryQueue()
    finish_parts(storage, manifest)
    flip(storage, layout.part(manifest.id, 1))
    assert rows(list(ready_lines(manifest.id, storage))) == [0, 1, 2], "as far as there is no gap"

    def wait() -> bool:
        ended = reconcile(manifest.id, storage, queue, settings).finished
        Hand(storage, queue, settings).run()
        return not ended

    assert rows(list(ready_lines(manifest.id, storage, wait=wait))) == list(range(8))


def test_a_job_that_ends_while_it_is_followed_is_read_to_its_end(storage: Storage, settings: Settings):
    """And a part that is damaged after that keeps nobody waiting: the document has its rows."""
    manifest = job_of(storage, settings)
    storage.create(layout.part(manifest.id, 0), part_of(storage, manifest, 0))

    def wait() -> bool:
        finish(manifest.id, storage, MemoryQueue(), settings)
        assert records.report(storage, manifest.id)
        flip(storage, layout.part(manifest.id, 1))
        return False

    assert rows(list(ready_lines(manifest.id, storage, wait=wait))) == list(range(8))


@pytest.mark.parametrize(
    ("out", "errors"),
    [
        ("d/bad.json", "d/bad.errors.csv"), ("bad", "bad.errors.csv"), ("a.2024.json", "a.2024.errors.csv"),
        ("a.2025.json", "a.2025.errors.csv"), ("bad.errors.json", "bad.errors.errors.csv"),
    ],
)  # fmt: skip
def test_error_rows_go_beside_the_predictions_under_their_name(out: str, errors: str):
    assert errors_beside(Path(out)) == Path(errors)
