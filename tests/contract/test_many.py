"""Several calls of a storage at a time: in order, bounded, and nothing is lost of what goes wrong."""

from __future__ import annotations

import threading

import pytest

from contract.errors import StorageUnreachable
from contract.storage.many import created, many
from tests.twins.storage import MemoryStorage


class Remote(MemoryStorage):
    """A storage of which several calls are worth making at a time."""

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


def test_no_more_results_are_held_than_asked_for():
    taken: list[int] = []
    for seen, _ in enumerate(many(Remote(), taken.append, range(100), ahead=5)):
        assert len(taken) <= seen + 5


@pytest.mark.parametrize("storage", [MemoryStorage(), Remote()])
def test_what_a_call_raises_comes_through_in_its_place(storage: MemoryStorage):
    found = many(storage, lambda key: 1 // (key - 2), range(5))
    assert [next(found), next(found)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize("storage", [MemoryStorage(), Remote()])
def test_what_is_created_is_there_at_the_end(storage: MemoryStorage):
    with created(storage, ahead=3) as create:
        for number in range(50):
            create(f"jobs/{number:02}", bytes([number]))
    assert [storage.read(f"jobs/{number:02}") for number in range(50)] == [bytes([number]) for number in range(50)]


def test_no_more_is_under_way_than_asked_for():
    storage = Remote()
    with created(storage, ahead=2) as create:
        for number in range(50):
            create(str(number), b"")
    assert storage.most <= 2


@pytest.mark.parametrize("after", [0, 1, 20])
def test_what_a_creation_raises_comes_through_however_late(after: int):
    def create_all() -> None:
        with created(Remote(), ahead=3) as create:
            for key in ("bad", *map(str, range(after))):
                create(key, b"")

    with pytest.raises(StorageUnreachable):
        create_all()
