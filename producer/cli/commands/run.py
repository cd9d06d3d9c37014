"""`producer run`: answers a file on this machine, from reading it to showing the answers."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contract.command import interrupt_on_signals
from contract.errors import ModelError, UsageError
from contract.remedy import Remedy, Set
from producer.cli.flags import Without, as_flags, with_flags
from producer.cli.options import ChunkRows, DirectConnection, DocumentFlags, File, Json, Messages, Output
from producer.request import Request

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.input.location import InputSpec
    from producer.local import Stack

#: Answers shown at the end.
_PREVIEW = 12
#: Seconds from which on the forecast of a file is printed.
_LONG = 10.0


@with_flags
def run(
    out: Output,
    request: Annotated[Request, Without("model", "notify", "expire")],
    verbosity: Messages,
    connection: DirectConnection,
    about: DocumentFlags,
    file: File = None,
    model_dir: Annotated[
        Path | None, typer.Option("--model", help="model directory [BULKQA_MODEL_DIR]", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="processes of the worker; 0: one per eight CPUs", show_default=False)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="threads per process; 0: all CPUs", show_default=False)] = None,
    chunk_rows: ChunkRows = None,
    resume: Annotated[str | None, typer.Option("--resume", help="continue this job instead of a FILE")] = None,
    as_json: Json = False,
) -> None:
    """Answer FILE on this machine: starts Redis and a worker, prints the answers, stops them."""
    from producer import local

    source = None if resume and not (file or about.documents or about.questions) else about.input(file)
    if source is not None and resume:
        raise UsageError("give either a FILE or --resume JOB", "For example: producer run samples/questions.csv")
    local.require(connection.redis)
    interrupt_on_signals()
    flags = {"storage": connection.storage, "model": model_dir, "processes": processes, "threads": threads}
    # Started first: Redis and the worker get ready while this process imports modules and reads the file.
    with local.stack(flags, connection.redis) as stack:
        from contract.ledger.stored import load_manifest
        from contract.storage import open_storage
        from producer.cli import messages, view
        from producer.results.output import check_output

        verbosity.apply()
        settings = connection.settings(model_dir=model_dir, threads=threads, chunk_rows=chunk_rows)
        check_output(out.output, out.output_format, file or about.questions, as_json=as_json, as_folder=out.as_folder)
        storage = open_storage(settings.storage_url, create=True)
        job = _resumed(storage, str(resume)) if source is None else _submit(source, storage, settings, request)
        messages.say(f"job {job}: {view.job_size(load_manifest(storage, job))} in {settings.storage_url}")
        try:
            final = _answer(job, storage, settings, stack, out, as_json=as_json)
        except KeyboardInterrupt:
            rest = as_flags(storage=connection.storage, model=model_dir, output=out.output)
            raise KeyboardInterrupt(
                f"finished rows are kept; continue with: producer run --resume {job}{rest}"
            ) from None
    raise typer.Exit(view.exit_code(final))


def _resumed(storage: Storage, name: str) -> str:
    """The id of a job to continue, even if it was paused."""
    from contract.format import layout
    from producer.jobs.find import find

    job = find(storage, name)
    storage.delete(layout.paused(job))
    return job


def _submit(source: InputSpec, storage: Storage, settings: Settings, request: Request) -> str:
    """Create the job of an input, or find it by its key; returns its id."""
    from contract.machine import available_cpus
    from producer.cli import bars, quotes, view
    from producer.forecast.outlook import look
    from producer.jobs.submit import submit

    model, longest = _describe(settings.model_dir)
    view.warn_of_windows(request.options, longest)
    request = replace(request.with_row_limit(settings.max_row_bytes), model=model)
    with bars.reading(str(getattr(source, "documents", source))) as show:
        outlook = look(settings, model, storage, None).on_this_machine(settings.threads or available_cpus())
        submitted = submit(source, storage, settings, request, show, outlook=outlook)
    quotes.say(submitted, longer_than=_LONG)
    return submitted.manifest.id


def _describe(directory: Path) -> tuple[str, int]:
    """The name of the model in a directory, and the most tokens that it takes."""
    try:
        description = json.loads((directory / "reader.json").read_text("utf-8"))
        return str(description["name"]), int(description["max_positions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{directory} is not a model directory: {error}", "Build one: worker build SOURCE DEST"
        ) from error


def _answer(job: str, storage: Storage, settings: Settings, stack: Stack, out: Output, *, as_json: bool) -> Progress:
    """Score a stored job with the started Redis and worker, and show its answers."""
    from contract.ledger import records
    from contract.namespace import open_queue
    from producer.backend.direct import DirectBackend
    from producer.cli import bars, messages, view
    from producer.results.output import write_results

    with closing(open_queue(settings, storage, stack.redis_url)) as queue:
        backend = DirectBackend(settings, storage, queue)
        stack.wait_ready(queue)
        workers = queue.workers()
        for worker in workers:
            messages.detail(f"worker {worker.name}: {worker.threads} threads, model {worker.model} ({worker.digest})")
        pinned = records.model(storage, job)
        if pinned and all(worker.digest != pinned.digest for worker in workers):
            raise ModelError(
                f"job {job} has to be answered by the model {pinned.name} ({pinned.digest}), and this one is another: "
                f"{settings.model_dir}",
                Remedy("Name the directory of that model: ", Set(resume=job, model="DIR")),
            )
        final = bars.follow(job, backend.follow(job), check=stack.check)
    stack.stop()  # its end is awaited when the stack is left, not before the answers are shown
    if out.output:
        write_results(backend, job, out.output, out.output_format, as_folder=out.as_folder)
    published = records.report(storage, job) or final
    if as_json:
        view.print_json(published)
    elif out.output != Path("-"):
        view.show_answers(backend.lines(job), _PREVIEW, out.output)
        view.show_summary(published, out.output)
        view.show_sample(published, backend.lines(job))
    return published
