"""The files of an input, one or many, opened one after the other. All bytes are counted and digested.

Files come in the order of their names, folder by folder. Names that begin with a dot or an underscore are not data
(Spark's `_SUCCESS`, check sums), nor are files that systems leave behind. A file without rows is skipped, and so is,
with a note, what is not a file. A prefix means all objects below it; a folder with folders in it is refused, and a
pattern reads it.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from contract.errors import InputError
from producer.input import remote
from producer.input.detect import detected
from producer.input.formats.datafile import DataFile
from producer.input.location import File, Folder, Location, Many, One, Pattern, Prefix, Url, is_data
from producer.input.options import ReadOptions
from producer.input.raw import RawFile, reason

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


class InputFiles:
    """The files of an input under way."""

    def __init__(self, location: Location, options: ReadOptions, memory: int) -> None:
        self.label, self.name = location.label, location.name
        self.several = isinstance(location, Many)
        self.size: int | None = None  #: bytes of all; None for a pipe, and until the first file is open
        self._options = options
        self._memory = memory
        self._notes: list[str] = []  # of what was skipped, and of the files that were read
        self._locations: Sequence[One] = self._listed(location) if isinstance(location, Many) else [location]
        self.count = len(self._locations)
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

    @property
    def notes(self) -> list[str]:
        """What the user should know about the files, as far as they were read."""
        if self._raw is None or self._file is None:
            return self._notes
        return [*self._notes, *(f"{self._raw.name}: {note}" for note in self._file.notes())]

    def digest(self) -> str:
        """The SHA-256 of a file as it is stored; of several, that of their digests in order. Known at the end."""
        return hashlib.sha256("".join(self._digests).encode()).hexdigest() if self.several else self._digests[0]

    def _listed(self, location: Many) -> Sequence[One]:
        files = files_of(location, self._notes)
        self.size = sum(file.size for file in files)
        return files

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
            self._notes = self.notes
            self._raw = self._file = None


def files_of(location: Many, notes: list[str]) -> list[File] | list[Url]:
    """The files of a folder, a pattern or a prefix, in order. Adds to `notes` what is skipped. Raises InputError if
    there are none."""
    match location:
        case Prefix(url=url):
            files: list[File] | list[Url] = _objects(url)
        case Folder(path=path, label=label):
            files = [*_local(path, ("*",), notes)]
            if folders := [each.name for each in _within(path) if os.path.isdir(each) and is_data(each.name)]:  # noqa: PTH112
                message = f"{label}: a folder with folders in it, such as {min(folders)}"
                all_below = shlex.quote(f"{label.rstrip('/')}/**")
                raise InputError("unreadable", message, f"Name one of them, or a pattern: {all_below}")
        case Pattern(pattern=pattern):
            top, rest = _split(pattern, os.path.exists)
            files = [*_local(Path(top), tuple(rest.split("/")), notes)]
    if not files:
        what, where = ("objects", "prefix") if isinstance(location, Prefix) else ("files", "folder")
        remedy = f"Is it the right {where}? Names that begin with . or _ are left out."
        raise InputError("empty_file", f"{location.label}: no {what}", remedy)
    return files


def _objects(url: str) -> list[Url]:
    bucket = remote.bucket_of(url)
    root, key = remote.split(url)

    def is_there(prefix: str) -> bool:
        return any(True for _ in remote.below(root + prefix, bucket))

    prefix, pattern = (key, "**") if key.endswith("/") or not key else _split(key, is_there)
    top, sizes = root + prefix, dict(remote.below(root + prefix, bucket))
    return [
        Url(remote.shown(top + name), name, top + name, sizes[name], bucket)
        for name in sorted(sizes, key=_parts)
        if is_data(name) and _matches(_parts(name), _parts(pattern))
    ]


def _local(folder: Path, pattern: tuple[str, ...], notes: list[str], above: tuple[str, ...] = ()) -> Iterator[File]:
    """The files below a folder whose names from `above` on match a pattern."""
    for path in sorted(_within(folder)):
        parts = (*above, path.name)
        matches, may_hold = _matches(parts, pattern), _matches(parts, pattern, begins=True)
        if not is_data(path.name) or not (matches or may_hold):
            continue
        if os.path.isdir(path):  # noqa: PTH112 - False also for what may not be looked at
            if may_hold and not _is_loop(path):
                yield from _local(path, pattern, notes, parts)
        elif matches:
            status = _status(path)
            if stat.S_ISREG(status.st_mode):
                yield File(str(path), "/".join(parts), path, status.st_size)
            else:
                notes.append(f"{path} was skipped: it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}")
        elif not os.path.exists(path):  # noqa: PTH110 - likewise
            notes.append(f"{path} was skipped: it is a link that leads nowhere, perhaps to a folder")


def _within(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise InputError("unreadable", f"{folder}: {reason(error)}", "Check the permissions of the folder.") from error


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        if path.is_symlink():
            message = f"{path}: a link that leads to no file: {path.readlink()}"
            raise InputError(
                "unreadable", message, "Fix or remove it, or name the other files by a pattern."
            ) from error
        raise InputError("unreadable", f"{path}: {reason(error)}", "Check the permissions.") from error


def _is_loop(path: Path) -> bool:
    """Whether a folder is a link to a folder that contains it."""
    return path.is_symlink() and any(path.samefile(parent) for parent in path.absolute().parents)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(name.split("/"))


def _split(pattern: str, is_there: Callable[[str], bool]) -> tuple[str, str]:
    """The folder in which a pattern is looked for, "" or with a slash at its end, and the rest. A part with brackets is
    a folder's name if `is_there` says so."""
    folder = ""
    *parts, last = pattern.split("/")
    for number, part in enumerate(parts):
        if glob.has_magic(part) and not is_there(f"{folder}{part}/"):
            return folder, "/".join([*parts[number:], last])
        folder += f"{part}/"
    return folder, last


def _matches(parts: Sequence[str], pattern: Sequence[str], *, begins: bool = False) -> bool:
    """Whether names match a pattern part by part; `**` stands for any number of them. With `begins`: whether names
    below them can."""
    if not parts:
        return bool(pattern) if begins else all(part == "**" for part in pattern)
    if not pattern:
        return False
    if pattern[0] == "**":
        return begins or _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:], begins=begins)
