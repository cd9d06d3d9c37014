"""Compressed input, unpacked a block at a time: no more than a block is held, however much a file expands.

The first bytes show the kind; brotli has no mark, and goes by its name. The standard library reads gzip (it is quicker
than Arrow, and accepts the zeros that tapes and block devices append), bzip2 (Arrow fails on an empty member) and xz
(Arrow has none). Arrow reads zstd, lz4 and brotli.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.errors import InputError
from contract.remedy import Call, Remedy
from producer.input.location import is_data, is_system
from producer.input.memory import Bound
from producer.input.options import Limits
from producer.input.raw import BLOCK, SAVE_SHEET, RawFile, reason, unsupported

_MAGIC = {
    "gzip": b"\x1f\x8b",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "zip": b"PK\x03\x04",
}
_A = {kind: f"an {kind}" if kind in ("xz", "lz4") else f"a {kind}" for kind in (*_MAGIC, "brotli")}
_TOOLS = {"gzip": "gzip -dc", "zip": "unzip -p"}
#: Beyond this many bytes, data that is this many times larger than its file is not text: gzip makes at most 1,032 bytes
#: of one, some hundred for text. The others look further back for repetitions, and have a higher limit.
_UNPACKED, _RATIO = 256 << 20, {"gzip": 800, "zip": 800}
_RATIO_OF_OTHERS = 4000
#: Memory that xz may take: its strongest level needs 65 MiB, and a file may ask for 4 GiB.
_XZ_MEMORY = 192 << 20
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException, MemoryError)


def compression(head: bytes, name: str) -> str | None:
    """The compression of a file with this beginning: gzip, bzip2, xz, zstd, lz4, brotli or zip; None if it has none."""
    for kind, magic in _MAGIC.items():
        if head.startswith(magic) and (kind != "bzip2" or head[4:7] in (b"1AY", b"\x17rE")):
            return kind
    return "brotli" if name.endswith(".br") else None


def unpacked(raw: RawFile, kind: str, limits: Limits) -> Iterator[bytes]:
    """The unpacked bytes of a file, members one after the other. Raises InputError at damage, and for a bomb."""
    return _guarded(_READERS[kind](raw), kind, raw.label, lambda: raw.bytes_read, limits)


def unzipped(path: Path, label: str, bound: Bound, resources: ExitStack, limits: Limits) -> Iterator[bytes]:
    """The bytes of the one file in a zip archive. Raises InputError if there are others, or it is damaged."""
    try:
        with bound:
            archive = resources.enter_context(zipfile.ZipFile(path))
        member = _only_member(archive, label)
        file = resources.enter_context(archive.open(member))
    except RuntimeError as error:
        raise unsupported(label, "a zip archive with a password", "Unpack it: unzip FILE") from error
    except _DAMAGE as error:
        raise _damaged(label, "zip", error) from error
    return _guarded(iter(lambda: file.read(BLOCK), b""), "zip", label, lambda: member.compress_size, limits)


def _only_member(archive: zipfile.ZipFile, label: str) -> zipfile.ZipInfo:
    names = {entry.filename for entry in archive.infolist()}
    if "[Content_Types].xml" in names:
        what = "an Excel workbook" if any(name.startswith("xl/") for name in names) else "an Office document"
        raise unsupported(label, what, SAVE_SHEET)
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    files = [entry for entry in entries if is_data(entry.filename)]
    files = files or [entry for entry in entries if not is_system(entry.filename)]  # a name may begin with _
    if len(files) != 1:
        raise unsupported(label, f"a zip archive of {len(files)} files", "Unpack it and name one: unzip FILE")
    if files[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
        raise unsupported(label, "a zip archive that is packed in a rare way", "Unpack it: unzip FILE")
    return files[0]


def _arrow(kind: str) -> Callable[[RawFile], Iterator[bytes]]:
    def read(raw: RawFile) -> Iterator[bytes]:
        with pa.CompressedInputStream(pa.PythonFile(_Open(raw), mode="r"), kind) as file:
            yield from iter(lambda: file.read(BLOCK), b"")

    return read


class _Open:
    """What Arrow needs of a file beside its bytes. The opener closes it."""

    closed = False

    def __init__(self, raw: RawFile) -> None:
        self.read = raw.read

    def close(self) -> None:
        pass


def _gzip(raw: RawFile) -> Iterator[bytes]:
    # GzipFile needs read() only, and RawFile has no more.
    with gzip.GzipFile(fileobj=raw) as file:  # type: ignore[call-overload]
        yield from iter(lambda: file.read(BLOCK), b"")


def _streams(new: Callable[[], Any]) -> Callable[[RawFile], Iterator[bytes]]:
    """Stream by stream, each with its own decompressor. The standard library's files take a damaged second stream as
    the end, and have no bound on memory."""

    def read(raw: RawFile) -> Iterator[bytes]:
        data = raw.read()
        while data:
            stream = new()
            while not stream.eof:
                if block := stream.decompress(data, BLOCK):
                    yield block
                data = raw.read() if stream.needs_input else b""
                if not data and stream.needs_input and not stream.eof:
                    raise EOFError
            data = (stream.unused_data + data).lstrip(b"\0")
            while not data and (more := raw.read()):
                data = more.lstrip(b"\0")

    return read


_READERS = {
    "gzip": _gzip,
    "bzip2": _streams(bz2.BZ2Decompressor),
    "xz": _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
    "zstd": _arrow("zstd"),
    "lz4": _arrow("lz4"),
    "brotli": _arrow("brotli"),
}


def _guarded(
    blocks: Iterator[bytes], kind: str, label: str, bytes_read: Callable[[], int], limits: Limits
) -> Iterator[bytes]:
    size = 0
    ratio = _RATIO.get(kind, _RATIO_OF_OTHERS)
    try:
        for block in blocks:
            size += len(block)
            limits.check_ratio(label, bytes_read(), size)
            if size > _UNPACKED and size > ratio * bytes_read():
                raise InputError(
                    "unreadable",
                    f"{label}: {_A[kind]} bomb: {bytes_read():,} bytes of it unpack to over {size:,}, "
                    f"and {ratio} times its size is allowed",
                    Remedy("If that is intended, unpack it first: ", _piped(kind)),
                )
            yield block
    except _DAMAGE as error:
        raise _damaged(label, kind, error) from error


def _piped(kind: str) -> Remedy:
    return Remedy(f"{_TOOLS.get(kind, f'{kind} -dc')} FILE | ", Call("submit", "-"))


def _damaged(label: str, kind: str, error: BaseException) -> InputError:
    if isinstance(error, EOFError) or "Truncated" in str(error):
        return InputError("unreadable", f"{label}: the {kind} file is truncated", "Copy it again.")
    if "Memory usage limit" in str(error):
        what = f"{label}: unpacking it takes more than {_XZ_MEMORY >> 20} MiB of memory"
        return InputError("unreadable", what, Remedy("Unpack it first: ", _piped(kind)))
    why = reason(error) if isinstance(error, Exception) else str(error)
    return InputError("unreadable", f"{label}: damaged {kind} file: {why}", "Copy it again.")
