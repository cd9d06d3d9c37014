"""The calibration of a job: made once of its judged answers, a record of its own, and read again for the same labels.

Rows count that were drawn at random, as in a promise: who picks rows by hand may pick those that look wrong. Without
any, the reference answers of the input count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from contract.errors import BulkqaError
from contract.format import codec, layout
from contract.ledger import records
from contract.ledger.stored import StoredJob
from contract.storage import Storage
from producer.results.lines import lines_of
from producer.trust.calibration.probability import Calibration, calibrated, margin_of
from producer.trust.judge import not_ended
from producer.trust.verdicts import Verdict, digest


def calibration(storage: Storage, job: str, verdicts: list[Verdict]) -> Generator[float, None, Calibration]:
    """The calibration by these verdicts of a job, in steps. Raises UsageError for too few, NotEnded, UnknownJob, and
    BulkqaError if its record or a part is damaged."""
    drawn = [verdict for verdict in verdicts if verdict.floor is not None]
    stored = StoredJob.open(storage, job)
    if records.report(storage, job) is None:
        raise not_ended(job)
    labels = digest(drawn) if drawn else stored.manifest.index_sha256
    key = layout.calibration(job, labels)
    if (known := _read(storage, key)) is not None:
        return known
    right = {verdict.row: verdict.right for verdict in drawn}
    margins, rights = list[float](), list[bool]()
    for predictions in _predictions(stored, right):
        for each in predictions:
            is_right = right.get(each["row"]) if drawn else _matches(each)
            if each["status"] == "answered" and is_right is not None:
                margins.append(margin_of(each))
                rights.append(is_right)
        yield 0.0
    made = calibrated(job, margins, rights, "people" if drawn else "references", labels)
    storage.create(key, made.to_bytes())
    return made


def _predictions(stored: StoredJob, rows: Mapping[int, Any]) -> Iterator[list[dict[str, Any]]]:
    """The predictions of rows, or of all if none are given, a part at a time."""
    by_chunk = defaultdict[int, list[int]](list)
    for row in rows:
        by_chunk[stored.chunk_of(row)].append(row - stored.first_rows[stored.chunk_of(row)])
    for number in sorted(by_chunk) if rows else range(stored.manifest.chunks):
        lines = lines_of(stored, number).splitlines()
        yield [json.loads(lines[place]) for place in (by_chunk[number] if rows else range(len(lines)))]


def _matches(prediction: dict[str, Any]) -> bool | None:
    """Whether an answer is that of the references; None without any."""
    return prediction["exact_match"] == 1.0 if "exact_match" in prediction else None


def _read(storage: Storage, key: str) -> Calibration | None:
    try:
        return codec.read(Calibration, storage.read(key))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BulkqaError(
            f"{storage.locate(key)} is damaged: {error}", "Remove it: it is made again from the same labels."
        ) from error
