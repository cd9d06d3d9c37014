"""What a sample of a file shows: its errors, the distribution of its scores, what the rest will take, and how to
continue."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from producer.cli import quotes
from producer.cli.messages import plural
from producer.forecast.make import after_sample

if TYPE_CHECKING:
    from contract.ledger.progress import Progress

#: Shares of the answers at which the spread of their scores is shown.
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def lines(progress: Progress, predictions: Iterable[bytes], typed: Sequence[str]) -> Iterator[str]:
    """The lines about a job that is a sample; none about another. `typed`: the arguments of the command."""
    sample, forecast = progress.sample, progress.forecast
    if sample is None:
        return
    yield f"sample:      {plural(progress.request_counts.total, 'row')} of {sample.of:,}"
    for code, count in progress.top_errors:
        yield f"errors:      {count:,} {code}"
    if scores := sorted(_scores(predictions)):
        at = [f"{share:.0%} below {scores[min(int(share * len(scores)), len(scores) - 1)]:.2f}" for share in _SHARES]
        yield f"scores:      {', '.join(at)}"
    if sample.rest and forecast:
        seconds = progress.request_counts.total / (progress.rows_per_second or math.inf)
        rest = after_sample(sample.rest, forecast, seconds, progress.chunks.total)
        yield f"the rest:    {quotes.line(rest).removeprefix('forecast: ')}"
    yield f"continue:    {_whole(typed)} --reuse {progress.id}"


def _whole(typed: Sequence[str]) -> str:
    """The same command for all rows."""
    arguments, skip = list[str](), False
    for argument in typed:
        if skip or argument in ("--sample", "--sample-seed"):
            skip = not skip
        elif not re.match("--sample(-seed)?=", argument):
            arguments.append(argument)
    return shlex.join(["producer", *arguments])


def _scores(predictions: Iterable[bytes]) -> Iterator[float]:
    for block in predictions:
        for line in block.splitlines():
            prediction = json.loads(line)
            if prediction["status"] == "answered":
                yield prediction["score"]
