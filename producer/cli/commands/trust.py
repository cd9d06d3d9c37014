"""The commands sample and trust: which answers to rely on. They change nothing of a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.cli.flags import with_flags
from producer.cli.options import Connection, Job, Json

if TYPE_CHECKING:
    from producer.trust.promise import Promise

Precision = Annotated[float, typer.Option(help="share of answers that must be right", min=0.01, max=0.999)]


@with_flags
def sample(
    job: Job,
    connection: Connection,
    output: Annotated[Path, typer.Option("-o", "--output", help="file to fill in: .csv or .xlsx; must not exist")],
    rows: Annotated[int, typer.Option(help="answers to judge", min=1, max=100_000)] = 300,
    precision: Precision = 0.9,
    seed: Annotated[int, typer.Option(help="another one draws other rows")] = 1,
    all_rows: Annotated[
        bool,
        typer.Option("--all-rows", help="also several rows of one group or document, which stand or fall together"),
    ] = False,
) -> None:
    """Write a random sample of a job's answers to a file, in which people say which are right."""
    from contract.errors import UsageError
    from producer.cli import messages
    from producer.trust import labels
    from producer.trust.sample import answers, details, draw

    if output.exists():
        raise UsageError(f"{output} exists, and may have been filled in", "Name another file.")
    backend = connection.backend()
    job = backend.find(job)
    found = answers(backend.lines(job))
    if not found.rows:
        raise UsageError(f"job {job} has no answers yet", "Wait until it has ended.")
    drawn = draw(found, rows, precision, seed, one_of_each=not all_rows)
    labels.write(output, details(backend.lines(job), drawn))
    messages.say(
        f"{messages.plural(len(drawn), 'answer')} to judge in {output}: fill in the column verdict, right or wrong, "
        f"from the top down; then: producer trust {job} --precision {precision:g} --labels {output}"
    )


@with_flags
def trust(
    job: Job,
    connection: Connection,
    precision: Precision = 0.9,
    confidence: Annotated[float, typer.Option(help="how sure the promise is", min=0.5, max=0.999)] = 0.95,
    labels: Annotated[
        str | None,
        typer.Option(
            help="file of `sample`, filled in [default: the reference answers of the input]", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """From which score on answers are right as often as wanted, and how many those are. Judged by people, or by the
    input's reference answers."""
    import hashlib
    from dataclasses import asdict

    import numpy as np

    from producer.cli import view
    from producer.trust import judge
    from producer.trust.labels import read
    from producer.trust.promise import promise

    backend = connection.backend()
    job = backend.find(job)
    status = backend.status(job, reason=False)
    if labels is None:
        found, judged = judge.by_references(backend.lines(job), job)
    else:
        found, judged = judge.by_people(backend.lines(job), read(labels), job)
    promised = promise(np.array(found.scores), found.total, judged, precision, confidence)
    if as_json:
        bound = promised.bound
        about: dict[str, Any] = {"job": job, "threshold": bound and bound.threshold, "share": bound and bound.share}
        about |= {"lower_bound": bound and bound.lower_bound, **asdict(promised)}
        digest = hashlib.sha256(Path(labels).read_bytes()).hexdigest() if labels else None
        about |= {"model": asdict(status.model), "options": status.options, "labels_sha256": digest}
        view.print_json(about)
        return
    for line in _said(promised, job):
        view.out(line)


def _said(promised: Promise, job: str) -> list[str]:
    judged = f"judged     {promised.labels:,} answers, {promised.wrong:,} of them wrong"
    if kept := promised.bound:
        sure = f"{promised.precision:.0%} or more are right ({promised.confidence:.0%} confidence)"
        return [
            judged,
            f"promise    of the answers with a score of at least {kept.threshold:g}, {sure}",
            f"           {kept.share:.0%} of the rows; {kept.labels:,} of them were judged, {kept.wrong:,} wrong",
            f"take them  producer results {job} --above {kept.threshold:g} -o trusted.csv",
            f"look at    producer results {job} --below {kept.threshold:g} -o to-look-at.csv",
        ]
    lines = [judged, f"promise    none: not enough to promise {promised.precision:.0%}"]
    if best := promised.best:
        lines.append(
            f"           what these promise is {best.lower_bound:.0%} for scores of at least {best.threshold:g}, "
            f"{best.share:.0%} of the rows"
        )
    else:
        lines.append("           sixty judged answers above a threshold are the fewest that are looked at")
    if promised.more:
        lines.append(f"           about {promised.more:,} more would do, if they are as right as those so far")
    return lines
