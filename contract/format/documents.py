"""The index of a job's documents, in their order: what each file was, what was read of it and by what, or why not.

`{"documents": [` and a line for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contract.format import codec
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
    return b'{"documents": [\n' + ",\n".join(map(codec.line, documents)).encode() + b"\n]}\n"


def from_bytes(data: bytes) -> Iterator[Document]:
    """The documents of an index. Raises ValueError, KeyError and TypeError for anything else."""
    for each in json.loads(data)["documents"]:
        yield codec.read(Document, json.dumps(each))
