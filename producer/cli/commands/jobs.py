"""The commands on jobs: submit, status, list, results, cancel, pause, resume, repair, check, verify, diff.

Each parses its flags, calls one function of a backend, `producer.jobs` or `contract.ledger`, and has `view` show the
result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from contract.errors import COMPLETED_WITH_ERRORS, INTERRUPTED, BulkqaError, UsageError
from producer.cli.flags import as_flags, with_flags
from producer.cli.options import (
    ChunkRows,
    Connection,
    DirectConnection,
    DocumentFlags,
    File,
    FileRequest,
    Job,
    Json,
    Lines,
    Listing,
    Messages,
    Output,
    Timeout,
)
from producer.request import Request

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.queue import WorkerInfo
    from producer.backend import Backend

T = TypeVar("T")

#: Seconds without a worker after which rows that are scored again are not waited for any longer.
_PATIENCE = 60.0


@with_flags
def submit(
    out: Output,
    request: Request,
    verbosity: Messages,
    connection: Connection,
    about: DocumentFlags,
    file: File = None,
    wait: Annotated[bool, typer.Option("--wait", help="wait until the job ends, and show its progress")] = False,
    chunk_rows: ChunkRows = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Check FILE, store it as a job and put it on the queue. Prints the job id."""
    from producer.backend import open_backend
    from producer.cli import bars, messages, quotes, view
    from producer.jobs.submit import check_model
    from producer.results.output import check_output

    verbosity.apply()
    source = about.input(file)
    settings = connection.settings(chunk_rows=chunk_rows, model=request.model or None)
    if settings.server and chunk_rows is not None:
        raise UsageError("the server sets the size of chunks", "Leave out --chunk-rows.")
    check_output(out.output, out.output_format, file or about.questions, as_json=as_json, as_folder=out.as_folder)
    check_model(settings.model)
    model = settings.model if "model" in settings.model_fields_set else ""  # else the server's default
    request = replace(request.with_row_limit(settings.max_row_bytes), model=model)
    backend = open_backend(settings, create=True)
    default_model = "of the server" if settings.server else settings.model
    messages.detail(f"{backend.url}, model {model or default_model}")
    view.warn_of_windows(request.options, _longest_window(backend.workers(), model or settings.model))
    with bars.reading(about.documents or str(file)) as show:
        submitted = backend.submit(source, request, show)
    job = submitted.manifest.id
    messages.say(f"{'submitted' if submitted.new else 'found by its key:'} {view.job_size(submitted.manifest)}")
    quotes.say(submitted)
    if not (wait or out.output):
        progress = backend.status(job)
        if progress.reason and not progress.finished:
            messages.say(bars.waiting(progress.reason))
        view.print_json(progress) if as_json else view.out(job)
        return
    if out.output == Path("-"):
        messages.say(f"job {job}")  # stdout has only the predictions
    elif not as_json:
        view.out(job)
    final = _wait(job, backend, connection, timeout)
    _deliver(backend, final, out, as_json=as_json)


def _longest_window(workers: Iterable[WorkerInfo], model: str) -> int:
    """The most tokens that all workers of a model take; 0: unknown."""
    return min((w.max_positions for w in workers if w.model == model and w.max_positions), default=0)


@with_flags
def status(
    job: Job,
    verbosity: Messages,
    connection: Connection,
    watch: Annotated[bool, typer.Option("--watch", help="follow the job until it ends")] = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Show the state of a job: counts, rate, time left, errors. With --watch the exit status is the job's."""
    from producer.cli import view

    verbosity.apply()
    backend = connection.backend()
    job = backend.find(job)
    progress = _wait(job, backend, connection, timeout) if watch else backend.status(job)
    view.print_json(progress) if as_json else view.show_status(progress)
    if watch:
        raise typer.Exit(view.exit_code(progress))


@with_flags
def list_jobs(connection: Connection, listing: Listing, as_json: Json = False) -> None:
    """List jobs and their states, oldest first: all of them, or those that filters select."""
    from producer.cli import messages, view

    job_filter = listing.job_filter()
    listed = connection.backend().jobs(job_filter)
    for job, problem in listed.damaged.items():
        messages.say(f"job {job}: {problem}")
    view.print_json(listed.jobs) if as_json else view.show_jobs(listed.jobs)


@with_flags
def results(
    job: Job,
    out: Output,
    lines: Lines,
    connection: Connection,
    follow: Annotated[
        bool, typer.Option("--follow", help="write predictions as they become ready, until the job ends")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the same as --format json")] = False,
) -> None:
    """Write the predictions of a job in row order, or its groups.
    For an unfinished job: the rows that are ready, up to the first gap."""
    from producer.cli import messages, view
    from producer.cli.messages import plural
    from producer.results.output import check_output, write_results

    if as_json and out.output_format not in (None, "json"):
        raise UsageError(f"--json and --format {out.output_format} are two formats", "Give one of them.")
    backend = connection.backend()
    output = out.output or Path("-")
    kind = "json" if as_json else out.output_format
    if follow and output == Path("-"):
        kind = kind or "jsonl"
    check_output(output, kind, as_folder=out.as_folder)
    job = backend.find(job)
    progress = backend.status(job, reason=False)
    write = partial(
        write_results,
        *(backend, job, output, kind),
        as_folder=out.as_folder,
        by=lines.line(),
        side=lines.side(backend, job),
        calibration=lines.calibration(backend, job),
    )
    if follow:
        steps = backend.follow(job)
        try:
            write(wait=lambda: any(not step.finished for step in steps))
        except KeyboardInterrupt:
            again = _follow_again(f"producer results {job} --follow", connection)
            raise KeyboardInterrupt(f"job {job} continues; {again}") from None
        progress = backend.status(job, reason=False)
    else:
        write()
    if progress.finished:
        raise typer.Exit(view.exit_code(progress))
    counts = progress.request_counts
    done = f"{counts.total - counts.pending:,} of {plural(counts.total, 'row')} done"
    messages.say(f"job {job} is {progress.status}: {done}")


@with_flags
def cancel(job: Job, connection: Connection, as_json: Json = False) -> None:
    """Cancel a job: finished rows stay, the others get the error job_cancelled. Works without Redis."""
    from producer.cli import messages, view

    backend = connection.backend()
    job = backend.find(job)
    progress = _recorded(backend.cancel, job, backend)
    if progress.status == "cancelling":
        messages.say(f"its workers and the sweeper end it; if none runs: producer repair {job}")
    view.print_json(progress) if as_json else view.out(f"job {job} is {progress.status}")


@with_flags
def pause(job: Job, connection: Connection, as_json: Json = False) -> None:
    """Stop scoring a job until it is resumed; chunks under way are finished. Works without Redis."""
    from producer.cli import messages, view

    backend = connection.backend()
    job = backend.find(job)
    progress = _recorded(backend.pause, job, backend)
    if progress.status == "paused":
        if running := progress.chunks.running:
            messages.say(f"{messages.plural(running, 'chunk')} under way will be finished")
        messages.say(f"to continue: producer resume {job}")
    view.print_json(progress) if as_json else view.out(f"job {job} is {progress.status}")


@with_flags
def resume(job: Job, connection: Connection, as_json: Json = False) -> None:
    """Continue a paused job. Works without Redis."""
    from producer.cli import view

    backend = connection.backend()
    job = backend.find(job)
    progress = _recorded(backend.resume, job, backend)
    view.print_json(progress) if as_json else view.out(f"job {job} is {progress.status}")


def _recorded(request: Callable[[str], None], job: str, backend: Backend) -> Progress:
    """The status of a job after a request that is stored even while Redis is away."""
    from contract.errors import RedisUnreachable
    from producer.cli import messages

    try:
        request(job)
    except RedisUnreachable as error:
        messages.say(f"the request is stored; {error}")
    return backend.status(job)


@with_flags
def repair(
    connection: DirectConnection,
    job: Annotated[str | None, typer.Argument(help="job id; default: all unfinished jobs")] = None,
    as_json: Json = False,
) -> None:
    """Advance jobs, whatever was lost: send missing chunks again, publish what is complete."""
    from dataclasses import asdict

    from contract.format import layout
    from contract.ledger import records
    from contract.ledger.reconcile import reconcile
    from contract.storage.many import many
    from producer.cli import view
    from producer.jobs.find import find

    settings, storage, queue = connection.open()
    if job:
        job = find(storage, job)
        repairs = {job: reconcile(job, storage, queue, settings)}
    else:
        jobs = records.jobs(storage)
        ended = many(storage, lambda job: storage.exists(layout.report(job)), jobs)
        unfinished = [job for job, has_ended in zip(jobs, ended, strict=True) if not has_ended]
        repairs = for_each(unfinished, lambda job: reconcile(job, storage, queue, settings))
    if as_json:
        view.print_json({job: asdict(repair) for job, repair in repairs.items()})
    else:
        view.show_repairs(repairs)


@with_flags
def check(
    request: FileRequest,
    connection: DirectConnection,
    about: DocumentFlags,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Read FILE as submit would, without creating a job, and show its columns, rows, errors and sizes."""
    from producer.cli import bars, messages, quotes, view
    from producer.jobs.check import check_file
    from producer.jobs.submit import sources_of

    settings = connection.settings(model=request.model or None)
    request = request.with_row_limit(settings.max_row_bytes)
    source, outlook = about.input(file), quotes.outlook(settings)
    sources = sources_of(connection.open_storage(), settings, request) if request.reuse else None
    with bars.reading(about.documents or str(file)) as show:
        checked = check_file(source, request.read, settings, show, outlook, request.options, sources)
    view.print_json(checked) if as_json else view.show_checked(checked)
    if checked.forecast and not as_json:
        messages.say(quotes.line(checked.forecast))
    raise typer.Exit(COMPLETED_WITH_ERRORS if checked.rejected else 0)


@with_flags
def verify(
    job: Job,
    connection: DirectConnection,
    rescore: Annotated[
        int | None, typer.Option(min=1, help="also have the workers score N reused rows again, and compare")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recount, rehash and re-check a job: every row once and in order, context[start:end] == answer, outputs intact."""
    from producer.cli import bars, view
    from producer.jobs.find import find
    from producer.jobs.verify import verify_job, verify_reused

    storage = connection.open_storage()
    job = find(storage, job)
    with bars.counting("verifying") as show:
        verified = verify_job(storage, job, show)
    if rescore:
        settings, storage, queue = connection.open()
        verified = verify_reused(storage, queue, settings, verified, rescore, patience=_PATIENCE)
    view.print_json(verified) if as_json else view.show_verified(verified)
    raise typer.Exit(1 if verified.problems else 0)


@with_flags
def diff(
    first: Job,
    second: Job,
    connection: Connection,
    by: Annotated[
        Literal["row", "id", "group"], typer.Option(help="how to match the rows of the two jobs, or what to compare")
    ] = "row",
    as_json: Json = False,
) -> None:
    """List the rows, or groups, that two jobs answer differently, and count them.
    For an unfinished job: the rows that are ready."""
    from producer.cli import view
    from producer.jobs import diff_document

    backend = connection.backend()
    first, second = backend.find(first), backend.find(second)
    summary = diff_document.Summary()
    changes = backend.diff(first, second, summary, by=by)
    if as_json:
        for piece in diff_document.write(first, second, ([change] for change in changes), summary):
            view.out_json(piece, end="")
        return
    for change in changes:
        view.show_change(change, by_group=by == "group")
    view.show_diff_summary(summary, by_group=by == "group")


def for_each(jobs: list[str], act: Callable[[str], T]) -> dict[str, T]:
    """Call `act` for each job and return the results. A job that raises, damaged or of another version, is reported and
    left out."""
    from contract.errors import Unreachable
    from producer.cli import messages

    results = {}
    for job in jobs:
        try:
            results[job] = act(job)
        except Unreachable:
            raise
        except BulkqaError as error:
            messages.say(f"job {job}: {error}")
    return results


def _wait(job: str, backend: Backend, connection: Connection, timeout: float | None) -> Progress:
    """Follow a job with a progress bar until it ends. Ctrl-C and a timeout leave it running."""
    from producer.cli import bars, messages
    from producer.jobs.follow import StillRunning

    again = _follow_again(f"producer status {job} --watch", connection)
    try:
        return bars.follow(job, backend.follow(job, timeout))
    except StillRunning as running:
        messages.warn(f"{running}; {again}")
        raise typer.Exit(INTERRUPTED) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"job {job} continues; {again}") from None


def _follow_again(command: str, connection: Connection) -> str:
    return f"follow it again with: {command}{as_flags(storage=connection.storage, server=connection.server)}"


def _deliver(backend: Backend, final: Progress, out: Output, *, as_json: bool) -> None:
    """Write the predictions of a job that has ended to the output, and exit with its status."""
    from producer.cli import view
    from producer.results.output import write_results

    if out.output:
        write_results(backend, final.id, out.output, out.output_format, as_folder=out.as_folder)
    if as_json:
        view.print_json(final)
    elif out.output != Path("-"):
        view.show_summary(final, out.output, on_stderr=True)  # stdout has only the job id
        view.show_sample(final, backend.lines(final.id), on_stderr=True)
    raise typer.Exit(view.exit_code(final))
