"""The commands on jobs: submit, status, list, results, cancel, repair, check, verify, diff.

Each parses its flags, calls one function of `producer.jobs` or `contract.ledger`, and has `view` show what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from contract.errors import COMPLETED_WITH_ERRORS, INTERRUPTED, BulkqaError, UsageError
from producer.cli.flags import as_flags, with_flags
from producer.cli.options import ChunkRows, File, Job, Json, Listing, Messages, Output, Place, Timeout, Where
from producer.input.options import ReadOptions
from producer.request import Request

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.queue import WorkerInfo
    from producer.backend import Backend

T = TypeVar("T")


@with_flags
def submit(
    file: File,
    out: Output,
    request: Request,
    messages: Messages,
    where: Where,
    wait: Annotated[bool, typer.Option("--wait", help="wait for the job's end, showing progress")] = False,
    chunk_rows: ChunkRows = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Check FILE, store it as a job and put it on the queue. Prints the job's id."""
    from producer.backend import open_backend
    from producer.cli import view
    from producer.jobs.submit import check_model
    from producer.results.output import check_output

    messages.apply()
    settings = where.settings(chunk_rows=chunk_rows, model=request.model or None)
    if settings.server and chunk_rows is not None:
        raise UsageError("the server decides how large chunks are", "Leave out --chunk-rows.")
    check_output(out.output, out.output_format, file, as_json=as_json, as_folder=out.as_folder)
    check_model(settings.model)
    named = settings.model if "model" in settings.model_fields_set else ""
    request = replace(request.with_row_limit(settings.max_row_bytes), model=named)
    backend = open_backend(settings, create=True)
    view.detail(f"{backend.url}, model {named or 'of the server' if settings.server else settings.model}")
    view.warn_of_windows(request.options, _longest_window(backend.workers(), named or settings.model))
    with view.reading(file) as progress:
        submitted = backend.submit(file, request, progress)
    job = submitted.manifest.id
    view.say(f"{'submitted' if submitted.new else 'found by its key:'} {view.rows(submitted.manifest)}")
    if not (wait or out.output):
        found = backend.status(job)
        if found.reason and not found.finished:
            view.say(view.in_words(found.reason))
        view.print_json(found) if as_json else view.out(job)
        return
    if out.output == Path("-"):
        view.say(f"job {job}")  # stdout is for the predictions alone
    elif not as_json:
        view.out(job)
    final = _wait(job, backend, where, timeout)
    _deliver(backend, final, out, as_json=as_json)


def _longest_window(workers: Iterable[WorkerInfo], model: str) -> int:
    """Tokens in the longest window that the workers of a model take; 0: nobody says."""
    return min((w.max_positions for w in workers if w.model == model and w.max_positions), default=0)


@with_flags
def status(
    job: Job,
    messages: Messages,
    where: Where,
    watch: Annotated[bool, typer.Option("--watch", help="until the job ends")] = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Tell where a job stands: counts, rate, time left, errors. With --watch the exit code is the job's."""
    from producer.cli import view

    messages.apply()
    backend = where.backend()
    job = backend.find(job)
    found = _wait(job, backend, where, timeout) if watch else backend.status(job)
    view.print_json(found) if as_json else view.status_table(found)
    if watch:
        raise typer.Exit(view.exit_code(found))


@with_flags
def list_jobs(where: Where, listing: Listing, as_json: Json = False) -> None:
    """List jobs with their state, oldest first: all, or those that are asked for."""
    from producer.cli import view

    wanted = listing.wanted()
    backend = where.backend()
    found = backend.jobs(wanted)
    for job, complaint in found.damaged.items():
        view.say(f"job {job}: {complaint}")
    view.print_json(found.jobs) if as_json else view.job_table(found.jobs)


@with_flags
def results(
    job: Job,
    out: Output,
    where: Where,
    follow: Annotated[bool, typer.Option("--follow", help="print predictions as they come, until the end")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the same as --format json")] = False,
) -> None:
    """Write the predictions of a job, in row order. Of an unfinished one: those ready without a gap."""
    from producer.cli import view
    from producer.results.output import check_output, write_results

    if as_json and out.output_format not in (None, "json"):
        raise UsageError(f"--json and --format {out.output_format} ask for two formats", "Give one of them.")
    backend = where.backend()
    output = out.output or Path("-")
    kind = "json" if as_json else out.output_format
    if follow and output == Path("-"):
        kind = kind or "jsonl"
    check_output(output, kind, as_folder=out.as_folder)
    job = backend.find(job)
    progress = backend.status(job, reason=False)
    if follow:
        steps = backend.follow(job)
        try:
            wait = lambda: any(not step.finished for step in steps)  # noqa: E731
            write_results(backend, job, output, kind, wait, as_folder=out.as_folder)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"job {job} goes on; come back with: producer results {job} --follow") from None
        progress = backend.status(job, reason=False)
    else:
        write_results(backend, job, output, kind, as_folder=out.as_folder)
    if progress.finished:
        raise typer.Exit(view.exit_code(progress))
    done = progress.request_counts
    view.say(f"job {job} is {progress.status}: {done.total - done.pending} of {done.total} rows have their outcome")


@with_flags
def cancel(job: Job, where: Where, as_json: Json = False) -> None:
    """Cancel a job: rows that are done stay, the others get the error job_cancelled. Works while Redis is away."""
    from contract.errors import RedisUnreachable
    from producer.cli import view

    backend = where.backend()
    job = backend.find(job)
    try:
        backend.cancel(job)
    except RedisUnreachable as error:
        view.say(f"the cancel is noted; {error}")
    found = backend.status(job)
    view.print_json(found) if as_json else view.out(f"job {job} is {found.status}")


@with_flags
def repair(
    place: Place,
    job: Annotated[str | None, typer.Argument(help="job id; default: all unfinished jobs")] = None,
    as_json: Json = False,
) -> None:
    """Bring jobs forward whatever was lost: send missing chunks again, publish what is complete."""
    from dataclasses import asdict

    from contract.format import layout
    from contract.ledger import records
    from contract.ledger.reconcile import reconcile
    from contract.storage.many import many
    from producer.cli import view
    from producer.jobs.find import find

    given, store, queue = place.open()
    if job:
        name = find(store, job)
        done = {name: reconcile(name, store, queue, given)}
    else:
        names = records.jobs(store)
        ended = many(store, lambda name: store.exists(layout.report(name)), names)
        unfinished = [name for name, one in zip(names, ended, strict=True) if not one]
        done = of_each(unfinished, lambda name: reconcile(name, store, queue, given))
    if as_json:
        view.print_json({name: asdict(one) for name, one in done.items()})
    else:
        view.repairs(done)


@with_flags
def check(file: File, reading: ReadOptions, as_json: Json = False) -> None:
    """Read FILE as submit would, make no job, and tell what was found: columns, rows, errors, sizes."""
    from producer.cli import view
    from producer.jobs.check import check_file

    settings = Place().settings()
    read = replace(reading, max_row_bytes=settings.max_row_bytes)
    with view.reading(file) as progress:
        checked = check_file(file, read, settings, progress)
    view.print_json(checked) if as_json else view.check_table(checked)
    raise typer.Exit(COMPLETED_WITH_ERRORS if checked.rejected else 0)


@with_flags
def verify(job: Job, place: Place, as_json: Json = False) -> None:
    """Recount, rehash and re-check a job: every row once and in order, context[start:end] == answer, outputs whole."""
    from producer.cli import view
    from producer.jobs.find import find
    from producer.jobs.verify import verify_job

    store = place.open_storage()
    job = find(store, job)
    with view.counting("verifying") as progress:
        found = verify_job(store, job, progress)
    view.print_json(found) if as_json else view.verify_table(found)
    raise typer.Exit(1 if found.problems else 0)


@with_flags
def diff(
    first: Job,
    second: Job,
    where: Where,
    by: Annotated[Literal["row", "id"], typer.Option(help="what joins the rows of the two jobs")] = "row",
    as_json: Json = False,
) -> None:
    """List the rows that two jobs answer differently, and count them. Of an unfinished job: the rows that are ready."""
    from producer.cli import view
    from producer.jobs import diff_document

    backend = where.backend()
    first, second = backend.find(first), backend.find(second)
    summary = diff_document.Summary()
    changes = backend.diff(first, second, summary, by_id=by == "id")
    if as_json:
        for piece in diff_document.write(first, second, changes, summary):
            view.out(piece, end="")
        return
    for change in changes:
        view.change(change)
    view.diff_summary(summary)


def of_each(jobs: list[str], do: Callable[[str], T]) -> dict[str, T]:
    """What `do` says of each job. One that is damaged, or of another version, is told and keeps no other waiting."""
    from contract.errors import Unreachable
    from producer.cli import view

    done = {}
    for job in jobs:
        try:
            done[job] = do(job)
        except Unreachable:
            raise
        except BulkqaError as error:
            view.say(f"job {job}: {error}")
    return done


def _wait(job: str, backend: Backend, where: Where, timeout: float | None) -> Progress:
    """Follow a job to its end with a progress bar. Ctrl-C and a timeout leave it running."""
    from producer.cli import view
    from producer.jobs.follow import StillRunning

    again = f"producer status {job} --watch{as_flags(storage=where.storage, server=where.server)}"
    try:
        return view.follow(job, backend.follow(job, timeout))
    except StillRunning as late:
        view.warn(f"{late}; come back with: {again}")
        raise typer.Exit(INTERRUPTED) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"job {job} goes on; come back with: {again}") from None


def _deliver(backend: Backend, final: Progress, out: Output, *, as_json: bool) -> None:
    """Write the predictions of a job that has ended where they were asked for, and end with its exit status."""
    from producer.cli import view
    from producer.results.output import write_results

    if out.output:
        write_results(backend, final.id, out.output, out.output_format, as_folder=out.as_folder)
    if as_json:
        view.print_json(final)
    elif out.output != Path("-"):
        view.summary(final, out.output, on_stderr=True)  # stdout has the job's id, and nothing else
    raise typer.Exit(view.exit_code(final))
