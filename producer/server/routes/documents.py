"""The routes of a job's documents, and of their texts."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from contract.format import codec
from producer.server.openapi import content
from producer.server.service import Here, JobId, Reads

router = APIRouter(prefix="/v1/jobs/{job}/documents", tags=["jobs"])


@router.get("")
async def documents(
    job: JobId,
    here: Here,
    reads: Reads,
    offset: Annotated[int, Query(ge=0, description="the first document")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The documents of a job, in the order of its rows: what was read from each file, by which library, or why nothing
    was. `count`: all of them; `questions`: the questions asked about each."""
    listed = await reads.run(partial(here.backend.documents, job))
    about = await reads.run(partial(here.backend.manifest, job))
    shown = [codec.values(document) for document in listed[offset : offset + limit]]
    return {"documents": shown, "count": len(listed), "questions": about.documents.questions if about.documents else 0}


@router.get("/{number}/text", response_class=Response, responses=content("text/plain; charset=utf-8"))
async def text(
    job: JobId,
    here: Here,
    reads: Reads,
    number: Annotated[int, Path(ge=0, le=1 << 31, description="of the document, from 0")],
) -> Response:
    """The text of a document, in which `start` and `end` of its answers count code points. A page ends with a form
    feed."""
    found = await reads.run(partial(here.backend.text, job, number))
    headers = {"X-Content-Type-Options": "nosniff"}
    return Response(found or "", media_type="text/plain; charset=utf-8", headers=headers)
