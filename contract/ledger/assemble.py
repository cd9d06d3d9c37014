"""Put the parts of a complete job together, in row order and in bounded memory: predictions, errors, report.

The report comes last: where it is, the outputs are whole and the job has ended.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from contract import evaluation
from contract.format import errorfile, layout, part
from contract.format.job import Manifest, ModelRef
from contract.format.part import Footer
from contract.ledger import progress as ledger
from contract.ledger import records
from contract.ledger.progress import Chunks, Counts, Progress
from contract.ledger.records import Index
from contract.ledger.tally import Tally
from contract.storage import Storage
from contract.storage.many import many

#: Parts that are read ahead, where a storage takes long over each: so many are held in memory.
_AHEAD = 8
_HEAD = b'{"predictions": [\n'
_FOOT = b"\n]}\n"


class _Digest:
    """Counts and hashes what flows by."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self.bytes = 0

    def of(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.sha.update(block)
            self.bytes += len(block)
            yield block

    def about(self, uri: str) -> dict[str, Any]:
        return {"uri": uri, "bytes": self.bytes, "sha256": self.sha.hexdigest()}


def publish(
    storage: Storage, manifest: Manifest, index: Index, hold: Callable[[], bool] = lambda: True
) -> list[tuple[int, str]]:
    """Write the outputs of a job all of whose parts are there. Returns the parts found damaged, with the reason: if
    there are any, nothing was published. `hold` is called now and then, to keep the lease of this work."""
    job = manifest.id
    footers: list[Footer] = []
    try:
        # Parts are read once: checked as they go by, and a damaged one leaves no document.
        document = _document(storage, index, job, hold, footers)
        outputs = {"predictions": _write(storage, layout.predictions(job), document)}
    except (part.DamagedPart, FileNotFoundError):
        _, damaged = check_parts(storage, manifest, index)
        if not damaged:
            raise
        return damaged
    if len(footers) < len(index.rows):  # a writer before us made the document
        footers, damaged = check_parts(storage, manifest, index)
        if damaged:
            return damaged
    if any(footer.failed or footer.cancelled for footer in footers):
        outputs["errors"] = _write(storage, layout.errors(job), _error_file(storage, manifest, index, footers))
    report = _report(storage, manifest, footers, outputs)
    storage.create(layout.report(job), records.dump(report.to_json()))
    storage.delete(layout.progress(job))
    storage.sweep(layout.folder(job), older_than=0.0)  # whoever still writes here has lost the race for its object
    return []


def check_parts(storage: Storage, manifest: Manifest, index: Index) -> tuple[list[Footer], list[tuple[int, str]]]:
    """The footer of every part, and the parts that are not whole and unaltered, with the reason."""

    def read(number: int) -> Footer | str:
        try:
            return records.read_part(storage, manifest.id, number, index.rows[number])[1]
        except FileNotFoundError:
            return "it is missing"
        except part.DamagedPart as reason:
            return str(reason)

    footers: list[Footer] = []
    damaged: list[tuple[int, str]] = []
    for number, found in enumerate(many(storage, read, range(len(index.rows)), _AHEAD)):
        if isinstance(found, Footer):
            footers.append(found)
        else:
            damaged.append((number, found))
    if damaged:
        storage.delete(layout.progress(manifest.id))  # it counts them
    return footers, damaged


def predictions(storage: Storage, index: Index, job: str) -> Iterator[bytes]:
    """The predictions of all parts as JSON lines, a block a part."""
    return (lines for lines, _ in _parts(storage, index, job))


def _parts(storage: Storage, index: Index, job: str) -> Iterator[tuple[bytes, Footer]]:
    def read(number: int) -> tuple[bytes, Footer]:
        return records.read_part(storage, job, number, index.rows[number])

    return many(storage, read, range(len(index.rows)), _AHEAD)


def _document(
    storage: Storage, index: Index, job: str, hold: Callable[[], bool], footers: list[Footer]
) -> Iterator[bytes]:
    """The document, one prediction a line. Newlines inside strings are escaped, so that one ends a prediction.

    `footers` is given those of the parts that go by. Raises DamagedPart, FileNotFoundError.
    """
    yield _HEAD
    held, last = time.monotonic(), len(index.rows) - 1
    for number, (lines, footer) in enumerate(_parts(storage, index, job)):
        footers.append(footer)
        if time.monotonic() - held > 10.0:
            hold()
            held = time.monotonic()
        separated = lines.replace(b"\n", b",\n")
        yield separated[:-2] if number == last else separated
    yield _FOOT


def _error_file(storage: Storage, manifest: Manifest, index: Index, footers: list[Footer]) -> Iterator[bytes]:
    """The rows with an error in the input's own columns and delimiter, and why: to be mended and submitted again."""
    columns = [column for column in manifest.source.columns if column not in errorfile.COLUMNS]
    delimiter = manifest.source.delimiter or "|"
    yield _csv([[*columns, *errorfile.COLUMNS]], delimiter)
    for number, footer in enumerate(footers):
        if footer.failed or footer.cancelled:
            lines = records.read_part(storage, manifest.id, number, footer.rows)[0].splitlines()
            found = [json.loads(line) for line in lines]
            if manifest.options.omit_context:  # it is wanted here all the same
                for prediction, row in zip(
                    found, records.rows_or_blanks(storage, manifest, index, number), strict=True
                ):
                    prediction["context"] = row.context
            yield _csv([_error_row(p, columns, manifest) for p in found if p["status"] == "error"], delimiter)


def _error_row(prediction: dict[str, Any], columns: list[str], manifest: Manifest) -> list[Any]:
    values = dict(prediction["passthrough"])
    values[manifest.question_column] = prediction["question"]
    values[manifest.context_column] = prediction["context"]
    if manifest.id_column:
        values[manifest.id_column] = prediction["id"]
    error = prediction["error"]
    cells = [_cell(values.get(column)) for column in columns]
    ours = [prediction["row"], prediction.get("line"), error["code"], error["message"], prediction.get("raw")]
    return [*cells, *ours, errorfile.digest(cells)]


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _csv(rows: list[list[Any]], delimiter: str) -> bytes:
    lines = _Lines()
    # The writer quotes what holds a character of its line end: so it has to be both, lest a lone \r be one.
    csv.writer(lines, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return lines.text.getvalue().encode()


class _Lines:
    """What csv.writer writes to, a line at a time: ends each with a newline alone."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def write(self, line: str) -> None:
        self.text.write(line.removesuffix("\r\n") + "\n")


def _write(storage: Storage, key: str, blocks: Iterator[bytes]) -> dict[str, Any]:
    """Write an output, or read the one that a writer before us finished: it has the same content."""
    digest = _Digest()
    if not storage.exists(key) and storage.create(key, digest.of(blocks)):
        return digest.about(storage.locate(key))
    digest = _Digest()
    for _ in digest.of(storage.blocks(key)):
        pass
    return digest.about(storage.locate(key))


def _report(storage: Storage, manifest: Manifest, footers: list[Footer], outputs: dict[str, Any]) -> Progress:
    tally = Tally().plus(dict(enumerate(footers)))
    counts = Counts.of(manifest.rows, tally)
    status, reason = ledger.verdict(counts, cancel_asked=records.cancel_asked(storage, manifest.id))
    rate = tally.rows_per_second()
    ended_at = time.time()
    return Progress(
        id=manifest.id,
        status=status,
        reason=reason,
        created_at=manifest.created_at,
        started_at=tally.started_at,
        finished_at=ended_at,
        request_counts=counts,
        chunks=Chunks(total=manifest.chunks, done=len(footers), retried=tally.retried),
        progress=1.0,
        rows_per_second=round(rate, 2) if rate else None,
        eta_seconds=None,
        committed_rows=manifest.rows,
        attempts=tally.attempts,
        top_errors=ledger.top_errors(tally),
        model=records.model(storage, manifest.id) or ModelRef(manifest.model, "", ""),
        options=asdict(manifest.options),
        input=asdict(manifest.source),
        output_uri=outputs["predictions"]["uri"],
        error_uri=outputs["errors"]["uri"] if "errors" in outputs else None,
        metadata=manifest.metadata,
        workers=tuple(sorted({footer.worker for footer in footers if footer.worker})),
        outputs=outputs,
        batch_invariant=tally.batch_invariant,
        evaluation=evaluation.summary([tally.evaluation]),
        expires_at=None if manifest.expire is None else ended_at + manifest.expire,
    )
