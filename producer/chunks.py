"""Writes the rows of an input as chunks, with the files beside them, before the manifest of the job."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contract.errors import BulkqaError, InputError
from contract.format import chunk, layout
from contract.format.documents import to_bytes as documents_file
from contract.format.job import Documents, Groups, Reuse
from contract.ledger import records
from contract.ledger.stored import Index
from contract.settings import Settings
from contract.storage import Storage
from contract.storage.many import created
from producer.forecast.draw import Draw
from producer.forecast.outlook import Outlook
from producer.input.documents.files import DocumentFiles
from producer.input.open import Input
from producer.request import Request
from producer.results.columns import InputColumns
from producer.reuse.carry import carry
from producer.reuse.sources import Source
from producer.reuse.wanted import RowKeys


@dataclass(frozen=True, slots=True)
class Place:
    """Where a submission writes. Concurrent submissions with one key have folders of their own: the manifest names the
    one that counts."""

    job: str
    chunks_folder: str


@dataclass(slots=True)
class _Chunks:
    """What was written of the rows."""

    rows: list[int] = field(default_factory=list)  #: of each chunk
    digests: list[str] = field(default_factory=list)
    rejected: int = 0
    text_bytes: int = 0
    texts: set[str] = field(default_factory=set)  #: digests of the texts of documents

    def add(self, table: pa.Table, place: Place, create: Callable[[str, bytes], None], *, documents: bool) -> None:
        """Write the next chunk, and the texts of documents that it has first."""
        data = chunk.to_bytes(table)
        create(layout.chunk(place.job, len(self.rows), place.chunks_folder), data)
        for digest, text in _texts(table, self.texts) if documents else ():
            create(layout.text(place.job, digest, place.chunks_folder), text)
        self.rows.append(table.num_rows)
        self.text_bytes += table.nbytes
        self.digests.append(hashlib.sha256(data).hexdigest())
        self.rejected += pc.sum(pc.is_valid(table["code"])).as_py() or 0


def write(
    place: Place,
    source: Input,
    storage: Storage,
    settings: Settings,
    request: Request,
    sources: Sequence[Source],
    outlook: Outlook,
    progress: Callable[[Input], None] | None,
) -> dict[str, Any]:
    """Write the rows of an input. `sources`: jobs that they may take outcomes from. Returns what only they tell, as
    fields of the manifest. Raises InputError, and BulkqaError if somebody removed them meanwhile."""
    job, folder = place.job, place.chunks_folder
    chunks, survey = _Chunks(), outlook.survey(request.options)
    draw = Draw(source, request.sampling, request.options, outlook)
    with created(storage) as create, closing(RowKeys()) as keys:
        for table in draw.tables(settings, progress):
            chunks.add(table, place, create, documents=source.documents is not None)
            survey.add(table, keys.add(table))
        keys_sha256 = keys.store(storage, layout.keys(job, folder))
        carried = carry(sources, keys, chunks.rows, lambda n, data: create(layout.carried(job, n, folder), data))
        surveyed = survey.finish().without(carried.shares(chunks.rows))
        work = surveyed.seconds(outlook.cost)
        index = Index(tuple(chunks.rows), tuple(chunks.digests), work, carried.digests).to_bytes()
        create(layout.index(job, folder), index)
        columns = _columns(source, request, draw)
        documents = documents_file(source.documents.index) if source.documents else b""
        for key, data in ((layout.columns(job, folder), columns), (layout.documents(job, folder), documents)):
            if data:
                create(key, data)
    storage.settle()  # all chunks at once, before the manifest names them
    objects = len(chunks.rows) + 2 + sum(map(bool, (columns, documents, *carried.digests)))
    _check_there(storage, place, objects, len(chunks.texts))
    if carried.rows:
        records.pin_at_submit(storage, job, sources[0].model)
    jobs = tuple(each.stored.id for each in sources)
    return {
        "rows": sum(chunks.rows),
        "rejected": chunks.rejected,
        "text_bytes": chunks.text_bytes,
        "chunks": len(chunks.rows),
        "forecast": outlook.forecast(surveyed),
        "index_sha256": hashlib.sha256(index).hexdigest(),
        "columns_sha256": hashlib.sha256(columns).hexdigest() if columns else "",
        "keys_sha256": keys_sha256,
        "reuse": Reuse(jobs, carried.rows, request.reuse_any) if request.reuse else None,
        **_about_documents(source.documents, documents),
        **draw.fields(surveyed),
    }


def _check_there(storage: Storage, place: Place, objects: int, texts: int) -> None:
    """Raise BulkqaError unless a chunks folder has this many objects, and texts."""
    folder = layout.texts(place.job, place.chunks_folder)
    names = [
        name for name in storage.list(layout.chunks(place.job, place.chunks_folder)) if not folder.endswith(f"/{name}")
    ]
    if len(names) != objects or (texts and len(storage.list(folder)) != texts):
        raise BulkqaError(
            f"chunks of job {place.job} were removed while it was being submitted",
            "The sweeper removes chunks if none was added for a day. Submit the file again.",
        )


def _texts(table: pa.Table, written: set[str]) -> Iterator[tuple[str, bytes]]:
    """The texts of documents in a chunk that are not among those `written`, which they join; each with its digest."""
    for column in table["context"].chunks:
        for text in column.dictionary.to_pylist():
            data = text.encode()
            digest = hashlib.sha256(data).hexdigest()
            if digest not in written:
                written.add(digest)
                yield digest, data


def _about_documents(files: DocumentFiles | None, index: bytes) -> dict[str, Any]:
    """What the manifest of a job with documents also has."""
    if files is None:
        return {}
    count, questions = len(files.index), len(files.questions.groups)
    return {
        "documents": Documents(count, questions, hashlib.sha256(index).hexdigest()),
        "groups": Groups("question", questions, scattered=questions > 1),
    }


def _columns(source: Input, request: Request, draw: Draw) -> bytes:
    """The file of the types of the columns; empty if they are unknown. Raises InputError if they came with another
    table."""
    columns: InputColumns | None = request.columns
    if columns is None:
        return InputColumns(source.types.empty_table()).to_bytes() if source.types is not None else b""
    levels = columns.index.num_columns and columns.index.num_rows
    if not set(source.columns) <= set(columns.types.column_names) or levels not in (0, source.origins):
        raise InputError(
            "unreadable", f"{source.name}: the columns beside the table belong to another table", "Leave them out."
        )
    if levels and draw.drawn is not None:
        columns = replace(columns, index=columns.index.take(pa.array(draw.drawn)))
    return columns.to_bytes()
