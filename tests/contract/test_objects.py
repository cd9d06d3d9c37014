"""Object storage whose service fails: writes whose response was lost, and writes that failed. On moto's S3."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from contract.errors import StorageUnreachable, UsageError
from contract.namespace import storage_id
from contract.storage import objects, open_storage
from contract.storage.objects import ObjectStorage
from tests import s3

KEY = "jobs/a/parts/000000.jsonl"
#: Bytes of a piece in these tests, and an object of three.
PIECE = 8 << 10
LARGE = [bytes([n]) * (1 << 10) for n in range(20)]


@pytest.fixture
def service(s3_endpoint: str) -> Iterator[s3.Faulty]:
    with s3.Faulty(s3_endpoint) as proxy:
        yield proxy
        proxy.shutdown()


@pytest.fixture
def storage(service: s3.Faulty, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    for name, value in s3.environment(service.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "_PAUSE", 0.01)
    monkeypatch.setattr(objects, "_PIECE", PIECE)
    return ObjectStorage(f"s3://{s3.BUCKET}/{os.urandom(6).hex()}")


def test_a_piece_is_no_smaller_than_services_take():
    assert objects._PIECE >= 5 << 20, "but for the last one, S3 refuses a smaller part"


@pytest.mark.parametrize("fault", [500, 503, 409, 412, "lost", "late"])
def test_a_create_that_fails_once_makes_the_object_once(storage: ObjectStorage, service: s3.Faulty, fault):
    service.faults["PUT"] = deque([fault])
    assert storage.create(KEY, b"ours")
    assert storage.read(KEY) == b"ours"


@pytest.mark.parametrize("fault", [500, 503, 409, 412, "lost", "late"])
def test_a_create_that_fails_and_comes_second_returns_false_also_for_equal_content(
    storage: ObjectStorage, service: s3.Faulty, fault
):
    assert storage.create(KEY, b"same")
    service.faults["PUT"] = deque([fault])
    assert not storage.create(KEY, b"same")


@pytest.mark.parametrize("fault", [500, 503, "lost", "late"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_large_object_survives_a_failed_create(storage: ObjectStorage, service: s3.Faulty, fault, method: str):
    service.faults[method] = deque([fault])
    assert storage.create(KEY, iter(LARGE))
    assert b"".join(storage.blocks(KEY)) == b"".join(LARGE)
    assert not storage.create(KEY, iter([b"x", *LARGE]))
    assert storage.list("jobs/a/parts") == ["000000.jsonl"]


def test_a_copy_whose_response_was_lost_counts_as_ours(storage: ObjectStorage, service: s3.Faulty):
    assert storage.create("jobs/a/count", iter(LARGE))
    posts = sum(request.startswith("POST") for request in service.requests)

    class Last(deque):  # type: ignore[type-arg]
        def popleft(self):  # type: ignore[no-untyped-def]
            nonlocal posts
            posts -= 1
            return "late" if posts == 0 else None

        def __bool__(self) -> bool:
            return True

    service.faults["POST"] = Last()
    assert storage.create(KEY, iter(LARGE))


def test_an_object_too_large_to_copy_is_written_again(storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(objects, "_COPIED", 10 << 10)
    assert storage.create(KEY, iter(LARGE))
    assert not storage.create(KEY, iter(LARGE))
    assert b"".join(storage.blocks(KEY)) == b"".join(LARGE)
    assert storage.list("jobs/a/parts") == ["000000.jsonl"]


def test_a_large_object_may_be_written_from_objects_read_meanwhile(storage: ObjectStorage):
    """Outputs are written from parts this way."""
    storage.create("jobs/a/part", LARGE[0])
    assert storage.create(KEY, (storage.read("jobs/a/part") for _ in range(20)))
    assert storage.tail(KEY, 20 << 10) == LARGE[0] * 20


def broken() -> Iterator[bytes]:
    yield from LARGE
    raise ZeroDivisionError


class From(deque):  # type: ignore[type-arg]
    """The first requests of a method succeed, all later ones are denied."""

    def __init__(self, good: int) -> None:
        self.good = good

    def popleft(self):  # type: ignore[no-untyped-def]
        self.good -= 1
        return None if self.good >= 0 else 403

    def __bool__(self) -> bool:
        return True


def open_uploads(service: s3.Faulty) -> int:
    """Multipart uploads that are neither completed nor aborted: they are billed."""
    return httpx.get(f"{service.url}/{s3.BUCKET}?uploads").text.count("<Upload>")


@pytest.mark.parametrize(("method", "good"), [("PUT", 0), ("PUT", 1), ("POST", 1), ("POST", 2), ("POST", 3), ("", 0)])
@pytest.mark.parametrize("how", ["write", "create"])
def test_a_failed_upload_is_aborted(storage: ObjectStorage, service: s3.Faulty, how: str, method: str, good: int):
    before = open_uploads(service)
    if method:
        service.faults[method] = From(good)
        with suppress(StorageUnreachable):  # after two good requests that begin and complete one `write` is done
            getattr(storage, how)(KEY, iter(LARGE))
    else:
        with pytest.raises(ZeroDivisionError):
            getattr(storage, how)(KEY, broken())
    service.faults.clear()
    assert open_uploads(service) == before


def test_if_the_data_of_a_large_object_raises_nothing_is_written(storage: ObjectStorage):
    with pytest.raises(ZeroDivisionError):
        storage.create(KEY, broken())
    assert storage.list("jobs/a/parts") == []
    storage.sweep("jobs/a", older_than=0.0)
    assert storage.create(KEY, iter(LARGE))


@pytest.mark.parametrize("fault", [500, 503, "lost"])
def test_reads_are_retried(storage: ObjectStorage, service: s3.Faulty, fault):
    storage.create(KEY, b"abcdef")
    for read in (storage.read, lambda key: storage.tail(key, 6), lambda key: b"".join(storage.blocks(key))):
        service.faults["GET"] = deque([fault])
        assert read(KEY) == b"abcdef"
    service.faults["GET"] = deque([fault])
    assert storage.list("jobs/a") == ["parts"]
    service.faults["HEAD"] = deque([fault])
    assert storage.exists(KEY)


def test_a_failing_service_is_unreachable_and_no_secret_is_shown(storage: ObjectStorage, service: s3.Faulty):
    service.faults["PUT"] = deque([503] * 20)
    with pytest.raises(StorageUnreachable) as caught:
        storage.create(KEY, b"a")
    assert "503" in caught.value.message
    assert "credentials" in (caught.value.remedy or "")
    assert s3.SECRET not in str(caught.value)
    service.faults.clear()
    assert storage.create(KEY, b"a")


def test_a_service_that_ignores_conditions_is_refused_when_a_storage_is_new(storage: ObjectStorage, service: s3.Faulty):
    service.ignored = {"if-none-match"}
    for _ in range(2):  # a refused storage is still new
        with pytest.raises(UsageError, match="overwrites an object") as caught:
            storage_id(storage)
        assert "If-None-Match" in (caught.value.remedy or "")
    service.ignored = set()
    assert storage_id(storage) == storage_id(storage)


def test_access_that_is_denied_says_what_to_set(storage: ObjectStorage, service: s3.Faulty):
    service.faults["GET"] = deque([403])
    with pytest.raises(StorageUnreachable, match="access is denied") as caught:
        storage.read(KEY)
    assert "AWS_SECRET_ACCESS_KEY" in (caught.value.remedy or "")


def test_a_missing_bucket_is_not_an_empty_one(storage: ObjectStorage):
    missing = ObjectStorage("s3://no-such-bucket/x")
    for use in (lambda: missing.read(KEY), lambda: missing.list("jobs"), lambda: missing.create(KEY, b"")):
        with pytest.raises(StorageUnreachable, match="there is no such bucket"):
            use()


@pytest.mark.parametrize("url", ["s3://user:hunter2@bucket/x", "s3://bucket/x?secret=hunter2", "s3:///x"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str):
    with pytest.raises(UsageError) as caught:
        open_storage(url)
    assert "hunter2" not in str(caught.value)
    assert "environment" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["s3://[", "s3://", "s3:/x", "gs://a b/x", "az://", "file://[", "file://host/x", "http://[x", "s3://b:99999/x"],
)
def test_a_malformed_url_is_an_error_with_a_remedy(url: str):
    with pytest.raises(UsageError) as caught:
        open_storage(url)
    assert caught.value.remedy


def test_a_prefix_is_a_name_and_not_an_address(storage: ObjectStorage):
    place = f"{storage.url}/a%20b [1]"
    open_storage(place).replace("50% #1?/x", b"ours")
    assert open_storage(storage.url).read("a%20b [1]/50% #1?/x") == b"ours"
    assert dict(open_storage(place).sizes("50% #1?")) == {"x": 4}


@pytest.mark.parametrize("key", ["../x", "jobs/../../x", "/etc/passwd", ".."])
def test_no_key_is_outside_of_the_prefix(storage: ObjectStorage, key: str):
    for use in (lambda: storage.read(key), lambda: storage.create(key, b""), lambda: storage.list(key)):
        with pytest.raises(UsageError, match="is outside of the storage root"):
            use()


def test_leftovers_of_a_dead_writer_are_swept(storage: ObjectStorage):
    storage.replace("jobs/a/.tmp-predictions.json-1", b"half")
    storage.create(KEY, b"a")
    assert storage.list("jobs/a") == ["parts"]
    storage.sweep("jobs/a", older_than=3600.0)
    assert storage.exists("jobs/a/.tmp-predictions.json-1")
    storage.sweep("jobs/a", older_than=0.0)
    assert not storage.exists("jobs/a/.tmp-predictions.json-1")
    assert storage.exists(KEY)


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "az://container/prefix"])
def test_the_other_clouds_are_opened_by_their_url(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert open_storage(url).url == url
