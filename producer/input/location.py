"""Where an input is: decided once, from what the user gave. Everything else asks for the type of the location.

Looks at the file system and the object store, since a name may be that of a file, of a folder, or a pattern. Reads
nothing. Says which names in a folder or an archive are not of data.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from contract.errors import InputError, as_unicode
from contract.remedy import Call, Remedy
from contract.storage import address
from producer.input import remote

if TYPE_CHECKING:
    from contract.storage.objects import ObjectStorage as Bucket


@dataclass(frozen=True, slots=True)
class _Named:
    label: str  #: for messages, without secrets
    name: str  #: the last part of it, as JSON can hold it

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", as_unicode(self.name))


@dataclass(frozen=True, slots=True)
class Stream(_Named):
    """An open stream, read once."""

    file: BinaryIO


@dataclass(frozen=True, slots=True)
class File(_Named):
    """A file on this machine, or a named pipe. It may be missing."""

    path: Path
    size: int = 0  #: in bytes, of one of several


@dataclass(frozen=True, slots=True)
class Url(_Named):
    """An object of a store, or a file on the web."""

    url: str
    size: int = 0  #: in bytes, of one of several
    bucket: Bucket | None = None  #: the open one, of one of several


@dataclass(frozen=True, slots=True)
class Folder(_Named):
    """All files of a folder on this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class Pattern(_Named):
    """The files on this machine that match a pattern such as `part-*.csv`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Prefix(_Named):
    """The objects of a store that are below a prefix, or that match a pattern."""

    url: str


#: What systems leave in folders and archives: in lower case.
_SYSTEM = (
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin",
    "system volume information", "lost+found",
)  # fmt: skip
_HIDDEN = (".", "~$")  # Excel's locks begin with the latter
_MARKS = "_"  # Spark's _SUCCESS and _temporary
#: Documents in one request to a server, at most: there each of more than 64 KiB takes an open file.
MOST_SENT = 100


#: What a user gives: a path, an address, "-" for standard input, or an open binary stream. Or a file under the name
#: that it has for its user.
Single = str | Path | BinaryIO | File


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents, and the questions to ask about each of them."""

    documents: Single | tuple[Single, ...]  #: all files of a place, or these files
    questions: Single


InputSpec = Single | Documents
One = Stream | File | Url
Many = Folder | Pattern | Prefix
Location = One | Many


def locate(spec: Single) -> Location:
    """Where an input is. Raises InputError for an address of an unknown kind."""
    if isinstance(spec, File):
        return spec
    if not isinstance(spec, str | Path):
        name = Path(str(getattr(spec, "name", None) or "stream")).name
        return Stream(name, name, spec)
    if spec == "-":
        if sys.stdin is None:
            raise InputError("unreadable", "standard input is closed", "Pipe a file to it, or name one.")
        return Stream("standard input", "standard input", sys.stdin.buffer)
    text, path = str(spec), Path(spec)
    if text and os.path.isdir(path):  # noqa: PTH112 - False also for a path that is too long
        return Folder(text, path.resolve().name, path)
    if os.path.exists(path):  # noqa: PTH110
        return File(text, path.name, path)
    if isinstance(spec, str) and remote.is_address(spec):
        kind = Prefix if remote.is_prefix(spec) else Url
        return kind(remote.shown(spec), remote.name_of(spec), spec)
    _refuse_address(text)
    if glob.has_magic(text):
        return Pattern(text, path.name, text)
    return File(text, path.name, path)


def _refuse_address(text: str) -> None:
    """Only the scheme is shown: an address may hold a password."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", text, re.IGNORECASE)  # a Path has lost one of the slashes
    if scheme and address.of_path(text):
        message = "the address has lost a slash: it has to be a text, s3://bucket/name, and not a path"
        raise InputError("unreadable", message, "Give it as text.")
    if scheme:
        raise InputError(
            "unreadable",
            f"{scheme[1]}:// is not supported: inputs are files, stdin, or at s3://, gs://, az:// and https://",
            Remedy("Copy it here, or pipe it: curl -sL URL | ", Call("submit", "-")),
        )


def is_system(path: str) -> bool:
    """Whether a path within a folder or an archive is hidden, or what a system leaves there."""
    return any(part.startswith(_HIDDEN) or part.lower() in _SYSTEM for part in path.split("/"))


def is_data(path: str) -> bool:
    """Whether a path within a folder may be one of data: neither a system's nor a mark of Spark's."""
    return not is_system(path) and not any(part.startswith(_MARKS) for part in path.split("/"))
