"""The files of an input, one or many, opened one after the other. All bytes are counted and digested.

Files of a folder come in the order of their names. Names that begin with a dot or an underscore are not data (Spark's
`_SUCCESS`, check sums), and a file without rows is passed over. Covers no folders within a folder.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path

from contract.errors import InputError
from producer.input import remote
from producer.input.detect import detected
from producer.input.formats.datafile import DataFile
from producer.input.location import File, Folder, Location, Many, One, Pattern, Prefix, Url
from producer.input.options import ReadOptions
from producer.input.raw import RawFile

_NOT_DATA = (".", "_")


class InputFiles:
    """The files of an input under way."""

    def __init__(self, location: Location, options: ReadOptions, memory: int) -> None:
        self.label, self.name = location.label, location.name
        self.several = isinstance(location, Many)
        self.size: int | None = None  #: bytes of all; None for a pipe, and until the first file is open
        self._options = options
        self._memory = memory
        self._locations: Sequence[One] = files_of(location) if isinstance(location, Many) else [location]
        if self.several:
            self.size = sum(map(_size, self._locations))
        self._raw: RawFile | None = None  # of the file under way
        self._file: DataFile | None = None
        self._before = 0  # bytes of the files that were read
        self._digests: list[str] = []

    @property
    def bytes_read(self) -> int:
        """Of all files so far, as they are stored: compressed, if they are."""
        if self._raw is None:
            return self._before
        if self._file is None or self._file.progress is None or self._raw.size is None:
            return self._before + self._raw.bytes_read
        return self._before + int(self._raw.size * self._file.progress())

    def digest(self) -> str:
        """The SHA-256 of a file as it is stored; of several, that of their digests in order. Known at the end."""
        return hashlib.sha256("".join(self._digests).encode()).hexdigest() if self.several else self._digests[0]

    def opened(self) -> Generator[tuple[str, DataFile]]:
        """Each file with rows, and its name. It is read, closed and digested before the next is opened. Raises
        InputError."""
        for location in self._locations:
            with ExitStack() as resources:
                self._raw = raw = RawFile(location, resources)
                if not self.several:
                    self.size = raw.size
                try:
                    self._file = detected(raw, self._options, resources, self._memory)
                except InputError as error:
                    if not (self.several and error.code == "empty_file"):
                        raise
                else:
                    yield raw.name, self._file
                self._digests.append(raw.digest())
            self._before += raw.bytes_read
            self._raw = self._file = None


def files_of(location: Many) -> list[File] | list[Url]:
    """The files of a folder, a pattern or a prefix, in order. Raises InputError if there are none."""
    match location:
        case Prefix(url=url):
            return [Url(remote.shown(each), remote.name_of(each), each) for each in remote.objects_of(url, _NOT_DATA)]
        case Folder(path=path):
            paths = list(path.iterdir())
            if folder := next((each for each in sorted(paths) if each.is_dir() and _is_data(each)), None):
                message = f"{location.label}: a folder with folders in it, such as {folder.name}"
                raise InputError("unreadable", message, f"Name one of them, or a pattern: '{location.label}/*/*'")
        case Pattern(pattern=pattern):
            paths = [each for each in map(Path, glob.glob(pattern)) if each.is_file()]  # noqa: PTH207 - absolute too
    paths = sorted(filter(_is_data, paths))
    if not paths:
        remedy = "Is it the right folder? Names that begin with . or _ are left out."
        raise InputError("empty_file", f"{location.label}: no files", remedy)
    return [File(str(path), path.name, path) for path in paths]


def _is_data(path: Path) -> bool:
    return not path.name.startswith(_NOT_DATA)


def _size(location: One) -> int:
    match location:
        case File(path=path):
            return path.stat().st_size
        case Url(url=url):
            return remote.size_of(url)
    raise TypeError(location)
