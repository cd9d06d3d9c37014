"""The commands that keep the storage small: du, delete, gc."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from producer.cli.flags import with_flags
from producer.cli.options import Job, Json, Place, Where


@with_flags
def du(
    place: Place,
    job: Annotated[str | None, typer.Argument(help="job id; default: all jobs")] = None,
    as_json: Json = False,
) -> None:
    """Show the space that jobs take: their chunks, parts, outputs and records."""
    from producer.cli import tables, view
    from producer.jobs import usage
    from producer.jobs.remove import find_removable

    store = place.open_storage()
    found = [usage.of(store, find_removable(store, job))] if job else usage.of_all(store)
    if as_json:
        total = sum(one.total for one in found)
        view.print_json({"jobs": [one.to_json() for one in found], "total": total})
    else:
        tables.usage(found)


@with_flags
def delete(
    job: Job,
    where: Where,
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel it first, if it has not ended")] = False,
    force: Annotated[bool, typer.Option("--force", help="as it is, ended or not: for one that is damaged")] = False,
    as_json: Json = False,
) -> None:
    """Remove a job with its rows, answers and records. One that has not ended is refused."""
    from producer.cli import tables, view

    backend = where.backend()
    job, removed = backend.delete(job, cancel=cancel, force=force)
    if as_json:
        view.print_json({"job": job, "bytes": removed})
    else:
        view.out(f"deleted job {job}, {tables.size(removed)}")


@with_flags
def gc(
    place: Place,
    older_than: Annotated[str, typer.Option("--older-than", help="that ended so long ago: 30d, 12h, 4w")],
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="also cancel and remove jobs that were submitted then and never ended")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="remove them without a question")] = False,
    as_json: Json = False,
) -> None:
    """Remove jobs that ended long ago. Shows them first, and removes them after a yes."""
    import time

    from contract.ledger import records
    from producer.cli import tables, view
    from producer.cli.jobs import of_each
    from producer.jobs.remove import delete as delete_job
    from producer.jobs.remove import old
    from producer.times import span

    before = time.time() - span(older_than)
    given, store, queue = place.open()
    looked = of_each(records.jobs(store), lambda job: old(store, job, before, unfinished=unfinished))
    found = [one for one in looked.values() if one]
    if not as_json:
        tables.old(found)
    removing = bool(found) and (yes or _agreed(as_json=as_json))
    gone = of_each(
        [one.job for one in found] if removing else [],
        lambda job: delete_job(job, store, queue, given, cancel=unfinished),
    )
    if as_json:
        view.print_json({"jobs": [asdict(one) for one in found], "deleted": list(gone), "bytes": sum(gone.values())})
    elif removing:
        view.say(f"deleted {tables.many(len(gone), 'job')}, {tables.size(sum(gone.values()))}")


def _agreed(*, as_json: bool) -> bool:
    """Whether a person at the terminal says yes; without one nothing is removed."""
    from producer.cli import view

    if not as_json and sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm("Remove them?", err=True)
    view.say("nothing was removed: say --yes")
    return False
