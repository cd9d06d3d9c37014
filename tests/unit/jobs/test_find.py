"""Which job is meant by what somebody typed."""

from __future__ import annotations

import pytest

from contract.errors import UnknownJob
from contract.format import layout
from producer.jobs.find import find
from tests.twins.storage import MemoryStorage

JOBS = ("20261122-174512-3f9ac2d1", "20261122-174513-00aa11bb", "20261201-101010-deadbeef")


@pytest.fixture
def memory() -> MemoryStorage:
    storage = MemoryStorage()
    for job in JOBS:
        storage.create(layout.manifest(job), b"{}")
    return storage


@pytest.mark.parametrize("typed", [JOBS[0], "20261122-174512", "20261122-174512-", "20261122-174512-3f9"])
def test_the_whole_or_a_beginning_of_an_id(memory: MemoryStorage, typed: str):
    assert find(memory, typed) == JOBS[0]


@pytest.mark.parametrize("typed", ["20261122-174512-3f9ac2d2", "20261122-17512-3f9ac2d1", "0261122-174512-3f9ac2d1"])
def test_an_id_that_was_typed_wrong_brings_the_one_that_was_meant(memory: MemoryStorage, typed: str):
    with pytest.raises(UnknownJob) as caught:
        find(memory, typed)
    assert f"Did you mean {JOBS[0]}" in str(caught.value)
    assert JOBS[2] not in str(caught.value)
    assert "producer list" in str(caught.value)


def test_a_beginning_of_several_names_them(memory: MemoryStorage):
    with pytest.raises(UnknownJob, match="2 jobs begin with 20261122") as caught:
        find(memory, "20261122")
    assert f"Did you mean {JOBS[0]} or {JOBS[1]}?" in (caught.value.remedy or "")


@pytest.mark.parametrize("typed", ["x", "nonsense", "../../etc"])
def test_what_is_like_none_brings_no_suggestion(memory: MemoryStorage, typed: str):
    with pytest.raises(UnknownJob) as caught:
        find(memory, typed)
    assert "Did you mean" not in str(caught.value)
