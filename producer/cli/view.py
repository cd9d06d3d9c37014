"""What people see: tables on stdout; and, from `bars` and `voice`, progress and messages on stderr. Nothing is decided
here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from producer.cli.bars import chunks
from producer.cli.bars import counting as counting
from producer.cli.bars import follow as follow
from producer.cli.bars import in_words as in_words
from producer.cli.bars import reading as reading
from producer.cli.messages import detail as detail
from producer.cli.messages import errors
from producer.cli.messages import say as say
from producer.cli.messages import verbosity as verbosity
from producer.cli.messages import warn as warn
from producer.times import duration as duration
from producer.times import local

if TYPE_CHECKING:
    from contract.format.job import Manifest, Options
    from contract.ledger.progress import Progress
    from contract.ledger.reconcile import Repair
    from producer.jobs.check import Checked
    from producer.jobs.diff_document import Summary
    from producer.jobs.verify import Verified

_out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # what is not a terminal has no width
_COLOURS = {"completed": "green", "completed_with_errors": "yellow", "failed": "red", "cancelled": "yellow"}
#: Columns of a terminal from which on a list of jobs has all of its own.
_WIDE = 110
#: Columns of what is no terminal.
_ENDLESS = 400


def out(*text: str, end: str = "\n") -> None:
    """Data, on stdout, at once."""
    print(*text, sep="", end=end, flush=True)


def show(table: Table) -> None:
    """A table on stdout; what is no terminal gets each row in one line, however long."""
    console = _out if _out.is_terminal else Console(file=_out.file, highlight=False, width=_ENDLESS)
    console.print(table)


def print_json(value: Any) -> None:
    """One document on stdout. Beside each time in seconds since 1970, `created_at`, is the same as ISO 8601,
    `created`."""
    from producer.times import dated

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


def answers(lines: Iterable[bytes], limit: int, beside: Path | None = None) -> None:
    """The first predictions of a job as a table; quietly none if all of them were written to `beside`."""
    if verbosity.quiet and beside:
        return
    table = Table("row", "question", "answer", "score", show_edge=False, pad_edge=False)
    left = limit
    total = 0
    for block in lines:
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


def summary(progress: Progress, output: Path | None, *, on_stderr: bool = False) -> None:
    """How a job ended, and where its outputs lie: files of this machine, or the command that gets them."""
    if verbosity.quiet:
        return
    from producer.results import upload
    from producer.results.output import errors_beside, is_special

    console = errors if on_stderr else _out
    counts = progress.request_counts
    colour = _COLOURS.get(progress.status, "default")
    rate = f", {progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
    cancelled = f", {counts.cancelled:,} cancelled" if counts.cancelled else ""
    console.print(
        f"\n[{colour}]{progress.status}[/{colour}]: {counts.answered:,} answered, "
        f"{counts.no_answer:,} without an answer, {counts.failed:,} failed{cancelled}{rate}"
    )
    shown = output if output and output != Path("-") and not is_special(output) else None
    url = upload.url_of(shown) if shown else None
    places = {"predictions": url or shown or _readable(progress.output_uri) or f"producer results {progress.id}"}
    if progress.evaluation:
        places["quality"] = _quality(progress.evaluation)
    if progress.error_uri:
        beside = errors_beside(shown) if shown else None
        places["error rows"] = (beside and upload.url_of(beside)) or beside or progress.error_uri
    for name, value in (*places.items(), ("job", progress.id)):
        console.print(f"{name + ':':13}{escape(str(value))}", soft_wrap=True)


def _readable(uri: str | None) -> str | None:
    """A path that this user can open here: in a volume of containers it may be nobody's."""
    return uri if uri and os.access(uri, os.R_OK) else None


def status_table(progress: Progress) -> None:
    """Where a job stands."""
    counts = progress.request_counts
    colour = _COLOURS.get(progress.status, "cyan")
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None)
    table.add_row("job", progress.id)
    table.add_row("status", f"[{colour}]{progress.status}[/{colour}]")
    if progress.reason:
        table.add_row("reason", escape(progress.reason.message))
        if progress.reason.remedy and not progress.finished:
            table.add_row("remedy", escape(progress.reason.remedy))
    table.add_row(
        "rows",
        f"{counts.total:,}: {counts.answered:,} answered, {counts.no_answer:,} no answer, {counts.failed:,} failed, "
        f"{counts.cancelled:,} cancelled, {counts.pending:,} pending",
    )
    table.add_row("chunks", chunks(progress))
    if progress.rows_per_second:
        left = f", {duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
        table.add_row("rate", f"{progress.rows_per_second:,.1f} rows/s{left}")
    for name, at in (("submitted", progress.created_at), ("started", progress.started_at),
                     ("finished", progress.finished_at), ("kept until", progress.expires_at)):  # fmt: skip
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
    for name in (
        "job",
        "status",
        "rows",
        "done",
        "failed",
        *([] if narrow else ["submitted", "model", "input", "waits for"]),
    ):
        table.add_column(name, no_wrap=name not in ("model", "input", "waits for"))
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
                    progress.reason.code if progress.reason and not progress.finished else "",
                ]
            ),
        )
    show(table)


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
    for note in found.notes:
        _out.print(f"[yellow]note[/yellow]: {escape(note)}; its rows are in the published document", soft_wrap=True)
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


def _short(text: str, width: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
