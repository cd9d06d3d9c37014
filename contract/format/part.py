"""A part: the outcome of one chunk, a prediction a line in row order and a footer as the last line.

The footer tells whether the part is whole and unaltered, and what it adds to the job's counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from contract.format.job import known

#: A footer is shorter than this, so that reading a part's end finds it.
FOOTER_BYTES = 4096


#: A job, and the number of a chunk of it.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Footer:
    """The last line of a part: its rows by outcome, its digest, and how it came about. Times are seconds since 1970."""

    rows: int
    answered: int
    no_answer: int
    failed: int
    cancelled: int
    sha256: str  #: of everything before the footer
    codes: dict[str, int] = field(default_factory=dict)  #: row errors by code
    started_at: float = 0.0
    finished_at: float = 0.0
    worker: str = ""
    model: str = ""  #: digest of the model; empty where no model was needed
    batch_invariant: bool = True
    attempts: int = 1  #: that the chunk took
    peak_rss: int = 0  #: of the worker, in bytes
    evaluation: dict[str, Any] | None = None  #: sums of `contract.evaluation`, where the file has reference answers
    job: str = ""  #: whose part it is; parts of earlier versions do not say
    chunk: int = -1


class DamagedPart(Exception):
    """A part that is cut short or was altered since it was written."""


def encode(predictions: Iterable[dict[str, Any]], **about: Any) -> tuple[bytes, Footer]:
    """The bytes of a part. `about` are the footer's fields that do not follow from the predictions.

    Raises ValueError if a prediction holds NaN or Infinity, which JSON cannot.
    """
    lines, codes = [], Counter[str]()
    statuses: Counter[str] = Counter()
    for prediction in predictions:
        lines.append(json.dumps(prediction, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
        statuses[prediction["status"]] += 1
        if prediction["status"] == "error":
            codes[prediction["error"]["code"]] += 1
    body = "".join(lines).encode()
    footer = Footer(
        rows=len(lines),
        answered=statuses["answered"],
        no_answer=statuses["no_answer"],
        failed=statuses["error"] - codes["job_cancelled"],
        cancelled=codes["job_cancelled"],
        sha256=hashlib.sha256(body).hexdigest(),
        codes=dict(sorted(codes.items())),
        **about,
    )
    return body + _last_line(asdict(footer)), footer


def _last_line(values: dict[str, Any]) -> bytes:
    """The footer and its own digest: the counts of a job are read from here alone."""
    text = json.dumps(values, separators=(",", ":"))
    return f'{{"footer":{text},"sha256":"{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()


def footer(tail: bytes, place: Place | None = None) -> Footer:
    """The footer in the last FOOTER_BYTES of a part. `place`: the job and chunk that it has to be of. Raises
    DamagedPart."""
    try:
        line = tail[tail.rindex(b"\n", 0, len(tail) - 1) + 1 :] if b"\n" in tail[:-1] else tail
        values = json.loads(line)["footer"]
        if line != _last_line(values):
            raise DamagedPart("its footer was altered")
        found = Footer(**known(Footer, values))
        if place and found.job and (found.job, found.chunk) != place:
            raise DamagedPart(f"it is part {found.chunk} of job {found.job}, under another name")
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedPart("it has no footer") from error


def body(data: bytes, rows: int, place: Place | None = None) -> tuple[bytes, Footer]:
    """The predictions of a part, as JSON lines, and its footer. Raises DamagedPart unless it is whole, unaltered, of
    `rows` rows, and the part of its `place`."""
    found = footer(data[-FOOTER_BYTES:], place)
    lines = data[: data.rfind(b"\n", 0, len(data) - 1) + 1]
    if found.sha256 != hashlib.sha256(lines).hexdigest():
        raise DamagedPart("its sha256 is not the one in its footer")
    if found.rows != rows:
        raise DamagedPart(f"it has {found.rows} rows, its chunk {rows}")
    return lines, found
