"""Every storage keeps its contract: an object is whole or absent, written once, and inside the root."""

from __future__ import annotations

import errno
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.errors import StorageUnreachable, UsageError
from contract.storage import Storage, open_storage
from contract.storage.local import LocalStorage
from tests.acceptance.cluster import until
from tests.twins.storage import MemoryStorage

KEY = "jobs/a/parts/000000.jsonl"


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    return request.getfixturevalue(f"{request.param}_storage")


# Every kind of storage


def test_what_was_created_is_read_back(storage: Storage):
    assert storage.create(KEY, b"one\n")
    assert storage.read(KEY) == b"one\n"
    assert storage.exists(KEY)
    assert storage.list("jobs/a/parts") == ["000000.jsonl"]


def test_an_object_may_be_written_in_pieces(storage: Storage):
    assert storage.create(KEY, (bytes([n]) * 3 for n in range(5)))
    assert storage.read(KEY) == bytes([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])


def test_the_first_writer_wins_and_the_second_knows(storage: Storage):
    assert storage.create(KEY, b"first")
    assert not storage.create(KEY, b"second")
    assert storage.read(KEY) == b"first"


def test_exactly_one_of_many_threads_writes(storage: Storage):
    gate = threading.Barrier(8)

    def write(number: int) -> bool:
        gate.wait()
        return storage.create(KEY, (b"%d" % number for _ in range(1000)))

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(5):
            won = list(pool.map(write, range(8)))
            assert won.count(True) == 1, f"round {attempt}"
            assert storage.read(KEY) == b"%d" % won.index(True) * 1000
            storage.delete(KEY)


def test_a_concurrent_reader_sees_all_or_nothing(storage: Storage):
    whole = b"x" * (3 << 20)
    started, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield whole[: 1 << 20]
        started.set()
        assert go_on.wait(30)
        yield whole[1 << 20 :]

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(storage.create, KEY, slowly())
        assert started.wait(30)
        assert not storage.exists(KEY)
        assert storage.list("jobs/a/parts") == []
        go_on.set()
        assert writing.result()
    assert storage.read(KEY) == whole


def test_if_the_data_raises_nothing_is_written(storage: Storage):
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        storage.create(KEY, broken())

    assert not storage.exists(KEY)
    assert storage.list("jobs/a/parts") == []
    assert storage.create(KEY, b"whole")


def test_a_missing_object_differs_from_an_unreachable_storage(storage: Storage):
    for read in (storage.read, lambda key: storage.tail(key, 5), lambda key: list(storage.blocks(key))):
        with pytest.raises(FileNotFoundError):
            read(KEY)
    assert not storage.exists(KEY)
    assert storage.list("jobs/none") == []
    storage.delete(KEY)


@pytest.mark.parametrize(("size", "found"), [(3, b"def"), (6, b"abcdef"), (100, b"abcdef")])
def test_the_tail_is_the_last_bytes_or_all(storage: Storage, size: int, found: bytes):
    storage.create(KEY, b"abcdef")
    assert storage.tail(KEY, size) == found


def test_blocks_are_the_whole_object_in_bounded_pieces(storage: Storage):
    whole = os.urandom((2 << 20) + 17)
    storage.create(KEY, whole)
    storage.create("jobs/empty", b"")

    blocks = list(storage.blocks(KEY))

    assert b"".join(blocks) == whole
    assert max(map(len, blocks)) <= 1 << 20
    assert list(storage.blocks("jobs/empty")) == []


def test_replace_overwrites_or_creates(storage: Storage):
    storage.replace(KEY, b"a")
    storage.replace(KEY, b"bc")
    assert storage.read(KEY) == b"bc"


def test_a_deleted_object_may_be_written_again(storage: Storage):
    storage.create(KEY, b"a")
    storage.delete(KEY)
    assert not storage.exists(KEY)
    assert storage.create(KEY, b"b")


def test_a_listing_is_sorted_and_one_level_deep(storage: Storage):
    for name in ("b", "a/x/y", "c"):
        storage.create(f"jobs/{name}", b"")
    assert storage.list("jobs") == ["a", "b", "c"]
    assert storage.list("jobs/a") == ["x"]


@pytest.mark.parametrize(("after", "found"), [("", ["a", "b", "d"]), ("a", ["b", "d"]), ("c", ["d"]), ("d", [])])
def test_a_listing_may_start_behind_a_name(storage: Storage, after: str, found: list[str]):
    for name in "bad":
        storage.create(f"jobs/{name}", b"")
    storage.create("jobs.x", b"")
    assert storage.list("jobs", after=after) == found
    assert storage.list("none", after=after) == []


def test_the_tail_of_an_empty_object_is_empty(storage: Storage):
    storage.create(KEY, b"")
    assert storage.tail(KEY, 5) == b""


def test_sweeping_removes_no_object(storage: Storage):
    storage.create(KEY, b"a")
    storage.sweep("jobs/a", older_than=0.0)
    assert storage.read(KEY) == b"a"


def test_discarding_removes_one_folder_with_its_contents(storage: Storage):
    for key in ("jobs/a/x", "jobs/a/b/c/y", "jobs/ab/x", "jobs/a.x"):
        storage.create(key, b"a")
    assert storage.discard("jobs/a")
    assert storage.list("jobs") == ["a.x", "ab"]
    assert storage.list("jobs/a") == []
    assert storage.discard("jobs/a"), "there is nothing left of it"
    assert storage.create("jobs/a/x", b"again")


def test_a_folder_with_something_young_is_not_discarded(storage: Storage):
    for key in ("jobs/a/x", "jobs/a/b/y"):
        storage.create(key, b"a")
    assert not storage.discard("jobs/a", older_than=3600.0)
    assert (storage.list("jobs/a"), storage.list("jobs/a/b")) == (["b", "x"], ["y"])
    storage.replace("jobs/a/x", b"b")
    until(lambda: storage.discard("jobs/a", older_than=0.01), "it to be that old")
    assert storage.list("jobs") == []


def test_sizes_lists_all_objects_however_deep(storage: Storage):
    for key, data in (("jobs/a/x", b"1"), ("jobs/a/b/c/y", b"123"), ("jobs/ab/x", b"12345"), ("jobs/a/empty", b"")):
        storage.create(key, data)
    assert dict(storage.sizes("jobs/a")) == {"x": 1, "b/c/y": 3, "empty": 0}
    assert dict(storage.sizes("jobs")) == {"a/x": 1, "a/b/c/y": 3, "a/empty": 0, "ab/x": 5}
    assert list(storage.sizes("jobs/none")) == []


def test_only_empty_folders_are_pruned(storage: Storage):
    for key in ("jobs/a/x", "jobs/a/b/c/y", "jobs/a/d/z", "jobs/b/x"):
        storage.create(key, b"a")
    for key in ("jobs/a/b/c/y", "jobs/a/x"):
        storage.delete(key)
    storage.prune("jobs/a")
    assert (storage.list("jobs"), storage.list("jobs/a")) == (["a", "b"], ["d"])
    storage.delete("jobs/a/d/z")
    storage.prune("jobs/a")
    assert storage.list("jobs") == ["b"]
    storage.prune("jobs/none")


# The local disk


def test_unfinished_files_have_a_size_and_links_are_not_followed(local_storage: LocalStorage, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_bytes(b"a" * 100)
    local_storage.create("jobs/a/x", b"a")
    (local_storage.root / "jobs/a/.tmp-y").write_bytes(b"half")
    (local_storage.root / "jobs/a/folder").symlink_to(tmp_path / "outside")
    found = dict(local_storage.sizes("jobs/a"))
    assert (found["x"], found[".tmp-y"]) == (1, 4)
    assert "folder/x" not in found


def test_discarding_does_not_follow_links(local_storage: LocalStorage, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_bytes(b"a")
    local_storage.create("jobs/a/x", b"a")
    (local_storage.root / "jobs/a/folder").symlink_to(tmp_path / "outside")
    (local_storage.root / "jobs/a/file").symlink_to(tmp_path / "outside/x")
    (local_storage.root / "jobs/a/nowhere").symlink_to(tmp_path / "nowhere")
    assert local_storage.discard("jobs/a")
    assert local_storage.list("jobs") == []
    assert (tmp_path / "outside/x").exists()


def test_concurrent_discards_succeed(local_storage: LocalStorage):
    for number in range(200):
        local_storage.create(f"jobs/a/{number % 7}/{number}", b"a", durable=False)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: local_storage.discard("jobs/a"), range(4)))
    assert local_storage.list("jobs") == []


@pytest.mark.slow
def test_exactly_one_of_many_processes_writes(local_storage: LocalStorage):
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        won = pool.starmap(_create, [(local_storage.url, number) for number in range(60)], chunksize=1)
        pool.close()
        pool.join()
    for key in range(20):
        writers = [number for number in range(60) if number % 20 == key and won[number]]
        assert len(writers) == 1
        assert local_storage.read(f"jobs/{key}") == str(writers[0]).encode() * 1000


def _create(url: str, number: int) -> bool:
    return LocalStorage(Path(url)).create(f"jobs/{number % 20}", [str(number).encode()] * 1000)


def test_leftovers_of_dead_writers_are_hidden_and_swept_when_old(local_storage: LocalStorage):
    local_storage.create(KEY, b"a")
    folder = local_storage.root / "jobs/a/parts"
    young, old = folder / ".tmp-000001.jsonl-young", folder / ".tmp-000001.jsonl-old"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000, time.time() - 4000))

    assert local_storage.list("jobs/a/parts") == ["000000.jsonl"]
    local_storage.sweep("jobs/a", older_than=3600.0)

    assert sorted(path.name for path in folder.iterdir()) == [young.name, "000000.jsonl"]


def test_concurrent_sweeps_succeed(local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch):
    """A file that disappears between the listing and the check of its age is not an error."""
    local_storage.create(KEY, b"a")
    (local_storage.root / "jobs/a/parts/.tmp-x").write_bytes(b"half")
    listed = Path.rglob

    def taken_first(self: Path, pattern: str) -> Iterator[Path]:
        for path in list(listed(self, pattern)):
            path.unlink()
            yield path

    monkeypatch.setattr(Path, "rglob", taken_first)
    local_storage.sweep("jobs/a", older_than=0.0)


def test_a_link_whose_reply_was_lost_counts_as_ours(local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch):
    """Like NFS: the call is repeated, and then the name exists."""
    link = os.link

    def link_twice(*paths: Path) -> None:
        link(*paths)
        link(*paths)

    monkeypatch.setattr(os, "link", link_twice)
    assert local_storage.create(KEY, b"first")
    assert not local_storage.create(KEY, b"second")
    assert local_storage.read(KEY) == b"first"
    assert [path.name for path in (local_storage.root / "jobs/a/parts").iterdir()] == ["000000.jsonl"]


@pytest.mark.parametrize("key", ["../x", "jobs/../../x", "jobs/../x", "/etc/passwd", "..", "jobs/a/.."])
def test_no_key_is_outside_of_the_root(local_storage: LocalStorage, key: str):
    (local_storage.root.parent / "x").write_bytes(b"secret")
    _refused(local_storage, key)


def test_a_symlinked_folder_is_refused(local_storage: LocalStorage, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"secret")
    (local_storage.root / "jobs").mkdir()
    (local_storage.root / "jobs/a").symlink_to(outside)

    _refused(local_storage, "jobs/a/x")
    _refused(local_storage, "jobs/a/new/x")
    with pytest.raises(UsageError):
        local_storage.list("jobs/a")
    assert sorted(outside.iterdir()) == [outside / "x"]


def test_a_symlinked_file_is_refused(local_storage: LocalStorage, tmp_path: Path):
    (tmp_path / "x").write_bytes(b"secret")
    (local_storage.root / "jobs").mkdir()
    (local_storage.root / "jobs/x").symlink_to(tmp_path / "x")

    _refused(local_storage, "jobs/x")
    assert (tmp_path / "x").read_bytes() == b"secret"


def _refused(storage: LocalStorage, key: str) -> None:
    for use in (
        lambda: storage.read(key),
        lambda: storage.tail(key, 1),
        lambda: list(storage.blocks(key)),
        lambda: storage.exists(key),
        lambda: storage.create(key, b"y"),
        lambda: storage.replace(key, b"y"),
        lambda: storage.delete(key),
    ):
        with pytest.raises(UsageError, match="is outside of the storage root"):
            use()


def test_the_root_itself_may_be_a_symlink(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    storage = LocalStorage(tmp_path / "link")
    storage.create(KEY, b"a")
    assert storage.read(KEY) == b"a"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EROFS, "mount it writable"),
        (errno.EACCES, "read and write access"),
        (errno.EIO, ""),
    ],
)
def test_a_failing_disk_is_unreachable_storage_with_a_remedy(
    local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
):
    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnreachable) as caught:
        local_storage.create(KEY, b"a")

    assert caught.value.exit_code == 6
    assert os.strerror(number) in caught.value.message
    assert local_storage.url in caught.value.message
    assert remedy in (caught.value.remedy or "")
    monkeypatch.undo()
    assert local_storage.list("jobs/a/parts") == []
    assert sorted((local_storage.root / "jobs/a/parts").iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path):
    """On a real file system of 64 KiB, if the test may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {folder} 2>/dev/null") != 0:  # noqa: S605 - a path of pytest's
        pytest.skip("this user cannot mount a file system")
    try:
        storage = LocalStorage(folder)
        with pytest.raises(StorageUnreachable, match="No space left on device"):
            storage.create(KEY, b"x" * (1 << 20))
        assert storage.list("jobs/a/parts") == []
        assert storage.create(KEY, b"what fits")
    finally:
        assert os.system(f"umount {folder}") == 0  # noqa: S605


def test_a_folder_without_permission_is_unreachable_storage():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        storage = LocalStorage(Path(folder))
        storage.create(KEY, b"a")
        (storage.root / "jobs").chmod(0o700 if os.geteuid() == 0 else 0o000)
        storage.root.chmod(0o755)
        me = os.geteuid()
        try:
            if me == 0:
                os.seteuid(65534)  # root may do everything; nobody may not
            for use in (lambda: storage.read(KEY), lambda: storage.create("jobs/b", b""), lambda: storage.list("jobs")):
                with pytest.raises(StorageUnreachable, match="Permission denied") as caught:
                    use()
                assert "read and write access" in (caught.value.remedy or "")
        finally:
            os.seteuid(me)
            (storage.root / "jobs").chmod(0o700)


# Opening


def test_a_storage_is_opened_by_path_or_url(tmp_path: Path):
    (tmp_path / "a b").mkdir()
    assert open_storage(str(tmp_path / "a b")).url == str(tmp_path / "a b")
    assert open_storage(f"file://{tmp_path}/a%20b").url == str(tmp_path / "a b")


def test_a_missing_storage_is_an_error_unless_it_is_to_be_created(tmp_path: Path):
    with pytest.raises(StorageUnreachable, match="there is no storage folder") as caught:
        open_storage(str(tmp_path / "new"))
    assert "BULKQA_STORAGE_URL" in (caught.value.remedy or "")
    assert not (tmp_path / "new").exists()

    open_storage(str(tmp_path / "new"), create=True).create(KEY, b"a")
    assert open_storage(str(tmp_path / "new")).read(KEY) == b"a"


@pytest.mark.parametrize("place", ["file", "file/below", "~nobody-of-this-name/x", "/proc/none/x", "nul\0"])
def test_a_storage_that_cannot_be_made_is_an_error_that_names_the_setting(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnreachable, match="no storage can be created at") as caught:
        open_storage(place, create=True)
    assert "BULKQA_STORAGE_URL" in (caught.value.remedy or "")
    assert caught.value.exit_code == 6


def test_an_unknown_kind_of_storage_is_a_usage_error():
    with pytest.raises(UsageError, match="ftp:// is not supported"):
        open_storage("ftp://host/folder")


def test_an_object_has_an_address_for_people(storage: Storage):
    assert storage.locate(KEY).endswith(KEY)
