"""The commands workers, logs and notifications. They change nothing."""

from __future__ import annotations

from producer.cli.flags import with_flags
from producer.cli.options import Connection, DirectConnection, EveryAttempt, Job, Json


@with_flags
def workers(connection: Connection, as_json: Json = False) -> None:
    """Show each worker: its model, the chunk it holds and since when, its rate, memory and last heartbeat."""
    from producer.cli import tables, view

    running = connection.backend().workers()
    view.print_json([tables.worker_json(worker) for worker in running]) if as_json else tables.show_workers(running)


@with_flags
def notifications(job: Job, connection: Connection, as_json: Json = False) -> None:
    """Show the delivery attempts of a job's webhook, and when the next one is due."""
    from producer.cli import tables, view

    backend = connection.backend()
    notification = backend.notification(backend.find(job))
    view.print_json(notification) if as_json else tables.show_notification(notification)


@with_flags
def logs(job: Job, connection: DirectConnection, verbose: EveryAttempt = False, as_json: Json = False) -> None:
    """Show the history of a job: attempts that died or were given back, quarantine, the end; -v lists every chunk."""
    from producer.cli import tables, view
    from producer.jobs.find import find
    from producer.jobs.logs import events

    _, storage, queue = connection.open()
    history = events(storage, queue, find(storage, job), verbose=verbose)
    if as_json:
        view.print_json([event.to_json() for event in history])
        return
    for event in history:
        view.out(tables.event_line(event))
