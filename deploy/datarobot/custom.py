"""bulkqa as an unstructured custom model of DataRobot: the hooks that the platform calls.

A request is read like a file of `producer run`, and scored like a chunk of a worker. `make datarobot` puts this file,
the modules that it imports and a model directory into one folder: see README.md.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import machine
from contract.errors import InputError
from contract.format import chunk
from contract.format.job import Options
from producer.input.open import Input, open_input
from producer.input.options import ReadOptions
from worker.reader.open import open_reader
from worker.reader.reader import Reader
from worker.scoring import Watch, score

#: Rows, and their bytes, that are scored at a time. They bound memory, except for the text that the platform holds.
ROWS, BYTES = 512, 4 << 20
JSON = {"mimetype": "application/json", "charset": "utf-8"}
EXPECTED = (
    "Send CSV in UTF-8 with | between the columns, among them question and context, or JSON: one object "
    '{"question": ..., "context": ...}, or a list of such.'
)


@dataclass(frozen=True)
class Model:
    """A warm reader, and the threads that use it."""

    reader: Reader
    pool: ThreadPoolExecutor
    threads: int

    def answers(self, source: Input) -> Iterator[dict[str, Any]]:
        """An answer for each row, in order. One that cannot be answered has an empty answer and an `error`."""
        for table in source.tables(ROWS, BYTES):
            rows = list(chunk.rows(table))
            for prediction in score(rows, self.reader, Options(), self.pool, self.threads, Watch()):
                answer = {name: prediction[name] for name in ("context", "question", "answer")}
                answer["answer"] = answer["answer"] or ""
                yield answer | ({"error": prediction["error"]} if "error" in prediction else {})


class _Request(io.BytesIO):
    """The body of a request, with its name in messages."""

    name = "the request"


def load_model(input_dir: str) -> Model:
    """Called once: open and check the reader in the folder `model`. Raises ModelError."""
    threads = machine.available_cpus()
    return Model(open_reader(Path(input_dir) / "model"), ThreadPoolExecutor(threads), threads)


def score_unstructured(model: Model, data: bytes | str, query: Any = None, **about: Any) -> tuple[str, dict[str, str]]:
    """Called for each request. CSV with | between the columns, and a list of JSON objects, give `{"predictions":
    [{"context", "question", "answer"}, ...]}`, one for each row; a single object gives one of these.

    Raises ValueError, which the platform shows, if the request cannot be read at all.
    """
    text = isinstance(data, str)  # a lone surrogate is kept, so that its row is rejected
    body = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    options = ReadOptions(id="", answers="", encoding=None if text else about.get("charset"))
    try:
        with open_input(_Request(body), options) as source:
            answers = [json.dumps(answer, ensure_ascii=False) for answer in model.answers(source)]
    except InputError as error:
        raise ValueError(f"{error.message}. {EXPECTED}") from None
    if source.format == "jsonl" and len(answers) == 1:
        return answers[0], JSON
    return '{"predictions": [\n' + ",\n".join(answers) + "\n]}", JSON
