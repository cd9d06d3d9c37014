"""The flags of the `producer` command. Flags that belong together form a group, a frozen dataclass.

Flags for the options of a job are made from `producer.request` (see `flags`); all others are declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from producer.cli.flags import Without
from producer.request import Request

if TYPE_CHECKING:
    from contract.queue.redis import RedisQueue
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.backend import Backend
    from producer.input.location import InputSpec
    from producer.jobs.select import JobFilter
    from producer.results.output import By
    from producer.results.pages import Side
    from producer.trust.calibration.probability import Calibration

FILE = (
    "CSV, Parquet, JSON Lines, JSON or SQuAD file, also compressed; a folder or 'part-*.csv'; also at s3://, gs:// and "
    "https://; - is stdin"
)
File = Annotated[str | None, typer.Argument(help=FILE)]
Job = Annotated[str, typer.Argument(help="job id, or an unambiguous prefix of it")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Timeout = Annotated[float | None, typer.Option(help="stop waiting after this many seconds; the job continues")]
EveryAttempt = Annotated[
    bool, typer.Option("-v", "--verbose", help="also list chunks that were done at the first attempt")
]
#: The options that decide what a file will take, and none of those of the job besides.
FileRequest = Annotated[
    Request, Without("key", "metadata", "notify", "expire", "trust", "precision", "max_errors", "sample", "sample_seed")
]
Seed = Annotated[int, typer.Option(help="another seed draws other rows")]
ChunkRows = Annotated[int | None, typer.Option(help="rows per chunk, at most [BULKQA_CHUNK_ROWS]", show_default=False)]


@dataclass(frozen=True)
class DocumentFlags:
    """Documents: with the questions to ask about each of them, in place of FILE."""

    documents: Annotated[
        str | None,
        typer.Option(
            "--documents",
            metavar="DIR",
            help="documents: a folder or '*.pdf', also at s3://, gs:// and az://; PDF, Word, HTML or text; with --text "
            "a table of documents",
            show_default=False,
        ),
    ] = None
    questions: Annotated[
        str | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="questions to ask about each document: a table with a column question, or a text, one per line",
            show_default=False,
        ),
    ] = None

    def input(self, file: str | None) -> InputSpec:
        """The documents with their questions, else the file. Raises UsageError unless it is one of them."""
        from contract.errors import UsageError
        from producer.input.location import Documents

        if self.documents is None and self.questions is None:
            if file is None:
                raise UsageError("no FILE is given", "For example: producer run samples/questions.csv")
            return file
        example = "For example: producer run --documents contracts --questions questions.txt"
        if self.documents is None or self.questions is None:
            raise UsageError("documents and questions go together", example)
        if file is not None:
            raise UsageError("give either a FILE or documents with their questions", example)
        return Documents(self.documents, self.questions)


@dataclass(frozen=True)
class DirectConnection:
    """Storage and Redis: for commands that work on them directly."""

    redis: Annotated[str | None, typer.Option("--redis", help="Redis URL [BULKQA_REDIS_URL]", show_default=False)] = (
        None
    )
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", help="folder or URL shared with the workers [BULKQA_STORAGE_URL]", show_default=False
        ),
    ] = None

    def settings(self, **flags: Any) -> Settings:
        """All settings; flags win over the environment. Raises UsageError."""
        from contract import settings

        return settings.load(redis_url=self.redis, storage_url=self.storage, **flags)

    def open_storage(self) -> Storage:
        """The storage. Raises StorageUnreachable, and UsageError if the environment names a server instead."""
        from contract.errors import UsageError
        from contract.storage import open_storage

        settings = self.settings()
        if settings.server and not (self.storage or self.redis):
            raise UsageError(
                "this command needs direct access to the storage, but BULKQA_SERVER is set",
                "Name the storage: --storage URL",
            )
        return open_storage(settings.storage_url)

    def open(self) -> tuple[Settings, Storage, RedisQueue]:
        """The settings, the storage and the queue. Does not call Redis yet."""
        from contract.namespace import open_queue

        settings, storage = self.settings(), self.open_storage()
        return settings, storage, open_queue(settings, storage)


@dataclass(frozen=True)
class Connection(DirectConnection):
    """Storage and Redis, or a server: for commands that work with either."""

    server: Annotated[
        str | None,
        typer.Option("--server", help="URL of a `producer serve` to use instead [BULKQA_SERVER]", show_default=False),
    ] = None

    def settings(self, **flags: Any) -> Settings:
        """All settings; --storage and --redis win over a server in the environment. Raises UsageError."""
        from contract.errors import UsageError

        direct = self.storage or self.redis
        if direct and self.server:
            raise UsageError("--server cannot be combined with --storage or --redis", "Leave out one or the other.")
        return super().settings(server="" if direct else self.server, **flags)

    def backend(self) -> Backend:
        """The backend for the storage or the server. Raises StorageUnreachable, UsageError."""
        from producer.backend import open_backend

        return open_backend(self.settings())


@dataclass(frozen=True)
class Output:
    """Output: where predictions go."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="where to write predictions: a .json, .jsonl, .csv, .parquet or .xlsx file; - is stdout",
        ),
    ] = None
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="json, jsonl, csv, parquet or xlsx [default: by the name of the output]; html: a folder of pages, one "
            "per document, with the answers marked",
        ),
    ] = None
    output_layout: Annotated[
        Literal["file", "parts"], typer.Option(help="one file, or a folder of files with a _SUCCESS in it")
    ] = "file"

    @property
    def as_folder(self) -> bool:
        """Whether the output is a folder of files."""
        return self.output_layout == "parts" or self.output_format == "html"


@dataclass(frozen=True)
class Lines:
    """Lines: what a line of the predictions stands for, and which lines to write."""

    by: Annotated[
        Literal["row", "group", "question"],
        typer.Option(help="one line per row, or the best answer of each group; of documents, each question is a group"),
    ] = "row"
    wide: Annotated[
        bool, typer.Option("--wide", help="for documents: one line per document, with the answer to every question")
    ] = False
    above: Annotated[
        float | None, typer.Option(help="only answers with at least this score: see `trust`", show_default=False)
    ] = None
    below: Annotated[
        float | None, typer.Option(help="only the other rows: lower scores, no answer, errors", show_default=False)
    ] = None

    trusted: Annotated[bool, typer.Option("--trusted", help="only the answers that the promise covers")] = False
    untrusted: Annotated[bool, typer.Option("--untrusted", help="only the other rows, to review")] = False
    probability: Annotated[
        bool,
        typer.Option("--probability", help="also write how likely each answer is right, estimated from the verdicts"),
    ] = False
    precision: Annotated[
        float | None,
        typer.Option(
            help="share of trusted answers that must be right [default: 0.9]", min=0.01, max=0.999, show_default=False
        ),
    ] = None

    def line(self) -> By:
        """What a line is for. Raises UsageError."""
        from contract.errors import UsageError

        if self.wide and self.by != "row":
            raise UsageError(f"--wide is one line per document, --by {self.by} one per {self.by}", "Use one of them.")
        return "document" if self.wide else self.by

    def side(self, backend: Backend, job: str) -> Side | None:
        """The side of a threshold that is wanted; None: both. Raises UsageError."""
        from contract.errors import UsageError
        from producer.results.pages import Side
        from producer.trust import split

        count = (self.above is not None) + (self.below is not None) + self.trusted + self.untrusted
        if count > 1 or (count and self.line() != "row"):
            raise UsageError(
                "--above, --below, --trusted and --untrusted each select rows on one side of a threshold",
                "Use one of them, without --by and --wide.",
            )
        if self.trusted or self.untrusted:
            return split.side(backend, job, self.precision, trusted=self.trusted)
        if self.precision is not None:
            raise UsageError("--precision belongs to a promise", "Use it with --trusted or --untrusted.")
        threshold = self.below if self.above is None else self.above
        return None if threshold is None else Side(threshold, self.above is not None)

    def calibration(self, backend: Backend, job: str) -> Calibration | None:
        """What gives answers their probability; None if it is not wanted. Raises UsageError."""
        from contract.errors import UsageError

        if self.probability and self.line() != "row":
            raise UsageError("only rows have probabilities, because rows are judged", "Leave out --by or --wide.")
        return backend.calibration(job) if self.probability else None


@dataclass(frozen=True)
class Messages:
    """Messages: how much to print besides data and errors."""

    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="only errors")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="more messages")] = False

    def apply(self) -> None:
        """Set the verbosity for the rest of the command. Raises UsageError."""
        from contract.errors import UsageError
        from producer.cli import messages

        if self.quiet and self.verbose:
            raise UsageError("-q and -v contradict each other", "Give one of them.")
        messages.verbosity.set(quiet=self.quiet, verbose=self.verbose)


@dataclass(frozen=True)
class Listing:
    """Filters: which jobs are listed, and how."""

    status: Annotated[
        list[str] | None, typer.Option("--status", help="only jobs with this status; may be repeated")
    ] = None
    since: Annotated[
        str | None, typer.Option("--since", help="only jobs submitted since then: 2h or 3d ago, or an ISO 8601 date")
    ] = None
    model: Annotated[str | None, typer.Option("--model", help="only jobs for this model")] = None
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="KEY=VALUE", help="only jobs with this metadata; may be repeated"),
    ] = None
    sort: Annotated[
        str, typer.Option("--sort", help="by created, finished, rows, failed, progress, status or model")
    ] = "created"
    reverse: Annotated[bool, typer.Option("--reverse", help="in reverse order")] = False
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="only the last N in order: the newest")] = None

    def job_filter(self) -> JobFilter:
        """The filter for `producer.jobs`. Raises UsageError."""
        from producer.jobs.select import JobFilter, pairs
        from producer.times import moment

        return JobFilter(
            status=tuple(self.status or ()),
            since=moment(self.since) if self.since else None,
            model=self.model,
            metadata=pairs(self.metadata or ()),
            sort=self.sort,
            reverse=self.reverse,
            limit=self.limit,
        )
