"""The types of an input's columns, and the index of a DataFrame, stored beside the chunks.

Chunks and predictions hold only what JSON can: a date is text there. With these types, whoever reads the predictions
makes it a date again (`typed`, `producer.api.pandas`). Workers don't read them. The file is an Arrow stream: its rows
are the levels of the index; the metadata of its schema holds the types, as a stream without rows, and the other
properties of a DataFrame.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from contract.errors import BulkqaError, InputError
from contract.format import layout
from contract.format.job import Manifest
from contract.storage import Storage

_TYPES, _FRAME = b"bulkqa.types", b"bulkqa.frame"


@dataclass(frozen=True, slots=True)
class InputColumns:
    """The types of an input's columns, and the index of a DataFrame."""

    types: pa.Table  #: the input's columns without rows; a dictionary column has its dictionary
    index: pa.Table = field(default_factory=lambda: pa.table({}))  #: a column per level, a row per input row
    frame: dict[str, Any] | None = None  #: a DataFrame's names, dtypes and kind of index (`producer.api.pandas`)

    def to_bytes(self) -> bytes:
        """The file: the same bytes for the same columns."""
        bare = [pa.field(f.name, f.type, f.nullable) for f in self.types.schema]  # without the metadata of a file
        types = pa.Table.from_arrays(self.types.columns, schema=pa.schema(bare))
        about = {_TYPES: _stream(types), _FRAME: json.dumps(self.frame).encode()}
        return _stream(self.index.replace_schema_metadata(about))


def load(storage: Storage, manifest: Manifest) -> InputColumns | None:
    """The columns of a job; None if they were not stored. Raises BulkqaError if they were altered or removed."""
    if not manifest.columns_sha256:
        return None
    key = layout.columns(manifest.id, manifest.chunks_folder)
    try:
        data = storage.read(key)
    except FileNotFoundError:
        data = b""
    return parsed(data, manifest, storage.locate(key))


def parsed(data: bytes, manifest: Manifest, place: str) -> InputColumns:
    """The columns of a job in a file that was read from `place`. Raises BulkqaError if it was altered."""
    if hashlib.sha256(data).hexdigest() != manifest.columns_sha256:
        raise BulkqaError(
            f"{place} was altered or removed: the column types of job {manifest.id} are lost",
            "The answers are not lost: write them as JSON Lines, or submit the input again.",
        )
    return _parsed(data)


def sent(data: bytes) -> InputColumns:
    """The columns that a client sends beside its table. Raises InputError if they cannot be read."""
    try:
        columns = _parsed(data)
        for table in (columns.types, columns.index):
            table.validate(full=True)
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            "unreadable", f"the columns beside the table cannot be read: {error}", "Leave them out."
        ) from error
    return columns


def _parsed(data: bytes) -> InputColumns:
    index = pa.ipc.open_stream(data).read_all()
    about = index.schema.metadata
    return InputColumns(
        pa.ipc.open_stream(about[_TYPES]).read_all(), index.replace_schema_metadata(), json.loads(about[_FRAME])
    )


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        # A table without rows has no batch, but a dictionary is only written with one.
        for batch in table.to_batches() or [pa.RecordBatch.from_arrays(_empty(table), schema=table.schema)]:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _empty(table: pa.Table) -> list[Any]:
    return [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in table.columns]
