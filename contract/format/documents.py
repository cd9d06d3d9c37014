"""The index of a job's documents, in their order: what each file was, what was read of it and by what, or why not.

`{"documents": [...]}`, a line each (`document`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from contract.format import codec, document
from contract.format.job import RowError


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a job."""

    name: str
    bytes: int  #: of its file
    sha256: str  #: of its file
    text_sha256: str = ""  #: of its text in UTF-8, under which it is stored; empty if there is none
    characters: int = 0  #: code points of its text
    pages: int | None = None  #: None if it has none
    library: str = ""  #: that read it,
    version: str = ""  #: of which version
    warnings: tuple[str, ...] = ()
    error: RowError | None = None  #: of all its rows


def to_bytes(documents: Iterable[Document]) -> bytes:
    """The file of an index."""
    lines = (codec.line(each).encode() + b"\n" for each in documents)
    return b"".join(document.write(lines, "documents"))


def from_bytes(data: bytes) -> Iterator[Document]:
    """The documents of an index, each read as it is asked for. Raises ValueError for anything else."""
    return (codec.read(Document, line) for line in document.read([data]))


def nth(data: bytes, number: int) -> Document | None:
    """One document of an index, from 0, without reading the others; None if there are fewer. Raises as
    `from_bytes` does."""
    line = next(islice(document.read([data]), number, None), None)
    return None if line is None else codec.read(Document, line)
