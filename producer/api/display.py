"""A job's state for Python: times with zones, a table and a bar in a notebook, a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from contract.errors import printable
from contract.format import codec
from contract.ledger.progress import Progress
from producer.api.errors import in_keywords


@dataclass(frozen=True, slots=True)
class JobProgress(Progress):
    """The state of a job: the fields of `producer status --json`, and times as `datetime` in UTC."""

    @classmethod
    def of(cls, progress: Progress) -> JobProgress:
        """The same state, the remedy of its reason in the words of Python."""
        values = {field.name: getattr(progress, field.name) for field in fields(Progress)}
        if reason := progress.reason:
            values["reason"] = replace(reason, remedy=in_keywords(reason.remedy))
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The fields as `producer status --json` names them."""
        return codec.values(self)

    @property
    def created(self) -> datetime:
        """When the job was submitted."""
        return _moment(self.created_at)

    @property
    def started(self) -> datetime | None:
        """When the first chunk was started."""
        return None if self.started_at is None else _moment(self.started_at)

    @property
    def ended(self) -> datetime | None:
        """When the job ended."""
        return None if self.finished_at is None else _moment(self.finished_at)

    @property
    def remaining(self) -> timedelta | None:
        """The estimated time until it ends."""
        return None if self.eta_seconds is None else timedelta(seconds=self.eta_seconds)

    def _repr_html_(self) -> str:
        counts = self.request_counts
        facts = {
            "job": self.id,
            "status": self.status,
            "reason": f"{self.reason.message}. {self.reason.remedy or ''}" if self.reason else "",
            "rows": f"{counts.total:,}: {counts.answered:,} answered, {counts.no_answer:,} without an answer, "
            f"{counts.failed:,} failed, {counts.cancelled:,} cancelled, {counts.pending:,} pending",
            **self._sides(),
            "model": self.model.name,
            "submitted": f"{self.created:%Y-%m-%d %H:%M:%S %Z}",
            "ended": f"{self.ended:%Y-%m-%d %H:%M:%S %Z}" if self.ended else "",
        }
        cells = (f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in facts.items() if text)
        bar = f'<progress value="{self.progress}" max="1"></progress>'
        return f"<table>{''.join(cells)}</table>{bar} {self.progress:.0%}"

    def _sides(self) -> dict[str, str]:
        split = self.trusted
        if split is None:
            return {}
        trusted = f"{split.trusted:,} with a score of at least {split.threshold:g}, as job {split.job} promises"
        return {"trusted": trusted, "to review": f"{split.rest:,}", "warning": split.warning or ""}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def line(progress: Progress) -> str:
    """A job's state in a line."""
    counts = progress.request_counts
    rate = f", {progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second else ""
    reason = f": {printable(progress.reason.message)}" if progress.reason else ""
    return f"{progress.status} {counts.total - counts.pending:,} of {counts.total:,} rows{rate}{reason}"


@contextmanager
def bar() -> Iterator[Callable[[JobProgress], None]]:
    """Yield a function that shows a job's progress: in a notebook an updated table, on a terminal a bar, elsewhere
    nothing."""
    if _is_notebook():
        yield _Notebook()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda state: bars.update(task, completed=state.progress, description=line(state))


def _is_notebook() -> bool:
    """Whether this is a kernel that shows HTML. A running IPython is already imported."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Notebook:
    """A table that is displayed once, then updated."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, state: JobProgress) -> None:
        from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

        if self._handle is None:
            self._handle = display(state, display_id=True)
        else:
            self._handle.update(state)
