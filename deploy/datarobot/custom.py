"""bulkqa as an unstructured custom model of DataRobot: the hooks that the platform calls, on our reader.

`make datarobot` puts this, the packages that it imports and a model directory into one folder: see README.md.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from contract import machine
from contract.format.job import Options, Row, RowError
from worker.reader.reader import Reader
from worker.scoring import Watch, score

#: Rows that are scored at a time: memory is bounded by them, beside the text that the platform holds as a whole.
ROWS = 512
COLUMNS = ("question", "context")
JSON = {"mimetype": "application/json", "charset": "utf-8"}

csv.field_size_limit(1 << 30)  # else a context of more than 128 KiB is refused


@dataclass(frozen=True)
class Model:
    """A warm reader, and the threads that ask it."""

    reader: Reader
    pool: ThreadPoolExecutor
    threads: int

    def answers(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """An answer for each row, in order. One that cannot be answered has an empty answer and an `error`."""
        rows = iter(rows)
        while block := list(islice(rows, ROWS)):
            for made in score(block, self.reader, Options(), self.pool, self.threads, Watch()):
                found = {"context": made["context"], "question": made["question"], "answer": made["answer"] or ""}
                yield found | ({"error": made["error"]} if "error" in made else {})


def load_model(input_dir: str) -> Model:
    """Called once: the reader in the folder `model`, opened and checked."""
    threads = machine.available_cpus()
    return Model(Reader.open(Path(input_dir) / "model"), ThreadPoolExecutor(threads), threads)


def score_unstructured(model: Model, data: bytes | str, query: Any = None, **about: Any) -> tuple[str, dict[str, str]]:
    """Called for each request. `text/csv` with | between the columns question and context gives
    `{"predictions": [{"context", "question", "answer"}, ...]}`; one JSON object gives one, a list of them a list.

    Raises ValueError for what can be read as neither.
    """
    text = _text(data, about.get("charset") or "utf-8")
    if "json" in (about.get("mimetype") or ""):
        asked = _parsed(text)
        found = list(model.answers(_row(number, one) for number, one in enumerate(_objects(asked))))
        return json.dumps({"predictions": found} if isinstance(asked, list) else found[0], ensure_ascii=False), JSON
    out = io.StringIO()
    out.write('{"predictions": [')
    for number, found in enumerate(model.answers(_rows(text))):
        out.write(",\n" if number else "\n")
        json.dump(found, out, ensure_ascii=False)
    out.write("\n]}")
    return out.getvalue(), JSON


def _text(data: bytes | str, charset: str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode(charset).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"the text is not in {charset}: {error}. Say its charset in the content type.") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no JSON: {error}") from None


def _objects(asked: Any) -> list[dict[str, Any]]:
    objects = asked if isinstance(asked, list) else [asked]
    if not all(isinstance(one, dict) for one in objects):
        raise ValueError('send {"question": ..., "context": ...}, or a list of such')
    return objects


def _rows(text: str) -> Iterator[Row]:
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter="|")
    found = lines.fieldnames or []
    if missing := [name for name in COLUMNS if name not in found]:
        raise ValueError(
            f"there is no column {' and no '.join(missing)}. Columns found with the delimiter '|': {', '.join(found)}"
        )
    for number, values in enumerate(lines):
        yield _row(number, values)


def _row(number: int, values: dict[Any, Any]) -> Row:
    """A row as the reader takes it; what lacks one of the texts, or has too many fields, is an error of its own."""
    question, context = (values.get(name) for name in COLUMNS)
    error = None
    if None in values:
        error = RowError("bad_row", "there are more fields than columns: is a | within a text not quoted?")
    elif not isinstance(question, str) or not question.strip():
        error = RowError("empty_question", "there is no question")
    elif not isinstance(context, str) or not context.strip():
        error = RowError("empty_context", "there is no context")
    return Row(number, question, context, error=error)
