"""The columns of an input as they came: their types, and the index of a frame, kept beside the chunks.

Chunks and predictions hold what JSON can: a date is a text there. This is by what a reader of predictions makes it a
date again (`typed`, `producer.api.pandas`). No worker reads it. An Arrow stream: the rows are the levels of the index,
and the metadata of its schema holds the types as a stream without rows, and what a DataFrame needs beside.
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
    """What is kept of an input's columns."""

    types: pa.Table  #: no rows, a column for each of the input; a dictionary column has its dictionary
    index: pa.Table = field(default_factory=lambda: pa.table({}))  #: a column a level, a row for each of the input
    frame: dict[str, Any] | None = None  #: of a DataFrame: names, dtypes and kind of index (`producer.api.pandas`)

    def to_bytes(self) -> bytes:
        """As it is stored: the same bytes for the same columns."""
        bare = [pa.field(f.name, f.type, f.nullable) for f in self.types.schema]  # a file's own metadata is not wanted
        types = pa.Table.from_arrays(self.types.columns, schema=pa.schema(bare))
        about = {_TYPES: _stream(types), _FRAME: json.dumps(self.frame).encode()}
        return _stream(self.index.replace_schema_metadata(about))


def load(storage: Storage, manifest: Manifest) -> InputColumns | None:
    """The columns of a job; None where nothing is known of them. Raises BulkqaError if they were altered or removed."""
    if not manifest.columns_sha256:
        return None
    key = layout.columns(manifest.id, manifest.chunks_folder)
    try:
        data = storage.read(key)
    except FileNotFoundError:
        data = b""
    return parsed(data, manifest, storage.locate(key))


def parsed(data: bytes, manifest: Manifest, place: str) -> InputColumns:
    """The columns of a job, as they were read from a place. Raises BulkqaError if they are not those of the job."""
    if hashlib.sha256(data).hexdigest() != manifest.columns_sha256:
        raise BulkqaError(
            f"{place} was altered or removed: the types of the columns of job {manifest.id} are lost",
            "The answers are not: write them as JSON Lines, or submit the input again.",
        )
    return _parsed(data)


def sent(data: bytes) -> InputColumns:
    """The columns that a client sends beside its table. Raises InputError for what are none."""
    try:
        columns = _parsed(data)
        for table in (columns.types, columns.index):
            table.validate(full=True)
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
        raise InputError("unreadable", f"the columns beside the table are none: {error}", "Leave them out.") from error
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
        # A table without rows writes no batch, and a dictionary comes with a batch.
        for batch in table.to_batches() or [pa.RecordBatch.from_arrays(_empty(table), schema=table.schema)]:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _empty(table: pa.Table) -> list[Any]:
    return [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in table.columns]
