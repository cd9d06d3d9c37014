"""A part: the outcome of one chunk, one prediction a line in row order, with a footer as the last line.

The footer shows whether the part is complete and unaltered, and what it adds to the job's counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contract.format import codec

#: A footer is shorter than this, so reading the end of a part finds it.
FOOTER_BYTES = 4096
#: Bins of `spread`.
SCORE_BINS = 100

#: A job, and the number of one of its chunks.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Footer:
    """The last line of a part: its rows by outcome, its digest, and how it was made. Times are seconds since 1970."""

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
    model: str = ""  #: digest of the model; empty if none was needed
    batch_invariant: bool = True
    rule: int = 1  #: the version of the answering rule (`worker.reader.decode`)
    attempts: int = 1  #: how many the chunk took
    peak_rss: int = 0  #: of the worker, in bytes
    evaluation: dict[str, Any] | None = None  #: sums of `contract.evaluation`, if the file has reference answers
    job: str = ""  #: the job that it is a part of; empty in parts of earlier versions
    chunk: int = -1
    #: What besides model and rule decides the digits of an answer: version of the runtime, provider, arithmetic of the
    #: processor. Empty in parts of earlier versions, and where none was scored.
    numerics: str = ""
    scored: int = 0  #: rows that were scored, each text once; in parts of earlier versions 0
    repeated: int = 0  #: rows that have the outcome of another of the same text
    reused: int = 0  #: rows that carried their outcome over from another job
    reused_others: int = 0  #: of those, the ones that were computed with other numerics
    saved_seconds: float = 0.0  #: processor seconds that the reused rows took then
    windows: int = 0  #: of the scored rows
    tokens: int = 0  #: in those windows
    squares: int = 0  #: sum of the squares of the tokens of each window
    cpu_seconds: float = 0.0  #: of the threads that scored them
    #: Of a job whose answers are split: the trusted ones, and all of them by score (`spread`).
    trusted: int = 0
    scores: tuple[int, ...] = ()
    work: float = 0.0  #: seconds of one thread that its rows were forecast to take (`Index.work`)


class DamagedPart(Exception):
    """A part that is truncated, or was altered since it was written."""


def encode(predictions: Iterable[dict[str, Any]], **about: Any) -> tuple[bytes, Footer]:
    """The bytes of a part. `about`: the footer's fields that do not follow from the predictions.

    Raises ValueError if a prediction holds NaN or Infinity: JSON has neither.
    """
    lines, codes = [], Counter[str]()
    statuses: Counter[str] = Counter()
    trusted, scores, is_split = 0, list[float](), False
    for prediction in predictions:
        lines.append(json.dumps(prediction, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
        statuses[prediction["status"]] += 1
        if prediction["status"] == "error":
            codes[prediction["error"]["code"]] += 1
        if "trusted" in prediction:
            is_split, trusted = True, trusted + prediction["trusted"]
            scores += [prediction["score"]] if prediction["status"] == "answered" else []
    body = "".join(lines).encode()
    footer = Footer(
        rows=len(lines),
        answered=statuses["answered"],
        no_answer=statuses["no_answer"],
        failed=statuses["error"] - codes["job_cancelled"],
        cancelled=codes["job_cancelled"],
        sha256=hashlib.sha256(body).hexdigest(),
        codes=dict(sorted(codes.items())),
        trusted=trusted,
        scores=spread(scores) if is_split else (),
        **about,
    )
    return body + _last_line(codec.line(footer)), footer


def spread(scores: Iterable[float]) -> tuple[int, ...]:
    """How many scores are in each of SCORE_BINS equal bins from 0 to 1."""
    counts = Counter(min(SCORE_BINS - 1, int(score * SCORE_BINS)) for score in scores)
    return tuple(counts[number] for number in range(SCORE_BINS))


def _last_line(footer: str) -> bytes:
    """The footer with its own digest: the counts of a job are read from footers alone."""
    return f'{{"footer":{footer},"sha256":"{hashlib.sha256(footer.encode()).hexdigest()}"}}\n'.encode()


_LAST_LINE = re.compile(rb'\{"footer":(\{.*\}),"sha256":"([0-9a-f]{64})"\}\n')


def footer(tail: bytes, place: Place | None = None) -> Footer:
    """The footer in the last FOOTER_BYTES of a part. `place`: the job and chunk that it must belong to. Raises
    DamagedPart."""
    line = _LAST_LINE.fullmatch(tail, tail.rfind(b"\n", 0, -1) + 1)
    if line is None:
        raise DamagedPart("it has no footer")
    if hashlib.sha256(line[1]).hexdigest().encode() != line[2]:
        raise DamagedPart("its footer was altered")
    try:
        footer = codec.read(Footer, line[1])
    except ValueError as error:
        raise DamagedPart(f"its footer cannot be read: {error}") from error
    if place and footer.job and (footer.job, footer.chunk) != place:
        raise DamagedPart(f"it is part {footer.chunk} of job {footer.job}, under another name")
    return footer


def body(data: bytes, rows: int, place: Place | None = None) -> tuple[bytes, Footer]:
    """The predictions of a part, as JSON lines, and its footer. Raises DamagedPart unless it is complete, unaltered, of
    `rows` rows, and the part of `place`."""
    last = footer(data[-FOOTER_BYTES:], place)
    lines = data[: data.rfind(b"\n", 0, len(data) - 1) + 1]
    if last.sha256 != hashlib.sha256(lines).hexdigest():
        raise DamagedPart("its sha256 is not the one in its footer")
    if last.rows != rows:
        raise DamagedPart(f"it has {last.rows} rows, its chunk {rows}")
    return lines, last
