"""The commands that ask: workers, and the log of a job. They change nothing."""

from __future__ import annotations

from producer.cli.flags import with_flags
from producer.cli.options import Job, Json, Place, Verbose, Where


@with_flags
def workers(where: Where, as_json: Json = False) -> None:
    """Show each worker: its model, the chunk that it holds and since when, its rate, memory and last heartbeat."""
    from producer.cli import tables, view

    backend = where.backend()
    found = backend.workers()
    view.print_json([tables.worker_json(one) for one in found]) if as_json else tables.workers(found)


@with_flags
def notifications(job: Job, where: Where, as_json: Json = False) -> None:
    """Tell what became of telling somebody that a job has ended: each attempt, and when the next one comes."""
    from producer.cli import tables, view

    backend = where.backend()
    found = backend.notification(backend.find(job))
    view.print_json(found) if as_json else tables.notification(found)


@with_flags
def logs(job: Job, place: Place, verbose: Verbose = False, as_json: Json = False) -> None:
    """Tell what became of a job: attempts that died or were given back, quarantine, the end; -v has each chunk."""
    from producer.cli import tables, view
    from producer.jobs.find import find
    from producer.jobs.logs import events

    _, store, queue = place.open()
    found = events(store, queue, find(store, job), verbose=verbose)
    if as_json:
        view.print_json([event.to_json() for event in found])
        return
    for event in found:
        view.out(tables.event(event))
