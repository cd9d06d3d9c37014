"""The records of a job: the request (Manifest, Options), what goes in (Row) and what comes out (Answer, RowError).

All are frozen. Covers no JSON (`codec`), no storage keys (`layout`) and no counting (`contract.ledger.progress`).
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from contract.errors import BulkqaError, UnknownJob, UsageError
from contract.forecast.work import Forecast, Sample
from contract.format import codec
from contract.format.option import AtLeast, Help, Shows, check_bounds
from contract.remedy import LIST_JOBS

#: Format version of everything under `jobs/<job>/`. Programs refuse versions that they do not know.
SCHEMA_VERSION = 1

#: A manifest has no more bytes.
MANIFEST_BYTES = 1 << 20

#: The end of the year 9999, in seconds since 1970: no calendar has a later time.
LAST_MOMENT = 253_402_300_800.0

#: Code points of a document that an excerpt has before and after the answer.
AROUND = 150

#: From this many finished rows on, a job can have too many errors.
JUDGED_ROWS = 200

#: The folder of a job's chunks, unless its manifest names another.
CHUNKS = "chunks"

Status = Literal["answered", "no_answer", "error"]

#: Every code that a row can fail with. The first two lines come from the producer, the last from workers.
ROW_ERRORS = (
    "empty_question", "empty_context", "missing_field", "extra_field", "bad_encoding", "parse_error", "row_too_large",
    "not_a_row", "duplicate_id", "other_question", "no_text", "unreadable_document",
    "inference_error", "worker_crash", "chunk_damaged", "job_cancelled",
)  # fmt: skip

_GENERATED_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}|key-[0-9a-f]{24}")
_JOB_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def new_job_id() -> str:
    """An id that sorts by time of submission and cannot be guessed: `20261122-174512-3f9ac2d1`."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def job_of_key(key: str) -> str:
    """The id of the job with a key: always the same one for the same key."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def has_key(job: str) -> bool:
    """Whether a job's id was made from a key."""
    return job.startswith("key-")


def is_made_here(job: str) -> bool:
    """Whether an id looks like one of the two functions above: no other job is ever removed."""
    return _GENERATED_ID.fullmatch(job) is not None


def check_job_id(job: str) -> str:
    """Return `job` if it is a valid id, else raise UnknownJob: an id becomes part of a storage key."""
    if not isinstance(job, str) or not _JOB_ID.fullmatch(job):
        raise UnknownJob(f"{job!r} is not a job id", LIST_JOBS)
    return job


@dataclass(frozen=True, slots=True)
class Options:
    """How answers are searched for. Lengths are in tokens of the model; names and defaults are the usual ones."""

    max_seq_len: Annotated[int, Help("tokens in a window"), AtLeast(1)] = 384
    doc_stride: Annotated[int, Help("tokens that neighbouring windows share"), AtLeast(1)] = 128
    max_question_len: Annotated[int, Help("tokens in a question; a longer one is cut and flagged"), AtLeast(1)] = 64
    max_answer_len: Annotated[int, Help("tokens in an answer, at most"), AtLeast(1)] = 30
    top_k: Annotated[int, Help("answers per row, best first"), AtLeast(1)] = 1
    n_best: Annotated[int, Help("best spans of a row that its score is computed over; at least top_k"), AtLeast(1)] = 20
    no_answer_threshold: Annotated[
        float | None, Help("no answer if null beats the best span by more than this [default: the model's]")
    ] = None  #: the model directory may say "never"
    top_windows: Annotated[
        int | None,
        Help("score only the N windows of a context whose words match the question best [default: all]"),
        AtLeast(1),
    ] = None
    omit_context: Annotated[bool, Help("leave contexts out of the predictions"), Shows()] = False

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.no_answer_threshold is not None and not math.isfinite(self.no_answer_threshold):
            raise UsageError(  # JSON has no infinity
                f"no_answer_threshold must be a finite number, not {self.no_answer_threshold}",
                "Leave it out for the model's own, or give a large number: 1000 always answers, -1000 never does.",
            )
        if self.top_k > self.n_best:
            raise UsageError(f"top_k ({self.top_k}) cannot exceed n_best ({self.n_best})")
        if self.max_question_len + self.doc_stride + 8 > self.max_seq_len:
            raise UsageError(
                f"a window of {self.max_seq_len} tokens has no room for a question of {self.max_question_len} and an "
                f"overlap of {self.doc_stride}",
                "Raise max_seq_len, or lower max_question_len or doc_stride.",
            )


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row failed: one of ROW_ERRORS, and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One data row of the input. `row` counts from 0; `line` is its first line in a text file, counted from 1.

    A row with an `error` was rejected by the producer: it is carried along, and its outcome is that error.
    """

    row: int
    question: str | None
    context: str | None
    id: str | None = None
    group: str | None = None  #: rows of one group are passages for one question
    passage: int | None = None  #: the place of its context in a list of contexts, from 0
    document: str | None = None  #: name of the document that is the context
    line: int | None = None
    error: RowError | None = None
    raw: str | None = None
    passthrough: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One answer: `context[start:end] == answer`, offsets in Unicode code points."""

    answer: str
    start: int
    end: int
    score: float
    raw_score: float
    margin: float | None = None  #: as in `Answer`


@dataclass(frozen=True, slots=True)
class Answer:
    """The reader's answer to one question on one context. `spans` is best first, and empty if there is no answer."""

    spans: tuple[Span, ...]
    null_score: float
    score: float  #: probability of the answer: of spans[0], or of "no answer"
    flags: tuple[str, ...] = ()
    #: of the best span, also where that is no answer: its raw score less the null score of its own window, which
    #: compares across windows and passages. None for a reader whose null score is not trained.
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The model that scores a job. The first worker that takes a chunk of the job pins the digest."""

    name: str
    digest: str
    precision: str


@dataclass(frozen=True, slots=True)
class InputFile:
    """The file that was submitted, or the files of a folder, a prefix or a pattern."""

    name: str
    format: str
    bytes: int
    sha256: str
    columns: tuple[str, ...]
    delimiter: str | None = None
    files: int = 1
    notes: tuple[str, ...] = ()  #: what the submitter should know about them


@dataclass(frozen=True, slots=True)
class Groups:
    """How the rows of a job belong together: a group has one question, and its rows are the passages."""

    by: Literal["column", "list", "question"]  #: a column; lists of contexts; the questions asked of all documents
    count: int
    scattered: bool  #: False: the rows of each group are consecutive
    column: str | None = None  #: whose values are the groups; None: those of a list, or of a question, are one


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of a job: each of the questions is asked of each of them, row = document * questions + question."""

    count: int
    questions: int
    sha256: str  #: of the index of the documents


@dataclass(frozen=True, slots=True)
class ErrorLimit:
    """How many rows of a job may fail, or what percentage of those that have their outcome: with more it ends."""

    rows: int | None = None
    percent: float | None = None

    def is_exceeded(self, failed: int, done: int) -> bool:
        """Whether too many have failed, of those that are done: not before there are JUDGED_ROWS."""
        over = failed > self.rows if self.rows is not None else 100 * failed > (self.percent or 0.0) * done
        return over and done >= JUDGED_ROWS

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.rows is None else str(self.rows)


@dataclass(frozen=True, slots=True)
class Trust:
    """The promise by which the answers of a job are split: of those with at least the `threshold`, the share
    `precision` is right. It was made for another job, which may be gone; `labels` and `scores` are of that one."""

    job: str
    threshold: float
    precision: float
    confidence: float
    lower_bound: float  #: of the precision
    share: float  #: of the rows of that job that are above the threshold
    labels: int  #: judged answers above it
    labels_sha256: str | None
    model: ModelRef  #: that the job is pinned to
    rule: int  #: the version of the answering rule
    scores: tuple[int, ...]  #: its answers by score (`contract.format.part.spread`)


@dataclass(frozen=True, slots=True)
class Reuse:
    """The outcomes that rows of a job carry over from other jobs."""

    jobs: tuple[str, ...]  #: these may have been deleted since
    rows: int  #: that carry one; whether it is used decides the worker
    any: bool = False  #: also those that were computed with other numerics


@dataclass(frozen=True, slots=True)
class Manifest:
    """The request, immutable once written.

    `index_sha256` is the digest of the chunk index, `columns_sha256` that of the stored columns, empty if there are
    none.
    """

    id: str
    created_at: float
    model: str
    rows: int
    rejected: int
    chunks: int
    index_sha256: str
    source: InputFile
    options: Options = Options()
    question_column: str = "question"
    context_column: str = "context"
    id_column: str | None = None
    answers_column: str | None = None
    max_row_bytes: int = 1 << 20
    key: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    chunks_folder: str = CHUNKS
    columns_sha256: str = ""
    notify: str = ""  #: URL of its webhook; empty: none
    expire: float | None = None  #: seconds from its end until it is removed; None: never
    answers_form: str = ""  #: how texts of the answers column are read (`contract.evaluation`); in older jobs empty
    text_bytes: int = 0  #: that all rows take in memory; in older jobs 0
    reading: dict[str, Any] | None = None  #: how the file was read, as far as the submitter said so
    groups: Groups | None = None
    documents: Documents | None = None
    forecast: Forecast | None = None
    sample: Sample | None = None  #: None: all rows of the input
    trust: Trust | None = None
    max_errors: ErrorLimit | None = None
    keys_sha256: str = ""  #: of the file of the keys of its rows; in older jobs empty
    reuse: Reuse | None = None
    retry_of: str = ""  #: the job whose failed rows it tries again
    schema_version: int = SCHEMA_VERSION

    def check(self) -> None:
        """Raise ValueError for numbers that cannot be, and UnknownJob for an invalid id."""
        check_job_id(self.id)
        if not (0 <= self.rejected <= self.rows and 0 < self.chunks <= self.rows and self.max_row_bytes > 0):
            raise ValueError(
                f"{self.rows} rows, {self.rejected} of them rejected, in {self.chunks} chunks, each row of at most "
                f"{self.max_row_bytes} bytes"
            )
        if not 0 <= self.created_at < LAST_MOMENT:
            raise ValueError(f"created_at: {self.created_at}")
        if self.expire is not None and not 0 < self.expire < LAST_MOMENT:
            raise ValueError(f"expire: {self.expire}")


@dataclass(frozen=True, slots=True)
class _Version:
    """The fields that decide whether this version can read a manifest."""

    id: Any = None
    schema_version: Any = None
    options: Any = None


def read_manifest(data: bytes | str) -> Manifest:
    """The manifest in a JSON text. Raises ValueError or UsageError if a value is wrong, and BulkqaError if it takes
    another version of the program."""
    version = codec.read(_Version, data)
    if version.schema_version != SCHEMA_VERSION:
        raise BulkqaError(
            f"job {version.id!r} has format version {version.schema_version}, this program reads {SCHEMA_VERSION}",
            "Finish it with the version of bulkqa that made it, or upgrade this one.",
        )
    options = version.options if isinstance(version.options, dict) else {}
    if unknown := sorted(options.keys() - {each.name for each in fields(Options)}):
        raise BulkqaError(  # ignoring it would give other answers than requested
            f"job {version.id!r} has options that this program does not know: {', '.join(unknown)}",
            "Upgrade this one.",
        )
    return codec.read(Manifest, data)


def answered(row: Row, answer: Answer, options: Options) -> dict[str, Any]:
    """The prediction for a row that was scored."""
    best = answer.spans[0] if answer.spans else None
    prediction = _head(row, "answered" if best else "no_answer", options, best)
    prediction |= {
        "answer": best.answer if best else "",
        "start": best.start if best else None,
        "end": best.end if best else None,
        **_excerpt(row, best, options),
        "score": answer.score,
        "raw_score": best.raw_score if best else None,
        "null_score": answer.null_score,
        "margin": answer.margin,
        "flags": list(answer.flags),
    }
    if options.top_k > 1:
        prediction["alternatives"] = [_page(row, span) | asdict(span) for span in answer.spans[1:]]
    prediction["passthrough"] = row.passthrough
    return prediction


def failed(row: Row, error: RowError, options: Options) -> dict[str, Any]:
    """The prediction for a row that failed: it has no answer."""
    prediction = _head(row, "error", options)
    prediction |= {"answer": None, "error": {"code": error.code, "message": error.message}}
    if row.raw is not None:
        prediction["raw"] = row.raw
    prediction["passthrough"] = row.passthrough
    return prediction


def _head(row: Row, status: Status, options: Options, best: Span | None = None) -> dict[str, Any]:
    head: dict[str, Any] = {"row": row.row}
    if row.line is not None:
        head["line"] = row.line
    head["id"] = row.id
    head |= {name: value for name in ("group", "passage", "document") if (value := getattr(row, name)) is not None}
    head |= _page(row, best) | {"status": status, "question": row.question}
    if not options.omit_context and row.document is None:
        head["context"] = row.context
    return head


def _page(row: Row, span: Span | None) -> dict[str, Any]:
    """The page of an answer in a document, from 1; None without an answer, and in a document without pages."""
    if row.document is None:
        return {}
    has_pages = span is not None and row.context is not None and "\f" in row.context
    return {"page": 1 + row.context.count("\f", 0, span.start) if has_pages else None}  # type: ignore[union-attr]


def _excerpt(row: Row, span: Span | None, options: Options) -> dict[str, Any]:
    """The text around an answer in a document, and where it begins: in place of the context."""
    if row.document is None or options.omit_context:
        return {}
    start = max(0, span.start - AROUND) if span else None
    return {
        "excerpt": (row.context or "")[start : span.end + AROUND] if span else None,
        "excerpt_start": start,
    }
