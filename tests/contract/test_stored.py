"""A stored job gives its parts if they are whole, unaltered and in their place, and says why not otherwise."""

from __future__ import annotations

import json

import pytest

from contract.errors import UnknownJob
from contract.format import layout
from contract.format.part import Footer
from contract.ledger.stored import Damage, Part, StoredJob, read_footer
from contract.settings import Settings
from contract.storage import Storage
from tests.making import finish_parts, job_of, part_of


def test_a_part_gives_its_predictions_and_its_footer(storage: Storage, settings: Settings):
    manifest = job_of(storage, settings)
    finish_parts(storage, manifest)
    stored = StoredJob.open(storage, manifest.id)
    assert (stored.id, stored.manifest) == (manifest.id, manifest)
    for number, rows in enumerate(stored.index.rows):
        part = stored.part(number)
        assert isinstance(part, Part)
        assert part.lines == stored.lines(number)
        first = stored.first_rows[number]
        assert [json.loads(line)["row"] for line in part.lines.splitlines()] == list(range(first, first + rows))
        assert part.footer == read_footer(storage, manifest.id, number)


def test_a_missing_part_says_so(storage: Storage, settings: Settings):
    stored = StoredJob.open(storage, job_of(storage, settings).id)
    assert stored.part(1) == read_footer(storage, stored.id, 1) == Damage("it is missing", missing=True)
    assert stored.lines(1) is None


@pytest.mark.parametrize(
    ("how", "reason", "of_footer"),
    [
        ("cut", "it has no footer", "it has no footer"),
        ("body", "its sha256 is not the one in its footer", ""),
        ("footer", "its footer was altered", "its footer was altered"),
        ("swapped", "it is part 0 of job", "it is part 0 of job"),
        ("rows", "it has 3 rows, its chunk 2", ""),
    ],
)
def test_a_damaged_part_says_what_is_wrong(storage: Storage, settings: Settings, how: str, reason: str, of_footer: str):
    """`of_footer`: what its footer alone says; nothing where only the predictions are wrong."""
    manifest = job_of(storage, settings)
    stored = StoredJob.open(storage, manifest.id)
    last = manifest.chunks - 1
    data = {
        "cut": part_of(storage, manifest, last)[:-9],
        "body": part_of(storage, manifest, last).replace(b"answered", b"answerer", 1),
        "footer": part_of(storage, manifest, last).replace(b'"answered":2', b'"answered":1'),
        "swapped": part_of(storage, manifest, 0),
        "rows": part_of(storage, manifest, 0, chunk=last),
    }[how]
    storage.create(layout.part(manifest.id, last), data)
    damage = stored.part(last)
    assert isinstance(damage, Damage)
    assert damage.reason.startswith(reason)
    assert not damage.missing
    assert stored.lines(last) is None
    footer = read_footer(storage, manifest.id, last)
    assert footer.reason.startswith(of_footer) if isinstance(footer, Damage) else not of_footer
    assert isinstance(footer, Footer) == (not of_footer)


def test_what_was_never_submitted_cannot_be_opened(storage: Storage):
    with pytest.raises(UnknownJob, match="there is no job a in"):
        StoredJob.open(storage, "a")
