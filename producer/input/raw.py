"""The bytes of an input as they are stored: counted and digested as they are read.

Recognizes foreign formats and encodings by the first bytes, and says what to do about them. Covers nothing that needs
rows.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from contract.errors import InputError
from contract.remedy import Remedy, Set
from producer.input import remote
from producer.input.location import File, One, Stream, Url

#: Bytes that are read at once.
BLOCK = 1 << 18
#: What to do if a file has no rows.
WRONG_FILE = "Is it the right file?"

_UNICODE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
#: What to do about a workbook that is not read.
SAVE_SHEET = "Save the sheet as CSV (UTF-8)."
_PICKLE = ("a Python pickle", "Write the frame as Parquet: frame.to_parquet('NEW.parquet')")
_UNSUPPORTED = {
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", SAVE_SHEET),
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

    def __init__(self, location: One, resources: ExitStack) -> None:
        self.label, self.name = location.label, location.name
        self.path: Path | None = None
        match location:
            case File():
                self._file = resources.enter_context(_open(location))
                self.size = _size(self._file)
                self.path = location.path if self.size is not None else None  # a pipe has no size, and is read once
            case Url():
                stream = remote.opened(location.url, resources, location.bucket)
                self._file, self.size = cast(BinaryIO, stream), stream.size
            case Stream():
                self._file, self.size = location.file, _size(location.file)
        self.bytes_read = 0
        self._sha256 = hashlib.sha256()
        self._ahead = b""

    def fileno(self) -> int:
        """The descriptor of a file. Raises io.UnsupportedOperation for a pipe and a remote file."""
        if self.size is None:
            raise io.UnsupportedOperation
        return self._file.fileno()

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end. They come again."""
        while len(self._ahead) < count and (more := self._read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, count: int = BLOCK) -> bytes:
        """At most `count` bytes; none only at the end."""
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
        self._sha256.update(data)
        return data

    def blocks(self) -> Iterator[bytes]:
        """The bytes from here on, a block at a time."""
        return iter(self.read, b"")

    def digest(self) -> str:
        """The SHA-256 of all bytes. Reads those that were not read yet."""
        for _ in self.blocks():
            pass
        return self._sha256.hexdigest()


def _open(file: File) -> BinaryIO:
    try:
        return file.path.open("rb")
    except (OSError, ValueError) as error:
        raise InputError(
            "unreadable", f"{file.label}: {reason(error)}", "Check the name and the permissions."
        ) from error


def reason(error: Exception) -> str:
    """What an error says, in lower case."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _size(file: BinaryIO) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def refuse_foreign(head: bytes, label: str) -> None:
    """Raise InputError if the first 512 bytes show a format that is known and not supported."""
    for mark, encoding in _UNICODE_MARKS.items():
        if head.startswith(mark):
            raise bad_encoding(label, f"the file is {encoding}", encoding)
    if order := _byte_order(head[:512]):
        raise bad_encoding(label, f"the file holds NUL bytes: it is {order}", order)
    if head.startswith(b"PARE"):
        raise encrypted(label)
    if head[257:262] == b"ustar":
        raise unsupported(label, "a tar archive", "Unpack it.")
    for magic, (kind, remedy) in _UNSUPPORTED.items():
        if head.startswith(magic):
            raise unsupported(label, kind, remedy)
    markup = head.removeprefix(codecs.BOM_UTF8).lstrip()[:14].lower()
    for tag, kind in _MARKUP.items():
        if markup.startswith(tag):
            raise unsupported(label, kind, "Download or save the data itself, as CSV or JSON Lines.")


def empty(label: str) -> InputError:
    """The error of a file without a byte."""
    return InputError("empty_file", f"{label}: the file is empty", WRONG_FILE)


def unsupported(label: str, kind: str, remedy: str) -> InputError:
    """The error of a file whose format is known and not supported."""
    return InputError("unsupported_format", f"{label}: {kind}, which is not supported", remedy)


def encrypted(label: str) -> InputError:
    """The error of encrypted Parquet."""
    return unsupported(label, "encrypted Parquet", "Write it unencrypted.")


def bad_encoding(label: str, kind: str, *encodings: str) -> InputError:
    """The error of a file in another encoding. `encodings` are likely, by names that both Python and iconv know."""
    if len(encodings) == 1:
        convert = f"   Or convert it: iconv -f {encodings[0]} -t UTF-8 FILE > NEW"
        remedy = Remedy("Read it with: ", Set(encoding=encodings[0]), convert)
    elif encodings:
        first, *others = (Set(encoding=encoding) for encoding in encodings)
        parts = (part for other in others for part in (" or ", other))
        remedy = Remedy("See which one gives readable text, for example: ", first, *parts)
    else:
        remedy = Remedy("Name the one that it was written in with ", Set("encoding"), " (file -i FILE may know it).")
    return InputError("bad_encoding", f"{label}: {kind}, not UTF-8", remedy)


def recoded(blocks: Iterator[bytes], encoding: str, label: str) -> Iterator[bytes]:
    """The same text in UTF-8. A byte that the encoding does not have stays, and will be an error of its row. Raises
    InputError if all that follows would be in doubt."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    try:
        for block in chain(blocks, [b""]):
            yield decoder.decode(block, final=not block).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        kind = f"{label}: not valid {encoding}: {error.reason if isinstance(error, UnicodeDecodeError) else error}"
        raise InputError(
            "bad_encoding", kind, Remedy("Name another ", Set("encoding"), ", or copy the file again.")
        ) from error


def _byte_order(head: bytes) -> str | None:
    """UTF-16LE or UTF-16BE, by where the NULs of ASCII characters are; None if it is neither. Below an ASCII header of
    eight characters the text may have none."""
    for order, place in (("UTF-16BE", 0), ("UTF-16LE", 1)):
        if head[place:16:2] == bytes(8) and 0 not in head[1 - place : 16 : 2]:
            return order
    half = len(head) // 2
    first, second = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if max(first, second) * 2 <= half or min(first, second) * 4 > half:
        return None
    return "UTF-16BE" if first > second else "UTF-16LE"
