"""The command that retries a job."""

from __future__ import annotations

from producer.cli.flags import with_flags
from producer.cli.options import Connection, Job, Json


@with_flags
def retry(job: Job, connection: Connection, as_json: Json = False) -> None:
    """Make a new job from the rows of JOB, in which failed and cancelled rows are scored again.
    Only processing errors count as failed: rejected rows stay rejected. Rows with an outcome keep it. Prints its id."""
    from producer.cli import bars, messages, view

    backend = connection.backend()
    submitted = backend.retry(backend.find(job))
    messages.say(f"submitted {view.job_size(submitted.manifest)}")
    for note in submitted.notes:
        messages.say(note)
    progress = backend.status(submitted.manifest.id)
    if progress.reason and not progress.finished:
        messages.say(bars.waiting(progress.reason))
    view.print_json(progress) if as_json else view.out(submitted.manifest.id)
