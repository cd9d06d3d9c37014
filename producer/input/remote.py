"""Inputs that lie elsewhere, read straight from there: `s3://`, `gs://` and `az://` with the extra [cloud], `https://`
with [http]. Of an object store also all that is below a prefix, or that a pattern names.

What is read comes block by block and is never whole in memory. Of an address nothing but its host and path is shown:
the rest may be a password.
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
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


def is_remote(file: object) -> bool:
    """Whether that is the address of something elsewhere, and not the name of a file here."""
    return isinstance(file, str) and urlsplit(file).scheme in (*_STORES, *_WEB) and not Path(file).exists()


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def name_of(url: str) -> str:
    """The last part of an address."""
    return unquote(urlsplit(url).path.rstrip("/")).rpartition("/")[2] or shown(url)


class Remote(io.RawIOBase):
    """Something elsewhere that is read once, from its beginning. `size` in bytes; None where that is not told."""

    def __init__(self, url: str, blocks: Iterator[bytes], size: int | None) -> None:
        self.name = name_of(url)
        self.size = size
        self._url = url
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end only. Raises InputError where it breaks off."""
        while not self._rest and (block := _next(self._url, self._blocks)) is not None:
            self._rest = block
        if size < 0:
            size = len(self._rest)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def opened(url: str, resources: ExitStack) -> Remote:
    """What lies at an address. Raises InputError where there is nothing or it may not be read, MissingExtra."""
    return _of_web(url, resources) if urlsplit(url).scheme in _WEB else _of_store(url)


def all_of(url: str) -> list[str] | None:
    """The objects below a prefix, which ends with a slash, or those that a pattern names, by name; None for what is
    one object. Raises InputError."""
    parts = urlsplit(url)
    if parts.scheme in _WEB or not (parts.path.endswith("/") or _MAGIC.search(parts.path)):
        return None
    folder, _, pattern = parts.path.strip("/").rpartition("/") if not parts.path.endswith("/") else (
        parts.path.strip("/"), "", "*")  # fmt: skip
    store = _store(url)
    names = _told(url, lambda: store.list(folder))
    wanted = [name for name in names if fnmatch.fnmatchcase(name, pattern) and not name.startswith((".", "_"))]
    found = [name for name in wanted if _told(url, partial(store.size, f"{folder}/{name}")) is not None]
    if not found:
        raise InputError(
            "empty_file", f"{shown(url)}: no objects", "Is it the right prefix? Names in . and _ are none."
        )
    return [f"{parts.scheme}://{parts.netloc}/{folder}/{name}" for name in sorted(found)]


def size_of(url: str) -> int:
    """Bytes of an object that is there."""
    return _told(url, lambda: _store(url).size(_key(url))) or 0


def _key(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _store(url: str) -> ObjectStorage:
    from contract.storage.objects import ObjectStorage

    parts = urlsplit(url)
    if parts.username or parts.query or not parts.netloc:
        raise UsageError(f"an address here is {parts.scheme}://bucket/key and nothing else", "Credentials: README.md")
    return ObjectStorage(f"{parts.scheme}://{parts.netloc}")


def _of_store(url: str) -> Remote:
    store, key = _store(url), _key(url)
    size = _told(url, lambda: store.size(key)) if key else None
    if size is None:
        raise _missing(url)
    return Remote(url, store.blocks(key), size)


def _of_web(url: str, resources: ExitStack) -> Remote:
    if urlsplit(url).username or urlsplit(url).password:
        raise UsageError(
            f"{shown(url)}: an address holds no password here, since others see it",
            Remedy("Pipe it: curl --netrc -sL URL | ", Call("submit", "-")),
        )
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise MissingExtra("reading from the web", str(error.name), "http") from error
    try:
        client = resources.enter_context(httpx.Client(follow_redirects=True, timeout=60))
        answer = resources.enter_context(client.stream("GET", url, headers={"Accept-Encoding": "identity"}))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreadable(url, str(error) or type(error).__name__) from None
    if not answer.is_success:
        raise _unreadable(url, f"the answer is {answer.status_code} {answer.reason_phrase}")
    length = answer.headers.get("Content-Length", "")
    return Remote(url, answer.iter_raw(), int(length) if length.isdigit() else None)


def _next(url: str, blocks: Iterator[bytes]) -> bytes | None:
    return _told(url, lambda: next(blocks, None))


def _told(url: str, work: Callable[[], T]) -> T:
    """What work on an address gives; its errors are those of an input."""
    try:
        return work()
    except FileNotFoundError as error:
        raise _missing(url) from error
    except BulkqaError as error:
        raise InputError("unreadable", f"{shown(url)}: {error.message}", error.remedy) from error
    except Exception as error:  # of whatever library reads it
        raise _unreadable(url, str(error) or type(error).__name__) from error


def _missing(url: str) -> InputError:
    return InputError(
        "unreadable", f"{shown(url)}: there is no such object", "All below a prefix: end it with a slash."
    )


def _unreadable(url: str, why: str) -> InputError:
    told = why.replace(url, shown(url)).splitlines()[0]
    return InputError("unreadable", f"{shown(url)}: {told}", "Check the address, the network and the permissions.")
