"""`POST /v1/answer`: a question and a context, or a few, answered at once by a job of their own."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from contract.errors import BulkqaError, NoWorker, TimedOut, UsageError
from contract.ledger.progress import Progress
from producer.api.data import taken
from producer.jobs import follow
from producer.jobs.remove import delete
from producer.jobs.submit import submit_and_send
from producer.request import request_of
from producer.results.lines import ready_lines
from producer.server.service import Here, Service
from producer.server.submission import Answering

router = APIRouter(prefix="/v1", tags=["answers"])

#: Questions of a request, seconds that it may take, and seconds in which somebody has to serve the model.
MOST, SECONDS, PATIENCE = 32, 30.0, 3.0


class Pair(BaseModel):
    """A question, and the text that has its answer."""

    model_config = ConfigDict(extra="forbid")

    question: str
    context: str
    id: str | None = None


class Asked(Answering):  # type: ignore[valid-type,misc]
    """A few of them, or one, and how answers are to be looked for."""

    rows: Annotated[list[Pair], Field(max_length=MOST)] = Field(default_factory=list)
    question: str | None = None
    context: str | None = None
    timeout: Annotated[float, Field(gt=0, le=SECONDS, description="seconds")] = 10.0

    def pairs(self) -> list[dict[str, Any]]:
        """All of them. Raises UsageError for none, or for half of one."""
        if self.rows and self.question is None and self.context is None:
            return [row.model_dump() for row in self.rows]
        if self.rows or self.question is None or self.context is None:
            raise UsageError("name a question and a context, or rows of them", 'For example: {"rows": [{...}, {...}]}')
        return [{"question": self.question, "context": self.context, "id": None}]


@router.post("/answer")
def answer(asked: Asked, here: Here) -> JSONResponse:
    """Answer a question, or a few, at once. The job that does it is removed afterwards."""
    here.make_room()
    rows = asked.pairs()
    file, columns = taken(rows)
    request = request_of(asked.options(), columns=columns)
    request = replace(request, metadata=request.metadata | {"asked": "over HTTP"})
    job = submit_and_send(file, here.storage, here.queue, here.settings, request).manifest.id
    found = _ended(here, job, asked.timeout)
    lines = [json.loads(line) for block in ready_lines(job, here.storage) for line in block.splitlines()]
    said = {"predictions": lines, "model": here.told(found)["model"], "job": job if request.key else None}
    gone = None if request.key else BackgroundTask(delete, job, here.storage, here.queue, here.settings)
    return JSONResponse(said, background=gone)


def _ended(here: Service, job: str, seconds: float) -> Progress:
    """Wait for the job's end. Raises TimedOut, and NoWorker where nobody serves its model: the job is removed then."""
    since = time.monotonic()
    try:
        for step in follow.follow(job, here.storage, here.queue, here.settings, seconds):
            alone = step.reason is not None and step.reason.code in ("no_worker", "other_model", "other_storage")
            if alone and not step.finished and step.reason and time.monotonic() - since > PATIENCE:
                raise NoWorker(step.reason.message, step.reason.remedy)
        return step
    except follow.TimedOut:
        _give_up(here, job)
        raise TimedOut(f"no answer within {seconds:g} s", "Ask with a larger `timeout`, or submit a job.") from None
    except NoWorker:
        _give_up(here, job)
        raise


def _give_up(here: Service, job: str) -> None:
    """Remove a job that nobody waits for any more."""
    try:
        delete(job, here.storage, here.queue, here.settings, force=True)
    except BulkqaError:
        return  # it stays, as any other job
