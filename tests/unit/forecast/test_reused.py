"""Rows that would take their outcome from an earlier job: a forecast counts those that submitting carries over."""

from __future__ import annotations

import io
import random

import pytest

from contract.errors import UsageError
from contract.format import layout
from contract.format.job import ModelRef, Options
from contract.ledger import records
from contract.queue import WorkerInfo
from contract.settings import Settings
from contract.storage import Storage
from producer.forecast.outlook import Outlook
from producer.forecast.quote import Wish
from producer.jobs.check import check_file, forecast_file, glance
from producer.jobs.submit import sources_of
from producer.request import Request
from tests.making import csv, job_of, part_of

OUTLOOK = Outlook(workers=(WorkerInfo("w", "tiny", "", "int8", 2, "1"),), model="tiny")


def scored(storage: Storage, settings: Settings, data: bytes, but: tuple[int, ...] = (), **about: object) -> str:
    """A job of which all chunks have their part."""
    manifest = job_of(storage, settings, data)
    records.pin_model(storage, manifest.id, ModelRef("tiny", "d1", "int8"))
    for number in set(range(manifest.chunks)) - set(but):
        storage.create(
            layout.part(manifest.id, number), part_of(storage, manifest, number, **({"numerics": "n"} | about))
        )
    return manifest.id


@pytest.mark.parametrize("seed", range(12))
def test_what_is_forecast_to_be_reused_is_what_is_carried(storage: Storage, settings: Settings, seed: int):
    """Of two earlier jobs, one of which lacks parts; rows that were rejected, or have a processing error, return."""
    dice = random.Random(seed)
    first = csv(40, bad=(3,), odd=(5, 6, 20), silent=(7,)).decode().splitlines()
    second = csv(60, odd=(45,)).decode().splitlines()
    jobs = (
        scored(storage, settings, "\n".join(first).encode(), but=(dice.randrange(4),)),
        scored(storage, settings, "\n".join([second[0], *second[41:]]).encode(), batch_invariant=dice.random() < 0.8),
    )
    rows = [*first[1:], *second[1:], *(f"new-{n}|what is new {n}?|word{n} is new|t" for n in range(20))]
    edited = "\n".join([first[0], *dice.sample(rows, 70), *dice.choices(rows, k=10)]).encode()
    request = Request(reuse=jobs)

    sources = sources_of(storage, settings, request)
    quote = forecast_file(io.BytesIO(edited), request, settings, OUTLOOK, Wish(), sources)
    checked = check_file(io.BytesIO(edited), request.read, settings, outlook=OUTLOOK, sources=sources)
    seen = glance(io.BytesIO(edited), request.read, settings, OUTLOOK, sources=sources)
    manifest = job_of(storage, settings, edited, reuse=jobs)
    assert manifest.reuse
    assert quote.reused == checked.reused == seen.reused == manifest.reuse.rows > 0


def test_what_is_reused_costs_nothing(storage: Storage, settings: Settings):
    job = scored(storage, settings, csv(20))
    request = Request(reuse=(job,))
    sources = sources_of(storage, settings, request)
    same, grown = (
        forecast_file(io.BytesIO(csv(rows)), request, settings, OUTLOOK, Wish(), sources) for rows in (20, 26)
    )
    assert (same.reused, same.rows, same.windows, same.work) == (20, 20, 0, 0.0)
    assert (grown.reused, grown.rows, grown.windows) == (20, 26, 6)


def test_a_latest_job_that_is_none_is_none_reused_and_other_options_are_refused(storage: Storage, settings: Settings):
    latest = Request(reuse=("latest",))
    quote = forecast_file(io.BytesIO(csv(4)), latest, settings, OUTLOOK, Wish(), sources_of(storage, settings, latest))
    assert quote.reused == 0
    assert sources_of(storage, settings, Request()) is None
    job = scored(storage, settings, csv(4))
    with pytest.raises(UsageError, match="top_k was 1, now 2"):
        sources_of(storage, settings, Request(reuse=(job,), options=Options(top_k=2)))
