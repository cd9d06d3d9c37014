"""What people see of workers, of a job's log and of the space that jobs take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from producer.cli import view
from producer.jobs.usage import KINDS
from producer.times import iso, local

if TYPE_CHECKING:
    from contract.notifications.record import Notification
    from contract.queue import WorkerInfo
    from producer.jobs.logs import Event
    from producer.jobs.remove import Old
    from producer.jobs.usage import Usage

#: Columns of a terminal from which on all of a worker fits.
_WIDE = 140


def worker_json(worker: WorkerInfo) -> dict[str, Any]:
    """A worker as JSON: what it said, when it did, and since when it holds its chunk."""
    said = time.time() - worker.age_seconds
    held = None if worker.held_seconds is None else iso(said - worker.held_seconds)
    return asdict(worker) | {"age_seconds": round(worker.age_seconds, 1), "heartbeat": iso(said), "held_since": held}


def workers(found: list[WorkerInfo]) -> None:
    """Workers, a line each; on a narrow terminal several."""
    if not found:
        view.say("no worker is there; start one with: worker start")
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in ("worker", "host", "model", "threads", "chunk held", "for", "rows/s", "memory", "heartbeat", "state"):
        table.add_column(name, overflow="fold")
    for one in found:
        held = None if one.held_seconds is None else one.held_seconds + one.age_seconds
        table.add_row(
            plain(one.name),
            plain(one.host),
            plain(f"{one.model} {one.precision} {one.digest}"),
            str(one.threads),
            plain(f"{one.job} {one.chunk}") if one.job else "",
            view.duration(held) if held is not None else "",
            f"{one.rows_per_second:,.1f}" if one.rows_per_second else "",
            size(one.rss) if one.rss else "",
            f"{view.duration(one.age_seconds)} ago",
            _state(one),
        )
    view.show(table)


def _state(worker: WorkerInfo) -> str:
    if worker.trouble:
        return f"[red]cannot use the storage[/red]: {plain(worker.trouble)}"
    return "[yellow]draining[/yellow]" if worker.draining else "busy" if worker.job else "idle"


def event(one: Event) -> str:
    """What happened, in a line."""
    return f"{local(one.at)}  {_plainly(_SENTENCES[one.event](one.about))}"


def _attempt(about: dict[str, Any]) -> str:
    ends = {
        "done": "done",
        "died": "died",
        "given_back": "given back",
        "late": "done, after another had been",
        "under_way": "under way",
        "unknown": "not known to have ended",
    }
    said = f"chunk {about['chunk']}, attempt {about['attempt']}: {ends[about['end']]}"
    if about["end"] == "done":
        said += f", {many(about['rows'], 'row')}" + (f", {about['failed']:,} failed" if about["failed"] else "")
    if about.get("why"):
        said += f" ({about['why']})"
    if about.get("rows_in_flight"):
        where = "in quarantine" if about["quarantine"] else "in flight"
        said += f", {where}: {_rows(about['rows_in_flight'])}"
    began = f", begun {local(about['started_at'])}" if about["started_at"] else ""
    return f"{said}{began}, by {about['worker'] or 'nobody known'}"


def _summed(about: dict[str, Any]) -> str:
    failed = f", {about['failed']:,} failed" if about["failed"] else ""
    return f"{many(about['chunks'], 'chunk')}, {many(about['rows'], 'row')}{failed}, begun {local(about['started_at'])}"


def _rows(numbers: list[int]) -> str:
    """Rows by number, the first of many."""
    more = f" and {len(numbers) - 8:,} more" if len(numbers) > 8 else ""
    return f"{'row' if len(numbers) == 1 else 'rows'} {', '.join(map(str, numbers[:8]))}{more}"


def many(count: int, what: str) -> str:
    """So many of something."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _counts(rows: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in rows.items() if count and name != "total")


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "submitted": lambda e: (
        f"submitted {e['input']}: {many(e['rows'], 'row')} in {many(e['chunks'], 'chunk')}, model {e['model']}"
    ),
    "attempt": _attempt,
    "attempts_done": lambda e: f"done at the first attempt: {_summed(e)}, by {e['worker']}",
    "quarantine": lambda e: f"chunk {e['chunk']}, attempt {e['attempt']}: quarantine for {_rows(e['rows'])}",
    "poison_rows": lambda e: f"chunk {e['chunk']}, attempt {e['attempt']}: poison, {_rows(e['rows'])}",
    "given_up": lambda e: f"chunk {e['chunk']}: given up after {many(e['attempts'], 'attempt')}",
    "cancel_asked": lambda _: "cancel asked for",
    "chunks_cancelled": lambda e: f"cancelled: {_summed(e)}",
    "published": lambda e: f"published, {e['status']}: {_counts(e['rows'])}",
}


def _plainly(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


_TOLD = {
    "none": "nobody is to be told of this job: submit with --notify URL",
    "waiting": "{url} is told when the job has ended",
    "pending": "{url} was not told yet",
    "delivered": "{url} was told",
    "given_up": "{url} could not be told, and is not tried again",
}


def notification(found: Notification) -> None:
    """What became of telling somebody that a job has ended, an attempt a line."""
    for one in found.attempts:
        said = one.problem or f"answered {one.status}"
        view.out(f"{local(one.at)}  attempt {one.number}: {_plainly(said)}, after {one.seconds:.1f} s")
    due = f"; next attempt {local(found.next_at)}" if found.next_at else ""
    view.out(_TOLD[found.state].format(url=_plainly(found.url)) + due)


def usage(found: list[Usage]) -> None:
    """The space that jobs take, a line each, and all together."""
    if not found:
        view.say("there is no job")
        return
    table = Table(show_edge=False, pad_edge=False, show_footer=len(found) > 1)
    table.add_column("job", footer="all", no_wrap=True)
    for name in (*KINDS, "total"):
        table.add_column(name, justify="right", footer=size(sum(getattr(one, name) for one in found)))
    table.add_column("")
    for one in found:
        sizes = [size(getattr(one, name)) for name in (*KINDS, "total")]
        table.add_row(plain(one.job), *sizes, "" if one.submitted else "[dim]no job[/dim]")
    view.show(table)


def old(found: list[Old]) -> None:
    """Jobs that may go, and how much they take."""
    if not found:
        view.say("no job ended before then")
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in ("job", "status", "since", "size"):
        table.add_column(name, no_wrap=True)
    for one in found:
        table.add_row(one.job, one.status, local(one.since_at), size(one.bytes))
    view.show(table)
    view.out(f"{many(len(found), 'job')}, {size(sum(one.bytes for one in found))}")


def size(count: int) -> str:
    """Bytes, for people."""
    number, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" or number >= 100 else f"{number:,.1f} {unit}"


def plain(text: str) -> str:
    """A text that others wrote, so that a terminal shows it and does nothing else."""
    return escape(_plainly(text))
