"""The command forecast: what a file will take, and how good such forecasts were. It changes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from producer.cli.flags import with_flags
from producer.cli.options import Connection, DocumentFlags, File, FileRequest, Json

#: Jobs that are judged.
_JUDGED = 50


@with_flags
def forecast(
    request: FileRequest,
    connection: Connection,
    about: DocumentFlags,
    file: File = None,
    workers: Annotated[
        int | None,
        typer.Option(help="assume N workers [default: those that are running]", show_default=False),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="also say how many workers finish within this time: 8h", show_default=False),
    ] = None,
    price: Annotated[
        float | None, typer.Option(help="price of a CPU hour: also say the cost", show_default=False)
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="instead of a FILE: forecasts of the latest jobs, and how long they took")
    ] = False,
    as_json: Json = False,
) -> None:
    """Estimate what FILE will take before it is submitted: windows, CPU hours, and time on the running workers."""
    from contract.errors import UsageError
    from producer.backend import open_backend
    from producer.cli import bars, quotes, view
    from producer.forecast.quote import Wish
    from producer.jobs.check import forecast_file
    from producer.times import span

    if history:
        if file is not None or about.documents or about.questions:
            raise UsageError("--history is about jobs that have ended", "Leave out the FILE.")
        _show_history(connection, as_json=as_json)
        return
    wish = Wish(workers, span(deadline) if deadline else None, price)
    source = about.input(file)
    settings = connection.settings(model=request.model or None)
    request = request.with_row_limit(settings.max_row_bytes)
    with bars.reading(about.documents or str(file)) as show:
        if settings.server or request.reuse:
            quote = open_backend(settings).forecast(source, request, wish, show)
        else:  # also where there is no storage yet
            quote = forecast_file(source, request, settings, quotes.outlook(settings), wish, progress=show)
    if as_json:
        view.print_json(quote)
    else:
        view.show_sheet(quotes.rows(quote))


def _show_history(connection: Connection, *, as_json: bool) -> None:
    from contract.ledger.progress import TERMINAL
    from producer.cli import quotes, view
    from producer.jobs.select import JobFilter

    ended = tuple(status for status in TERMINAL if status != "cancelled")
    jobs = connection.backend().jobs(JobFilter(status=ended, sort="finished", limit=_JUDGED)).jobs
    judged = [(job.id, job.forecast) for job in jobs if job.forecast and job.forecast.held is not None]
    if as_json:
        view.print_json([{"job": job, "forecast": forecast, "held": forecast.held} for job, forecast in judged])
        return
    for line in quotes.judged(judged):
        view.out(line)
