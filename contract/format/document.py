"""The documents of a job: `{"predictions": [...]}` and the like, one prediction a line, so that both sides can stream
them.

JSON escapes newlines in strings, so a newline always ends a prediction. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

#: What a document lists.
Kind = Literal["predictions", "groups", "documents"]

_HEADS = {kind: f'{{"{kind}": [\n'.encode() for kind in get_args(Kind)}
_BETWEEN, _FOOT = b",\n", b"\n]}\n"
_AROUND = {_FOOT.strip(), *(head.strip() for head in _HEADS.values())}


def write(
    lines: Iterable[bytes], kind: Kind = "predictions", about: Mapping[str, Any] | None = None
) -> Iterator[bytes]:
    """The document of predictions or groups, given in blocks of whole JSON lines. What is `about` them is before them:
    of a document that nothing here reads again."""
    before = "".join(f"{json.dumps(name)}: {json.dumps(value)}, " for name, value in (about or {}).items())
    yield _HEADS[kind].replace(b"{", b"{" + before.encode(), 1)
    between = b""
    for block in lines:
        yield between + block.rstrip(b"\n").replace(b"\n", _BETWEEN)
        between = _BETWEEN
    yield _FOOT


def read(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a document as JSON lines, one at a time. `blocks` may be cut anywhere."""
    for line in _lines(blocks):
        if line and line not in _AROUND:
            yield line.removesuffix(b",") + b"\n"


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest
