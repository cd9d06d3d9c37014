"""The routes of jobs. Each parses its request, makes one call of the backend, and answers."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from contract.errors import BulkqaError, RedisUnreachable, UsageError
from contract.format import codec
from contract.remedy import Remedy, Set
from producer.backend.direct import DirectBackend
from producer.forecast.quote import Beginning, Wish
from producer.jobs import diff_document
from producer.jobs.diff_document import Summary
from producer.jobs.select import JobFilter, pairs
from producer.results.groups import group_core
from producer.results.output import FORMATS, shape_of, written
from producer.results.pages import RowFilter, Side, matching
from producer.results.typed import core, probable
from producer.server.openapi import body, content
from producer.server.problems import Refused, body_of, described
from producer.server.service import Export, Here, JobId, Reads, job_document
from producer.server.shares import Turns
from producer.server.uploads.form import INPUTS, received, received_form
from producer.trust import split
from producer.trust.calibration.probability import Calibration

router = APIRouter(prefix="/v1", tags=["jobs"])

#: Seconds that a request waits for the end of a job that it cancels.
_ENDING = 20.0
_MEDIA_TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "arrow": "application/vnd.apache.arrow.stream",
}
_RESULTS = [_MEDIA_TYPES[name] for name in FORMATS]
_URL = {"type": "string", "description": f"a file of the storage, below {INPUTS}"}


async def _filters(
    job: JobId,
    here: Here,
    reads: Reads,
    status: Annotated[list[Literal["answered", "no_answer", "error"]] | None, Query()] = None,
    flag: str | None = None,
    below: Annotated[float | None, Query(description="only scores below this")] = None,
    above: Annotated[float | None, Query(description="only scores of at least this")] = None,
    group: Annotated[str | None, Query(description="only this group")] = None,
    trusted: Annotated[
        bool | None, Query(description="only the answers that the promise covers, or only the other rows")
    ] = None,
    rest: Annotated[float | None, Query(description="all rows except answers with at least this score")] = None,
    precision: Annotated[
        float | None,
        Query(gt=0, lt=1, description="of the job's own promise, unless it is split by that of another job"),
    ] = None,
    text: Annotated[str | None, Query(max_length=500, description="text in question, context or answer")] = None,
) -> RowFilter:
    if trusted is not None and rest is not None:
        raise UsageError("trusted and rest are two thresholds", "Give one of them.")
    side = None if rest is None else Side(rest, above=False)
    if trusted is not None:
        manifest = await reads.run(partial(here.backend.manifest, job))
        side = split.split_side(manifest, precision, trusted=trusted)
        if side is None:
            steps = here.backend.judgements.trust(job, precision or split.PRECISION, split.CONFIDENCE)
            side = split.own_side(await reads.take(steps), trusted=trusted)
    return RowFilter(tuple(status or ()), flag, below, above, group, side, text)


Filters = Annotated[RowFilter, Depends(_filters)]


def _wish(
    workers: Annotated[
        int | None, Query(description="forecast for this many workers, instead of the running ones")
    ] = None,
    deadline: Annotated[
        float | None, Query(description="seconds: forecast how many workers finish within them")
    ] = None,
    price: Annotated[float | None, Query(description="price of a CPU hour: forecast the cost")] = None,
) -> Wish:
    return Wish(workers, deadline, price)


Wished = Annotated[Wish, Depends(_wish)]
Bytes = Annotated[int | None, Query(ge=1, description="size of the whole file, if you send only its beginning")]


@router.post("/jobs", status_code=202, openapi_extra=body(url=_URL))
async def submit(
    request: Request,
    here: Here,
    idempotency_key: Annotated[str | None, Header(description="the same as `key`")] = None,
) -> JSONResponse:
    """Make a job from a file: the field `file` of a form, or a file in the storage by its `url`; or from `documents`,
    up to a hundred files of a form, and the `questions` to ask about each. A form may also have `columns`: what
    `/columns` returns, stored with the job for clients that make a frame of its answers."""
    await here.make_room()  # before any of the body is read
    async with received(request, here.backend.storage) as upload:
        job, new = await here.reader.submit(upload, idempotency_key)
    document = job_document(await run_in_threadpool(here.backend.status, job))
    return JSONResponse(document, 202 if new else 200, {"Location": f"/v1/jobs/{job}"})


@router.post("/check", tags=["files"], openapi_extra=body())
async def check(request: Request, here: Here, wish: Wished, bytes: Bytes = None) -> dict[str, Any]:  # noqa: A002
    """The columns and the first rows of a file, or of its beginning, and a forecast of the whole. Makes no job."""
    async with received_form(request) as upload:
        glance = await here.reader.check(upload)
        size, model = bytes or upload.size(), upload.options.get("model")
    beginning = Beginning(*(glance.pop(each.name) for each in fields(Beginning)))
    quoted = await run_in_threadpool(here.backend.forecast_rest, glance["name"], beginning, size, model, wish)
    return glance | {"complete": beginning.complete, "forecast": asdict(quoted)}


@router.get("/jobs")
async def list_jobs(
    here: Here,
    reads: Reads,
    status: Annotated[list[str] | None, Query(description="only jobs in one of these states")] = None,
    model: str | None = None,
    metadata: Annotated[list[str] | None, Query(description="KEY=VALUE, all of them")] = None,
    since: Annotated[float | None, Query(description="only jobs submitted since, in seconds since 1970")] = None,
    sort: str = "created",
    reverse: bool = False,  # noqa: FBT001, FBT002 - a query's
    limit: Annotated[int, Query(ge=1, le=100_000, description="only the last ones in this order")] = 100,
) -> dict[str, Any]:
    """Jobs in order, and those whose records are damaged."""
    filters = JobFilter(tuple(status or ()), since, model, pairs(metadata or ()), sort, reverse, limit)
    listed = await reads.run(partial(here.backend.jobs, filters))
    damaged = [{"id": job, "message": error.message} | described(error) for job, error in listed.damaged.items()]
    return {"jobs": [job_document(job) for job in listed.jobs], "damaged": here.public(damaged)}


@router.get("/jobs/{job}")
def status(job: JobId, here: Here) -> dict[str, Any]:
    """A job's status: the fields of `producer status --json`."""
    return job_document(here.backend.status(job))


@router.get("/jobs/{job}/events", response_class=StreamingResponse, responses=content("text/event-stream"))
async def events(job: JobId, here: Here) -> StreamingResponse:
    """A job's status at least every two seconds until the job has ended, as server-sent events: `progress`, and at last
    `end`. If the job cannot be followed any more: `trouble`, with a problem."""

    async def sent() -> AsyncIterator[str]:
        try:
            async for step in here.followed.watch(job):
                yield f"event: {'end' if step.finished else 'progress'}\ndata: {json.dumps(job_document(step))}\n\n"
        except BulkqaError as error:
            yield f"event: trouble\ndata: {json.dumps(body_of(error, here.hidden))}\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(sent(), media_type="text/event-stream", headers=headers)


@router.get("/jobs/{job}/results", response_class=StreamingResponse, responses=content(*_RESULTS))
async def results(
    job: JobId,
    here: Here,
    export: Export,
    reads: Reads,
    filters: Filters,
    format: Literal["json", "jsonl", "csv", "parquet", "xlsx"] = "json",  # noqa: A002 - its name
    offset: Annotated[int, Query(ge=0, description="the first row")] = 0,
    by: Annotated[Literal["row", "group"], Query(description="group: the best answer of each group")] = "row",
    bom: Annotated[bool, Query(description="CSV begins with a byte order mark, which Excel needs")] = False,  # noqa: FBT002
    probability: Annotated[bool, Query(description="also how likely each row's answer is right")] = False,  # noqa: FBT002
) -> Response:
    """All predictions in row order that match; for an unfinished job those that are ready, up to the first gap. Or all
    groups that match, of a job that has ended: `offset` counts groups then."""
    if probability and by == "group":
        raise UsageError("only rows have probabilities, because rows are judged", Remedy("Leave out ", Set("by"), "."))
    calibration = await reads.take(here.backend.calibrating(job)) if probability else None
    blocks = _exported(here.backend, job, format, by, offset, filters, calibration)
    if bom and format == "csv":
        blocks = chain([BOM_UTF8], blocks)
    return await _download(export, blocks, f"{job}.{format}", format)


def _exported(
    backend: DirectBackend,
    job: str,
    kind: str,
    by: Literal["row", "group"],
    offset: int,
    filters: RowFilter,
    calibration: Calibration | None,
) -> Iterator[bytes]:
    """The predictions, or groups, that match in a format, a chunk in each block."""
    by_group = by == "group"
    if by_group:
        _check_groups(filters)
    lines = backend.groups(job, offset=offset) if by_group else backend.lines(job, offset=offset, ahead=1)
    first = next(lines, None)  # before the head of a document: an error is an error, and not a broken answer
    lines = chain([] if first is None else [first], lines)
    matched = lines if filters == RowFilter() else matching(lines, filters)
    shape = shape_of(backend, job, kind, group_core if by_group else probable if calibration else core)
    about = {"calibration": calibration.sha256} if calibration else None
    matched = calibration.lines(matched) if calibration else matched
    yield from written(matched, kind, shape, "groups" if by_group else "predictions", about)


def _check_groups(filters: RowFilter) -> None:
    if filters.side:
        raise UsageError("a promise covers rows, not groups", Remedy("Leave out ", Set("trusted"), "."))


async def _download(export: Turns, blocks: Iterator[bytes], name: str, kind: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return await export.stream(blocks, media_type=_MEDIA_TYPES[kind], headers=headers)


@router.get("/jobs/{job}/rows")
async def rows(
    job: JobId,
    here: Here,
    reads: Reads,
    filters: Filters,
    offset: Annotated[int, Query(ge=0, description="the first row; then the `next` of the last answer")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    order: Annotated[Literal["row", "score"], Query(description="score: answers, the lowest score first")] = "row",
    question: Annotated[
        int | None, Query(ge=0, description="for documents: only this question, counted from 0")
    ] = None,
    row: Annotated[
        list[Annotated[int, Query(ge=0)]] | None, Query(max_length=500, description="only these rows, in this order")
    ] = None,
    around: Annotated[
        int | None, Query(ge=0, description="characters of a context before and after its answer; default: all")
    ] = None,
) -> dict[str, Any]:
    """One page of predictions. `next` is the row of the next page, null after the last; `ready` is false until its
    chunk has been scored. A page can be empty and have a `next`: none of the rows that were searched matched. It can
    also be short: a page has at most 4 MiB of rows. A context that was cut has `context_at`, where in the whole it
    begins, and `context_length`. `offset` and `next` are places in the requested order."""
    by_score = order == "score"
    page = partial(here.backend.rows, job, offset, limit, filters, by_score=by_score, question=question, among=row,
                   around=around)  # fmt: skip
    return asdict(await reads.run(page))


@router.get("/jobs/{job}/groups")
async def groups(
    job: JobId,
    here: Here,
    reads: Reads,
    filters: Filters,
    offset: Annotated[int, Query(ge=0, description="the first group; then the `next` of the last answer")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """One page of groups of a job that has ended, in the order of their first rows. `next` is null after the last. All
    of them in any format: `/results?by=group`. The rows of one: `/rows?group=NAME`."""
    _check_groups(filters)
    return asdict(await reads.run(partial(here.backend.group_page, job, offset, limit, filters)))


@router.get("/jobs/{job}/matches")
async def matches(
    job: JobId,
    here: Here,
    reads: Reads,
    filters: Filters,
    offset: Annotated[int, Query(ge=0, description="the first row; then the `next` of the last answer")] = 0,
) -> dict[str, Any]:
    """How many rows match from `offset` on. One response counts some 20,000 rows: continue at its `next`, and add
    up."""
    return asdict(await reads.run(partial(here.backend.matches, job, offset, filters)))


@router.get("/jobs/{job}/scores")
async def scores(job: JobId, here: Here, reads: Reads) -> dict[str, Any]:
    """The histogram of the scores, in equal bins from 0 to 1, and the rows by flag. If fewer rows are `read` than the
    job has, ask again."""
    return asdict(await reads.run(partial(here.backend.scores, job)))


@router.get("/jobs/{job}/errors", response_class=StreamingResponse, responses=content(_MEDIA_TYPES["csv"]))
async def errors(job: JobId, here: Here, export: Export) -> StreamingResponse:
    """The rows that failed, in the input's own columns, with the reason: to fix and submit again."""
    blocks = await export.run(partial(here.backend.errors, job))
    if blocks is None:
        status = await export.run(partial(here.backend.status, job, reason=False))
        why = "none failed" if status.finished else "the job has not ended"
        raise Refused(404, "no_errors", f"job {job} has no error rows: {why}")
    return await _download(export, blocks, f"{job}.errors.csv", "csv")


@router.get("/jobs/{job}/manifest")
def manifest(job: JobId, here: Here) -> dict[str, Any]:
    """The request of a job: how its file was read, its options, its model."""
    return codec.values(here.backend.manifest(job))


@router.get("/jobs/{job}/columns", response_class=Response, responses=content(_MEDIA_TYPES["arrow"]))
async def input_columns(job: JobId, here: Here, reads: Reads) -> Response:
    """The types of the input's columns, and the index of a frame, as an Arrow stream."""
    columns = await reads.run(partial(here.backend.columns, job))
    if columns is None:
        raise Refused(404, "no_columns", f"the types of the columns of job {job} are unknown")
    return Response(columns.to_bytes(), media_type=_MEDIA_TYPES["arrow"])


@router.get("/jobs/{job}/notifications")
def notifications(job: JobId, here: Here) -> dict[str, Any]:
    """The delivery attempts of the job's webhook, and the time of the next one."""
    return codec.values(here.backend.notification(job))


@router.post("/jobs/{job}/cancel", status_code=202)
async def cancel(job: JobId, here: Here, reads: Reads) -> dict[str, Any]:
    """Cancel a job: rows that are done stay. Works while Redis is away."""
    with suppress(RedisUnreachable):  # the cancel has been recorded
        await reads.run(partial(here.backend.cancel, job))
    return job_document(await run_in_threadpool(here.backend.status, job))


@router.post("/jobs/{job}/pause", status_code=202)
async def pause(job: JobId, here: Here, reads: Reads) -> dict[str, Any]:
    """Stop scoring a job until it is resumed; chunks under way are finished. Works while Redis is away."""
    with suppress(RedisUnreachable):  # the pause has been recorded
        await reads.run(partial(here.backend.pause, job))
    return job_document(await run_in_threadpool(here.backend.status, job))


@router.post("/jobs/{job}/resume", status_code=202)
async def resume(job: JobId, here: Here, reads: Reads) -> dict[str, Any]:
    """Continue a paused job. Works while Redis is away."""
    with suppress(RedisUnreachable):  # that has been recorded
        await reads.run(partial(here.backend.resume, job))
    return job_document(await run_in_threadpool(here.backend.status, job))


@router.post("/jobs/{job}/retry", status_code=202)
async def retry(job: JobId, here: Here, export: Export) -> JSONResponse:
    """Make a job from the same rows: rows with a processing error, cancelled ones included, are scored again, the
    others keep their outcome. 409 if the job has not ended, 422 if no row has one."""
    await here.make_room()
    submitted = await export.run(partial(here.backend.retry, job))
    new = submitted.manifest.id
    document = job_document(await run_in_threadpool(here.backend.status, new))
    return JSONResponse(document, 202, {"Location": f"/v1/jobs/{new}"})


@router.delete("/jobs/{job}")
async def delete(
    job: str,
    here: Here,
    reads: Reads,
    cancel: bool = False,  # noqa: FBT001, FBT002 - a query's
) -> dict[str, Any]:
    """Delete a job with its rows, answers and records. With `cancel`, an unfinished job is cancelled first."""
    name, size = await reads.take(here.backend.deleting(job, _ENDING, cancel=cancel))
    return {"job": name, "bytes": size}


@router.get("/jobs/{job}/diff", response_class=StreamingResponse, responses=content("application/json"))
async def diff(
    job: JobId,
    here: Here,
    export: Export,
    other: Annotated[str, Query(alias="with", description="the other job")],
    by: Literal["row", "id", "group"] = "row",
) -> StreamingResponse:
    """The rows, or groups, that two jobs answer differently, and their counts, as in `producer diff --json`."""
    second, summary = await export.run(partial(here.backend.find, other)), Summary()
    changes = here.backend.diff_batches(job, second, summary, by=by)
    return await export.stream(diff_document.write(job, second, changes, summary), media_type="application/json")


@router.get("/workers", tags=["workers"])
def workers(here: Here) -> list[dict[str, Any]]:
    """The running workers, and the chunk that each holds."""
    return [asdict(worker) for worker in here.backend.workers()]
