"""The routes of jobs: each a call of `producer.jobs`, `producer.results` or `contract.ledger`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.datastructures import UploadFile

from contract.errors import BulkqaError, RedisUnreachable, TimedOut, UsageError
from contract.format import codec, layout
from contract.ledger import records
from contract.ledger.reconcile import cancel as cancel_job
from contract.ledger.stored import load_manifest
from contract.notifications import record
from producer.jobs import diff_document, follow
from producer.jobs.diff import differences
from producer.jobs.diff_document import Summary
from producer.jobs.remove import delete as delete_job
from producer.jobs.select import JobFilter, pairs, select
from producer.results import columns, pages
from producer.results.lines import ready_lines
from producer.results.output import FORMATS, shape_of, written
from producer.server.openapi import body, content
from producer.server.problems import Refused, body_of
from producer.server.service import Here, JobId, Service
from producer.server.submission import Sent, of_form, of_object
from producer.server.uploads import plain_name

router = APIRouter(prefix="/v1", tags=["jobs"])

#: Seconds that a request waits for the end of a job that it cancels.
ENDING = 20.0
#: Where files of the storage lie that a request may name.
INPUTS = "inputs/"
_KINDS = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
_RESULTS = [_KINDS[name] for name in FORMATS]
_URL = {"type": "string", "description": f"of the storage, below {INPUTS}"}


@router.post("/jobs", status_code=202, openapi_extra=body(url=_URL))
async def submit(
    request: Request,
    here: Here,
    idempotency_key: Annotated[str | None, Header(description="the same as `key`")] = None,
) -> JSONResponse:
    """Make a job of a file: of the field `file` of a form, or of a file in the storage by its `url`. In a form may be
    `columns` too: what `/columns` gives, kept with the job for whoever makes a frame of its answers."""
    await run_in_threadpool(here.make_room)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=2, max_fields=50) as form:
            said = dict(form)
            file, kept = said.pop("file", None), said.pop("columns", None)
            if not isinstance(file, UploadFile):
                raise UsageError("there is no file in the form", "Send it as its field: curl -F file=@questions.csv")
            beside = kept.file if isinstance(kept, UploadFile) else None
            found = await _read(here, file.file, plain_name(file.filename), of_form(said), idempotency_key, beside)
    elif kind == "application/json":
        said = await _json(request)
        url = said.pop("url", None)
        with tempfile.TemporaryFile() as copy:
            await run_in_threadpool(_fetch, here, url, copy)
            found = await _read(here, copy, plain_name(str(url)), of_object(said), idempotency_key)
    else:
        raise Refused(415, "unsupported_media", "a job is made of multipart/form-data or application/json",
                      "For example: curl -F file=@questions.csv")  # fmt: skip
    told = await run_in_threadpool(here.status, found["job"])
    return JSONResponse(told, 202 if found["new"] else 200, {"Location": f"/v1/jobs/{found['job']}"})


async def _read(
    here: Service, file: BinaryIO, name: str, sent: Sent, key: str | None, kept: BinaryIO | None = None
) -> dict[str, Any]:
    options = sent.options() | ({} if key is None else {"key": key})
    return await here.reader.read(file, name, options, kept)


async def _json(request: Request) -> dict[str, Any]:
    try:
        said = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "bad_json", f"the body is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise UsageError("the body is no JSON object")
    return said


def _fetch(here: Service, url: object, copy: BinaryIO) -> None:
    """Copy a file of the storage, of those that may be named."""
    key = str(url).removeprefix(f"{here.storage.url.rstrip('/')}/")
    if not isinstance(url, str) or not key.startswith(INPUTS) or ".." in key.split("/"):
        raise UsageError(f"a url names a file of the storage below {INPUTS}", f"For example: {INPUTS}questions.csv")
    try:
        for block in here.storage.blocks(key):
            copy.write(block)
    except FileNotFoundError:
        raise Refused(404, "unknown_input", f"there is no {key} in the storage") from None


@router.post("/check", tags=["files"], openapi_extra=body())
async def check(request: Request, here: Here) -> dict[str, Any]:
    """What a file, or its beginning, holds: its columns and first rows. No job is made of it."""
    async with request.form(max_files=1, max_fields=50) as form:
        said = dict(form)
        file = said.pop("file", None)
        if not isinstance(file, UploadFile):
            raise UsageError("there is no file in the form", "Send it as its field: curl -F file=@questions.csv")
        options = of_form(said).options()
        return await here.reader.read(file.file, plain_name(file.filename), options, only_check=True)


@router.get("/jobs")
def list_jobs(
    here: Here,
    status: Annotated[list[str] | None, Query(description="only of these states")] = None,
    model: str | None = None,
    metadata: Annotated[list[str] | None, Query(description="KEY=VALUE, all of them")] = None,
    since: Annotated[float | None, Query(description="only submitted then or later, in seconds since 1970")] = None,
    sort: str = "created",
    reverse: bool = False,  # noqa: FBT001, FBT002 - a query's
    limit: Annotated[int, Query(ge=1, le=100_000, description="the last in their order")] = 100,
) -> dict[str, Any]:
    """Jobs in an order, the last of them last."""
    wanted = JobFilter(tuple(status or ()), since, model, pairs(metadata or ()), sort, reverse, limit)
    queue = here.queue
    with suppress(RedisUnreachable):
        queue.ping()
        found = list(records.statuses(here.storage, queue, here.listed))
        return _listed(here, found, wanted)
    return _listed(here, list(records.statuses(here.storage, None, here.listed)), wanted)  # not waited for at every job


def _listed(here: Service, found: list[tuple[str, Any]], wanted: JobFilter) -> dict[str, Any]:
    damaged = [{"id": job, "message": one.message} for job, one in found if isinstance(one, BulkqaError)]
    well = [one for _, one in found if not isinstance(one, BulkqaError)]
    return {"jobs": [here.told(one) for one in select(well, wanted)], "damaged": damaged}


@router.get("/jobs/{job}")
def status(job: JobId, here: Here) -> dict[str, Any]:
    """Where a job stands: the fields of `producer status --json`."""
    return here.status(job)


@router.get("/jobs/{job}/events", response_class=StreamingResponse, responses=content("text/event-stream"))
async def events(job: JobId, here: Here) -> StreamingResponse:
    """Where a job stands, again and again until it has ended, at least every two seconds: server-sent events
    `progress`, the last one `end`. Where that cannot be told any more: `trouble`, a problem."""

    async def told() -> AsyncIterator[str]:
        try:
            async for step in here.followed.watch(job):
                yield f"event: {'end' if step.finished else 'progress'}\ndata: {json.dumps(here.told(step))}\n\n"
        except BulkqaError as error:
            yield f"event: trouble\ndata: {json.dumps(body_of(error, here.hidden))}\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)


@router.get("/jobs/{job}/results", response_class=StreamingResponse, responses=content(*_RESULTS))
def results(
    job: JobId,
    here: Here,
    format: Literal["json", "jsonl", "csv", "parquet"] = "json",  # noqa: A002 - its name
    offset: Annotated[int, Query(ge=0, description="the row to begin with")] = 0,
) -> Response:
    """All predictions in row order; of a job under way those that are ready without a gap."""
    lines = ready_lines(job, here.storage, offset=offset)
    first = next(lines, None)  # what is wrong is found now, not behind a 200
    lines = chain([] if first is None else [first], lines)
    shape = shape_of(here.storage, job) if format in ("csv", "parquet") else None
    blocks = written(lines, format, shape)
    headers = {"Content-Disposition": f'attachment; filename="{job}.{format}"'}
    return StreamingResponse(iterate_in_threadpool(blocks), media_type=_KINDS[format], headers=headers)


@router.get("/jobs/{job}/rows")
def rows(
    job: JobId,
    here: Here,
    offset: Annotated[int, Query(ge=0, description="the row to begin with; then what `next` says")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    status: Annotated[list[Literal["answered", "no_answer", "error"]] | None, Query()] = None,
    flag: str | None = None,
    below: Annotated[float | None, Query(description="only scores below it")] = None,
    text: Annotated[str | None, Query(max_length=500, description="in question, context or answer")] = None,
    order: Annotated[Literal["row", "score"], Query(description="score: answers, the lowest score first")] = "row",
) -> dict[str, Any]:
    """Some predictions from a row on. `next` is the row to go on with, null behind the last; it is not `ready` before
    its chunk was scored. Rows may be none though `next` is one: so many were looked through, and none was wanted."""
    wanted = pages.RowFilter(tuple(status or ()), flag, below, text)
    if order == "score":
        lowest = here.scores.lowest(job)
        return asdict(pages.chosen(here.storage, job, lowest, offset, limit, wanted, len(lowest)))
    return asdict(pages.page(here.storage, job, offset, limit, wanted))


@router.get("/jobs/{job}/scores")
def scores(job: JobId, here: Here) -> dict[str, Any]:
    """How scores are spread, in equal bins from 0 to 1. Where fewer rows are `read` than there are: ask again."""
    return asdict(here.scores.spread(job))


@router.get("/jobs/{job}/errors", response_class=StreamingResponse, responses=content(_KINDS["csv"]))
def errors(job: JobId, here: Here) -> StreamingResponse:
    """The rows that failed, in the input's own columns, and why: to be mended and submitted again."""
    try:
        blocks = here.storage.blocks(layout.errors(job))
        first = next(blocks, b"")
    except FileNotFoundError:
        ended = here.storage.exists(layout.report(job))
        why = "no row of it failed" if ended else "it has not ended"
        raise Refused(404, "no_errors", f"job {job} has no error rows: {why}") from None
    headers = {"Content-Disposition": f'attachment; filename="{job}.errors.csv"'}
    whole = iterate_in_threadpool(chain([first], blocks))
    return StreamingResponse(whole, media_type=_KINDS["csv"], headers=headers)


@router.get("/jobs/{job}/manifest")
def manifest(job: JobId, here: Here) -> dict[str, Any]:
    """What was asked of a job: how its file was read, the options, the model."""
    return codec.values(load_manifest(here.storage, job))


@router.get("/jobs/{job}/columns", response_class=Response, responses=content(_KINDS["arrow"]))
def input_columns(job: JobId, here: Here) -> Response:
    """The types of the input's columns, and the index of a frame, as an Arrow stream."""
    found = columns.load(here.storage, load_manifest(here.storage, job))
    if found is None:
        raise Refused(404, "no_columns", f"nothing is known of the types of the columns of job {job}")
    return Response(found.to_bytes(), media_type=_KINDS["arrow"])


@router.get("/jobs/{job}/notifications")
def notifications(job: JobId, here: Here) -> dict[str, Any]:
    """How it stands with telling somebody that a job has ended: attempts, and when the next one comes."""
    return codec.values(record.of(here.storage, job))


@router.post("/jobs/{job}/cancel", status_code=202)
def cancel(job: JobId, here: Here) -> dict[str, Any]:
    """Ask for a job's end: rows that are done stay. Is noted also while Redis is away."""
    with suppress(RedisUnreachable):
        cancel_job(job, here.storage, here.queue, here.settings)
    return here.status(job)


@router.delete("/jobs/{job}")
def delete(job: JobId, here: Here, cancel: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - a query's
    """Remove a job with its rows, answers and records; `cancel` it first, if it has not ended."""
    if not here.storage.exists(layout.report(job)):
        if not cancel:
            raise Refused(
                409, "not_ended", f"job {job} has not ended", "Cancel and remove it: DELETE with ?cancel=true"
            )
        _end(job, here)
    return {"job": job, "bytes": delete_job(job, here.storage, here.queue, here.settings)}


def _end(job: str, here: Service) -> None:
    """Cancel a job, and wait for its end as long as a request may. Raises TimedOut."""
    with suppress(RedisUnreachable):  # the cancel is noted
        cancel_job(job, here.storage, here.queue, here.settings)
    try:
        for _ in follow.follow(job, here.storage, here.queue, here.settings, ENDING):
            pass
    except follow.TimedOut:
        raise TimedOut(f"job {job} is cancelled, and has not ended yet", "Ask again.") from None


@router.get("/jobs/{job}/diff", response_class=StreamingResponse, responses=content("application/json"))
def diff(
    job: JobId,
    here: Here,
    other: Annotated[str, Query(alias="with", description="the other job")],
    by: Literal["row", "id"] = "row",
) -> StreamingResponse:
    """The rows that two jobs answer differently, and their counts: as `producer diff --json`."""
    second, summary = here.find(other), Summary()
    changes = differences(here.storage, job, second, summary, by_id=by == "id")

    document = diff_document.write(job, second, changes, summary)
    return StreamingResponse(iterate_in_threadpool(document), media_type="application/json")


@router.get("/workers", tags=["workers"])
def workers(here: Here) -> list[dict[str, Any]]:
    """The workers that are there, and the chunk that each holds."""
    return [asdict(one) for one in here.queue.workers()]
