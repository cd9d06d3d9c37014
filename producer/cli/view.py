"""Prints data and tables about jobs on stdout. Decides nothing; progress and messages are in `bars` and `messages`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from contract.errors import printable, printable_json
from producer.cli.bars import chunks
from producer.cli.messages import literal, plural, say, shorten, stderr, verbosity
from producer.times import duration, local

if TYPE_CHECKING:
    from contract.format.job import Manifest, Options
    from contract.ledger.progress import Counts, Progress
    from contract.ledger.reconcile import Repair
    from producer.jobs.check import Checked
    from producer.jobs.diff_document import Summary
    from producer.jobs.verify import Verified

_stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # a file or pipe has no width
_COLOURS = {"completed": "green", "completed_with_errors": "yellow", "failed": "red", "cancelled": "yellow"}
#: Terminals of this width and more show all columns of a list of jobs.
_WIDE = 110
#: The width of a table in a file or pipe.
_ENDLESS = 400


def out(text: str) -> None:
    """Print a line on stdout, at once."""
    print(printable(text), flush=True)


def out_json(text: str, end: str = "\n") -> None:
    """Print JSON, or a piece of it, on stdout, at once."""
    print(printable_json(text), end=end, flush=True)


def new_table(*headers: str, **column: Any) -> Table:
    """An empty table, each column with these options of rich's `add_column`."""
    table = Table(show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, **column)
    return table


def _new_sheet() -> Table:
    """An empty table of two columns, names and values."""
    return Table(show_header=False, show_edge=False, pad_edge=False, box=None)


def show_sheet(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values on stdout."""
    table = _new_sheet()
    for name, value in rows:
        table.add_row(name, literal(value))
    _stdout.print(table, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table on stdout. In a file or pipe each row is one line, however long."""
    console = _stdout if _stdout.is_terminal else Console(file=_stdout.file, highlight=False, width=_ENDLESS)
    console.print(table)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout. Each time in seconds since 1970, `created_at`, is repeated as ISO 8601,
    `created`."""
    from producer.times import dated

    out_json(json.dumps(dated(value), ensure_ascii=False, indent=1))


def exit_code(progress: Progress) -> int:
    """The exit status of a command that waited for a job."""
    from producer.jobs.follow import EXIT_CODES

    return EXIT_CODES.get(progress.status, 0)


def warn_of_windows(options: Options, longest: int) -> None:
    """Say that windows will be shorter than requested. `longest`: the most tokens that the model takes; 0: unknown."""
    if longest and options.max_seq_len > longest:
        say(f"the model takes at most {longest} tokens: windows have {longest}, not {options.max_seq_len}")


def job_size(manifest: Manifest) -> str:
    """The rows and chunks of a job, and how many rows reuse an earlier outcome, as text."""
    from producer.reuse.sources import summary_of

    bad = f", {manifest.rejected:,} of them with errors" if manifest.rejected else ""
    files = f" of {plural(manifest.source.files, 'file')}" if manifest.source.files > 1 else ""
    if documents := manifest.documents:
        files = f", {plural(documents.questions, 'question')} of {plural(documents.count, 'document')}"
    reused = f"; {summary_of(manifest.reuse, manifest.rows)}" if manifest.reuse and manifest.reuse.rows else ""
    return f"{plural(manifest.rows, 'row')}{files}{bad}, {plural(manifest.chunks, 'chunk')}{reused}"


def show_answers(lines: Iterable[bytes], limit: int, output: Path | None = None) -> None:
    """Show the first predictions of a job. With --quiet none if all of them were written to `output`."""
    if verbosity.quiet and output:
        return
    shown: list[dict[str, Any]] = []
    total = 0
    for block in lines:
        for line in block.splitlines():
            total += 1
            if total <= limit:
                shown.append(json.loads(line))
    documents = ["document"] if any("document" in prediction for prediction in shown) else []
    table = new_table("row", *documents, "question", "answer", "score")
    for prediction in shown:
        row, *cells = _answer_cells(prediction)
        table.add_row(row, *(literal(shorten(prediction[name], 24)) for name in documents), *cells)
    _stdout.print(table)
    if total > limit:
        _stdout.print(f"... and {total - limit:,} more")


def _answer_cells(prediction: dict[str, Any]) -> list[str]:
    match prediction["status"]:
        case "no_answer":
            answer = "[dim](no answer)[/dim]"
        case "error":
            answer = f"[red]{literal(prediction['error']['code'])}[/red]"
        case _:
            answer = literal(shorten(prediction["answer"], 44))
    score = f"{prediction['score']:.2f}" if "score" in prediction else ""
    question = prediction["question"] or prediction.get("raw") or ""
    return [str(prediction["row"]), literal(shorten(question, 56)), answer, score]


def show_summary(progress: Progress, output: Path | None, *, on_stderr: bool = False) -> None:
    """Show how a job ended and where its outputs are: files on this machine, or the command that writes them."""
    if verbosity.quiet:
        return
    from contract.ledger.reasons import TOO_MANY_ERRORS
    from producer.results import upload
    from producer.results.output import errors_beside, is_special

    console = stderr if on_stderr else _stdout
    counts = progress.request_counts
    rate = f", {progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
    cancelled = f", {counts.cancelled:,} cancelled" if counts.cancelled else ""
    console.print(
        f"\n{_coloured(progress.status)}: {counts.answered:,} answered, "
        f"{counts.no_answer:,} without an answer, {counts.failed:,} failed{cancelled}{rate}"
    )
    shown = output if output and output != Path("-") and not is_special(output) else None
    url = upload.url_of(shown) if shown else None
    facts = {"predictions": url or shown or _readable(progress.output_uri) or f"producer results {progress.id}"}
    if progress.groups:
        documents = progress.input.get("format") == "documents"
        facts["groups"] = f"producer results {progress.id} --by {'question' if documents else 'group'}"
        if documents:
            facts["documents"] = f"producer results {progress.id} --wide -o answers.xlsx"
    if progress.reason and progress.reason.code == TOO_MANY_ERRORS:
        facts["reason"] = progress.reason.message
    facts |= dict(_split(progress))
    facts |= dict(_unscored(progress))
    if progress.evaluation:
        facts["quality"] = _quality(progress.evaluation)
    if progress.error_uri:
        error_file = errors_beside(shown) if shown else None
        facts["error rows"] = (error_file and upload.url_of(error_file)) or error_file or progress.error_uri
    for name, value in (*facts.items(), ("job", progress.id)):
        console.print(f"{name + ':':13}{literal(str(value))}", soft_wrap=True)


def show_sample(progress: Progress, predictions: Iterable[bytes], *, on_stderr: bool = False) -> None:
    """Show what a sample says of its file, if the job is one."""
    from producer.cli import sampled

    for line in () if verbosity.quiet else sampled.lines(progress, predictions, sys.argv[1:]):
        say(line) if on_stderr else out(line)


def _coloured(status: str) -> str:
    colour = _COLOURS.get(status, "cyan")
    return f"[{colour}]{literal(status)}[/{colour}]"


def _readable(uri: str | None) -> str | None:
    """A path that this user can open here; one in a container's volume may be out of reach."""
    return uri if uri and os.access(uri, os.R_OK) else None


def show_status(progress: Progress) -> None:
    """Show the state of a job."""
    table = _new_sheet()
    table.add_row("job", literal(progress.id))
    table.add_row("status", _coloured(progress.status))
    if progress.reason:
        table.add_row("reason", literal(progress.reason.message))
        if progress.reason.remedy and not progress.finished:
            table.add_row("remedy", literal(progress.reason.remedy, keep="\n"))
    table.add_row("rows", _counted(progress.request_counts))
    if progress.groups:
        table.add_row("groups", _counted(progress.groups))
    for name, text in (*_split(progress), *_unscored(progress)):
        table.add_row(name, literal(text))
    table.add_row("chunks", chunks(progress))
    if progress.rows_per_second:
        left = f", {duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
        table.add_row("rate", f"{progress.rows_per_second:,.1f} rows/s{left}")
    for name, at in (("submitted", progress.created_at), ("started", progress.started_at),
                     ("finished", progress.finished_at), ("kept until", progress.expires_at)):  # fmt: skip
        if at:
            table.add_row(name, local(at))
    for code, count in progress.top_errors:
        table.add_row("errors", f"{count:,} {literal(code)}")
    model = progress.model
    table.add_row("model", literal(" ".join(filter(None, (model.name, model.precision, model.digest)))))
    table.add_row("input", literal(f"{progress.input['name']} ({progress.input['bytes']:,} bytes)"))
    for key, value in progress.metadata.items():
        table.add_row("metadata", literal(f"{key}={value}"))
    if progress.evaluation:
        table.add_row("quality", _quality(progress.evaluation))
        for score_bin in progress.evaluation["bins"]:
            if score_bin["count"]:
                table.add_row("", _bin_quality(score_bin))
    if progress.group_evaluation:
        table.add_row("of groups", _quality(progress.group_evaluation, "group"))
    for name, uri in (("predictions", progress.output_uri), ("error rows", progress.error_uri)):
        if uri:
            table.add_row(name, literal(uri))
    _stdout.print(table, soft_wrap=True)


def _unscored(progress: Progress) -> list[tuple[str, str]]:
    """Where the outcomes of rows come from that were not scored, each with its name."""
    facts = []
    if progress.reused:
        text = f"{plural(progress.reused, 'row')} from other jobs, {progress.scored or 0:,} scored"
        if progress.saved_seconds >= 1:
            text += f", {duration(progress.saved_seconds)} of processor time saved"
        if progress.reused_others:
            text += f"; {progress.reused_others:,} of them computed by another runtime or processor"
        facts.append(("reused", text))
    if progress.repeated:
        facts.append(("repeated", f"{plural(progress.repeated, 'row')} with the text of another"))
    return facts


def _split(progress: Progress) -> list[tuple[str, str]]:
    """The two sides of a job that is split, and why its promise may not hold, each with its name."""
    split = progress.trusted
    if split is None:
        return []
    right = (
        f"{100 * split.precision:g}% or more are right ({split.confidence:.0%} confidence), as job {split.job} promises"
    )
    trusted = f"{split.trusted:,} with a score of at least {split.threshold:g}: {right}"
    return [
        ("trusted", f"{trusted}; producer results {progress.id} --trusted"),
        ("to review", f"{split.rest:,}: producer results {progress.id} --untrusted"),
        *([("warning", split.warning)] if split.warning else []),
    ]


def _counted(counts: Counts) -> str:
    """Rows, or groups, by outcome."""
    return (
        f"{counts.total:,}: {counts.answered:,} answered, {counts.no_answer:,} no answer, {counts.failed:,} failed, "
        f"{counts.cancelled:,} cancelled, {counts.pending:,} pending"
    )


def _quality(evaluation: dict[str, Any], noun: str = "row") -> str:
    """EM and F1 of rows, or groups, in one line."""
    accuracy = evaluation.get("no_answer_accuracy")
    no_answer = f", no-answer accuracy {accuracy:.1f}" if accuracy is not None else ""
    scores = f"EM {evaluation['exact_match']:.1f}, F1 {evaluation['f1']:.1f}"
    return f"{scores}{no_answer} over {plural(evaluation['rows'], noun)} with answers"


def _bin_quality(score_bin: dict[str, Any]) -> str:
    """How often answers with scores in a bin are right."""
    right = f"{score_bin['exact_match']:.0%} right, mean score {score_bin['mean_score']:.2f}"
    return f"score {score_bin['from']:.1f} to {score_bin['to']:.1f}: {plural(score_bin['count'], 'row')}, {right}"


def show_jobs(jobs: list[Progress]) -> None:
    """Show jobs, one per row; on a narrow terminal only their numbers."""
    wide = _stdout.width >= _WIDE
    table = new_table("job", "status", "rows", "done", "failed", no_wrap=True)
    if wide:
        table.add_column("submitted", no_wrap=True)
        for name in ("model", "input", "waits for"):
            table.add_column(name)
    for progress in jobs:
        counts = progress.request_counts
        cells = [literal(progress.id), _coloured(progress.status), f"{counts.total:,}", f"{progress.progress:.0%}",
                 f"{counts.failed:,}"]  # fmt: skip
        if wide:
            waits_for = literal(progress.reason.code) if progress.reason and not progress.finished else ""
            cells += [local(progress.created_at), literal(progress.model.name), literal(progress.input["name"]),
                      waits_for]  # fmt: skip
        table.add_row(*cells)
    print_table(table)


def show_repairs(repairs: dict[str, Repair]) -> None:
    """Show what was done for each job, one per line."""
    for job, repair in repairs.items():
        if repair.published:
            action = "published"
        else:
            action = "has ended" if repair.finished else f"{plural(len(repair.sent), 'chunk')} sent again"
        out(f"{job}: {action}{f', {len(repair.given_up)} given up' if repair.given_up else ''}")
    if not repairs:
        out("no unfinished job")


def show_checked(checked: Checked) -> None:
    """Show what a file holds, and its first bad rows."""
    table = _new_sheet()
    dialect = f", delimiter {checked.delimiter!r}" if checked.delimiter else ""
    files = f"{plural(checked.files, 'file')}, " if checked.files > 1 else ""
    table.add_row("file", literal(f"{checked.name}: {files}{checked.format}{dialect}, {checked.bytes:,} bytes"))
    table.add_row("columns", literal(", ".join(checked.columns)))
    table.add_row("rows", f"{checked.rows:,} in {plural(checked.chunks, 'chunk')}, {checked.rejected:,} with errors")
    table.add_row("longest", f"question {checked.longest_question:,}, context {checked.longest_context:,} characters")
    if groups := checked.groups:
        by = "lists of contexts" if groups.column is None else f"column {groups.column!r}"
        table.add_row("groups", literal(f"{groups.count:,} by {by}{', scattered' if groups.scattered else ''}"))
    if checked.reused is not None:
        table.add_row("reused", f"{checked.reused:,} of {plural(checked.rows, 'row')}")
    for code, count in checked.codes.items():
        table.add_row(code, f"{count:,}")
    for note in checked.notes:
        table.add_row("note", literal(note))
    _stdout.print(table, soft_wrap=True)
    if checked.first_errors:
        errors = new_table("row", "line", "code", "message")
        for error in checked.first_errors:
            errors.add_row(
                str(error["row"]), str(error["line"] or ""), literal(error["code"]), literal(error["message"])
            )
        _stdout.print(errors)


def show_verified(verified: Verified) -> None:
    """Show the problems of a job."""
    for problem in verified.problems:
        _stdout.print(f"[red]problem[/red]: {literal(problem)}", soft_wrap=True)
    for note in verified.notes:
        _stdout.print(f"[yellow]note[/yellow]: {literal(note)}; its rows are in the published document", soft_wrap=True)
    unfinished = "" if verified.finished else " (the job is not finished)"
    result = plural(len(verified.problems), "problem") if verified.problems else "[green]no problems[/green]"
    _stdout.print(
        f"{result}: {verified.checked:,} of {plural(verified.rows, 'row')} checked{unfinished}, "
        f"{plural(verified.answers, 'answer')} found at their offsets in the context"
        + (f", {plural(verified.rescored, 'reused row')} scored again" if verified.rescored is not None else ""),
        soft_wrap=True,
    )


def show_change(change: dict[str, Any], *, by_group: bool = False) -> None:
    """Show a row, or a group, that two jobs answer differently."""
    name = f"row {change['row']}" + (f" ({change['id']})" if change["id"] is not None else "")
    if by_group:
        name = f"group {change['group']}, {name}"
    _stdout.print(f"{literal(name)}: {literal(shorten(change['question'] or '', 80))}", soft_wrap=True)
    for sign, colour, outcome in (("-", "red", change["first"]), ("+", "green", change["second"])):
        answer = outcome["answer"] if outcome["status"] == "answered" else f"({outcome['status'].replace('_', ' ')})"
        score = f" {outcome['score']:.2f}" if outcome["score"] is not None else ""
        place = f" at {outcome['start']}" if outcome["start"] is not None else ""
        _stdout.print(
            f"  [{colour}]{sign} {literal(shorten(answer, 90))}[/{colour}][dim]{score}{place}[/dim]", soft_wrap=True
        )


def show_diff_summary(summary: Summary, *, by_group: bool = False) -> None:
    """Show how many rows, or groups, two jobs answer differently."""
    noun = "group" if by_group else "row"
    _stdout.print(
        f"{summary.same:,} the same, {summary.changed:,} changed, {summary.only_first_answered:,} answered in the "
        f"first only, {summary.only_second_answered:,} in the second only",
        soft_wrap=True,
    )
    if summary.missing:
        _stdout.print(f"{plural(summary.missing, noun)} in one job only, or not scored yet", soft_wrap=True)
    if summary.not_comparable:
        _stdout.print(
            f"{plural(summary.not_comparable, noun)} with a different question in the second job"
            + ("" if by_group else ": try --by id"),
            soft_wrap=True,
        )
