"""The command compare: which of two jobs is better, judged blind. It does not change the jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.cli.flags import with_flags
from producer.cli.options import Connection, Job, Json, Seed

if TYPE_CHECKING:
    from producer.backend import Backend
    from producer.trust.compare import Comparison


@with_flags
def compare(
    first: Job,
    second: Job,
    connection: Connection,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="file to fill in: .csv or .xlsx; must not exist", show_default=False),
    ] = None,
    rows: Annotated[int, typer.Option(help="rows to judge", min=1, max=100_000)] = 100,
    seed: Seed = 1,
    labels: Annotated[str | None, typer.Option(help="that file, filled in", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Judge blind which of two jobs is better.
    First write rows that they answer differently to a file, sides hidden; then, with --labels, see what the verdicts
    show."""
    from contract.errors import UsageError
    from producer.cli import view
    from producer.jobs.diff_document import Summary
    from producer.trust import compare

    if (output is None) == (labels is None) or (as_json and output):
        raise UsageError(
            "compare either writes a file to fill in, or reads the verdicts in it",
            "First use -o compare.xlsx; then --labels compare.xlsx, alone or with --json.",
        )
    backend = connection.backend()
    first, second = backend.find(first), backend.find(second)
    if output is not None:
        _write(backend, first, second, output, rows, seed)
    elif labels is not None:
        summary = Summary()
        verdicts = compare.read(labels, first, second)
        counts = compare.tally(backend.diff(first, second, summary), verdicts, first, second)
        shown = compare.compared(first, second, summary.comparable, counts)
        view.print_json(shown) if as_json else _show(shown)


def _write(backend: Backend, first: str, second: str, output: Path, rows: int, seed: int) -> None:
    """Write the file to fill in, and say what to do with it."""
    from contract.errors import UsageError
    from producer.cli import messages
    from producer.jobs.diff_document import Summary
    from producer.trust import compare
    from producer.trust.sample import AROUND
    from producer.trust.sheet import check_new

    check_new(output)
    summary = Summary()
    drawn = compare.draw(backend.diff(first, second, summary), rows, seed)
    if others := summary.not_comparable + summary.missing:
        messages.say(f"{messages.plural(others, 'row')} with another question in the other job, or none: left out")
    if not drawn:
        raise UsageError(
            f"there is nothing to judge: jobs {first} and {second} answer every row in the same words",
            "Compare jobs of the same rows, with another model or other options.",
        )
    compare.write(output, {job: backend.details(job, drawn, AROUND) for job in (first, second)})
    messages.say(
        f"{messages.plural(len(drawn), 'row')} to judge in {output}: fill in the column verdict with left, right, both "
        f"or neither; then: producer compare {first} {second} --labels {output}"
    )


def _show(shown: Comparison) -> None:
    from producer.cli import view

    first, second = shown.first, shown.second
    view.out(
        f"judged     {shown.judged:,} of {shown.differ:,} rows that are answered in other words, of {shown.rows:,}"
    )
    view.out(f"better     {shown.first_better:,} in {first}, {shown.second_better:,} in {second}")
    view.out(f"equal      {shown.both:,} right in both, {shown.neither:,} in neither")
    chance = f"p = {shown.p:.2g}, exact McNemar test"
    if shown.better is None:
        view.out(f"result     these verdicts do not show which is better ({chance})")
    else:
        view.out(
            f"result     {shown.better} is better: about {abs(shown.gain):.1%} more of all rows are right ({chance})"
        )
