"""A folder of files, or those that a pattern names, as one input: rows numbered through, ids told apart across files.

Files come in the order of their names. What begins with a dot or an underscore is no data (Spark's `_SUCCESS`, check
sums), and a file without rows is passed over. All have the columns of the first. Covers no folders within.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from contract.errors import InputError
from producer.input import remote
from producer.input.detect import Found, Shared, opened
from producer.input.options import ReadOptions
from producer.input.raw import RawFile

_NO_DATA = (".", "_")


def files_of(file: str | Path | BinaryIO) -> list[Path] | list[str] | None:
    """The files of a folder, or of a pattern such as `part-*.csv`, here or in an object store; None for what is one
    file. Raises InputError."""
    if isinstance(file, str) and remote.is_remote(file):
        return remote.all_of(file)
    if not isinstance(file, str | Path) or str(file) in ("-", ""):  # no name is no name of this folder
        return None
    path = Path(file)
    if path.is_dir():
        found = [each for each in path.iterdir() if not each.name.startswith(_NO_DATA)]
        if within := next((each for each in sorted(found) if each.is_dir()), None):
            message = f"{file}: a folder with folders in it, such as {within.name}"
            raise InputError("unreadable", message, f"Name one of them, or a pattern: '{file}/*/*'")
    elif not path.exists() and glob.has_magic(str(file)):
        found = [Path(name) for name in glob.glob(str(file))]  # noqa: PTH207 - of an absolute pattern too
        found = [each for each in found if each.is_file() and not each.name.startswith(_NO_DATA)]
    else:
        return None
    if not found:
        raise InputError("empty_file", f"{file}: no files", "Is it the right folder? Names in . and _ are passed over.")
    return sorted(found)


class Folder:
    """The files of a folder under way: a name, a size, the bytes read and, at the end, a digest, as a `RawFile` has."""

    def __init__(
        self,
        file: str | Path,
        paths: list[Path] | list[str],
        options: ReadOptions,
        memory: int,
        resources: ExitStack,
    ) -> None:
        self.label, self.name = _named(file)
        self.size: int | None = sum(_size(path) for path in paths)
        self._paths = paths
        self._options = options
        self._memory = memory
        self._shared = Shared(resources, several=True)
        self._part: RawFile | None = None
        self._before = 0  # bytes of the files that were read
        self._digests: list[str] = []

    @property
    def bytes_read(self) -> int:
        """Of all files so far, as they are stored."""
        return self._before + (self._part.bytes_read if self._part else 0)

    def finish(self) -> str:
        """The digest of the digests of all files, in order."""
        return hashlib.sha256("".join(self._digests).encode()).hexdigest()

    def found(self) -> Found:
        """What the first file with rows is, with the rows of all. Raises InputError."""
        parts = self._parts()
        first = next(parts, None)
        if first is None:
            raise InputError("empty_file", f"{self.label}: no file of it has rows", "Is it the right folder?")
        tables = self._tables(first, parts)
        return Found(first.format, first.names, first.schema, tables, first.delimiter, types=first.types)

    def _tables(self, first: Found, parts: Iterator[Found]) -> Iterator[pa.Table]:
        yield from first.tables
        for part in parts:
            yield from part.tables

    def _parts(self) -> Iterator[Found]:
        """File by file, each closed and digested when the next is asked for."""
        for path in self._paths:
            with ExitStack() as resources:
                self._part = RawFile(path, resources)
                try:
                    yield opened(self._part, self._options, resources, self._memory, self._shared)
                except InputError as error:
                    if error.code != "empty_file":
                        raise
                self._digests.append(self._part.finish())
            self._before, self._part = self.bytes_read, None


def _named(file: str | Path) -> tuple[str, str]:
    """How it is spoken of, and its last part."""
    if isinstance(file, str) and remote.is_remote(file):
        return remote.shown(file), remote.name_of(file)
    return str(file), Path(file).resolve().name if Path(file).is_dir() else Path(file).name


def _size(path: Path | str) -> int:
    return path.stat().st_size if isinstance(path, Path) else remote.size_of(path)
