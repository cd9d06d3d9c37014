"""`producer run`: a file answered on this machine, from the reading to the answers on the screen."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contract.command import interrupt_on_signals
from contract.errors import ModelError, UsageError
from producer.cli.flags import Without, as_flags, with_flags
from producer.cli.options import FILE, ChunkRows, Json, Messages, Output, Place
from producer.request import Request

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.local import Stack

#: Answers that are shown.
_PREVIEW = 12


@with_flags
def run(
    out: Output,
    request: Annotated[Request, Without("model", "notify", "expire")],
    messages: Messages,
    place: Place,
    file: Annotated[str | None, typer.Argument(help=FILE)] = None,
    model_dir: Annotated[
        Path | None, typer.Option("--model", help="model directory [BULKQA_MODEL_DIR]", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="processes of the worker; 0: one for every eight CPUs", show_default=False)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="threads a process; 0: all CPUs", show_default=False)] = None,
    chunk_rows: ChunkRows = None,
    resume: Annotated[str | None, typer.Option("--resume", help="go on with this job instead of a FILE")] = None,
    as_json: Json = False,
) -> None:
    """Answer FILE on this machine: starts Redis and a worker, stops them after, prints the answers."""
    from producer import local

    if (file is None) == (resume is None):
        raise UsageError("name a FILE, or a job with --resume", "For example: producer run samples/questions.csv")
    local.require(place.redis)
    interrupt_on_signals()
    flags = {"storage": place.storage, "model": model_dir, "processes": processes, "threads": threads}
    # First: Redis and the worker get ready while modules are imported here and the file is read.
    with local.stack([f"--{k}={v}" for k, v in flags.items() if v is not None], place.redis) as stack:
        from contract.ledger.stored import load_manifest
        from contract.storage import open_storage
        from producer.cli import view
        from producer.jobs.find import find
        from producer.results.output import check_output

        messages.apply()
        settings = place.settings(model_dir=model_dir, threads=threads, chunk_rows=chunk_rows)
        check_output(out.output, out.output_format, file, as_json=as_json, as_folder=out.as_folder)
        store = open_storage(settings.storage_url, create=True)
        job = find(store, resume) if resume else _stored(str(file), store, settings, request)
        view.say(f"job {job}: {view.rows(load_manifest(store, job))} in {settings.storage_url}")
        try:
            final = _answered(job, store, settings, stack, out, as_json=as_json)
        except KeyboardInterrupt:
            again = as_flags(storage=place.storage, model=model_dir, output=out.output)
            raise KeyboardInterrupt(f"what is done is kept. Go on with: producer run --resume {job}{again}") from None
    raise typer.Exit(view.exit_code(final))


def _stored(file: str, store: Storage, settings: Settings, request: Request) -> str:
    """The id of the job that was made of a file, or found by its key."""
    from producer.cli import view
    from producer.jobs.submit import submit

    name, longest = _described(settings.model_dir)
    view.warn_of_windows(request.options, longest)
    request = replace(request.with_row_limit(settings.max_row_bytes), model=name)
    with view.reading(file) as progress:
        return submit(file, store, settings, request, progress).manifest.id


def _described(directory: Path) -> tuple[str, int]:
    """Name and longest window in a model directory's description; everything else in it is the worker's."""
    try:
        about = json.loads((directory / "reader.json").read_text("utf-8"))
        return str(about["name"]), int(about["max_positions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{directory} is not a model directory: {error}", "Make one: worker build SOURCE DEST"
        ) from error


def _answered(job: str, store: Storage, settings: Settings, stack: Stack, out: Output, *, as_json: bool) -> Progress:
    """Score a stored job with a Redis and workers of our own, and show what came of it."""
    from contract.ledger import records
    from contract.namespace import open_queue
    from producer.backend.direct import DirectBackend
    from producer.cli import view
    from producer.results.output import write_results

    with closing(open_queue(settings, store, stack.redis_url)) as queue:
        backend = DirectBackend(settings, store, queue)
        stack.wait_ready(queue)
        for worker in queue.workers():
            view.detail(f"worker {worker.name}: {worker.threads} threads, model {worker.model} ({worker.digest})")
        final = view.follow(job, backend.follow(job), each=stack.check)
    stack.stop()  # waited for when the stack is left: the answers need not wait
    if out.output:
        write_results(backend, job, out.output, out.output_format, as_folder=out.as_folder)
    published = records.report(store, job) or final
    if as_json:
        view.print_json(published)
    elif out.output != Path("-"):
        view.answers(backend.lines(job), _PREVIEW, beside=out.output)
        view.summary(published, out.output)
    return published
