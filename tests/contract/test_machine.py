"""What a system lacks is taken away, one thing after the other, and what stands on it goes on."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from contract import machine
from contract.errors import StorageUnreachable
from contract.storage.local import LocalStorage

KEY = "jobs/a/parts/000000.jsonl"


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A C library with none of the functions that only Linux's has."""
    monkeypatch.setattr(machine, "_libc", lambda _: None)
    return monkeypatch


# --- The C library -----------------------------------------------------------------------------------------------


def test_a_function_that_the_c_library_lacks_is_none() -> None:
    assert machine._libc("there_is_no_such_function") is None


def test_a_system_without_a_c_library_to_ask_has_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert machine._libc.__wrapped__("prctl") is None


def test_without_malloc_and_process_calls_of_linux_nothing_happens(lacking: pytest.MonkeyPatch) -> None:
    machine.end_with_parent()
    machine.give_memory_back()
    machine.trim_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone ends children with their parent")
def test_a_child_ends_with_its_parent_however_that_went() -> None:
    parent = """
import os, signal, subprocess, sys
from contract import machine
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=machine.end_with_parent)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # The pipe is at its end when nobody holds it any more: neither the parent nor the child.
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, check=False, timeout=30)
    assert done.returncode == -9


def test_the_memory_of_this_process_is_known_without_proc_too(tmp_path: Path) -> None:
    used = psutil.Process(os.getpid()).memory_info().rss
    for resident in (machine.resident_memory(), machine.resident_memory(tmp_path / "nowhere")):
        assert used / 2 < resident < used * 4


def test_the_peak_of_memory_is_counted_in_bytes_wherever(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine.peak_memory()
    assert here > 10 << 20
    monkeypatch.setattr(sys, "platform", "darwin" if sys.platform != "darwin" else "linux")
    assert 1000 < max(here, machine.peak_memory()) / min(here, machine.peak_memory()) < 1050


# --- Files -------------------------------------------------------------------------------------------------------


def without_links(number: int) -> object:
    def link(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return link


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_without_hard_links_an_object_is_made_once_all_the_same(
    number: int, local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", without_links(number))
    assert local_storage.create(KEY, b"first")
    assert not local_storage.create(KEY, b"second")
    assert local_storage.read(KEY) == b"first"
    assert [path.name for path in (local_storage.root / "jobs/a/parts").iterdir()] == ["000000.jsonl"]


def test_of_many_that_publish_without_hard_links_one_alone_wins(
    local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", without_links(errno.EPERM))
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: local_storage.create(KEY, str(number).encode()), range(64)))
    assert won.count(True) == 1
    assert local_storage.read(KEY) == str(won.index(True)).encode()


def test_without_any_way_to_write_once_the_storage_is_refused_with_a_remedy(
    local_storage: LocalStorage, lacking: pytest.MonkeyPatch
) -> None:
    lacking.setattr(os, "link", without_links(errno.EPERM))
    with pytest.raises(StorageUnreachable, match=r"BULKQA_STORAGE_URL to a folder on another disk"):
        local_storage.create(KEY, b"first")
    assert local_storage.list("jobs/a/parts") == []


def test_a_refusal_of_another_kind_is_told_as_it_is(
    local_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", without_links(errno.ENOSPC))
    with pytest.raises(StorageUnreachable, match="The disk is full"):
        local_storage.create(KEY, b"first")


def test_where_links_cannot_be_told_apart_at_opening_they_are_before() -> None:
    """The flag is one guard of two; a system that does not know it has the other."""
    code = "import os; del os.O_NOFOLLOW; from contract import machine; print(machine.NO_FOLLOW)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "0\n"


def test_stdin_is_known_without_a_device_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    (tmp_path / "other").write_text("x")
    code = """
import pathlib, sys
from contract.machine import is_stdin
print([is_stdin(pathlib.Path(name)) for name in sys.argv[1:]])
"""
    with (tmp_path / "in").open() as file:
        names = [str(tmp_path / name) for name in ("in", "other", "missing")]
        done = subprocess.run(
            [sys.executable, "-c", code, *names], stdin=file, capture_output=True, text=True, check=True, timeout=30
        )
    assert done.stdout == "[True, False, False]\n"


# --- CPUs --------------------------------------------------------------------------------------------------------


def test_without_an_affinity_all_cpus_count(sixteen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpus(sixteen) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus(sixteen) == 1


@pytest.fixture
def sixteen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 CPUs whose cgroup files are under the folder returned."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def cpus(sixteen: Path) -> int:
    return machine.available_cpus(sixteen / "cgroup", sixteen / "own")


def test_without_a_cgroup_the_affinity_counts(sixteen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpus(sixteen) == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert cpus(sixteen) == 2


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("9000000 100000", 16)],
)
def test_quota_of_cgroup_v2(sixteen: Path, limit: str, expected: int) -> None:
    write(sixteen, own="0::/\n")
    write(sixteen / "cgroup", cpu__max=f"{limit}\n")
    assert cpus(sixteen) == expected


def test_the_tightest_of_the_groups_above_counts(sixteen: Path) -> None:
    write(sixteen, own="0::/pods/worker\n")
    write(sixteen / "cgroup" / "pods" / "worker", cpu__max="800000 100000")
    assert cpus(sixteen) == 8
    write(sixteen / "cgroup" / "pods", cpu__max="300000 100000")
    assert cpus(sixteen) == 3


def test_in_a_container_the_mount_is_the_own_group(sixteen: Path) -> None:
    write(sixteen, own="0::/../../kubepods/pod1\n")
    write(sixteen / "cgroup", cpu__max="400000 100000")
    assert cpus(sixteen) == 4


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", 16), ("", 16), ("25000", 1)])
def test_quota_of_cgroup_v1(sixteen: Path, mount: str, quota: str, expected: int) -> None:
    write(sixteen, own="5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/\n")
    write(sixteen / "cgroup" / mount, cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    write(sixteen / "cgroup" / "memory", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    assert cpus(sixteen) == expected


@pytest.mark.parametrize("garbage", ["", "x y", "1 0", "100000"])
def test_what_cannot_be_understood_is_no_limit(sixteen: Path, garbage: str) -> None:
    write(sixteen, own="garbage\n0::/\n")
    write(sixteen / "cgroup", cpu__max=garbage)
    assert cpus(sixteen) == 16


def test_this_machine_has_a_cpu() -> None:
    assert 1 <= machine.available_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("text", "exactly"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", True),
        ("flags\t\t: fpu avx2 fma\n", False),
        ("Features\t: fp asimd\n", True),  # of ARM
        (None, True),
    ],
)
def test_a_processor_without_vnni_is_known(tmp_path: Path, text: str | None, exactly: bool):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert machine.multiplies_bytes_exactly(tmp_path / "cpuinfo") is exactly


@pytest.mark.parametrize(
    ("text", "of_bytes", "extensions"),
    [
        ("flags\t\t: fpu avx avx2 avx512f avx512_vnni amx_int8\n", True, "avx512f amx_int8 avx512_vnni"),
        ("flags\t\t: fpu avx avx2 avx512f avx512_vnni amx_int8\n", False, "avx512f"),
        ("flags\t\t: fpu avx avx2 fma\n", True, "avx2"),
        ("Features\t: fp asimd asimddp i8mm\n", True, "asimd i8mm asimddp"),
        (None, True, ""),
    ],
)
def test_the_arithmetic_of_a_processor_is_known(tmp_path: Path, text: str | None, of_bytes: bool, extensions: str):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    found = machine.arithmetic(of_bytes=of_bytes, info=tmp_path / "cpuinfo")
    assert found == " ".join(filter(None, [platform.machine(), extensions]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is none")
def test_a_file_without_a_name_is_opened_anew_with_a_position_of_its_own() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"text")
        file.flush()
        path = machine.path_anew(file.fileno())
        assert path
        assert path.read_bytes() == b"text"
        assert file.tell() == 4


def test_a_file_is_not_opened_anew_without_proc(tmp_path: Path) -> None:
    with tempfile.TemporaryFile() as file:
        assert machine.path_anew(file.fileno(), tmp_path / "nowhere") is None
