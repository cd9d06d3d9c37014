"""Concurrent calls of a storage: results in order, bounded, and every exception propagates."""

from __future__ import annotations

import threading

import pytest

from contract.errors import StorageUnreachable
from contract.storage.many import created, many
from tests.twins.storage import MemoryStorage


class Remote(MemoryStorage):
    """A storage for which concurrent calls pay off."""

    at_once = 4

    def __init__(self) -> None:
        super().__init__()
        self.under_way = self.most = 0
        self._count = threading.Lock()
        self.meeting = threading.Barrier(3, timeout=30)

    def create(self, key: str, data: bytes, *, durable: bool = True) -> bool:
        with self._count:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        if key == "bad":
            raise StorageUnreachable("no room", "")
        made = super().create(key, data, durable=durable)
        with self._count:
            self.under_way -= 1
        return made


@pytest.mark.parametrize("storage", [MemoryStorage(), Remote()])
@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_results_come_in_the_order_of_the_keys(storage: MemoryStorage, count: int):
    assert list(many(storage, lambda key: key * 2, range(count), ahead=3)) == [key * 2 for key in range(count)]


def test_calls_are_made_at_the_same_time():
    storage = Remote()
    assert len(list(many(storage, lambda _: storage.meeting.wait(), range(3)))) == 3, "none waits for another's end"


def test_at_most_ahead_results_are_held():
    taken: list[int] = []
    for seen, _ in enumerate(many(Remote(), taken.append, range(100), ahead=5)):
        assert len(taken) <= seen + 5


@pytest.mark.parametrize("storage", [MemoryStorage(), Remote()])
def test_an_exception_propagates_in_order(storage: MemoryStorage):
    found = many(storage, lambda key: 1 // (key - 2), range(5))
    assert [next(found), next(found)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize("storage", [MemoryStorage(), Remote()])
def test_all_objects_are_created_on_exit(storage: MemoryStorage):
    with created(storage, ahead=3) as create:
        for number in range(50):
            create(f"jobs/{number:02}", bytes([number]))
    assert [storage.read(f"jobs/{number:02}") for number in range(50)] == [bytes([number]) for number in range(50)]


def test_at_most_ahead_creations_are_pending():
    storage = Remote()
    with created(storage, ahead=2) as create:
        for number in range(50):
            create(str(number), b"")
    assert storage.most <= 2


@pytest.mark.parametrize("after", [0, 1, 20])
def test_an_exception_of_a_creation_propagates_however_late(after: int):
    def create_all() -> None:
        with created(Remote(), ahead=3) as create:
            for key in ("bad", *map(str, range(after))):
                create(key, b"")

    with pytest.raises(StorageUnreachable):
        create_all()
