"""The routes of verdicts, and of what they promise. Each is taken in steps: what is read grows with the job."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from contract.format import codec
from producer.server.service import Here, JobId, Reads
from producer.trust import sample as drawing
from producer.trust.verdicts import MOST, TEXT, Kind, Verdict, digest

router = APIRouter(prefix="/v1/jobs/{job}", tags=["trust"])

Text = Annotated[str, Field(max_length=TEXT)]
Precision = Annotated[float, Query(gt=0, lt=1, description="share of answers that must be right")]


class Given(BaseModel):
    """A person's judgement of the answer of a row."""

    model_config = ConfigDict(extra="forbid")

    row: int
    verdict: Kind
    start: Annotated[int | None, Field(description="where a span begins in the context")] = None
    end: int | None = None
    answer: Annotated[Text | None, Field(description="the answer that was judged; refused if the job has another")] = (
        None
    )
    correct: Annotated[Text, Field(description="the right words: a span, if the context has them")] = ""
    note: Text = ""
    floor: Annotated[
        float | None,
        Field(ge=0, le=1, description="`floor` of the sample that the row was drawn in; none: picked by hand"),
    ] = None
    by: Text = ""


class Judged(BaseModel):
    """Verdicts, and who gave them."""

    model_config = ConfigDict(extra="forbid")

    verdicts: Annotated[list[Given], Field(min_length=1, max_length=MOST)]
    by: Text = ""


@router.post("/verdicts", status_code=201)
async def judge(job: JobId, judged: Judged, here: Here, reads: Reads) -> dict[str, int]:
    """Store verdicts on the answers of a job that has ended, all of them or none. The last one of a row counts;
    `withdrawn` undoes it."""
    verdicts = [Verdict(**each.model_dump() | {"by": each.by or judged.by}) for each in judged.verdicts]
    return {"stored": await reads.take(here.backend.judgements.judge(job, verdicts))}


@router.get("/verdicts")
async def verdicts(job: JobId, here: Here, reads: Reads) -> dict[str, Any]:
    """The verdict that counts for each judged row, in the order in which rows were first judged; and the sha256 of
    them."""
    latest = await reads.run(partial(here.backend.verdicts, job))
    return {"verdicts": [codec.values(verdict) for verdict in latest], "digest": digest(latest)}


@router.get("/sample")
async def sample(
    job: JobId,
    here: Here,
    reads: Reads,
    rows: Annotated[int, Query(ge=1, le=drawing.MOST, description="at most")] = drawing.ROWS,
    precision: Precision = 0.9,
    seed: Annotated[int, Query(description="another seed draws other rows")] = 1,
    all_rows: Annotated[bool, Query(description="also several rows of one group or document")] = False,  # noqa: FBT002
) -> dict[str, Any]:
    """Rows to judge, drawn at random from the `pool`, those where verdicts help most. `floor` is the lowest score in
    it, and belongs to each verdict on one of them. Judge all from the first on, also those that were judged before
    without a `floor`."""
    steps = here.backend.judgements.sample(job, rows, precision, seed, one_of_each=not all_rows)
    return asdict(await reads.take(steps))


@router.get("/trust")
async def trust(
    job: JobId,
    here: Here,
    reads: Reads,
    precision: Precision = 0.9,
    confidence: Annotated[float, Query(ge=0.5, lt=1, description="how sure the promise is")] = 0.95,
) -> dict[str, Any]:
    """The score from which answers are right as often as `precision` says: by the verdicts, or without any by the
    reference answers. The promise holds however often it is requested."""
    return codec.values(await reads.take(here.backend.judgements.trust(job, precision, confidence)))


@router.get("/calibration")
async def calibration(job: JobId, here: Here, reads: Reads) -> dict[str, Any]:
    """How likely the answers of a job are right, estimated by its verdicts, or without any by its reference answers: a
    sigmoid of `raw_score - null_score`, or steps `at` margins. `/results?probability=true` has it applied."""
    return codec.values(await reads.take(here.backend.calibrating(job)))
