"""The command labels: the judged answers of a job, for use elsewhere. It does not change the job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from producer.cli.flags import with_flags
from producer.cli.options import Connection, Job, Seed


@with_flags
def labels(
    job: Job,
    connection: Connection,
    output: Annotated[Path, typer.Option("-o", "--output", help="JSON file to write; - is stdout")],
    output_format: Annotated[
        Literal["squad", "label-studio"],
        typer.Option(
            "--format",
            help="squad: SQuAD 2.0, the judged rows whose right answer is known; label-studio: tasks, a sample with "
            "its answers as predictions and the verdicts so far",
        ),
    ] = "squad",
    rows: Annotated[int, typer.Option(help="rows of the sample for Label Studio", min=1, max=100_000)] = 300,
    precision: Annotated[
        float, typer.Option(help="for that sample: share of answers that must be right", min=0.01, max=0.999)
    ] = 0.9,
    seed: Seed = 1,
) -> None:
    """Write the judged answers of a job to a file: to measure and train models, or to continue in Label Studio."""
    import json

    from producer.cli import messages, view
    from producer.results.output import write_file
    from producer.trust.export.labels import as_tasks, in_squad
    from producer.trust.export.labelstudio import INTERFACE

    backend = connection.backend()
    job = backend.find(job)
    squad = output_format == "squad"
    exported = in_squad(backend, job) if squad else as_tasks(backend, job, rows, precision, seed)
    text = json.dumps(exported.document, ensure_ascii=False, indent=1)
    if output == Path("-"):
        view.out_json(text)
    else:
        write_file(output, [text.encode(), b"\n"], "jsonl")
    messages.say(f"{messages.plural(exported.written, 'question' if squad else 'task')} in {output}")
    if exported.left_out:
        messages.say(f"left out: {messages.plural(exported.left_out, 'verdict')} that do not say what is right")
    if not squad:
        messages.say(f"labeling interface of its project:\n{INTERFACE}")
        messages.say(f"then export them as JSON, and: producer judge {job} EXPORT.json")
