"""What a sample shows at its end."""

from __future__ import annotations

import json
from dataclasses import replace

from contract.forecast.work import Forecast, Sample
from contract.format.job import InputFile, Manifest
from contract.ledger import progress as ledger
from contract.ledger.progress import Counts, Progress, Seen
from producer.cli import sampled

SOURCE = InputFile("f.csv", "csv", 10, "s", ("question", "context"), "|")
MADE = Forecast(40, 4000, work=4.0, cpu_hours=4 / 3600, workers=2, threads=4, seconds=1.0)
REST = replace(MADE, windows=960, work=96.0, cpu_hours=96 / 3600, seconds=24.0, seconds_low=18.0, seconds_high=32.0)


def ended(sample: Sample | None) -> Progress:
    manifest = Manifest("j", 1.0, "tiny", 40, 0, 1, "i", SOURCE, forecast=MADE, sample=sample)
    progress = ledger.progress(manifest, Seen({}, 0, workers=("w",)), now=2.0)
    counts = Counts(40, 38, 0, 2)
    return replace(progress, request_counts=counts, top_errors=(("empty_context", 2),), rows_per_second=10.0)


def test_a_sample_says_what_went_wrong_what_the_rest_takes_and_how_to_go_on():
    answers = [json.dumps({"status": "answered", "score": score / 100}).encode() + b"\n" for score in range(100)]
    typed = ["run", "my file.csv", "--sample", "40", "-o", "answers.json"]
    found = list(sampled.lines(ended(Sample(40, 1000, REST)), answers, typed))
    assert found == [
        "sample:      40 rows of 1,000",
        "errors:      2 empty_context",
        "scores:      10% below 0.10, 25% below 0.25, 50% below 0.50, 75% below 0.75, 90% below 0.90",
        # The one chunk took 4 s on the two threads of a worker: twice what was forecast.
        "the rest:    960 windows, 3.2 CPU minutes, about 48 s (36 s to 1 min 4 s) on 2 workers",
        "continue:    producer run 'my file.csv' -o answers.json --reuse j",
    ]


def test_another_job_shows_none_of_it():
    assert list(sampled.lines(ended(None), [], ["run", "f.csv"])) == []


def test_the_number_of_rows_is_left_out_however_it_was_typed():
    lines = list(sampled.lines(ended(Sample(40, 1000)), [], ["run", "--sample=40", "--sample-seed", "7", "f.csv"]))
    assert lines[-1] == "continue:    producer run f.csv --reuse j"
