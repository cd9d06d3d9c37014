"""Remote inputs, read where they are: `s3://`, `gs://` and `az://` with the extra [cloud], `https://` with [http].

Bytes come block by block and are never whole in memory. Only the host and path of an address are shown: the rest may
be a password.
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from contract.errors import BulkqaError, InputError, MissingExtra, UsageError
from contract.remedy import Call, Remedy

if TYPE_CHECKING:
    from contract.storage.objects import ObjectStorage

T = TypeVar("T")

_STORES = ("s3", "gs", "az")
_WEB = ("https", "http")
_MAGIC = re.compile(r"[*?\[]")


def is_address(text: str) -> bool:
    """Whether a text is an address that can be read. Raises InputError for a malformed one."""
    if text.partition(":")[0].lower() not in (*_STORES, *_WEB):
        return False
    try:
        shown(text)
    except ValueError:  # which quotes the address, that may hold a password
        raise InputError("unreadable", "the address is malformed", "Check its host and its port.") from None
    return ":" in text


def is_prefix(url: str) -> bool:
    """Whether an address of an object store stands for several objects: it ends with a slash, or is a pattern."""
    parts = urlsplit(url)
    return parts.scheme in _STORES and bool(parts.path.endswith("/") or _MAGIC.search(parts.path))


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def name_of(url: str) -> str:
    """The last part of an address."""
    return unquote(urlsplit(url).path.rstrip("/")).rpartition("/")[2] or shown(url)


class RemoteStream(io.RawIOBase):
    """A remote object or file, read once from its beginning. `size` in bytes; None if it is not known."""

    def __init__(self, url: str, blocks: Iterator[bytes], size: int | None) -> None:
        self.name = name_of(url)
        self.size = size
        self._url = url
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none only at the end. Raises InputError if it breaks off."""
        while not self._rest and (block := _next(self._url, self._blocks)) is not None:
            self._rest = block
        if size < 0:
            size = len(self._rest)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def opened(url: str, resources: ExitStack) -> RemoteStream:
    """Open an address. Raises InputError if nothing is there or it may not be read, MissingExtra."""
    return _of_web(url, resources) if urlsplit(url).scheme in _WEB else _of_store(url)


def objects_of(url: str, hidden: tuple[str, ...]) -> list[str]:
    """The addresses of all objects below a prefix, or of those that match a pattern, in order, without names that begin
    with one of `hidden`. Raises InputError if there are none."""
    parts = urlsplit(url)
    folder, _, pattern = parts.path.strip("/").rpartition("/")
    if parts.path.endswith("/"):
        folder, pattern = parts.path.strip("/"), "*"
    store = _store(url)
    names = _translated(url, lambda: store.list(folder))
    matching = [name for name in names if fnmatch.fnmatchcase(name, pattern) and not name.startswith(hidden)]
    objects = [name for name in matching if _translated(url, partial(store.size, f"{folder}/{name}")) is not None]
    if not objects:
        raise InputError(
            "empty_file",
            f"{shown(url)}: no objects",
            "Is it the right prefix? Names that begin with . or _ are left out.",
        )
    return [f"{parts.scheme}://{parts.netloc}/{folder}/{name}" for name in sorted(objects)]


def size_of(url: str) -> int:
    """The bytes of an object."""
    return _translated(url, lambda: _store(url).size(_key(url))) or 0


def _key(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _store(url: str) -> ObjectStorage:
    from contract.storage.objects import ObjectStorage

    parts = urlsplit(url)
    if parts.username or parts.query or not parts.netloc:
        raise UsageError(f"the address must be {parts.scheme}://bucket/key and nothing else", "Credentials: README.md")
    return ObjectStorage(f"{parts.scheme}://{parts.netloc}")


def _of_store(url: str) -> RemoteStream:
    store, key = _store(url), _key(url)
    size = _translated(url, lambda: store.size(key)) if key else None
    if size is None:
        raise _missing(url)
    return RemoteStream(url, store.blocks(key), size)


def _of_web(url: str, resources: ExitStack) -> RemoteStream:
    if urlsplit(url).username or urlsplit(url).password:
        raise UsageError(
            f"{shown(url)}: an address with a password is not read, since other users of the machine see it",
            Remedy("Pipe it: curl --netrc -sL URL | ", Call("submit", "-")),
        )
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise MissingExtra("reading from the web", str(error.name), "http") from error
    try:
        client = resources.enter_context(httpx.Client(follow_redirects=True, timeout=60))
        response = resources.enter_context(client.stream("GET", url, headers={"Accept-Encoding": "identity"}))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreadable(url, str(error) or type(error).__name__) from None
    if not response.is_success:
        raise _unreadable(url, f"the answer is {response.status_code} {response.reason_phrase}")
    length = response.headers.get("Content-Length", "")
    return RemoteStream(url, response.iter_raw(), int(length) if length.isdigit() else None)


def _next(url: str, blocks: Iterator[bytes]) -> bytes | None:
    return _translated(url, lambda: next(blocks, None))


def _translated(url: str, work: Callable[[], T]) -> T:
    """The result of work on an address; its errors become those of an input."""
    try:
        return work()
    except FileNotFoundError as error:
        raise _missing(url) from error
    except BulkqaError as error:
        raise InputError("unreadable", f"{shown(url)}: {error.message}", error.remedy) from error
    except Exception as error:  # of any library
        raise _unreadable(url, str(error) or type(error).__name__) from error


def _missing(url: str) -> InputError:
    return InputError(
        "unreadable", f"{shown(url)}: there is no such object", "To read all below a prefix, end it with a slash."
    )


def _unreadable(url: str, why: str) -> InputError:
    why = why.replace(url, shown(url)).splitlines()[0]
    return InputError("unreadable", f"{shown(url)}: {why}", "Check the address, the network and the permissions.")
