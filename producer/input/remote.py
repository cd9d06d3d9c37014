"""Remote inputs, read where they are: `s3://`, `gs://` and `az://` with the extra [cloud], `https://` with [http].

Bytes come block by block and are never whole in memory. Only the host and path of an address are shown: the rest may
be a password.
"""

from __future__ import annotations

import glob
import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from contract.errors import BulkqaError, InputError, MissingExtra, UsageError
from contract.remedy import Call, Remedy
from contract.storage import address

if TYPE_CHECKING:
    from contract.storage.objects import ObjectStorage as Bucket

T = TypeVar("T")

_WEB = ("https", "http")
#: What gives access to an object of the web or of Azure, behind its name.
_SIGNATURE = re.compile(r"\?(?=.*\b(?:sig|signature|x-(?:amz|goog)-signature)=).*", re.IGNORECASE | re.DOTALL)


def is_address(text: str) -> bool:
    """Whether a text is an address that can be read. Raises InputError for a malformed one."""
    if not (address.is_address(text) or text.partition(":")[0].lower() in _WEB):
        return False
    try:
        shown(text)
    except (ValueError, UsageError) as error:  # a ValueError quotes the address, that may hold a password
        remedy = error.remedy if isinstance(error, UsageError) else "Check its host and its port."
        raise InputError("unreadable", "the address is malformed", remedy) from None
    return True


def is_prefix(url: str) -> bool:
    """Whether an address stands for several objects: it ends with a slash, or is a pattern and no object's. Raises
    InputError if the object store does not tell."""
    if not address.is_address(url):
        return False
    return url.endswith("/") or (glob.has_magic(address.parse(url).key) and not _exists(url))


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    if address.is_address(url):
        return _SIGNATURE.sub("", str(address.parse(url)))
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def name_of(url: str) -> str:
    """The last part of an address."""
    path = shown(url) if address.is_address(url) else unquote(urlsplit(url).path)
    return path.rstrip("/").rpartition("/")[2] or shown(url)


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


def opened(url: str, resources: ExitStack, bucket: Bucket | None = None) -> RemoteStream:
    """Open an address, of an object in `bucket` if it is known. Raises InputError if nothing is there or it may not be
    read, MissingExtra."""
    return _of_store(url, bucket) if address.is_address(url) else _of_web(url, resources)


def split(url: str) -> tuple[str, str]:
    """The address of a bucket, and the name in it."""
    place = address.parse(url)
    return f"{place.scheme}://{place.bucket}/", place.key


def bucket_of(url: str) -> Bucket:
    """The bucket of an object. It is opened once for all of its objects: that takes a tenth of a second."""
    from contract.storage.objects import ObjectStorage

    return ObjectStorage(split(url)[0])


def below(url: str, bucket: Bucket) -> Iterator[tuple[str, int]]:
    """All objects below a prefix, however deep: their names from there on, and their bytes. What has none is no object
    for us: services show folders as such. Raises InputError."""
    objects = iter(bucket.sizes(split(url)[1].removesuffix("/")))
    while (each := _translated(url, lambda: next(objects, None))) is not None:
        if each[1]:
            yield each


def _exists(url: str) -> bool:
    key = split(url)[1]
    return address.is_supported(key) and _translated(url, lambda: bucket_of(url).exists(key))


def _of_store(url: str, bucket: Bucket | None) -> RemoteStream:
    key = split(url)[1]
    store = bucket or bucket_of(url)
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

        from producer import web
    except ModuleNotFoundError as error:
        raise MissingExtra("reading from the web", str(error.name), "http") from error
    try:
        client = resources.enter_context(web.client(url, follow_redirects=True, timeout=60))
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
