"""The namespace of a storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.errors import BulkqaError, UsageError
from contract.format import layout
from contract.namespace import namespace_of, storage_id
from contract.settings import Settings, load
from contract.storage import Storage
from contract.storage.local import LocalStorage


def test_a_storage_has_one_id_under_concurrency(storage: Storage):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: storage_id(storage), range(32)))
    assert len(ids) == 1
    assert len(ids.pop()) == 12


def test_two_storages_have_different_ids(tmp_path: Path):
    assert storage_id(LocalStorage(tmp_path / "a", create=True)) != storage_id(
        LocalStorage(tmp_path / "b", create=True)
    )


def test_a_configured_namespace_is_used_and_nothing_is_written(storage: Storage):
    assert namespace_of(Settings(namespace="default"), storage) == "default"
    assert not storage.exists(layout.STORAGE)
    assert namespace_of(Settings(), storage) == storage_id(storage)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"id": 7}', b'{"id": "a:b"}', b'{"id": ""}', b"\xff"])
def test_an_altered_id_is_an_error_with_a_remedy(storage: Storage, data: bytes):
    storage.create(layout.STORAGE, data)
    with pytest.raises(BulkqaError, match="damaged") as caught:
        storage_id(storage)
    assert "remove it" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["UPPER", "a:b", "x" * 33, "a b", "*", "a\n"])
def test_a_namespace_is_checked(name: str):
    with pytest.raises(UsageError, match="BULKQA_NAMESPACE"):
        load(namespace=name)
