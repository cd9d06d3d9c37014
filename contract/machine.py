"""What systems differ in, each difference behind one function: Linux has it, macOS or another libc may not.

Where a system lacks something, the function does what it can and says here what is lost. Nothing in here raises for
want of a system call, but `link_once`, whose promise nothing else could keep. The memory that reading may take is
bounded in `producer.input.memory`, which has the same rule.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

#: For `os.open`: a link is not followed. Where the flag is unknown a link is.
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

#: What `os.link` answers on a file system that has no hard links: exFAT, many network and shared folders.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
_PR_SET_PDEATHSIG = 1
_M_MMAP_THRESHOLD = -3
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # Linux
_RENAME_EXCL = 4  # macOS


# Processes


def end_with_parent() -> None:
    """Have the kernel stop this process when its parent is gone, however it went (Linux).

    Elsewhere a child outlives a parent that is killed with SIGKILL; one that ends in any other way stops its children.
    """
    prctl = _libc("prctl")
    if prctl:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def multiplies_bytes_exactly(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor adds up products of bytes in 32 bits (VNNI), and not in 16 that overflow: an x86 of before
    Cascade Lake or Zen 4 does the latter, with what onnxruntime has for it. Where the system does not tell, and on
    other processors, it is believed to.
    """
    try:
        flags = [line for line in info.read_text().splitlines() if line.startswith("flags")]
    except OSError:
        return True
    return not flags or any(name in flags[0].split() for name in ("avx512_vnni", "avx_vnni"))


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """CPUs that this process may use: the least of its affinity and its cgroups' quotas (v1 or v2), at least 1.

    `os.cpu_count()` knows of neither, and onnxruntime would start a thread for each CPU of the host. A quota of 1.5
    counts as 2: the second thread is throttled for half of the time, but what was paid for is used. Where there is
    neither affinity nor a cgroup (macOS) all CPUs of the machine count.
    """
    return max(1, min([_affinity(), *(math.ceil(quota) for quota in _quotas(cgroup, own))]))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def peak_memory() -> int:
    """The most memory that this process held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


# Memory


def give_memory_back() -> None:
    """Have malloc map arrays of 128 KiB and more, and unmap them when they are freed (glibc).

    By itself glibc raises that bound to the largest array ever freed, and what lies between them stays: 100,000 rows
    took 2 % more memory so. Where libc is another, nothing changes.
    """
    mallopt = _libc("mallopt")
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, 1 << 17)


def trim_memory() -> None:
    """Have malloc give back what is free (glibc): each thread's arena would keep its own hundreds of megabytes.

    Where libc is another, it gives back what and when it will.
    """
    malloc_trim = _libc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


# Files


def link_once(staged: Path, path: Path) -> None:
    """Give the file `staged` the name `path`, if nothing has that name. Raises FileExistsError otherwise.

    By a hard link, which every system with them makes in one step. On a file system without them, by a rename that
    replaces nothing, which is one step as well; `staged` is gone then. Where there is neither, OSError with EOPNOTSUPP:
    a look and a rename would be two steps, and between them another process could publish the same name.
    """
    try:
        os.link(staged, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_once(staged, path)


def _rename_once(staged: Path, path: Path) -> None:
    linux, macos = _libc("renameat2"), _libc("renamex_np")
    old, new = os.fsencode(staged), os.fsencode(path)
    ctypes.set_errno(0)
    if linux:
        failed = linux(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE)
    elif macos:
        failed = macos(old, new, _RENAME_EXCL)
    else:
        failed = -1
        ctypes.set_errno(errno.ENOSYS)
    if failed:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            number = errno.EOPNOTSUPP
        raise OSError(number, os.strerror(number), str(staged), None, str(path))


def is_stdin(path: Path) -> bool:
    """Whether `path` is the file that this process reads as its standard input."""
    try:
        return os.path.samestat(path.stat(), os.fstat(0))
    except OSError:
        return False


# What the above stand on


@cache
def _libc(name: str) -> Any:
    """A function of the C library that this process runs on, or None."""
    with suppress(AttributeError, OSError, TypeError):
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    return None


def _quotas(cgroup: Path, own: Path) -> Iterator[float]:
    """CPUs granted by each cgroup from the process's own up to the root of what is mounted."""
    for line in (_read(own) or "0::/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [cgroup / controllers, cgroup / "cpu"] if controllers else [cgroup]
        for root in roots:
            # In a container the mount already is the process's own group, and `path` may not exist below it.
            for group in (Path(path.strip("/")), *Path(path.strip("/")).parents):
                quota = _quota(root / group)
                if quota is not None:
                    yield quota


def _quota(group: Path) -> float | None:
    v2 = (_read(group / "cpu.max") or "max").split()
    quota, period = v2 if len(v2) == 2 else (_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))
    try:
        return int(quota or -1) / int(period or 0) if int(quota or -1) > 0 else None
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii")
    except (OSError, ValueError):
        return None
