"""What people see: progress bars and messages on stderr, tables on stdout. Nothing is decided here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from producer.jobs.times import local

if TYPE_CHECKING:
    from contract.format.job import Manifest, Options
    from contract.ledger.progress import Progress
    from contract.ledger.reconcile import Repair
    from contract.queue import Queue
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.input.source import Source
    from producer.jobs.check import Checked
    from producer.jobs.diff import Summary
    from producer.jobs.verify import Verified

_err = Console(stderr=True, highlight=False)
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # what is not a terminal has no width
_COLOURS = {"completed": "green", "completed_with_errors": "yellow", "failed": "red", "cancelled": "yellow"}
#: Columns of a terminal from which on a list of jobs has all of its own.
_WIDE = 110


def say(text: str) -> None:
    """A message, on stderr."""
    print(text, file=sys.stderr)


def out(*text: str, end: str = "\n") -> None:
    """Data, on stdout, at once."""
    print(*text, sep="", end=end, flush=True)


def show(table: Table) -> None:
    """A table on stdout."""
    _out.print(table)


def print_json(value: Any) -> None:
    """One document on stdout. Beside each time in seconds since 1970, `created_at`, is the same as ISO 8601,
    `created`."""
    from producer.jobs.times import dated

    out(json.dumps(dated(value), ensure_ascii=False, indent=1))


def exit_code(progress: Progress) -> int:
    """The exit status of a command that waited for a job."""
    from producer.jobs.follow import EXIT_CODES

    return EXIT_CODES.get(progress.status, 0)


def warn_of_windows(options: Options, longest: int) -> None:
    """Say where windows will be shorter than asked for. `longest`: tokens that the model takes; 0: not known."""
    if longest and options.max_seq_len > longest:
        say(f"the model takes {longest} tokens at most: windows have that many, not {options.max_seq_len}")


def rows(manifest: Manifest) -> str:
    """How many rows and chunks a job has, in words."""
    bad = f", {manifest.rejected:,} of them with errors" if manifest.rejected else ""
    return f"{manifest.rows:,} rows{bad}, {manifest.chunks:,} chunk{'s' if manifest.chunks != 1 else ''}"


@contextmanager
def reading(file: str) -> Iterator[Callable[[Source], None]]:
    """A bar over the bytes of the input."""
    columns = (TextColumn("reading {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Bars(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bars:
        task = bars.add_task(escape(Path(file).name), total=None)
        yield lambda source: bars.update(task, completed=source.bytes_read, total=source.size)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over things that are counted: the callable takes (done, total)."""
    with Bars(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), console=_err, transient=True, disable=not _err.is_terminal
    ) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def scoring(job: str) -> Iterator[Callable[[Progress], None]]:
    """A bar over the rows of a job, with rate, time left, and what it waits for."""
    columns = (TextColumn("{task.fields[state]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    said: str | None = None
    with Bars(*columns, console=_err, disable=not _err.is_terminal) as bars:
        task = bars.add_task(job, total=None, state="queued", rate="")

        def show(progress: Progress) -> None:
            nonlocal said
            counts = progress.request_counts
            rate = f"{progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
            left = f", {duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
            bars.update(
                task,
                completed=counts.total - counts.pending,
                total=counts.total,
                state=progress.status,
                rate=rate + left,
            )
            waiting = progress.reason if not progress.finished else None
            if waiting != said and waiting:
                bars.console.print(f"waiting: {escape(waiting)}")
            said = waiting

        yield show


def follow(
    job: str,
    storage: Storage,
    queue: Queue,
    settings: Settings,
    timeout: float | None = None,
    each: Callable[[], None] = lambda: None,
) -> Progress:
    """Follow a job to its end under a bar; `each` is called at every look. Raises TimedOut."""
    from producer.jobs.follow import follow as follow_job

    with scoring(job) as show:
        for progress in follow_job(job, storage, queue, settings, timeout):
            show(progress)
            each()
    return progress


def answers(storage: Storage, job: str, limit: int) -> None:
    """The first predictions of a job as a table."""
    from producer.jobs.follow import ready_lines

    table = Table("row", "question", "answer", "score", show_edge=False, pad_edge=False)
    left = limit
    total = 0
    for block in ready_lines(job, storage):
        for line in block.splitlines():
            total += 1
            if left > 0:
                left -= 1
                table.add_row(*_answer_row(json.loads(line)))
    _out.print(table)
    if total > limit:
        _out.print(f"... and {total - limit:,} more")


def _answer_row(prediction: dict[str, Any]) -> list[str]:
    text = {"no_answer": "[dim](no answer)[/dim]"}.get(prediction["status"])
    if prediction["status"] == "error":
        text = f"[red]{escape(prediction['error']['code'])}[/red]"
    score = f"{prediction['score']:.2f}" if "score" in prediction else ""
    question = prediction["question"] or prediction.get("raw") or ""
    return [
        str(prediction["row"]),
        escape(_short(question, 56)),
        text or escape(_short(prediction["answer"], 44)),
        score,
    ]


def summary(progress: Progress, output: Path | None) -> None:
    """How a job ended, and where its outputs lie."""
    from producer.jobs.output import errors_beside, is_special

    counts = progress.request_counts
    colour = _COLOURS.get(progress.status, "default")
    rate = f", {progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
    cancelled = f", {counts.cancelled:,} cancelled" if counts.cancelled else ""
    _out.print(
        f"\n[{colour}]{progress.status}[/{colour}]: {counts.answered:,} answered, "
        f"{counts.no_answer:,} without an answer, {counts.failed:,} failed{cancelled}{rate}"
    )
    shown = output if output and output != Path("-") and not is_special(output) else None
    _line("predictions", shown or progress.output_uri)
    if progress.evaluation:
        _line("quality", _quality(progress.evaluation))
    if progress.error_uri:
        _line("error rows", errors_beside(shown) if shown else progress.error_uri)
    _line("job", progress.id)


def _line(name: str, value: Any) -> None:
    _out.print(f"{name + ':':13}{escape(str(value))}", soft_wrap=True)


def status_table(progress: Progress) -> None:
    """Where a job stands."""
    counts, chunks = progress.request_counts, progress.chunks
    colour = _COLOURS.get(progress.status, "cyan")
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None)
    table.add_row("job", progress.id)
    table.add_row("status", f"[{colour}]{progress.status}[/{colour}]")
    if progress.reason:
        table.add_row("reason", escape(progress.reason))
    table.add_row(
        "rows",
        f"{counts.total:,}: {counts.answered:,} answered, {counts.no_answer:,} no answer, {counts.failed:,} failed, "
        f"{counts.cancelled:,} cancelled, {counts.pending:,} pending",
    )
    table.add_row(
        "chunks",
        f"{chunks.done:,} of {chunks.total:,} done, {chunks.running:,} running, {chunks.retrying:,} retrying",
    )
    if progress.rows_per_second:
        left = f", {duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
        table.add_row("rate", f"{progress.rows_per_second:,.1f} rows/s{left}")
    for name, at in (("submitted", progress.created_at), ("started", progress.started_at),
                     ("finished", progress.finished_at)):  # fmt: skip
        if at:
            table.add_row(name, local(at))
    for code, count in progress.top_errors:
        table.add_row("errors", f"{count:,} {code}")
    table.add_row(
        "model", " ".join(filter(None, (progress.model.name, progress.model.precision, progress.model.digest)))
    )
    table.add_row("input", escape(f"{progress.input['name']} ({progress.input['bytes']:,} bytes)"))
    for key, value in progress.metadata.items():
        table.add_row("metadata", escape(f"{key}={value}"))
    if progress.evaluation:
        table.add_row("quality", _quality(progress.evaluation))
        for each in progress.evaluation["bins"]:
            if each["count"]:
                right = f"{each['exact_match']:.0%} right, mean score {each['mean_score']:.2f}"
                table.add_row("", f"score {each['from']:.1f} to {each['to']:.1f}: {each['count']:,} rows, {right}")
    for name, uri in (("predictions", progress.output_uri), ("error rows", progress.error_uri)):
        if uri:
            table.add_row(name, escape(uri))
    _out.print(table, soft_wrap=True)


def _quality(found: dict[str, Any]) -> str:
    """EM and F1 in one line."""
    silent = f", no-answer accuracy {found['no_answer_accuracy']:.1f}" if "no_answer_accuracy" in found else ""
    return f"EM {found['exact_match']:.1f}, F1 {found['f1']:.1f}{silent} over {found['rows']:,} rows with answers"


def job_table(jobs: list[Progress]) -> None:
    """Jobs, a line each."""
    table = Table(show_edge=False, pad_edge=False)
    narrow = _out.width < _WIDE
    for name in ("job", "status", "rows", "done", "failed", *([] if narrow else ["submitted", "model", "input"])):
        table.add_column(name, no_wrap=name not in ("model", "input"))
    for progress in jobs:
        counts = progress.request_counts
        colour = _COLOURS.get(progress.status, "cyan")
        table.add_row(
            progress.id,
            f"[{colour}]{progress.status}[/{colour}]",
            f"{counts.total:,}",
            f"{progress.progress:.0%}",
            f"{counts.failed:,}",
            *(
                []
                if narrow
                else [
                    local(progress.created_at),
                    escape(progress.model.name),
                    escape(progress.input["name"]),
                ]
            ),
        )
    _out.print(table)


def repairs(done: dict[str, Repair]) -> None:
    """What was done for each job, a line each."""
    for job, one in done.items():
        did = "published" if one.published else "has ended" if one.finished else f"{len(one.sent)} chunks sent again"
        out(f"{job}: {did}{f', {len(one.given_up)} given up' if one.given_up else ''}")
    if not done:
        out("no unfinished job")


def check_table(found: Checked) -> None:
    """What a file holds, and its first bad rows."""
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None)
    dialect = f", delimiter {found.delimiter!r}" if found.delimiter else ""
    table.add_row("file", escape(f"{found.name}: {found.format}{dialect}, {found.bytes:,} bytes"))
    table.add_row("columns", escape(", ".join(found.columns)))
    table.add_row("rows", f"{found.rows:,} in {found.chunks:,} chunks, {found.rejected:,} with errors")
    table.add_row("longest", f"question {found.longest_question:,}, context {found.longest_context:,} characters")
    for code, count in found.codes.items():
        table.add_row(code, f"{count:,}")
    _out.print(table, soft_wrap=True)
    if found.first_errors:
        errors = Table("row", "line", "code", "message", show_edge=False, pad_edge=False)
        for error in found.first_errors:
            errors.add_row(str(error["row"]), str(error["line"] or ""), error["code"], escape(error["message"]))
        _out.print(errors)


def verify_table(found: Verified) -> None:
    """What was found wrong with a job."""
    for problem in found.problems:
        _out.print(f"[red]wrong[/red]: {escape(problem)}", soft_wrap=True)
    state = "" if found.finished else " (the job is not finished)"
    word = f"{len(found.problems)} problems" if found.problems else "[green]all well[/green]"
    _out.print(
        f"{word}: {found.checked:,} of {found.rows:,} rows checked{state}, "
        f"{found.answers:,} answers stand at their place in the context",
        soft_wrap=True,
    )


def change(found: dict[str, Any]) -> None:
    """A row that two jobs answer differently."""
    name = f"row {found['row']}" + (f" ({found['id']})" if found["id"] is not None else "")
    _out.print(f"{escape(name)}: {escape(_short(found['question'] or '', 80))}", soft_wrap=True)
    for sign, colour, outcome in (("-", "red", found["first"]), ("+", "green", found["second"])):
        answer = outcome["answer"] if outcome["status"] == "answered" else f"({outcome['status'].replace('_', ' ')})"
        score = f" {outcome['score']:.2f}" if outcome["score"] is not None else ""
        place = f" at {outcome['start']}" if outcome["start"] is not None else ""
        _out.print(
            f"  [{colour}]{sign} {escape(_short(answer, 90))}[/{colour}][dim]{score}{place}[/dim]", soft_wrap=True
        )


def diff_summary(found: Summary) -> None:
    """How many rows two jobs answer differently."""
    _out.print(
        f"{found.same:,} the same, {found.changed:,} changed, {found.only_first_answered:,} answered in the first "
        f"only, {found.only_second_answered:,} in the second only",
        soft_wrap=True,
    )
    if found.missing:
        _out.print(f"{found.missing:,} rows are in one job only, or not scored yet", soft_wrap=True)
    if found.not_comparable:
        _out.print(
            f"{found.not_comparable:,} rows have another question in the second job: perhaps join them with --by id",
            soft_wrap=True,
        )


def duration(seconds: float) -> str:
    """Seconds, for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _short(text: str, width: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
