"""The predictions document of a job: `{"predictions": [...]}`, one prediction a line, so that both sides can stream it.

JSON escapes newlines in strings, so a newline always ends a prediction. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_HEAD, _BETWEEN, _FOOT = b'{"predictions": [\n', b",\n", b"\n]}\n"


def write(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The document of predictions, given in blocks of whole JSON lines."""
    yield _HEAD
    between = b""
    for block in lines:
        yield between + block.rstrip(b"\n").replace(b"\n", _BETWEEN)
        between = _BETWEEN
    yield _FOOT


def read(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The predictions of a document as JSON lines, one at a time. `blocks` may be cut anywhere."""
    for line in _lines(blocks):
        if line and line not in (_HEAD.strip(), _FOOT.strip()):
            yield line.removesuffix(b",") + b"\n"


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest
