"""The flags of the `producer` command. Those that go together are a group, a frozen dataclass, declared once.

Flags of what can be asked of a job are made of `producer.request`; the others are declared here. A command takes a
group as one parameter; `with_flags` spells its fields out for typer, which knows single flags only.
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
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from contract.errors import INTERRUPTED
from contract.format.job import Options
from contract.format.option import Option, options_of
from contract.remedy import TERMINAL
from producer.input.options import ReadOptions
from producer.request import OPTIONS, Request, request_of

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
class Without:
    """Options of a `Request` that a command has no flags for: `Annotated[Request, Without("model")]`."""

    names: frozenset[str]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", frozenset(names))


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
class Messages:
    """How many messages there are beside the data."""

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
            status=tuple(self.status or ()),
            since=moment(self.since) if self.since else None,
            model=self.model,
            metadata=pairs(self.metadata or ()),
            sort=self.sort,
            reverse=self.reverse,
            limit=self.limit,
        )


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of its groups spelled out in its signature, for typer to read.

    A group is a parameter that is a dataclass: one of this file, or one whose fields are declared options
    (`contract.format.option`); a `Request` has those of reading and answering too, without those in `Without`.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {
        name: _group(each.annotation) for name, each in signature.parameters.items() if _is_group(each.annotation)
    }

    @wraps(command)
    def called(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group.make({flag.name: values.pop(flag.name) for flag in group.flags})
        try:
            command(**values)
        except KeyboardInterrupt as interrupt:  # whoever raises it anew says what became of the work
            print(f"\ninterrupted{f': {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # whoever reads stdout has enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the exit's flush has to go somewhere
            raise typer.Exit from None

    flags: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        flags += groups[name].flags if name in groups else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    called.__signature__ = signature.replace(parameters=flags)  # type: ignore[attr-defined]
    called.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return called


@dataclass(frozen=True)
class _Group:
    """The flags of a group, and what makes the group of their values."""

    flags: list[inspect.Parameter]
    make: Callable[[dict[str, Any]], Any]


def _is_group(annotation: Any) -> bool:
    return is_dataclass(_split(annotation)[0])


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    kind, *extras = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    return kind, extras


def _group(annotation: Any) -> _Group:
    kind, _ = _split(annotation)
    flags = [flag for section in sections(annotation) for flag in section.flags]
    if kind is Request:
        return _Group(flags, lambda values: request_of(_kept(values)))
    if options_of(kind):
        return _Group(flags, lambda values: kind(**_kept(values)))
    return _Group(flags, lambda values: kind(**values))


@dataclass(frozen=True)
class Section:
    """Flags that stand together where flags are listed."""

    title: str
    flags: tuple[inspect.Parameter, ...]


def sections(annotation: Any) -> list[Section]:
    """The flags of a parameter that is a group, as they are listed; none of one that is no group."""
    kind, extras = _split(annotation)
    if not is_dataclass(kind):
        return []
    without = {name for extra in extras if isinstance(extra, Without) for name in extra.names}
    declared = (ReadOptions, Options, Request) if kind is Request else (kind,) if options_of(kind) else ()
    if declared:
        return [
            Section(_TITLES[each], tuple(_flag(o) for o in options_of(each) if not o.local and o.name not in without))
            for each in declared
        ]
    hints = get_type_hints(kind, include_extras=True)
    title = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
    return [Section(title, tuple(_parameter(each.name, hints[each.name], each.default) for each in fields(kind)))]


_TITLES: dict[Any, str] = {ReadOptions: "Reading the file", Options: "Finding answers", Request: "The job"}


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


#: What a flag has beside its long name, and what stands for its value in the help.
_SHORT = {"delimiter": "-d"}
_METAVARS = {"notify": "URL", "expire": "SPAN", "metadata": "KEY=VALUE"}


def _flag(option: Option) -> inspect.Parameter:
    """A declared option as a flag. One that is on unless it is switched off is `--no-NAME`."""
    name = TERMINAL.option(option.name, False if option.default is True else None)
    names = [_SHORT[option.name], name] if option.name in _SHORT else [name]
    choices = f": {', '.join(option.choices[:-1])} or {option.choices[-1]}" if option.choices else ""
    default = False if isinstance(option.default, bool) else option.default or None
    kind = list[str] if option.type == dict[str, str] else option.type
    info = typer.Option(
        *names,
        help=option.help.replace(" [", f"{choices} [", 1) if choices else option.help,
        metavar=_METAVARS.get(option.name),
        show_default=default is not None,
    )
    return _parameter(option.name, Annotated[kind if default is not None else kind | None, info], default)


def _kept(values: dict[str, Any]) -> dict[str, Any]:
    """The values of flags as those of their options; without those that were not given. Raises UsageError."""
    from producer.jobs.select import pairs

    kept: dict[str, Any] = {}
    for name, value in values.items():
        option = OPTIONS[name]
        if option.type == dict[str, str]:
            kept[name] = pairs(value or ())
        elif option.default is True:
            kept[name] = not value
        elif value is not None:
            kept[name] = value
    return kept


def as_flags(**values: Any) -> str:
    """Flags as they were given, for a command that goes on with the work."""
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in values.items() if value is not None)
