"""The flags of the `producer` command. Flags that belong together form a group, a frozen dataclass.

Flags for the options of a job are made from `producer.request` (see `flags`); all others are declared here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from contract.queue.redis import RedisQueue
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.backend import Backend
    from producer.jobs.select import JobFilter

FILE = (
    "CSV, Parquet, JSON Lines, JSON or SQuAD file, also compressed; a folder or 'part-*.csv'; at s3://, gs:// and "
    "https:// as well; - is stdin"
)
File = Annotated[str, typer.Argument(help=FILE)]
Job = Annotated[str, typer.Argument(help="job id, or its unambiguous beginning")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Timeout = Annotated[float | None, typer.Option(help="stop waiting after this many seconds; the job goes on")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="more messages on the way")]
ChunkRows = Annotated[int | None, typer.Option(help="rows in a chunk, at most [BULKQA_CHUNK_ROWS]", show_default=False)]


@dataclass(frozen=True)
class Place:
    """Storage and Redis: where jobs and their messages are."""

    redis: Annotated[str | None, typer.Option("--redis", help="Redis URL [BULKQA_REDIS_URL]", show_default=False)] = (
        None
    )
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="folder or URL shared with workers [BULKQA_STORAGE_URL]", show_default=False),
    ] = None

    def settings(self, **flags: Any) -> Settings:
        """All settings, with those of this place and other flags on top. Raises UsageError."""
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
    """Storage and Redis, or a server: where a command asks."""

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
class Output:
    """Output: where predictions go."""

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
    def as_folder(self) -> bool:
        """Whether the output is a folder of parts."""
        return self.output_layout == "parts"


@dataclass(frozen=True)
class Messages:
    """Messages: how many there are beside the data."""

    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="data and errors only")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="more messages on the way")] = False

    def apply(self) -> None:
        """For the rest of the command. Raises UsageError."""
        from contract.errors import UsageError
        from producer.cli import view

        if self.quiet and self.verbose:
            raise UsageError("-q and -v contradict each other", "Give one of them.")
        view.verbosity.set(quiet=self.quiet, verbose=self.verbose)


@dataclass(frozen=True)
class Listing:
    """Filters: which jobs are listed, and how."""

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
            status=tuple(self.status or ()),
            since=moment(self.since) if self.since else None,
            model=self.model,
            metadata=pairs(self.metadata or ()),
            sort=self.sort,
            reverse=self.reverse,
            limit=self.limit,
        )
