"""Differences between systems, each behind one function: what Linux has, and macOS or another libc may lack.

Where a system lacks something, the function does what it can, and its docstring says what is lost. Only `link_once`
raises if a system call is missing, because nothing else could keep its promise. `producer.input.memory` limits the
memory for reading, by the same rule.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

#: A flag of `os.open`: do not follow symbolic links. A system without the flag follows them.
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

#: Errors of `os.link` on a file system without hard links: exFAT, many network and shared folders.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
#: Vector extensions, the widest first, and those that multiply bytes.
_VECTORS = ("avx512f", "avx2", "avx", "sve", "asimd")
_BYTES = ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp")
_PR_SET_PDEATHSIG = 1
_M_MMAP_THRESHOLD = -3
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # Linux
_RENAME_EXCL = 4  # macOS


# Processes


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends, for whatever reason (Linux).

    Elsewhere a child outlives a parent killed with SIGKILL; a parent that ends in any other way stops its children.
    """
    prctl = _libc("prctl")
    if prctl:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def multiplies_bytes_exactly(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor adds products of bytes in 32 bits (VNNI). On an x86 older than Cascade Lake or Zen 4,
    onnxruntime adds them in 16 bits, which overflow. True on other processors, and where the system does not say.
    """
    flags = _extensions(info, "flags")
    return not flags or any(name in flags for name in ("avx512_vnni", "avx_vnni"))


def arithmetic(*, of_bytes: bool, info: Path = Path("/proc/cpuinfo")) -> str:
    """The kind of processor and those of its extensions by which onnxruntime chooses how it multiplies: the last digits
    depend on them, and `of_bytes` all of an int8 model's. Where the system does not list them, the kind alone.
    """
    flags = _extensions(info, "flags") or _extensions(info, "Features")
    widest = next((name for name in _VECTORS if name in flags), "")
    extensions = [widest, *(name for name in _BYTES if of_bytes and name in flags)]
    return " ".join([platform.machine(), *filter(None, extensions)])


def _extensions(info: Path, name: str) -> list[str]:
    """What the system says of its first processor under a name, such as `flags`."""
    try:
        lines = info.read_text().splitlines()
    except OSError:
        return []
    return next((line.split() for line in lines if line.startswith(name)), [])


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """CPUs that this process may use: the lowest of its affinity and its cgroups' quotas (v1 or v2), at least 1.

    `os.cpu_count()` ignores both, and onnxruntime would start a thread for each CPU of the host. A quota of 1.5 counts
    as 2: the second thread is throttled half of the time, but the whole quota is used. Without affinity and cgroups
    (macOS) all CPUs of the machine count.
    """
    return max(1, min([_affinity(), *(math.ceil(quota) for quota in _quotas(cgroup, own))]))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def peak_memory() -> int:
    """The highest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def resident_memory(statm: Path = Path("/proc/self/statm")) -> int:
    """The resident memory of this process in bytes (Linux). Elsewhere its peak."""
    try:
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return peak_memory()


# Memory


def give_memory_back() -> None:
    """Have malloc map arrays of 128 KiB and more, and unmap them when they are freed (glibc).

    By default glibc raises that threshold to the largest array ever freed, and memory between such arrays is not
    returned: 100,000 rows took 2 % more. With another libc nothing changes.
    """
    mallopt = _libc("mallopt")
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, 1 << 17)


def trim_memory() -> None:
    """Have malloc return free memory (glibc): each thread's arena would keep hundreds of megabytes.

    Another libc returns memory in its own way.
    """
    malloc_trim = _libc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


# Files


def link_once(staged: Path, path: Path) -> None:
    """Give the file `staged` the name `path` in one step. Raises FileExistsError if that name exists.

    Uses a hard link or, on a file system without them, a rename that replaces nothing (`staged` is gone then). Raises
    OSError with EOPNOTSUPP if the system has neither: a check and a rename would be two steps, and another process
    could publish the same name in between.
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


def path_anew(descriptor: int, own: Path = Path("/proc/self/fd")) -> Path | None:
    """A path that opens an open file again, with a position of its own, even if it has no name any more (Linux).

    None elsewhere: `/dev/fd` shares the position.
    """
    path = own / str(descriptor)
    return path if path.exists() else None


def is_stdin(path: Path) -> bool:
    """Whether `path` is the file that is this process's standard input."""
    try:
        return os.path.samestat(path.stat(), os.fstat(0))
    except OSError:
        return False


# Helpers


@cache
def _libc(name: str) -> Any:
    """A function of this process's C library, or None."""
    with suppress(AttributeError, OSError, TypeError):
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    return None


def _quotas(cgroup: Path, own: Path) -> Iterator[float]:
    """CPUs granted by each cgroup, from the process's own up to the root of the mount."""
    for line in (_read(own) or "0::/").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [cgroup / controllers, cgroup / "cpu"] if controllers else [cgroup]
        for root in roots:
            # In a container the mount is the process's own group already, and `path` may not exist below it.
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
