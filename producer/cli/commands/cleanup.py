"""The commands that show and free space in the storage: du, delete, gc."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from producer.cli.commands.jobs import for_each
from producer.cli.flags import with_flags
from producer.cli.options import Connection, DirectConnection, Job, Json


@with_flags
def du(
    connection: DirectConnection,
    job: Annotated[str | None, typer.Argument(help="job id; default: all jobs")] = None,
    as_json: Json = False,
) -> None:
    """Show the space that jobs take: chunks, parts, outputs and records."""
    from producer.cli import tables, view
    from producer.jobs import usage
    from producer.jobs.remove import find_removable

    storage = connection.open_storage()
    usages = [usage.of(storage, find_removable(storage, job))] if job else usage.of_all(storage)
    if as_json:
        total = sum(usage.total for usage in usages)
        view.print_json({"jobs": [usage.to_json() for usage in usages], "total": total})
    else:
        tables.show_usage(usages)


@with_flags
def delete(
    job: Job,
    connection: Connection,
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel it first if it has not ended")] = False,
    force: Annotated[bool, typer.Option("--force", help="delete it in any state: for a damaged job")] = False,
    as_json: Json = False,
) -> None:
    """Delete a job with its rows, answers and records. A job that has not ended is refused."""
    from producer.cli import view
    from producer.cli.messages import size

    job, freed = connection.backend().delete(job, cancel=cancel, force=force)
    view.print_json({"job": job, "bytes": freed}) if as_json else view.out(f"deleted job {job}, {size(freed)}")


@with_flags
def gc(
    connection: DirectConnection,
    older_than: Annotated[
        str, typer.Option("--older-than", help="jobs that ended at least this long ago: 30d, 12h, 4w")
    ],
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="also cancel and delete jobs submitted that long ago that never ended")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="delete without asking")] = False,
    as_json: Json = False,
) -> None:
    """Delete jobs that ended long ago. Lists them first, and asks before deleting."""
    import time

    from contract.ledger import records
    from producer.cli import messages, tables, view
    from producer.cli.messages import plural, size
    from producer.jobs.remove import delete as delete_job
    from producer.jobs.remove import old
    from producer.times import span

    before = time.time() - span(older_than)
    _, storage, queue = connection.open()
    candidates = for_each(records.jobs(storage), lambda job: old(storage, job, before, unfinished=unfinished))
    old_jobs = [job for job in candidates.values() if job]
    if not as_json:
        tables.show_old(old_jobs)
    confirmed = bool(old_jobs) and (yes or _confirmed(as_json=as_json))
    freed = for_each(
        [old_job.job for old_job in old_jobs] if confirmed else [],
        lambda job: delete_job(job, storage, queue, cancel=unfinished),
    )
    total = sum(freed.values())
    if as_json:
        view.print_json({"jobs": [asdict(old_job) for old_job in old_jobs], "deleted": list(freed), "bytes": total})
    elif confirmed:
        messages.say(f"deleted {plural(len(freed), 'job')}, {size(total)}")


def _confirmed(*, as_json: bool) -> bool:
    """Ask the person at the terminal; False if there is none."""
    from producer.cli import messages

    if not as_json and sys.stdin and sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm("Delete them?", err=True)
    messages.say("nothing was deleted: confirm with --yes")
    return False
