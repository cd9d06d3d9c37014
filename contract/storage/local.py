"""Storage in a folder: on a disk, or on a volume that all containers mount. Objects are files."""

from __future__ import annotations

import errno
import os
import stat
import time
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from contract.errors import BulkqaError, StorageUnreachable, UsageError
from contract.machine import NO_FOLLOW, link_once
from contract.remedy import Call, Remedy
from contract.storage.protocol import BLOCK, TEMPORARY, Data


class LocalStorage:
    """A folder. `contract.machine.link_once` says what its file system must support."""

    at_once = 1

    def __init__(self, root: Path, *, create: bool = False) -> None:
        try:
            self.root = Path(root).expanduser().absolute()
            if create:
                self.root.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError, ValueError) as error:  # the latter two: no such home, a NUL
            why = "a file is in its place" if isinstance(error, FileExistsError) else getattr(error, "strerror", None)
            raise StorageUnreachable(
                f"no storage can be created at {root}: {why or error}",
                _REMEDY.get(getattr(error, "errno", None) or 0)
                or "Set BULKQA_STORAGE_URL to a folder that this user can write to.",
            ) from error
        self.url = str(self.root)
        with _translated(self.url):
            if not self.root.is_dir():
                raise StorageUnreachable(
                    f"there is no storage folder {self.root}",
                    "Create it, or set BULKQA_STORAGE_URL to another.",
                )
            self._real = os.path.realpath(self.root)

    def read(self, key: str) -> bytes:
        with _translated(self.url), self._open(key) as file:
            return file.read()

    def tail(self, key: str, size: int) -> bytes:
        with _translated(self.url), self._open(key) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read()

    def blocks(self, key: str) -> Iterator[bytes]:
        with _translated(self.url), self._open(key) as file:
            while block := file.read(BLOCK):
                yield block

    def exists(self, key: str) -> bool:
        with _translated(self.url):
            return self._path(key).exists()

    def list(self, folder: str, after: str = "") -> list[str]:
        with _translated(self.url):
            try:
                names = os.listdir(self._path(folder))  # noqa: PTH208 - names alone, and fast
            except (FileNotFoundError, NotADirectoryError):
                return []
        names.sort()
        last = first = bisect_left(names, TEMPORARY)  # now side by side: no need to look at each of ten thousand names
        while last < len(names) and names[last].startswith(TEMPORARY):
            last += 1
        del names[first:last]
        return names[bisect_right(names, after) :] if after else names

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        with _translated(self.url):
            top = self._path(folder)
            for path, status in _tree(top):
                if not stat.S_ISDIR(status.st_mode):
                    yield path.relative_to(top).as_posix(), status.st_size

    def create(self, key: str, data: Data, *, durable: bool = True) -> bool:
        with _translated(self.url), self._staged(key, data, durable=durable) as (staged, path):
            try:
                link_once(staged, path)
            except FileExistsError:
                if not _is_same(staged, path):
                    return False
            except FileNotFoundError:  # the staged file was swept: whoever made this object has published the job
                if path.exists():
                    return False
                raise
            if durable:
                _sync_folder(path.parent)
        return True

    def settle(self) -> None:
        os.sync()

    def replace(self, key: str, data: bytes) -> None:
        # Not synced: a hint has to survive the death of a process, not a crash of the machine.
        with _translated(self.url), self._staged(key, data, durable=False) as (staged, path):
            staged.replace(path)

    def delete(self, key: str) -> None:
        with _translated(self.url):
            self._path(key).unlink(missing_ok=True)

    def sweep(self, folder: str, older_than: float) -> None:
        with _translated(self.url):
            for path in self._path(folder).rglob(f"{TEMPORARY}*"):
                with suppress(FileNotFoundError):  # its writer, or another sweep, was faster
                    if time.time() - path.stat().st_mtime >= older_than:
                        path.unlink()

    def discard(self, folder: str, older_than: float = 0.0) -> bool:
        with _translated(self.url):
            contents = list(_tree(self._path(folder)))
            if older_than and any(time.time() - status.st_mtime < older_than for _, status in contents):
                return False
            for path, status in contents:  # a file that was added since keeps its folder, and rmdir raises
                with suppress(FileNotFoundError):
                    path.rmdir() if stat.S_ISDIR(status.st_mode) else path.unlink()
        return True

    def prune(self, folder: str) -> None:
        with _translated(self.url):
            for path, status in _tree(self._path(folder)):
                if stat.S_ISDIR(status.st_mode):
                    with suppress(OSError):  # not empty
                        path.rmdir()

    def locate(self, key: str) -> str:
        return str(self.root / key)

    @contextmanager
    def _staged(self, key: str, data: Data, *, durable: bool = True) -> Iterator[tuple[Path, Path]]:
        """Write `data` to a temporary file in the folder of `key`. If `durable`, sync it before it gets its name."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.parent / f"{TEMPORARY}{path.name}-{uuid.uuid4().hex}"
        try:
            with staged.open("xb") as file:
                for block in (data,) if isinstance(data, bytes) else data:
                    file.write(block)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            yield staged, path
        finally:
            staged.unlink(missing_ok=True)

    def _open(self, key: str) -> BinaryIO:
        """Open a regular file and nothing else: opening a pipe could block forever. Links are not followed."""
        file = open(os.open(self._path(key), os.O_RDONLY | NO_FOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: PTH123, SIM115
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        raise BulkqaError(f"{self.locate(key)} is not a regular file", "Remove it: bulkqa did not create it.")

    def _path(self, key: str) -> Path:
        path = self.root / key
        # No symlink inside the root may lead out of it, whoever made it.
        inside = (os.path.realpath(path.parent) + os.sep).startswith(self._real.rstrip(os.sep) + os.sep)
        if not inside or ".." in path.parts or path.is_symlink():
            raise UsageError(f"{key!r} is outside of the storage root")
        return path


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, StorageUnreachable):
        raise
    except OSError as error:
        raise StorageUnreachable(f"storage {url}: {error.strerror or error}", _REMEDY.get(error.errno or 0)) from error


_REMEDY = {
    errno.ENOSPC: Remedy("The disk is full: make room, then continue jobs with: ", Call("repair")),
    errno.EDQUOT: Remedy("The quota is used up: make room, then continue jobs with: ", Call("repair")),
    errno.EACCES: "Give this user read and write access, or set BULKQA_STORAGE_URL to another folder.",
    errno.EOPNOTSUPP: "Results are written once. That takes hard links or a rename that never replaces a file: this "
    "file system has neither. Set BULKQA_STORAGE_URL to a folder on another disk.",
    errno.EROFS: "It is mounted read-only: mount it writable, or set BULKQA_STORAGE_URL to another folder.",
}


def _tree(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """A folder and everything in it, contents first. What disappears meanwhile is left out."""
    for at, folders, files in os.walk(root, topdown=False):
        folder = Path(at)
        links = (name for name in folders if (folder / name).is_symlink())
        for path in (*(folder / name for name in (*files, *links)), folder):
            with suppress(FileNotFoundError):
                yield path, path.lstat()


def _is_same(staged: Path, path: Path) -> bool:
    """Whether a link that already exists is our own: NFS repeats a call whose reply was lost."""
    try:
        return os.path.samestat(staged.lstat(), path.lstat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
