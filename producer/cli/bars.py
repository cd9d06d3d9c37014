"""Progress on stderr: bars on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from contract.command import check_interrupt
from contract.errors import printable
from producer.cli.messages import Ticker, literal, plural, say, stderr, verbosity
from producer.times import duration

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.ledger.reasons import Reason
    from producer.backend import Reading


@contextmanager
def reading(file: str) -> Iterator[Callable[[Reading], None]]:
    """Show a bar over the bytes of the input."""
    columns = (TextColumn("reading {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    ticker = _ticker()
    with _bars(*columns) as bars:
        task = bars.add_task(literal(Path(file).name), total=None)

        def show(source: Reading) -> None:
            check_interrupt()
            bars.update(task, completed=source.bytes_read, total=source.size)
            total = f" of {source.size:,}" if source.size else ""
            ticker.tick(lambda: f"reading {Path(file).name}: {source.bytes_read:,}{total} bytes")

        try:
            yield show
        except KeyboardInterrupt:
            raise KeyboardInterrupt("no job was created") from None


@contextmanager
def counting(action: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar over counted steps: the callable takes (done, total)."""
    ticker = _ticker()
    with _bars(TextColumn(action), BarColumn(), MofNCompleteColumn()) as bars:
        task = bars.add_task(action, total=None)

        def show(done: int, total: int) -> None:
            check_interrupt()
            bars.update(task, completed=done, total=total)
            ticker.tick(lambda: f"{action}: {done:,} of {total:,}")

        yield show


@contextmanager
def scoring(job: str) -> Iterator[Callable[[Progress], None]]:
    """Show a bar over the rows of a job, with rate and time left, and messages that say what it waits for."""
    columns = (TextColumn("{task.fields[state]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    shown_reason: str | None = None
    shown_chunks: str | None = None
    ticker = _ticker()
    with _bars(*columns, transient=False) as bars:
        task = bars.add_task(job, total=None, state="queued", rate="")

        def show(progress: Progress) -> None:
            nonlocal shown_reason, shown_chunks
            total, rate = progress.request_counts.total, _rate(progress)
            done = total - progress.request_counts.pending
            bars.update(task, completed=done, total=total, state=progress.status, rate=rate)
            ticker.tick(lambda: f"{progress.status}: {done:,} of {plural(total, 'row')}{rate and f', {rate}'}")
            if verbosity.verbose and (counts := chunks(progress)) != shown_chunks:
                bars.console.print(f"chunks: {counts}")
                shown_chunks = counts
            reason = progress.reason if not progress.finished else None
            if reason and reason.message != shown_reason and not verbosity.quiet:
                text = f"cancelling: {reason.message}" if progress.status == "cancelling" else waiting(reason)
                bars.console.print(literal(text, keep="\n"))
            shown_reason = reason.message if reason else None

        yield show


def follow(job: str, steps: Iterable[Progress], check: Callable[[], None] = lambda: None) -> Progress:
    """Show a job's progress until it ends, and return the last step; `check` is called at every step."""
    with scoring(job) as show:
        for progress in steps:
            check_interrupt()
            show(progress)
            check()
    return progress


def chunks(progress: Progress) -> str:
    """The chunks of a job by state, as text."""
    counts = progress.chunks
    retried = f", {counts.retried:,} retried so far" if counts.retried else ""
    return (
        f"{counts.done:,} of {counts.total:,} done, {counts.running:,} running, {counts.retrying:,} retrying{retried}"
    )


def waiting(reason: Reason) -> str:
    """Why a job waits, and what to do about it, as text."""
    text = f"waiting: {printable(reason.message)}"
    return f"{text}\n  {reason.remedy}" if reason.remedy else text


def _rate(progress: Progress) -> str:
    rate = f"{progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
    return rate + (f", {duration(progress.eta_seconds)} left" if progress.eta_seconds else "")


def _bars(*columns: ProgressColumn, transient: bool = True) -> Bars:
    """Bars on a terminal; elsewhere they draw nothing."""
    return Bars(*columns, console=stderr, transient=transient, disable=verbosity.quiet or not stderr.is_terminal)


def _ticker() -> Ticker:
    """Prints lines where no bar is drawn."""
    return Ticker((lambda _: None) if stderr.is_terminal else say)
