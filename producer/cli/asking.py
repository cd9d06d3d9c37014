"""The commands that ask: workers, and the log of a job. They change nothing."""

from __future__ import annotations

from producer.cli.options import Json, Place, with_flags


@with_flags
def workers(place: Place, as_json: Json = False) -> None:
    """Show each worker: its model, the chunk that it holds and since when, its rate, memory and last heartbeat."""
    from contract.queue.redis import RedisQueue
    from producer.cli import tables, view

    found = RedisQueue(place.settings().redis_url).workers()
    view.print_json([tables.worker_json(one) for one in found]) if as_json else tables.workers(found)
