"""The key of a row: 16 bytes that two rows share if, and only if, they have the same question and context.

Beside the chunks of a job lies a file with the keys of all its rows, in their order. A row that was rejected has none,
and its place is zero. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

#: Bytes of a key.
SIZE = 16
NO_KEY = bytes(SIZE)


def of_texts(pairs: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """The key of each question with its context. Neighbours often share a context, which is hashed once."""
    last, digest = "", _digest(b"")
    for question, context in pairs:
        if context is not last:
            last, digest = context, _digest(context.encode("utf-8", "surrogatepass"))
        yield _key(question.encode("utf-8", "surrogatepass"), digest)


def of_table(table: pa.Table) -> bytes:
    """The keys of a chunk's rows, one after another."""
    table = table.select(["question", "context", "code"]).combine_chunks()
    rejected = table["code"].is_valid().to_pylist()
    contexts = _digests(table["context"])
    keys = [
        NO_KEY if bad or question is None or context is None else _key(question, context)
        for question, context, bad in zip(_texts(table["question"]), contexts, rejected, strict=True)
    ]
    return b"".join(keys)


def _key(question: Any, context: bytes) -> bytes:
    """`context`: its digest, whose length is always the same: so no two rows give the same bytes."""
    return blake2b(context + bytes(question), digest_size=SIZE).digest()


def _digest(context: Any) -> bytes:
    return blake2b(context, digest_size=32).digest()


def _digests(column: Any) -> Iterator[bytes | None]:
    """The digest of each context. Neighbours often share one: each text is hashed once."""
    last: tuple[Any, bytes] | None = None
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            digests = [_digest(text) for text in _texts(pa.chunked_array([chunk.dictionary]))]
            yield from (None if index is None else digests[index] for index in chunk.indices.to_pylist())
            continue
        for text in _texts(pa.chunked_array([chunk])):
            if text is not None and (last is None or last[0] != text):
                last = text, _digest(text)
            yield None if text is None or last is None else last[1]


def _texts(column: Any) -> Iterator[Any]:
    """The values of a string column as bytes of memory that they share with it; None for null."""
    for chunk in column.chunks:
        if not len(chunk):
            continue
        text = chunk.cast(pa.large_string())
        _, offsets, data = text.buffers()
        places = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1].tolist()
        memory = memoryview(data) if data is not None else memoryview(b"")
        valid = chunk.is_valid().to_pylist() if chunk.null_count else None
        for index, (begin, end) in enumerate(pairwise(places)):
            yield None if valid is not None and not valid[index] else memory[begin:end]
