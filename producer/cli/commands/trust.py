"""The commands sample, judge and trust: which answers to rely on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.cli.flags import with_flags
from producer.cli.options import Connection, Job, Json, Seed

if TYPE_CHECKING:
    from producer.backend import Backend
    from producer.trust.promises.trusted import Trusted

Precision = Annotated[float, typer.Option(help="share of answers that must be right", min=0.01, max=0.999)]


@with_flags
def sample(
    job: Job,
    connection: Connection,
    output: Annotated[Path, typer.Option("-o", "--output", help="file to fill in: .csv or .xlsx; must not exist")],
    rows: Annotated[int, typer.Option(help="answers to judge", min=1, max=100_000)] = 300,
    precision: Precision = 0.9,
    seed: Seed = 1,
    all_rows: Annotated[
        bool,
        typer.Option("--all-rows", help="also several rows of one group or document, often right or wrong together"),
    ] = False,
) -> None:
    """Write a random sample of a job's answers to a file, for people to judge."""
    from contract.errors import UsageError
    from producer.cli import messages
    from producer.trust import labels
    from producer.trust.sample import AROUND
    from producer.trust.sheet import check_new

    check_new(output)
    backend = connection.backend()
    job = backend.find(job)
    drawn = backend.sample(job, rows, precision, seed, one_of_each=not all_rows).rows
    if not drawn:
        raise UsageError(f"job {job} has no answers, so there is nothing to judge")
    labels.write(output, backend.details(job, drawn, AROUND))
    messages.say(
        f"{messages.plural(len(drawn), 'answer')} to judge in {output}: fill in the column verdict, right or wrong, "
        f"from the top down; then: producer judge {job} {output}; producer trust {job} --precision {precision:g}"
    )


@with_flags
def judge(
    job: Job,
    file: Annotated[str, typer.Argument(help="file from `sample`, filled in; or an export from Label Studio")],
    connection: Connection,
    by: Annotated[str, typer.Option(help="who judged", show_default=False)] = "",
    picked: Annotated[
        bool, typer.Option("--picked", help="the rows were picked by hand: their verdicts promise nothing")
    ] = False,
) -> None:
    """Store verdicts on the answers of a job that has ended. The last verdict on a row counts."""
    from producer.cli import messages
    from producer.trust.labels import read, sampled
    from producer.trust.verdicts import batches

    verdicts = sampled(read(file), by, picked=picked)
    backend = connection.backend()
    job = backend.find(job)
    stored = sum(backend.judge(job, batch) for batch in batches(verdicts))
    messages.say(f"{messages.plural(stored, 'verdict')} stored; what they promise: producer trust {job}")


@with_flags
def trust(
    job: Job,
    connection: Connection,
    precision: Precision = 0.9,
    confidence: Annotated[float, typer.Option(help="how sure the promise is", min=0.5, max=0.999)] = 0.95,
    labels: Annotated[
        str | None,
        typer.Option(
            help="file from `sample`, filled in; it is read but not stored [default: the verdicts of the job, or else "
            "the reference answers of its input]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the score from which answers are right as often as --precision says.
    Uses the verdicts of people, or the input's reference answers."""
    from contract.format import codec
    from producer.cli import view
    from producer.trust.promises.words import in_words

    backend = connection.backend()
    job = backend.find(job)
    if labels is None:
        trusted = backend.trust(job, precision, confidence)
    else:
        trusted = _by_file(backend, job, labels, precision, confidence)
    if as_json:
        view.print_json(codec.values(trusted))
        return
    lines = in_words(trusted)
    if (threshold := trusted.threshold) is not None:
        lines.append(("take them", f"producer results {job} --above {threshold:g} -o trusted.csv"))
        lines.append(("review", f"producer results {job} --below {threshold:g} -o to-review.csv"))
    for word, text in lines:
        view.out(f"{word:<11}{text}")


def _by_file(backend: Backend, job: str, labels: str, precision: float, confidence: float) -> Trusted:
    """What a file of labels promises."""
    import hashlib

    from producer.trust.judge import not_ended, of_file
    from producer.trust.labels import read
    from producer.trust.promises.trusted import Terms, by_labels

    status, verdicts = backend.status(job, reason=False), read(labels)
    if not status.finished:
        raise not_ended(job)
    found, verdicts = of_file(backend.lines(job), verdicts, job)
    digest = hashlib.sha256(Path(labels).read_bytes()).hexdigest()
    return by_labels(Terms(backend.manifest(job), status, precision, confidence), found, verdicts, digest)
