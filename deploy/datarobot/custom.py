"""bulkqa as an unstructured custom model of DataRobot: the hooks that the platform calls, on our reader.

What comes in is read as a file of `producer run` is, and scored as a worker scores a chunk: nothing is decided here.
`make datarobot` puts this, the packages that it imports and a model directory into one folder: see README.md.
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
from worker.reader.reader import Reader
from worker.scoring import Watch, score

#: Rows, and bytes of them, that are scored at a time: memory is bounded by them, beside the text that the platform
#: holds as a whole.
ROWS, BYTES = 512, 4 << 20
JSON = {"mimetype": "application/json", "charset": "utf-8"}
EXPECTED = (
    "Send CSV in UTF-8 with | between the columns, among them question and context, or JSON: one object "
    '{"question": ..., "context": ...}, or a list of such.'
)


@dataclass(frozen=True)
class Model:
    """A warm reader, and the threads that ask it."""

    reader: Reader
    pool: ThreadPoolExecutor
    threads: int

    def answers(self, source: Input) -> Iterator[dict[str, Any]]:
        """An answer for each row, in order. One that cannot be answered has an empty answer and an `error`."""
        for table in source.tables(ROWS, BYTES):
            for made in score(list(chunk.rows(table)), self.reader, Options(), self.pool, self.threads, Watch()):
                found = {"context": made["context"], "question": made["question"], "answer": made["answer"] or ""}
                yield found | ({"error": made["error"]} if "error" in made else {})


class _Request(io.BytesIO):
    """The body of a request, under the name that messages call it by."""

    name = "the request"


def load_model(input_dir: str) -> Model:
    """Called once: the reader in the folder `model`, opened and checked. Raises ModelError."""
    threads = machine.available_cpus()
    return Model(Reader.open(Path(input_dir) / "model"), ThreadPoolExecutor(threads), threads)


def score_unstructured(model: Model, data: bytes | str, query: Any = None, **about: Any) -> tuple[str, dict[str, str]]:
    """Called for each request. CSV with | between the columns gives `{"predictions": [{"context", "question",
    "answer"}, ...]}`, one for each row, and so does a list of JSON objects; one object alone gives one.

    Raises ValueError, which the platform shows, for what cannot be read as a whole.
    """
    text = isinstance(data, str)  # a lone surrogate is passed on, for its row to be rejected
    body = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    options = ReadOptions(id="", answers="", encoding=None if text else about.get("charset"))
    try:
        with open_input(_Request(body), options) as source:
            found = [json.dumps(one, ensure_ascii=False) for one in model.answers(source)]
    except InputError as error:
        raise ValueError(f"{error.message}. {EXPECTED}") from None
    if source.format == "jsonl" and len(found) == 1:
        return found[0], JSON
    return '{"predictions": [\n' + ",\n".join(found) + "\n]}", JSON
