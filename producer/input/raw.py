"""The bytes of an input as they are stored: counted and digested as they are read.

Knows from the first bytes what is no input of ours, and says what to do about it. Covers nothing that needs rows.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from contract.errors import InputError
from contract.remedy import Call, Remedy, Set
from producer.input import remote

#: What is read at once.
BLOCK = 1 << 18

_UNICODE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_PICKLE = ("a Python pickle", "Write the frame as Parquet: frame.to_parquet('NEW.parquet')")
_UNSUPPORTED = {
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "Save the sheet as CSV (UTF-8)."),
    b"PK": ("a zip archive without a file", "Unpack it and name a file."),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "Unpack it."),
    b"ARROW1\x00\x00": ("an Arrow (Feather) file", "Write it as Parquet."),
    b"Obj\x01": ("an Avro file", "Write it as Parquet."),
    b"\x89HDF": ("an HDF5 file", "Write it as Parquet."),
    b"SQLite format 3\x00": ("an SQLite database", "Export the table as CSV."),
    b"ORC": ("an ORC file", "Write it as Parquet."),
    b"\x93NUMPY": ("a NumPy array", "Write a table with two columns as CSV or Parquet."),
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    b"%PDF-": ("a PDF document", "bulkqa reads CSV, JSON Lines and Parquet."),
}
_MARKUP = {
    b"<!doctype html": "a web page (HTML)",
    b"<html": "a web page (HTML)",
    b"<table": "a web page (HTML)",
    b"<?xml": "an XML document",
}


class RawFile:
    """The bytes of an input as they are stored: counted, digested, with a look ahead at the first ones."""

    def __init__(self, file: str | Path | BinaryIO, resources: ExitStack) -> None:
        self.path: Path | None = None
        if isinstance(file, str) and file == "-":
            file = sys.stdin.buffer
        if isinstance(file, str) and remote.is_remote(file):
            self.label, self.name = remote.shown(file), remote.name_of(file)
            self._file = cast(BinaryIO, remote.opened(file, resources))
        elif isinstance(file, str | Path):
            self.label = str(file)
            self.name = Path(file).name
            self._file = resources.enter_context(_open(file))
            self.path = Path(file) if _size(self._file) is not None else None  # a pipe has no size, and is read once
        else:
            self._file = file
            name = getattr(file, "name", None)
            self.label = self.name = "standard input" if file is sys.stdin.buffer else Path(str(name or "stream")).name
        self.size = self._file.size if isinstance(self._file, remote.Remote) else _size(self._file)
        self.bytes_read = 0
        self._digest = hashlib.sha256()
        self._ahead = b""

    def fileno(self) -> int:
        """The number of the file, of one whose size is known. Raises io.UnsupportedOperation for a pipe."""
        if self.size is None or isinstance(self._file, remote.Remote):
            raise io.UnsupportedOperation
        return self._file.fileno()

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end only. They come again."""
        while len(self._ahead) < count and (more := self._read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, count: int = BLOCK) -> bytes:
        """At most `count` bytes; none at the end only."""
        if self._ahead:
            data, self._ahead = self._ahead[:count], self._ahead[count:]
            return data
        return self._read(count)

    def _read(self, count: int) -> bytes:
        try:
            data = self._file.read(count) or b""
        except (OSError, ValueError) as error:
            raise InputError("unreadable", f"{self.label}: {reason(error)}", "Check the disk or the pipe.") from error
        self.bytes_read += len(data)
        self._digest.update(data)
        return data

    def blocks(self) -> Iterator[bytes]:
        """The bytes from here on, a block at a time."""
        return iter(self.read, b"")

    def finish(self) -> str:
        """The digest of all, for which what was not read yet is."""
        for _ in self.blocks():
            pass
        return self._digest.hexdigest()


def refuse_url(file: object) -> None:
    """Raise InputError for the URL of something. Nothing of it but its scheme is shown: it may hold a password."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", str(file), re.IGNORECASE)  # a Path has lost one of the slashes
    if scheme and not Path(str(file)).exists() and not remote.is_remote(file):
        raise InputError(
            "unreadable",
            f"{scheme[1]}:// is a URL that is not read: inputs are files, stdin, or at s3://, gs://, az:// and https://",
            Remedy("Copy it here, or pipe it: curl -sL URL | ", Call("submit", "-")),
        )


def _open(file: str | Path) -> BinaryIO:
    try:
        return Path(file).open("rb")
    except (OSError, ValueError) as error:
        raise InputError("unreadable", f"{file}: {reason(error)}", "Check the name and the permissions.") from error


def reason(error: Exception) -> str:
    """What an error says, in small letters."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _size(file: BinaryIO) -> int | None:
    try:
        found = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def refuse_foreign(head: bytes, label: str) -> None:
    """Raise InputError if the first 512 bytes are those of a format that is known and not read here."""
    for mark, encoding in _UNICODE_MARKS.items():
        if head.startswith(mark):
            raise bad_encoding(label, f"the file is {encoding}", encoding)
    if order := _byte_order(head[:512]):
        raise bad_encoding(label, f"the file holds NUL bytes: it is {order}", order)
    if head.startswith(b"PARE"):
        raise encrypted(label)
    if head[257:262] == b"ustar":
        raise unsupported(label, "a tar archive", "Unpack it.")
    for magic, (what, remedy) in _UNSUPPORTED.items():
        if head.startswith(magic):
            raise unsupported(label, what, remedy)
    markup = head.removeprefix(codecs.BOM_UTF8).lstrip()[:14].lower()
    for tag, what in _MARKUP.items():
        if markup.startswith(tag):
            raise unsupported(label, what, "Download or save the data itself, as CSV or JSON Lines.")


def unsupported(label: str, what: str, remedy: str) -> InputError:
    """The error of a file that is known for what it is and not read."""
    return InputError("unsupported_format", f"{label}: {what}, which is not supported", remedy)


def encrypted(label: str) -> InputError:
    """The error of Parquet that is encrypted."""
    return unsupported(label, "encrypted Parquet", "Write it unencrypted.")


def bad_encoding(label: str, what: str, encoding: str) -> InputError:
    """An error for a file that is in another encoding, of a name that both Python and iconv know."""
    convert = f"   Or convert it: iconv -f {encoding} -t UTF-8 FILE > NEW"
    remedy = Remedy("Read it with: ", Set(encoding=encoding), convert)
    return InputError("bad_encoding", f"{label}: {what}, not UTF-8", remedy)


def recoded(blocks: Iterator[bytes], encoding: str, label: str) -> Iterator[bytes]:
    """The same text in UTF-8. A byte that the encoding does not know is left, and will be an error of its row; where
    all that follows would be in doubt, InputError is raised."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    try:
        for block in chain(blocks, [b""]):
            yield decoder.decode(block, final=not block).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        what = f"{label}: not valid {encoding}: {error.reason if isinstance(error, UnicodeDecodeError) else error}"
        raise InputError(
            "bad_encoding", what, Remedy("Name another ", Set("encoding"), ", or copy the file again.")
        ) from error


def _byte_order(head: bytes) -> str | None:
    """UTF-16LE or UTF-16BE, told from where the NULs of ASCII text are; None if it is neither."""
    half = len(head) // 2
    first, second = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if max(first, second) * 2 <= half or min(first, second) * 4 > half:
        return None
    return "UTF-16BE" if first > second else "UTF-16LE"
