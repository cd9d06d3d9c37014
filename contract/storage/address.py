"""The address of an object, `s3://bucket/key`, split by hand: a key is a name, in which `#`, `?`, `%` and `[` are
characters like any other. Inputs, outputs and storage split it here. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from contract.errors import UsageError

SCHEMES = ("s3", "gs", "az")
_ADDRESS = re.compile(r"(s3|gs|az)://(.*)", re.IGNORECASE | re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: An address that became a `Path`, which has lost one slash.
_PATH = re.compile(r"(s3|gs|az):(?:/+|$)", re.IGNORECASE)
#: What object stores take in a name, and the library that calls them does not.
_UNSUPPORTED = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Address:
    """A key in a bucket; "" for the bucket itself."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def parse(url: str) -> Address:
    """The parts of an address. Raises UsageError, which does not show it: it may hold a password."""
    match = _ADDRESS.fullmatch(url)
    scheme = match[1].lower() if match else SCHEMES[0]
    bucket, _, key = match[2].partition("/") if match else ("", "", "")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"the address is malformed: it must be {scheme}://bucket/name",
            "A bucket's name has letters, digits, dots, dashes and underscores. Credentials come from the environment.",
        )
    return Address(scheme, bucket, key)


def is_address(text: str) -> bool:
    """Whether a text is meant as the address of an object store."""
    return _ADDRESS.fullmatch(text) is not None


def of_path(path: object) -> str | None:
    """The address that a path was made of; None for any other path."""
    match = _PATH.match(str(path))
    return f"{match[1]}://{str(path)[match.end() :]}" if match else None


def is_supported(key: str) -> bool:
    """Whether a key can be read and written: not with an empty part, `.` or `..` as one, or a control character."""
    return _UNSUPPORTED.search(key) is None
