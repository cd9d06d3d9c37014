"""Publishing: the parts of a complete job become its outputs, in row order and in bounded memory.

Predictions, groups, error file, report: the report comes last, so a job with a report has ended and its outputs are
whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, TypeVar

from contract import evaluation
from contract.format import codec, csvfile, document, errorfile, layout
from contract.format.job import Manifest, ModelRef
from contract.format.part import Footer
from contract.groups.reduce import GroupSums, groups
from contract.ledger import progress as ledger
from contract.ledger import records
from contract.ledger.progress import Chunks, Counts, Progress
from contract.ledger.stored import Damage, Part, StoredJob
from contract.ledger.tally import Tally
from contract.storage import Storage
from contract.storage.digest import Digest, digest_of
from contract.storage.many import many
from contract.trust import split

T = TypeVar("T")

#: Parts that are read ahead from a slow storage; this many are held in memory.
_AHEAD = 8


class ChangedMeanwhile(Exception):
    """A part or an output was altered or removed while the outputs were written."""


def publish(job: StoredJob, hold: Callable[[], Any] = lambda: None) -> list[int]:
    """Write the outputs of a job that has all its parts. Returns the numbers of damaged parts: if there are any,
    nothing was published. `hold` is called every ten seconds to renew the lease. Raises ChangedMeanwhile."""
    storage, manifest = job.storage, job.manifest
    hold = _rarely(hold)
    footers: list[Footer] = []
    try:
        # Parts are read once and checked as they stream by. A damaged one leaves no document.
        outputs = {
            "predictions": _write(storage, layout.predictions(job.id), document.write(_lines(job, hold, footers)))
        }
    except ChangedMeanwhile:
        _, damaged = _check_parts(job, hold)
        if not damaged:
            raise
        return damaged
    if len(footers) < manifest.chunks:  # an earlier writer finished the document
        footers, damaged = _check_parts(job, hold)
        if damaged:
            return damaged
    group_sums = None
    if manifest.groups:
        outputs["groups"], group_sums = _groups(job, hold)
    if any(footer.failed or footer.cancelled for footer in footers):
        outputs["errors"] = _write(storage, layout.errors(job.id), _error_file(job, hold, footers))
    report = _report(storage, manifest, footers, outputs, group_sums)
    storage.create(layout.report(job.id), codec.dump(report))
    storage.delete(layout.progress(job.id))
    storage.sweep(layout.folder(job.id), older_than=0.0)  # whoever still writes here has lost the race
    return []


def _check_parts(job: StoredJob, hold: Callable[[], Any]) -> tuple[list[Footer], list[int]]:
    """The footer of every part, and the numbers of parts that are missing or damaged."""
    footers: list[Footer] = []
    damaged: list[int] = []
    for number, part in enumerate(_held(_parts(job), hold)):
        if isinstance(part, Part):
            footers.append(part.footer)
        else:
            damaged.append(number)
    if damaged:
        job.storage.delete(layout.progress(job.id))  # it counts the damaged parts
    return footers, damaged


def _parts(job: StoredJob) -> Iterator[Part | Damage]:
    return many(job.storage, job.part, range(job.manifest.chunks), _AHEAD)


def _rarely(hold: Callable[[], Any]) -> Callable[[], None]:
    """A function that may be called at any time: it calls `hold` every ten seconds."""
    held = time.monotonic()

    def call() -> None:
        nonlocal held
        if time.monotonic() - held > 10.0:
            hold()
            held = time.monotonic()

    return call


def _held(items: Iterable[T], hold: Callable[[], Any]) -> Iterator[T]:
    """The same items. Calls `hold` between them."""
    for item in items:
        hold()
        yield item


def _whole(part: Part | Damage) -> Part:
    if isinstance(part, Damage):
        raise ChangedMeanwhile(part.reason)
    return part


def _lines(job: StoredJob, hold: Callable[[], Any], footers: list[Footer]) -> Iterator[bytes]:
    """The lines of all parts, in order; their footers are appended to `footers`. Raises ChangedMeanwhile."""
    for lines, footer in map(_whole, _held(_parts(job), hold)):
        footers.append(footer)
        yield lines


def _groups(job: StoredJob, hold: Callable[[], Any]) -> tuple[dict[str, Any], GroupSums]:
    """Write the groups of a job. Returns what `_write` does, and the sums over them. Raises ChangedMeanwhile."""
    sums = GroupSums()
    lines = (part.lines for part in map(_whole, _held(_parts(job), hold)))
    blocks = groups(lines, job.manifest, sums, hold)
    output = _write(job.storage, layout.groups(job.id), document.write(blocks, "groups"))
    for _ in blocks:
        pass  # none is left, unless an earlier writer finished the document: then they are only counted
    return output, sums


def _error_file(job: StoredJob, hold: Callable[[], Any], footers: list[Footer]) -> Iterator[bytes]:
    """The rows with errors, in the input's columns and delimiter, with the reason: to be fixed and submitted again."""
    manifest = job.manifest
    columns = [column for column in manifest.source.columns if column not in errorfile.COLUMNS]
    columns = [manifest.context_column, *columns] if manifest.documents else columns
    has_lists = manifest.groups is not None and manifest.groups.column in (None, errorfile.GROUP)
    last = [errorfile.GROUP] if has_lists and not manifest.documents else []
    delimiter = manifest.source.delimiter or "|"
    yield csvfile.encode([[*columns, *errorfile.COLUMNS, *last]], delimiter)
    for number, footer in enumerate(_held(footers, hold)):
        if footer.failed or footer.cancelled:
            predictions = [json.loads(line) for line in _whole(job.part(number)).lines.splitlines()]
            if manifest.options.omit_context and not manifest.documents:  # the error file needs it all the same
                for prediction, row in zip(predictions, job.rows(number), strict=True):
                    prediction["context"] = row.context
            failed = [prediction for prediction in predictions if prediction["status"] == "error"]
            rows = ([*_error_row(p, columns, manifest), *(p.get("group") for _ in last)] for p in failed)
            yield csvfile.encode(rows, delimiter)


def _error_row(prediction: dict[str, Any], columns: list[str], manifest: Manifest) -> list[Any]:
    values = dict(prediction["passthrough"])
    values[manifest.question_column] = prediction["question"]
    values[manifest.context_column] = prediction["document" if manifest.documents else "context"]
    if manifest.id_column:
        values[manifest.id_column] = prediction["id"]
    error = prediction["error"]
    cells = [csvfile.cell(values.get(column)) for column in columns]
    added = [prediction["row"], prediction.get("line"), error["code"], error["message"], prediction.get("raw")]
    return [*cells, *added, errorfile.digest(cells)]


def _write(storage: Storage, key: str, blocks: Iterator[bytes]) -> dict[str, Any]:
    """Write an output, or read the one that an earlier writer finished, which has the same content. Returns its URI,
    size and digest. Raises ChangedMeanwhile."""
    digest = Digest()
    if storage.exists(key) or not storage.create(key, digest.over(blocks)):
        try:
            digest = digest_of(storage.blocks(key))
        except FileNotFoundError:
            raise ChangedMeanwhile(f"{key} is missing") from None
    return {"uri": storage.locate(key), "bytes": digest.bytes, "sha256": digest.sha256}


def _report(
    storage: Storage,
    manifest: Manifest,
    footers: list[Footer],
    outputs: dict[str, Any],
    group_sums: GroupSums | None,
) -> Progress:
    tally = Tally().plus(dict(enumerate(footers)))
    counts = Counts.of(manifest.rows, tally)
    rate = tally.rate()
    status, reason = ledger.verdict(counts, records.cancel_reason(storage, manifest.id))
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
        rows_per_second=round(rate.rows, 2) if rate and rate.rows else None,
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
        answering_rule=tally.rules,
        evaluation=evaluation.summary([tally.evaluation]),
        **ledger.work_of(tally),
        sample=manifest.sample,
        forecast=manifest.forecast
        and replace(manifest.forecast, actual_seconds=round(ended_at - manifest.created_at, 2)),
        groups=Counts.of_groups(group_sums) if group_sums else None,
        group_evaluation=evaluation.summary([group_sums.evaluation]) if group_sums else None,
        expires_at=None if manifest.expire is None else ended_at + manifest.expire,
        trusted=split.split(manifest.trust, tally.rows, tally.trusted, tally.scores),
    )
