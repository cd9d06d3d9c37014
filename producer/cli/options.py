"""Every flag of the `producer` command, declared once. Those that go together are a group: a frozen dataclass.

A command takes a group as one parameter; `with_flags` spells its fields out for typer, which knows single flags only.
"""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from contract.errors import INTERRUPTED

if TYPE_CHECKING:
    from contract.format.job import Options
    from contract.queue.redis import RedisQueue
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.backend import Backend
    from producer.input.options import ReadOptions
    from producer.jobs.select import JobFilter

FILE = (
    "CSV, Parquet, JSON Lines, JSON or SQuAD file, also compressed; a folder or 'part-*.csv'; at s3://, gs:// and "
    "https:// as well; - is stdin"
)
File = Annotated[str, typer.Argument(help=FILE)]
Job = Annotated[str, typer.Argument(help="job id, or its unambiguous beginning")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Timeout = Annotated[float | None, typer.Option(help="stop waiting after this many seconds; the job goes on")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="say more on the way")]
ChunkRows = Annotated[int | None, typer.Option(help="rows in a chunk, at most [BULKQA_CHUNK_ROWS]", show_default=False)]


@dataclass(frozen=True)
class Place:
    """Where jobs and their messages are."""

    redis: Annotated[str | None, typer.Option("--redis", help="Redis URL [BULKQA_REDIS_URL]", show_default=False)] = (
        None
    )
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="folder or URL shared with workers [BULKQA_STORAGE_URL]", show_default=False),
    ] = None

    def settings(self, **flags: Any) -> Settings:
        """All settings, those of this place and the other flags given on top. Raises UsageError."""
        from contract import settings

        return settings.load(redis_url=self.redis, storage_url=self.storage, **flags)

    def open_storage(self) -> Storage:
        """For a command that no server carries out. Raises StorageUnreachable, UsageError."""
        from contract.errors import UsageError
        from contract.storage import open_storage

        given = self.settings()
        if given.server and not (self.storage or self.redis):
            raise UsageError(
                "this command works on the storage itself, and BULKQA_SERVER names a server",
                "Run it where the storage is: --storage URL",
            )
        return open_storage(given.storage_url)

    def open(self) -> tuple[Settings, Storage, RedisQueue]:
        """The same, and the queue. Redis is not asked for anything yet."""
        from contract.namespace import open_queue

        given, storage = self.settings(), self.open_storage()
        return given, storage, open_queue(given, storage)


@dataclass(frozen=True)
class Where(Place):
    """Where a command asks: there, or at a server."""

    server: Annotated[
        str | None,
        typer.Option("--server", help="URL of a `producer serve` to ask instead [BULKQA_SERVER]", show_default=False),
    ] = None

    def settings(self, **flags: Any) -> Settings:
        """As those of a place; no server is asked where a storage or Redis is named."""
        from contract.errors import UsageError

        here = self.storage or self.redis
        if here and self.server:
            raise UsageError("--server is asked instead of --storage and --redis", "Give one or the other.")
        return super().settings(server="" if here else self.server, **flags)

    def backend(self) -> Backend:
        """What does what is asked. Raises StorageUnreachable, UsageError."""
        from producer.backend import open_backend

        return open_backend(self.settings())


@dataclass(frozen=True)
class Naming:
    """How a job is found again."""

    key: Annotated[str | None, typer.Option("--key", help="submitting twice with one key finds the first job")] = None
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="KEY=VALUE", help="kept with the job, for list to find; may be repeated"),
    ] = None

    def pairs(self) -> dict[str, str]:
        """The metadata. Raises UsageError."""
        from producer.jobs.select import pairs

        return pairs(self.metadata or ())


@dataclass(frozen=True)
class Afterwards:
    """What the sweeper does once a job has ended."""

    notify: Annotated[
        str | None, typer.Option("--notify", metavar="URL", help="have it told there that the job has ended")
    ] = None
    expire: Annotated[
        str | None, typer.Option("--expire", metavar="SPAN", help="have it removed so long after its end: 30d, 12h")
    ] = None

    def asked(self) -> dict[str, Any]:
        """The same for a request to submit. Raises UsageError."""
        from producer.times import span

        return {"notify": self.notify or "", "expire": span(self.expire) if self.expire else None}


@dataclass(frozen=True)
class Reading:
    """How a file is to be read."""

    question: Annotated[str, typer.Option("--question", help="column of the questions")] = "question"
    context: Annotated[str, typer.Option("--context", help="column of the contexts")] = "context"
    id_column: Annotated[
        str | None, typer.Option("--id", help="column of the ids; '' for none [default: id, if there is one]")
    ] = None
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers", help="column of the right answers, for EM and F1; '' for none [default: answers, if there]"
        ),
    ] = None
    delimiter: Annotated[str, typer.Option("-d", "--delimiter", help="of a CSV file; \\t for a tab")] = "|"
    escape: Annotated[
        str | None, typer.Option("--escape", help="what escapes a quote, \\\\ for Spark's files [default: a quote]")
    ] = None
    no_header: Annotated[
        bool, typer.Option("--no-header", help="the first line of a CSV file is a row; columns are called 1, 2, 3 ...")
    ] = False
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="of a text file, such as cp1252 or utf-16 [default: UTF-8]")
    ] = None
    sheet: Annotated[
        str | None, typer.Option("--sheet", help="of an Excel workbook, by name or number [default: the first]")
    ] = None
    input_format: Annotated[
        str | None, typer.Option("--input-format", help="csv, parquet, jsonl or json [default: by content]")
    ] = None

    def options(self, settings: Settings) -> ReadOptions:
        """The same for `producer.input`."""
        from producer.input.options import ReadOptions

        return ReadOptions(
            question=self.question,
            context=self.context,
            id=self.id_column,
            answers=self.answers,
            delimiter=self.delimiter,
            max_row_bytes=settings.max_row_bytes,
            escape=self.escape,
            header=not self.no_header,
            encoding=self.encoding,
            sheet=self.sheet,
            format=self.input_format,
        )


@dataclass(frozen=True)
class Answering:
    """How answers are to be looked for."""

    max_seq_len: Annotated[int, typer.Option(help="tokens in a window")] = 384
    doc_stride: Annotated[int, typer.Option(help="tokens that neighbouring windows share")] = 128
    max_question_len: Annotated[int, typer.Option(help="tokens of a question; a longer one is cut and flagged")] = 64
    max_answer_len: Annotated[int, typer.Option(help="tokens of an answer, at most")] = 30
    top_k: Annotated[int, typer.Option(help="answers a row, best first")] = 1
    no_answer_threshold: Annotated[
        float | None,
        typer.Option("--no-answer-threshold", help="no answer if null beats the best span by more than this"),
    ] = None
    omit_context: Annotated[bool, typer.Option("--omit-context", help="leave contexts out of the predictions")] = False

    def options(self) -> Options:
        """The same as a job's record. Raises UsageError."""
        from contract.format.job import Options

        return Options(**{field.name: getattr(self, field.name) for field in fields(self)})


@dataclass(frozen=True)
class Output:
    """Where predictions go."""

    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="write predictions there: .json, .jsonl or .parquet; - is stdout"),
    ] = None
    output_format: Annotated[
        str | None, typer.Option("--format", help="json, jsonl, csv or parquet; default: as -o is named")
    ] = None
    output_layout: Annotated[
        Literal["file", "parts"], typer.Option(help="one file, or a folder of parts with a _SUCCESS in it")
    ] = "file"

    @property
    def in_parts(self) -> bool:
        """Whether the output is a folder of parts."""
        return self.output_layout == "parts"


@dataclass(frozen=True)
class Saying:
    """How much is said beside the data."""

    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="data and errors only")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="say more on the way")] = False

    def heed(self) -> None:
        """For the rest of the command. Raises UsageError."""
        from contract.errors import UsageError
        from producer.cli import view

        if self.quiet and self.verbose:
            raise UsageError("-q and -v ask for less and for more", "Give one of them.")
        view.verbosity.set(quiet=self.quiet, verbose=self.verbose)


@dataclass(frozen=True)
class Listing:
    """Which jobs are listed, and how."""

    status: Annotated[list[str] | None, typer.Option("--status", help="only jobs of this status; may be repeated")] = (
        None
    )
    since: Annotated[
        str | None, typer.Option("--since", help="only those submitted since: 2h or 3d ago, or an ISO 8601 date")
    ] = None
    model: Annotated[str | None, typer.Option("--model", help="only those of this model")] = None
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="KEY=VALUE", help="only those with this; may be repeated"),
    ] = None
    sort: Annotated[str, typer.Option("--sort", help="created, finished, rows, failed, progress, status or model")] = (
        "created"
    )
    reverse: Annotated[bool, typer.Option("--reverse", help="the other way round")] = False
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="only so many, the last in their order: the newest")
    ] = None

    def wanted(self) -> JobFilter:
        """The same for `producer.jobs`. Raises UsageError."""
        from producer.jobs.select import JobFilter, pairs
        from producer.times import moment

        return JobFilter(
            status=tuple(_known_status(status) for status in self.status or ()),
            since=moment(self.since) if self.since else None,
            model=self.model,
            metadata=pairs(self.metadata or ()),
            sort=self.sort,
            reverse=self.reverse,
            limit=self.limit,
        )


def _known_status(status: str) -> str:
    """Raises UsageError for what no job ever is."""
    from contract.errors import UsageError
    from contract.ledger.progress import STATES

    if status not in STATES:
        raise UsageError(f"no job has the status {status!r}", f"A job is one of: {', '.join(STATES)}.")
    return status


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of its groups spelled out in its signature, for typer to read."""
    signature = inspect.signature(command, eval_str=True)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups: dict[str, Any] = {name: kind for name, kind in annotations.items() if is_dataclass(kind)}

    @wraps(command)
    def called(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        try:
            command(**given, **made)
        except KeyboardInterrupt as interrupt:  # whoever raises it anew says what became of the work
            print(f"\ninterrupted{f': {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # whoever reads stdout has enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the exit's flush has to go somewhere
            raise typer.Exit from None

    flags: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        flags += _spelled(groups[name]) if name in groups else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    called.__signature__ = signature.replace(parameters=flags)  # type: ignore[attr-defined]
    called.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return called


def _spelled(group: Any) -> list[inspect.Parameter]:
    """The fields of a group as parameters."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]


def as_flags(**given: Any) -> str:
    """Flags as they were given, for a command that goes on with the work."""
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)
