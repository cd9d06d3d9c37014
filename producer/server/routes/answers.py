"""`POST /v1/answer`: a few questions, answered at once."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from contract.errors import UsageError
from producer.input.checks import pairs
from producer.jobs.submit import check_model
from producer.request import request_of
from producer.server.access import client_of
from producer.server.service import Here
from producer.server.shares import Turns
from producer.server.submission import Answering

router = APIRouter(prefix="/v1", tags=["answers"])

#: Questions in a request, and seconds that it may take, at most.
MOST, SECONDS = 32, 30.0


class Pair(BaseModel):
    """A question, and the text that has its answer."""

    model_config = ConfigDict(extra="forbid")

    question: str
    context: str
    id: str | None = None


class Asked(Answering):  # type: ignore[valid-type,misc]
    """One question or several, and how to answer them."""

    rows: Annotated[list[Pair], Field(max_length=MOST)] = Field(default_factory=list)
    question: str | None = None
    context: str | None = None
    timeout: Annotated[float, Field(gt=0, le=SECONDS, description="seconds")] = 10.0

    def pairs(self) -> list[pairs.Pair]:
        """All questions with their contexts. Raises UsageError if there is none, or one lacks its context."""
        if self.rows and self.question is None and self.context is None:
            return [pairs.Pair(row.question, row.context, row.id) for row in self.rows]
        if self.rows or self.question is None or self.context is None:
            raise UsageError("name a question and a context, or rows of them", 'For example: {"rows": [{...}, {...}]}')
        return [pairs.Pair(self.question, self.context)]


@router.post("/answer")
async def answer(asked: Asked, http: HttpRequest, here: Here) -> JSONResponse:
    """Answer one question, or a few, at once, beside all jobs. Nothing stays of it, unless it has a `key`: then it is a
    job."""
    request = request_of(asked.options())
    request = replace(request, metadata=request.metadata | {"asked": "over HTTP"})
    if request.key:
        await here.make_room()
    model = request.model or here.backend.settings.model
    check_model(model)
    client = client_of(http.scope)
    turns = Turns(here.answers, client, http.is_disconnected)
    await here.await_worker(model, request.key, turns)
    with here.questions.held(client):
        steps = here.backend.answering(asked.pairs(), request, asked.timeout, patient=False)
        answered = await turns.take(steps)
    document = {"predictions": answered.predictions, "model": asdict(answered.model), "job": answered.job}
    return JSONResponse(document, background=BackgroundTask(answered.discard))
