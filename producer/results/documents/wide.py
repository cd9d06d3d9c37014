"""The answers of a job with documents, one line per document: for each question the answer, its score and its page.

The rows of a document are consecutive, one per question, in the order of the questions. A document is given once all of
its rows are there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any

import pyarrow as pa

from contract.errors import UsageError
from contract.format.job import Manifest
from producer.results.workbook import Marked, Sheet

#: The columns of a question: of an answer, and what is added to the question for their names.
_COLUMNS = {"answer": "", "score": " (score)", "page": " (page)"}
_OF_QUESTION = ("id", "question")
_OF_ANSWER = ("row", "status", "answer", "start", "end", "page", "score", "margin", "flags", "excerpt", "excerpt_start")
#: The header of the sheet of excerpts.
EXCERPTS = ("document", "question", "answer", "score", "page", "excerpt")


def check(manifest: Manifest) -> int:
    """The number of questions about each document of a job. Raises UsageError if it has no documents."""
    if manifest.documents is None:
        raise UsageError(
            f"job {manifest.id} has no documents, so there is no line per document",
            "Write its rows instead.",
        )
    return manifest.documents.questions


def documents(lines: Iterable[bytes], questions: int) -> Iterator[bytes]:
    """Predictions, given in blocks of whole JSON lines, as one JSON line a document."""
    held: list[dict[str, Any]] = []
    for block in lines:
        found = []
        for line in block.splitlines():
            held.append(json.loads(line))
            if len(held) == questions:
                found.append(json.dumps(_document(held), ensure_ascii=False, separators=(",", ":")) + "\n")
                held = []
        if found:
            yield "".join(found).encode()


def questions(lines: Iterable[bytes], count: int) -> tuple[list[str], Iterator[bytes]]:
    """The questions of the first document, as far as its rows are there, and all of the lines again."""
    rest, read, texts = iter(lines), [], list[str]()
    while len(texts) < count and (block := next(rest, None)) is not None:
        read.append(block)
        texts += [json.loads(line)["question"] or "" for line in block.splitlines()]
    return texts[:count], chain(read, rest)


def _document(predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All answers of one document; or the error that all its rows have, because it could not be read."""
    answers = [_answer(prediction) for prediction in predictions]
    errors = [prediction.get("error") for prediction in predictions]
    shared = {"error": errors[0]} if errors[0] and all(error == errors[0] for error in errors) else {}
    return {"document": predictions[0].get("document")} | shared | {"answers": answers}


def _answer(prediction: dict[str, Any]) -> dict[str, Any]:
    names = (*_OF_QUESTION, *_OF_ANSWER, "error")
    return {name: prediction[name] for name in names if name in prediction}


class Wide:
    """The table of a job's documents: the document, three columns a question, and why it failed."""

    delimiter = ","

    def __init__(self, questions: Sequence[str]) -> None:
        """`questions`: as they are asked, in order."""
        names, seen = [], Counter[str]()
        for question in questions:
            seen[question] += 1
            label = question if seen[question] == 1 else f"{question} [{seen[question]}]"
            names += [label + suffix for suffix in _COLUMNS.values()]
        kinds = [pa.string(), pa.float64(), pa.int64()] * len(questions)
        self.schema = pa.schema(
            [("document", pa.string()), *zip(names, kinds, strict=True), ("error", pa.string())]  # in order
        )

    def cells(self, document: dict[str, Any]) -> list[Any]:
        """The line of a document."""
        # The score of "no answer" beside an empty answer would be taken for that of an answer.
        answered = ({} if answer["status"] == "no_answer" else answer for answer in document["answers"])
        cells = [answer.get(name) for answer in answered for name in _COLUMNS]
        return [document["document"], *cells, _error(document)]

    def table(self, documents: Sequence[dict[str, Any]]) -> pa.Table:
        """Some lines, in the schema."""
        rows = [self.cells(document) for document in documents]
        columns = zip(*rows, strict=True) if rows else [[]] * len(self.schema)
        arrays = [pa.array(list(column), field.type) for column, field in zip(columns, self.schema, strict=True)]
        return pa.table(arrays, schema=self.schema)


def sheets(documents: Iterable[dict[str, Any]], shape: Wide, scratch: IO[bytes]) -> tuple[Sheet, Sheet]:
    """The table of documents as a sheet, and one of excerpts. `scratch` is a temporary file: a sheet comes after the
    other, and both are of the same documents."""

    def first() -> Iterator[list[Any]]:
        for document in documents:
            scratch.write(json.dumps(document).encode() + b"\n")
            yield shape.cells(document)

    def second() -> Iterator[list[Any]]:
        scratch.seek(0)
        for line in scratch:
            yield from excerpts(json.loads(line))

    return Sheet("answers", shape.schema.names, first()), Sheet("excerpts", EXCERPTS, second())


def excerpts(document: dict[str, Any]) -> Iterator[list[Any]]:
    """The lines of a document in the sheet of excerpts: one for each answer, which is marked in its excerpt."""
    for answer in document["answers"]:
        if answer["status"] == "answered":
            values = [answer.get(name) for name in ("question", "answer", "score", "page")]
            yield [document["document"], *values, _marked(answer)]


def _marked(answer: dict[str, Any]) -> Marked | None:
    text = answer.get("excerpt")
    if text is None:
        return None
    first, last = (answer[name] - answer["excerpt_start"] for name in ("start", "end"))
    return Marked(text[:first], text[first:last], text[last:])


def _error(document: dict[str, Any]) -> str | None:
    error = document.get("error")
    if error:
        return f"{error['code']}: {error['message']}"
    failed = sum(answer["status"] == "error" for answer in document["answers"])
    return f"{failed} of {len(document['answers'])} questions failed" if failed else None
