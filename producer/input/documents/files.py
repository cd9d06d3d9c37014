"""Questions x documents as one file of rows: every question of the first document, then of the second, and so on.

Has the interface of `producer.input.files.InputFiles`. Documents come in the order of their names, from a folder, a
pattern or a prefix, or in that of their rows, from a table. One that cannot be read is an error of each of its rows.
"""

from __future__ import annotations

import copy
import hashlib
import heapq
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from contract.errors import InputError, UsageError
from contract.format import chunk
from contract.format.documents import Document
from contract.format.job import RowError
from contract.remedy import Remedy, Set
from producer.input.documents.child import too_large
from producer.input.documents.extractor import Extractor
from producer.input.documents.questions import read_questions
from producer.input.documents.text import Text, Unreadable, unreadable
from producer.input.files import InputFiles, files_of
from producer.input.formats.datafile import DataFile
from producer.input.location import Documents, File, Folder, Location, Many, One, Url, locate
from producer.input.options import ReadOptions
from producer.input.raw import RawFile
from producer.input.rows import Fault, Rows
from producer.shuffle import Sampling

T = TypeVar("T")

#: The name of the column of documents.
COLUMN = "document"
_ONE_EACH = "Name a folder, a pattern or a prefix alone, or each file."
_QUESTIONS = "Name the file of the questions."


@dataclass(frozen=True, slots=True)
class _Read:
    """A document, and its text if it has one."""

    document: Document
    text: str | None


def documents_of(spec: Documents, notes: list[str]) -> tuple[Location, Sequence[One]]:
    """Where documents are, and the files of each, in order. Adds to `notes` what is skipped. Raises InputError."""
    if isinstance(spec.documents, tuple):
        files: list[One] = []
        for located in map(locate, spec.documents):
            if isinstance(located, Many):
                raise InputError("unreadable", f"{located.label}: several files, in a list of documents", _ONE_EACH)
            files.append(located)
        name = f"{len(files)} documents"
        return (files[0] if len(files) == 1 else Folder(name, name, Path())), files
    where = locate(spec.documents)
    if not isinstance(where, Many):
        return where, [where]
    all_files, questions = files_of(where, notes), questions_of(spec)
    if isinstance(questions, File) and questions.path.exists():  # it may lie beside the documents
        path = questions.path
        return where, [each for each in all_files if not (isinstance(each, File) and each.path.samefile(path))]
    return where, all_files


def questions_of(spec: Documents) -> One:
    """Where the questions are. Raises InputError."""
    where = locate(spec.questions)
    if isinstance(where, Many):
        raise InputError("unreadable", f"{where.label}: several files, and questions are in one", _QUESTIONS)
    return where


def _table_of(spec: Documents) -> Location:
    if not isinstance(spec.documents, tuple):
        return locate(spec.documents)
    if len(spec.documents) > 1:
        raise InputError(
            "unreadable", "several files, and a table of documents is one", Remedy("Leave out ", Set("text"))
        )
    return locate(spec.documents[0])


class DocumentFiles:
    """The questions and documents of an input under way."""

    several = False

    def __init__(self, spec: Documents, options: ReadOptions, memory: int, sampling: Sampling | None = None) -> None:
        self._options, self._memory, self._sampling = options, memory, sampling
        self._notes: list[str] = []
        self.index: list[Document] = []  #: the documents so far
        self.of = 0  #: documents, of which these may be a sample; of a table known at the end
        self.bytes_read = 0
        if options.group_by is not None:
            raise UsageError("the groups of documents are the questions", Remedy("Leave out ", Set("group_by"), "."))
        asked = replace(options, id=None) if options.text else options
        self.questions = read_questions(questions_of(spec), asked, memory)
        self._table = None
        self._locations: Sequence[One] = ()
        if options.text:
            where = _table_of(spec)
            table = replace(options, question=options.text, context=options.text, one_column=True, answers="")
            self._table = InputFiles(where, table, memory)
        else:
            where, locations = documents_of(spec, self._notes)
            self.of = len(locations)
            self._locations = list(self._sampled(locations))
        self.label, self.name = where.label, where.name
        sizes = [each.size for each in self._locations if isinstance(each, File | Url)]
        self.size: int | None = sum(sizes) or None

    def _sampled(self, documents: Iterable[T]) -> Iterable[T]:
        """Those that are in the sample, in order: as few as have its rows. All of them if none is asked for."""
        sampling = self._sampling
        if sampling is None:
            return documents
        most = -(-sampling.rows // len(self.questions.groups))
        lowest = heapq.nsmallest(most, enumerate(documents), key=lambda numbered: sampling.key(numbered[0]))
        return [document for _, document in sorted(lowest, key=itemgetter(0))]

    @property
    def count(self) -> int:
        """Files of documents."""
        return self._table.count if self._table else len(self._locations)

    @property
    def notes(self) -> list[str]:
        """What the user should know."""
        return [*self.questions.notes, *self._notes, *(self._table.notes if self._table else ())]

    def digest(self) -> str:
        """Of the questions, and of the names and files of all documents. Known at the end."""
        digest = hashlib.sha256(self.questions.sha256.encode())
        for each in self.index:
            digest.update(f"\n{each.sha256} {each.name}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def opened(self) -> Generator[tuple[str, DataFile]]:
        """The rows of all documents, as one file."""
        questions = self.questions.file
        columns = copy.copy(questions.columns)
        columns.context = COLUMN
        schema = chunk.of_documents(questions.schema)
        yield self.name, replace(questions, format="documents", columns=columns, schema=schema, batches=self._rows())

    def _rows(self) -> Iterator[Rows]:
        documents = self._sampled(self._of_table(self._table)) if self._table else self._of_files()
        names: set[str] = set()
        for each in documents:
            document, text = each.document, each.text
            if document.name in names and not document.error:
                error = RowError("duplicate_id", f"{document.name}: another document has this name already")
                document, text = replace(document, text_sha256="", error=error), None
            names.add(document.name)
            self.index.append(document)
            self._notes += [f"{document.name}: {warning}" for warning in document.warnings]
            yield self._asked(document, text)
        if not self.index:
            raise InputError("empty_file", f"{self.label}: no document", "Is it the right folder?")

    def _asked(self, document: Document, text: str | None) -> Rows:
        """All questions, asked of a document."""
        rows = self.questions.rows
        count = len(rows.question)
        first = pa.array([0] * count, pa.int32())
        faults = dict(rows.faults)
        if document.error:
            faults = dict.fromkeys(range(count), Fault(document.error.code, document.error.message))
        return Rows(
            id=rows.id,
            question=rows.question,
            context=pa.DictionaryArray.from_arrays(first, pa.array([text], pa.string()))
            if text is not None
            else pa.DictionaryArray.from_arrays(pa.nulls(count, pa.int32()), pa.array([], pa.string())),
            passthrough=rows.passthrough,
            lines=None,
            faults=faults,
            group=self.questions.groups,
            document=pa.DictionaryArray.from_arrays(first, pa.array([document.name])),
        )

    def _of_files(self) -> Iterator[_Read]:
        with Extractor(self._memory) as extractor:
            for location in self._locations:
                try:
                    with ExitStack() as resources:
                        read = self._read(RawFile(location, resources), extractor)
                except InputError as error:
                    if self.of == 1:
                        raise
                    wrong = RowError("unreadable_document", error.message)
                    read = _Read(Document(location.name, 0, "", error=wrong), None)
                yield read

    def _read(self, raw: RawFile, extractor: Extractor) -> _Read:
        """A document as its file gives it."""
        is_small = raw.size is None or raw.size <= extractor.most
        blocks, size = [], 0
        for block in raw.blocks():
            size += len(block)
            if is_small and size <= extractor.most:
                blocks.append(block)
        digest = raw.digest()
        self.bytes_read += size
        try:
            if size > extractor.most:
                raise unreadable(too_large(self._memory))
            text = extractor.text(raw.name, b"".join(blocks))
        except Unreadable as error:
            wrong = RowError(error.code, f"{raw.name}: {error.why}")
            return _Read(Document(raw.name, size, digest, error=wrong), None)
        return self._checked(raw.name, size, digest, text)

    def _checked(self, name: str, size: int, digest: str, text: Text) -> _Read:
        """A document that was read, unless its text is too large."""
        data = text.text.encode()
        document = Document(
            name, size, digest, hashlib.sha256(data).hexdigest(), len(text.text), text.pages, text.library,
            text.version, text.warnings,
        )  # fmt: skip
        if len(data) > self._options.max_row_bytes:
            why = f"its text has {len(data):,} bytes, and BULKQA_MAX_ROW_BYTES allows {self._options.max_row_bytes:,}"
            return _Read(replace(document, text_sha256="", error=RowError("row_too_large", f"{name}: {why}")), None)
        return _Read(document, text.text)

    def _of_table(self, table: InputFiles) -> Iterator[_Read]:
        try:
            for _, file in table.opened():
                for rows in file.batches:
                    for index, (name, text) in enumerate(
                        zip(rows.id.to_pylist(), rows.question.to_pylist(), strict=True)
                    ):
                        fault = rows.faults.get(index)
                        self.of += 1
                        yield self._of_row(name or str(self.of - 1), text, fault)
                    self.bytes_read = table.bytes_read
        except InputError as error:
            if error.code == "missing_column":
                error.remedy = Remedy(
                    "Name the columns of their texts and names with ", Set("text"), " and ", Set("id")
                )
            raise

    def _of_row(self, name: str, text: str | None, fault: Fault | None) -> _Read:
        data = (text or "").encode()
        digest = hashlib.sha256(data).hexdigest()
        if fault or not (text and text.strip()):
            code, why = (fault.code, fault.message) if fault else ("no_text", "there is no text in it")
            return _Read(Document(name, len(data), digest, error=RowError(code, f"{name}: {why}")), None)
        return self._checked(name, len(data), digest, Text(text, None, "", ""))
