"""A tally plus the other footers equals the tally of all parts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import evaluation
from contract.format import layout, part
from contract.format.part import Footer
from contract.ledger import counting, records
from contract.ledger.tally import Scored, Tally, sealed, unsealed
from contract.queue import Queue
from contract.settings import Settings
from contract.storage import Storage
from tests.making import finish, finish_parts, job_of, predictions

number = st.integers(0, 50)
time = st.floats(0.0, 1000.0)
score = st.floats(0.0, 1.0)


def sums(rows: int, f1: float) -> dict:
    bins = [[rows, f1, f1]] + [[0, 0.0, 0.0]] * (evaluation.BINS - 1)
    return evaluation.total([evaluation.nothing()]) | {"rows": rows, "f1": f1, "bins": bins}


footers = st.lists(
    st.builds(
        Footer,
        number,
        number,
        number,
        number,
        number,
        st.just("sha"),
        codes=st.dictionaries(st.sampled_from(["empty_context", "inference_error", "worker_crash"]), number),
        started_at=time,
        finished_at=time,
        model=st.sampled_from(["", "d1"]),
        batch_invariant=st.booleans(),
        rule=st.sampled_from([1, 2]),
        evaluation=st.none() | st.builds(sums, number, score),
    ),
    max_size=12,
)


def footer(answered: int = 10, **about) -> Footer:
    about = {"started_at": 100.0, "finished_at": 110.0, "worker": "w", "model": "d1"} | about
    return Footer(answered, answered, 0, 0, 0, "sha", **about)


def rate(*footers: Footer, now: float | None = None, scored: Iterable[Scored] = ()) -> float | None:
    found = Tally().plus(dict(enumerate(footers))).rate(now, scored)
    return found and found.rows


@pytest.mark.slow
@given(footers, st.integers(0, 12), st.integers(0, 12))
def test_the_sum_is_the_same_however_parts_are_split(parts: list[Footer], one: int, other: int):
    one, other = sorted((one, other))
    numbered = list(enumerate(parts))
    kept = Tally().plus(dict(numbered[:one]))
    kept = unsealed(sealed(kept))

    assert kept.plus(dict(numbered[one:other])).plus(dict(numbered[other:])) == Tally().plus(dict(numbered))


@pytest.mark.slow
@given(footers, st.lists(st.sets(number, max_size=6), max_size=4))
def test_the_tally_knows_its_parts_in_any_order(parts: list[Footer], takes: list[set[int]]):
    taken: set[int] = set()
    tally = Tally()
    for take in takes:
        more = {number: parts[number] for number in take - taken if number < len(parts)}
        tally = unsealed(sealed(tally.plus(more)))
        taken |= more.keys()
    assert {number for number in range(60) if tally.has(number)} == taken
    assert (tally.parts, tally.rows) == (len(taken), sum(parts[number].rows for number in taken))
    assert tally.first_without == next(number for number in range(60) if number not in taken)


@pytest.mark.slow
@given(footers)
def test_every_field_is_counted(parts: list[Footer]):
    found = Tally().plus(dict(enumerate(parts)))

    assert found.parts == len(parts)
    for name in ("rows", "answered", "no_answer", "failed", "cancelled"):
        assert getattr(found, name) == sum(getattr(each, name) for each in parts)
    assert sum(found.codes.values()) == sum(sum(each.codes.values()) for each in parts)


def test_a_job_has_the_answering_rules_of_the_parts_that_a_model_made():
    old, new, none = Footer(1, 1, 0, 0, 0, "sha", model="d1"), footer(rule=2), footer(model="", rule=3)
    assert Tally().plus({0: new, 1: none, 2: new}).rules == (2,)
    assert Tally().plus({0: new, 1: none, 2: old}).rules == (1, 2), "a footer of an earlier version names none"


# Rate


def test_parts_without_a_model_do_not_count_for_the_rate():
    assert rate(footer(model="")) is None
    assert rate(footer(model=""), footer(10)) == 1.0


def test_old_parts_do_not_count_for_the_rate():
    old = footer(10_000, started_at=0.0, finished_at=10.0)
    new = footer(10, started_at=990.0, finished_at=1000.0)
    assert rate(old, new, now=1001.0) == 1.0


def test_only_time_in_which_it_was_worked_on_counts():
    """A pause of a minute between two parts, and after them an hour behind other jobs."""
    before = footer(100, started_at=0.0, finished_at=10.0)
    after = footer(100, started_at=70.0, finished_at=80.0)
    assert rate(before, now=130.0) == 10.0
    assert rate(before, after, now=3600.0) == pytest.approx(10.0, rel=0.06), "to the second"
    assert rate(before, after, footer(100, started_at=5.0, finished_at=15.0)) == pytest.approx(300 / 25, rel=0.06)


def test_a_chunk_that_is_held_and_gives_no_row_lowers_the_rate():
    part = footer(100, started_at=0.0, finished_at=10.0)
    resumed = Scored(1, held=1.0, age=0.0)
    assert rate(part, now=3600.0, scored=[resumed]) == pytest.approx(100 / 11)
    assert rate(part, now=100.0, scored=[Scored(1, held=90.0)]) == 1.0
    assert rate(part, now=130.0, scored=[Scored(1, held=20.0, age=100.0)]) == 1.0, "a worker that is silent"


def test_a_part_that_took_no_time_does_not_divide_by_zero():
    assert rate(footer(1, started_at=5.0, finished_at=5.0)) == 1000.0


# In storage


def write(storage: Storage, numbers: list[int]) -> None:
    for number in numbers:
        status = "answered" if number % 3 else "no_answer"
        data, _ = part.encode([{"row": number, "status": status}], started_at=5.0 + number, finished_at=6.0 + number)
        storage.create(layout.part("a", number), data)


def seen(storage: Storage, known: dict[int, Footer] | None = None) -> tuple[Tally, dict[int, Footer]]:
    return counting.counted(storage, "a", {} if known is None else known)


def whole(first: Tally, later: dict[int, Footer]) -> Tally:
    return first.plus(later)


def test_many_parts_are_read_once_by_all_clients(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    write(storage, [*range(counting.KEEP_EVERY - 1), 140])
    tally, later = seen(storage)
    assert (tally.parts, tally.has(140), tally.has(130), later) == (counting.KEEP_EVERY, True, False, {})

    read = []
    tail = storage.tail
    monkeypatch.setattr(storage, "tail", lambda key, size: read.append(key) or tail(key, size))
    write(storage, [130, 1000])
    again = seen(storage)
    assert sorted(read) == [layout.part("a", number) for number in (130, 1000)]
    assert again[0] == tally
    assert whole(*again).parts == counting.KEEP_EVERY + 2


@pytest.mark.slow
def test_footers_that_a_client_remembers_give_the_same(storage: Storage):
    known: dict[int, Footer] = {}
    for upto in (100, 200, 300):
        write(storage, list(range(upto)))
        all_of_them = whole(Tally(), counting.footers(storage, "a", {}))
        assert whole(*seen(storage, known)) == whole(*seen(storage)) == all_of_them


@pytest.mark.parametrize("harm", ["removed", "altered", "cut", "no json"])
def test_a_damaged_tally_is_rebuilt(storage: Storage, harm: str):
    write(storage, list(range(counting.KEEP_EVERY)))
    right = seen(storage)
    data = storage.read(layout.progress("a"))
    storage.delete(layout.progress("a"))
    harmed = {"altered": data.replace(b'"parts":128', b'"parts":127'), "cut": data[:-20], "no json": b"\xff" * 99}
    if harm in harmed:
        storage.create(layout.progress("a"), harmed[harm])

    assert seen(storage) == right
    assert storage.read(layout.progress("a")) == data


@pytest.mark.slow
def test_a_slow_worker_does_not_cause_listing_all_later_parts(storage: Storage, monkeypatch: pytest.MonkeyPatch):
    rows = counting._LISTED + counting.KEEP_EVERY
    write(storage, [*range(3), *range(4, rows)])
    seen(storage)
    listed = []
    real = storage.list
    monkeypatch.setattr(storage, "list", lambda folder, after="": listed.append(after) or real(folder, after))
    monkeypatch.setattr(storage, "at_once", 32)
    write(storage, [rows])
    tally, later = seen(storage)
    assert (tally.first_without, set(later)) == (3, {rows})
    write(storage, [3])
    tally, later = seen(storage)
    assert set(later) == {3, rows}
    assert listed == [layout.part_name(rows - 1)] * 2


def test_a_removed_part_is_scored_again(storage: Storage, queue: Queue, settings: Settings):
    """The tally still counts it, and assembling finds that it is missing."""
    manifest = job_of(storage, settings.model_copy(update={"chunk_rows": 1}), rows=counting.KEEP_EVERY + 10)
    finish_parts(storage, manifest, but=(counting.KEEP_EVERY,))
    assert records.status(storage, None, manifest.id).chunks.done == manifest.chunks - 1
    storage.delete(layout.part(manifest.id, 7))
    finish(manifest.id, storage, queue, settings)
    assert len(predictions(storage, manifest.id)) == manifest.rows
