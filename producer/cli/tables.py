"""Shows workers, a job's history and webhook, and the space that jobs take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from producer.cli import messages, view
from producer.cli.messages import literal, plural, size
from producer.jobs.usage import KINDS
from producer.times import duration, iso, local

if TYPE_CHECKING:
    from contract.notifications.record import Notification
    from contract.queue import WorkerInfo
    from producer.jobs.logs import Event
    from producer.jobs.remove import Old
    from producer.jobs.usage import Usage


def worker_json(worker: WorkerInfo) -> dict[str, Any]:
    """A worker as JSON: what it last published, with the times of its heartbeat and of taking its chunk."""
    heartbeat = time.time() - worker.age_seconds
    held_since = None if worker.held_seconds is None else iso(heartbeat - worker.held_seconds)
    return asdict(worker) | {
        "age_seconds": round(worker.age_seconds, 1),
        "heartbeat": iso(heartbeat),
        "held_since": held_since,
    }


def show_workers(workers: list[WorkerInfo]) -> None:
    """Show workers, one per row; on a narrow terminal cells wrap."""
    if not workers:
        messages.say("no worker is running; start one with: worker start")
        return
    names = ("worker", "host", "model", "threads", "chunk held", "for", "rows/s", "memory", "heartbeat", "state")
    table = view.new_table(*names, overflow="fold")
    for worker in workers:
        held = None if worker.held_seconds is None else worker.held_seconds + worker.age_seconds
        table.add_row(
            literal(worker.name),
            literal(worker.host),
            literal(f"{worker.model} {worker.precision} {worker.digest}"),
            str(worker.threads),
            literal(f"{worker.job} {worker.chunk}") if worker.job else "",
            duration(held) if held is not None else "",
            f"{worker.rows_per_second:,.1f}" if worker.rows_per_second else "",
            size(worker.rss) if worker.rss else "",
            f"{duration(worker.age_seconds)} ago",
            _state(worker),
        )
    view.print_table(table)


def _state(worker: WorkerInfo) -> str:
    if worker.trouble:
        return f"[red]cannot use the storage[/red]: {literal(worker.trouble)}"
    return "[yellow]draining[/yellow]" if worker.draining else "busy" if worker.job else "idle"


def event_line(event: Event) -> str:
    """An event of a job's history as a line."""
    return f"{local(event.at)}  {_SENTENCES[event.event](event.about)}"


def _attempt(about: dict[str, Any]) -> str:
    ends = {
        "done": "done",
        "died": "died",
        "given_back": "given back",
        "late": "done, but another attempt was first",
        "under_way": "running",
        "unknown": "end unknown",
    }
    text = f"chunk {about['chunk']}, attempt {about['attempt']}: {ends[about['end']]}"
    if about["end"] == "done":
        text += f", {_rows_and_failures(about)}"
    if about.get("why"):
        text += f" ({about['why']})"
    if about.get("rows_in_flight"):
        where = "in quarantine" if about["quarantine"] else "in flight"
        text += f", {where}: {_row_numbers(about['rows_in_flight'])}"
    started = f", started {local(about['started_at'])}" if about["started_at"] else ""
    return f"{text}{started}, by {about['worker'] or 'an unknown worker'}"


def _summed(about: dict[str, Any]) -> str:
    return f"{plural(about['chunks'], 'chunk')}, {_rows_and_failures(about)}, started {local(about['started_at'])}"


def _rows_and_failures(about: dict[str, Any]) -> str:
    return plural(about["rows"], "row") + (f", {about['failed']:,} failed" if about["failed"] else "")


def _row_numbers(numbers: list[int]) -> str:
    """`row 5`, `rows 1, 2`: eight of them at most."""
    more = f" and {len(numbers) - 8:,} more" if len(numbers) > 8 else ""
    return f"{'row' if len(numbers) == 1 else 'rows'} {', '.join(map(str, numbers[:8]))}{more}"


def _outcomes(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count and name != "total"
    )


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "submitted": lambda e: (
        f"submitted {e['input']}: {plural(e['rows'], 'row')} in {plural(e['chunks'], 'chunk')}, model {e['model']}"
        + (f", retries the failed rows of job {e['retry_of']}" if "retry_of" in e else "")
        + (f", reusing {', '.join(e['reused_from'])}" if "reused_from" in e else "")
    ),
    "attempt": _attempt,
    "attempts_done": lambda e: f"done at the first attempt: {_summed(e)}, by {e['worker']}",
    "quarantine": lambda e: f"chunk {e['chunk']}, attempt {e['attempt']}: quarantine for {_row_numbers(e['rows'])}",
    "poison_rows": lambda e: f"chunk {e['chunk']}, attempt {e['attempt']}: poison {_row_numbers(e['rows'])}",
    "given_up": lambda e: f"chunk {e['chunk']}: given up after {plural(e['attempts'], 'attempt')}",
    "cancel_asked": lambda e: f"cancelled: {e['message']}" if "message" in e else "cancel requested",
    "paused": lambda _: "paused",
    "chunks_cancelled": lambda e: f"cancelled: {_summed(e)}",
    "retried": lambda e: f"job {e['by']} retries its failed rows",
    "published": lambda e: f"published, {e['status']}: {_outcomes(e['rows'])}",
}

_WEBHOOK_STATES = {
    "none": "this job has no webhook; submit with --notify URL to have one",
    "waiting": "{url} is called when the job has ended",
    "pending": "{url} has not been called yet",
    "delivered": "{url} was called",
    "given_up": "{url} could not be called; there are no further attempts",
}


def show_notification(notification: Notification) -> None:
    """Show the delivery attempts of a job's webhook, one per line, then its state."""
    for attempt in notification.attempts:
        outcome = attempt.problem or f"answered {attempt.status}"
        view.out(f"{local(attempt.at)}  attempt {attempt.number}: {outcome}, after {attempt.seconds:.1f} s")
    due = f"; next attempt {local(notification.next_at)}" if notification.next_at else ""
    view.out(_WEBHOOK_STATES[notification.state].format(url=notification.url) + due)


def show_usage(usages: list[Usage]) -> None:
    """Show the space that jobs take, one per row, and the total."""
    if not usages:
        messages.say("there are no jobs")
        return
    kinds = (*KINDS, "total")
    table = view.new_table("job", no_wrap=True)
    for kind in kinds:
        table.add_column(kind, justify="right", footer=size(sum(getattr(usage, kind) for usage in usages)))
    table.add_column("")
    table.columns[0].footer, table.show_footer = "all", len(usages) > 1
    for usage in usages:
        sizes = [size(getattr(usage, kind)) for kind in kinds]
        table.add_row(literal(usage.job), *sizes, "" if usage.submitted else "[dim]not submitted[/dim]")
    view.print_table(table)


def show_old(jobs: list[Old]) -> None:
    """Show jobs that can be deleted, and their size."""
    if not jobs:
        messages.say("no job ended before then")
        return
    table = view.new_table("job", "status", "since", "size", no_wrap=True)
    for job in jobs:
        table.add_row(job.job, job.status, local(job.since_at), size(job.bytes))
    view.print_table(table)
    view.out(f"{plural(len(jobs), 'job')}, {size(sum(job.bytes for job in jobs))}")
