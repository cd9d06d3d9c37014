"""Object storage: `s3://bucket/prefix`, `gs://`, `az://`, by obstore (extra `cloud`).

Credentials and endpoints come only from the environment (AWS_*, GOOGLE_*, AZURE_*) and are in no message. The service
is first called at the first use: a worker opens its storage before it forks, and connections do not survive a fork.

An object is created by a conditional put. If the response is lost, nobody knows who made the object, so each carries a
mark of its writer. An object larger than a piece goes to a temporary object and is copied, conditionally too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any

from contract.errors import StorageUnreachable, UsageError
from contract.storage import address
from contract.storage.protocol import TEMPORARY, Data

try:
    import obstore
    from obstore import exceptions, store
except ImportError as error:
    raise UsageError("this installation has no object storage", "Install it: pip install 'bulkqa[cloud]'") from error

_BLOCK = 1 << 20
#: Bytes held in memory of an object that is written piece by piece; a larger one is uploaded in parts.
_PIECE = 8 << 20
#: Bytes that a service copies at once. A larger temporary object is read and written again.
_COPIED = 5 << 30
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_STORES: dict[str, Any] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
_WRITER = "bulkqa-writer"
#: Attempts at a conditional write whose response was lost, and the first pause between them, in seconds.
_ATTEMPTS, _PAUSE = 5, 0.2
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_RENAME = "Rename it: without control characters, and without empty parts (//) and parts that are . or .. alone."
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of the machine, and AWS_REGION",
    "gs": "GOOGLE_SERVICE_ACCOUNT, or the role of the machine",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or the role of the machine",
}


class ObjectStorage:
    """A prefix in a bucket."""

    at_once = 32

    def __init__(self, url: str) -> None:
        place = address.parse(url)
        if "?" in place.key or "#" in place.key:
            raise UsageError(  # the URL is not shown, it may hold a password
                f"a storage URL is {place.scheme}://bucket/prefix and nothing else",
                f"Credentials come from the environment: {_CREDENTIALS[place.scheme]}.",
            )
        self._scheme = place.scheme
        prefix = place.key.strip("/")
        self.url = str(replace(place, key=_checked(prefix))).rstrip("/")
        # An endpoint without TLS is deliberate: an S3 in the next container, a test.
        plain = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
        options: dict[str, Any] = {"timeout": "60s", "connect_timeout": "10s", "allow_http": plain}
        # A throttled service answers 503 for a while: obstore retries reads, `create` retries puts.
        backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2}
        config = {"copy_if_not_exists": "multipart"} if place.scheme == "s3" else {}

        def open_store(retries: int) -> Any:
            retry = {"max_retries": retries, "retry_timeout": timedelta(seconds=60), "backoff": backoff}
            return _STORES[place.scheme](
                place.bucket, prefix=prefix or None, config=config, client_options=options, retry_config=retry
            )

        try:
            self._store, self._once = open_store(6), open_store(0)
        except exceptions.BaseError as error:
            raise UsageError(f"{self.url} cannot be used: {_reason(error)}", "Give s3://bucket/prefix.") from None

    def read(self, key: str) -> bytes:
        with self._translated(key):
            return bytes(obstore.get(self._store, _checked(key)).bytes())

    def tail(self, key: str, size: int) -> bytes:
        if size <= 0:
            return b""
        with self._translated(key):
            # Azure has no suffix ranges, and no service has them for an empty object.
            with suppress(exceptions.GenericError, exceptions.NotSupportedError):
                options: Any = {"range": {"suffix": size}}
                return bytes(obstore.get(self._store, _checked(key), options=options).bytes())
            length = obstore.head(self._store, _checked(key))["size"]
            if not length:
                return b""
            return bytes(obstore.get_range(self._store, key, start=max(0, length - size), end=length))

    def blocks(self, key: str) -> Iterator[bytes]:
        with self._translated(key):
            for piece in obstore.get(self._store, _checked(key)).stream(min_chunk_size=_BLOCK):
                view = memoryview(piece)
                for start in range(0, len(view), _BLOCK):
                    yield bytes(view[start : start + _BLOCK])

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if it does not exist."""
        with suppress(FileNotFoundError), self._translated(key):
            return int(obstore.head(self._store, _checked(key))["size"])
        return None

    def list(self, folder: str, after: str = "") -> list[str]:
        prefix = f"{_checked(folder)}/"
        with self._translated(folder):
            if after:
                pages = obstore.list(self._store, prefix, offset=prefix + after)
                behind = (each["path"].removeprefix(prefix) for page in pages for each in page)
                return sorted(name for name in behind if "/" not in name and not name.startswith(TEMPORARY))
            listing = obstore.list_with_delimiter(self._store, _checked(folder))
        paths = (*listing["common_prefixes"], *(each["path"] for each in listing["objects"]))
        names = [path.rsplit("/", 1)[-1] for path in paths]
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        prefix = f"{_checked(folder)}/"
        with self._translated(folder):
            for batch in obstore.list(self._store, prefix):
                for each in batch:
                    yield each["path"].removeprefix(prefix.lstrip("/")), each["size"]

    def create(self, key: str, data: Data, *, durable: bool = True) -> bool:
        _checked(key)
        pieces = iter((data,) if isinstance(data, bytes) else data)
        held, size = [], 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > _PIECE and not isinstance(data, bytes):
                return self._create_large(key, chain(held, pieces))
        whole, mark = b"".join(held), uuid.uuid4().hex

        def put() -> None:
            obstore.put(self._once, key, whole, mode="create", use_multipart=False, attributes={_WRITER: mark})

        def mine() -> bool:
            return obstore.get(self._store, key).attributes.get(_WRITER) == mark

        return self._created(key, put, mine)

    def settle(self) -> None:
        """Nothing to do: a put is durable once it was answered."""

    def replace(self, key: str, data: bytes) -> None:
        with self._translated(key):
            obstore.put(self._store, _checked(key), data, use_multipart=False)

    def write(self, key: str, pieces: Iterable[bytes]) -> None:
        """Write or overwrite an object of any size. If `pieces` raises, nothing is written."""
        self._upload(_checked(key), pieces)

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError), self._translated(key):
            obstore.delete(self._store, _checked(key))

    def sweep(self, folder: str, older_than: float) -> None:
        with self._translated(folder):
            for batch in obstore.list(self._store, f"{_checked(folder)}/"):
                for each in batch:
                    old = time.time() - each["last_modified"].timestamp() >= older_than
                    if each["path"].rsplit("/", 1)[-1].startswith(TEMPORARY) and old:
                        self.delete(each["path"])

    def discard(self, folder: str, older_than: float = 0.0) -> bool:
        with self._translated(folder):
            contents = [each for batch in obstore.list(self._store, f"{_checked(folder)}/") for each in batch]
        if older_than and any(time.time() - each["last_modified"].timestamp() < older_than for each in contents):
            return False
        for each in contents:
            self.delete(each["path"])
        return True

    def prune(self, folder: str) -> None:
        """Nothing to do: there are no folders."""

    def locate(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _create_large(self, key: str, pieces: Iterable[bytes]) -> bool:
        folder, _, name = key.rpartition("/")
        staged = f"{folder}/{TEMPORARY}{name}-{uuid.uuid4().hex}"
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                yield piece

        def copy() -> None:
            obstore.copy(self._once, staged, key, overwrite=False)

        def mine() -> bool:
            return self._hash(key) == digest.digest()

        try:
            self._upload(staged, counted())
            if size <= _COPIED:
                return self._created(key, copy, mine)
            # This write is not conditional. A second writer writes the same bytes: outputs follow from their parts.
            if self.exists(key):
                return False
            self._upload(key, self.blocks(staged))
            return True
        finally:
            with suppress(StorageUnreachable):  # swept later
                self.delete(staged)

    def _upload(self, key: str, pieces: Iterable[bytes]) -> None:
        """Upload in parts, a few at once. If `pieces` raises, nothing is written. A failed upload is aborted: an open
        one is billed.

        `obstore.put` takes the pieces in a context where obstore cannot read, so a thread makes them.
        """
        own = iter(pieces)
        with self._translated(key), ThreadPoolExecutor(1) as beside:
            made = iter(lambda: beside.submit(next, own, None).result(), None)
            obstore.put(self._store, key, made, use_multipart=True, chunk_size=_PIECE, max_concurrency=2)

    def _created(self, key: str, write: Callable[[], None], mine: Callable[[], bool]) -> bool:
        """Run a conditional write until it is known whether it, or another one, made the object."""
        lost = False  # the response to an attempt, which may have made the object
        with self._translated(key):
            for number in range(1, _ATTEMPTS + 1):
                try:
                    write()
                    return True
                except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
                    if self.exists(key):
                        return lost and mine()
                    conflict: exceptions.BaseError = error  # 409: with a write that failed, or an object since deleted
                except exceptions.GenericError as error:
                    lost, conflict = True, error
                if number == _ATTEMPTS:
                    raise conflict
                time.sleep(_PAUSE * 2 ** (number - 1))
        raise AssertionError("the last attempt returns or raises")

    def _hash(self, key: str) -> bytes:
        digest = hashlib.sha256()
        for block in self.blocks(key):
            digest.update(block)
        return digest.digest()

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, FileNotFoundError) as error:
            raise self._translation(error, key) from None

    def _translation(self, error: Exception, key: str) -> Exception:
        """The error that the protocol has for it."""
        if any(code in str(error) for code in _NO_BUCKET):
            return StorageUnreachable(
                f"storage {self.url}: there is no such bucket", "Create it, or set BULKQA_STORAGE_URL to another."
            )
        if isinstance(error, exceptions.InvalidPathError):
            return UsageError(f"below {self.url}/{key} an object has a name that cannot be used here", _RENAME)
        if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
            return FileNotFoundError(errno.ENOENT, "no such object", key)
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return StorageUnreachable(f"storage {self.url}: access is denied", f"Set {_CREDENTIALS[self._scheme]}.")
        return StorageUnreachable(
            f"storage {self.url}: {_reason(error)}",
            "Jobs lose nothing meanwhile. Check the network, the endpoint and the credentials: "
            f"{_CREDENTIALS[self._scheme]}.",
        )


def _checked(key: str) -> str:
    if key.startswith("/") or ".." in key.split("/"):
        raise UsageError(f"{key!r} is outside of the storage root")
    if key and not address.is_supported(key):
        raise UsageError(f"{key!r} cannot be the name of an object here", _RENAME)
    return key


def _reason(error: Exception) -> str:
    """The first line of obstore's message: the rest is internals and headers."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
