"""How far a thing is, on stderr: bars on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from contract.command import check_interrupt
from producer.cli.messages import Ticker, errors, say, verbosity
from producer.times import duration

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.ledger.reasons import Reason
    from producer.backend import Reading


@contextmanager
def reading(file: str) -> Iterator[Callable[[Reading], None]]:
    """A bar over the bytes of the input."""
    columns = (TextColumn("reading {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    ticker = _ticker()
    with _bars(*columns) as bars:
        task = bars.add_task(escape(Path(file).name), total=None)

        def show(source: Reading) -> None:
            check_interrupt()
            bars.update(task, completed=source.bytes_read, total=source.size)
            of = f" of {source.size:,}" if source.size else ""
            ticker.tick(lambda: f"reading {Path(file).name}: {source.bytes_read:,}{of} bytes")

        try:
            yield show
        except KeyboardInterrupt:
            raise KeyboardInterrupt("no job was made") from None


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over things that are counted: the callable takes (done, total)."""
    ticker = _ticker()
    with _bars(TextColumn(what), BarColumn(), MofNCompleteColumn()) as bars:
        task = bars.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            check_interrupt()
            bars.update(task, completed=done, total=total)
            ticker.tick(lambda: f"{what}: {done:,} of {total:,}")

        yield show


@contextmanager
def scoring(job: str) -> Iterator[Callable[[Progress], None]]:
    """A bar over the rows of a job, with rate, time left, and what it waits for."""
    columns = (TextColumn("{task.fields[state]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    said: str | None = None
    told: str | None = None
    ticker = _ticker()
    with _bars(*columns, transient=False) as bars:
        task = bars.add_task(job, total=None, state="queued", rate="")

        def show(progress: Progress) -> None:
            nonlocal said, told
            total, rate = progress.request_counts.total, _rate(progress)
            done = total - progress.request_counts.pending
            bars.update(task, completed=done, total=total, state=progress.status, rate=rate)
            ticker.tick(lambda: f"{progress.status}: {done:,} of {total:,} rows{rate and f', {rate}'}")
            if verbosity.verbose and (now := chunks(progress)) != told:
                bars.console.print(f"chunks: {now}")
                told = now
            reason = progress.reason if not progress.finished else None
            if reason and reason.message != said and not verbosity.quiet:
                bars.console.print(escape(in_words(reason)))
            said = reason.message if reason else None

        yield show


def follow(job: str, steps: Iterable[Progress], each: Callable[[], None] = lambda: None) -> Progress:
    """Show a job's steps to its end under a bar, and give the last; `each` is called at every one."""
    with scoring(job) as show:
        for progress in steps:
            check_interrupt()
            show(progress)
            each()
    return progress


def chunks(progress: Progress) -> str:
    """The chunks of a job by state."""
    all_ = progress.chunks
    retried = f", {all_.retried:,} retried in all" if all_.retried else ""
    return f"{all_.done:,} of {all_.total:,} done, {all_.running:,} running, {all_.retrying:,} retrying{retried}"


def in_words(reason: Reason) -> str:
    """Why a job waits, for a person who watches."""
    return f"waiting: {reason.message}\n  {reason.remedy}" if reason.remedy else f"waiting: {reason.message}"


def _rate(progress: Progress) -> str:
    rate = f"{progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
    return rate + (f", {duration(progress.eta_seconds)} left" if progress.eta_seconds else "")


def _bars(*columns: ProgressColumn, transient: bool = True) -> Bars:
    """Bars on a terminal; nothing where there is none."""
    return Bars(*columns, console=errors, transient=transient, disable=verbosity.quiet or not errors.is_terminal)


def _ticker() -> Ticker:
    """Lines where no bar is drawn."""
    return Ticker((lambda _: None) if errors.is_terminal else say)
