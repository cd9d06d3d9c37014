"""What all routes share: the backend, the reader of uploads, the lanes, the followers of jobs that are watched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from contract.errors import BulkqaError
from contract.format import layout
from contract.format.job import job_of_key
from contract.ledger.progress import Progress
from contract.ledger.sweeper import open_jobs
from contract.namespace import known_id
from contract.remedy import Remedy
from producer.backend.direct import DirectBackend
from producer.jobs.answer import PATIENCE, is_served, unserved
from producer.jobs.find import is_id
from producer.server.access import client_of
from producer.server.metrics import Metrics
from producer.server.problems import Refused, remedied, without
from producer.server.shares import AtOnce, Lane, Recent, Turns
from producer.server.uploads.reader import Reader
from producer.times import dated

log = logging.getLogger("bulkqa.server")

#: Threads of the lanes, and how many of them a client has at once. Exports are work for one processor: so that others
#: have at least half of it, a client makes one block at a time.
_READS, _READS_EACH = 16, 4
_ANSWERS, _ANSWERS_EACH = 32, 16
_EXPORTS, _EXPORTS_EACH = 8, 1
#: Questions of a client that are under way, at most.
_QUESTIONS = 32
#: Threads in which jobs that are watched are polled.
_FOLLOWERS = 8
#: Seconds after which an export may be tried again.
_AFTER = 5
#: Seconds after which an unchanged status is sent again.
_SILENCE = 2.0
#: Seconds for which a count of unfinished jobs, and the list of workers, are used again; and while a worker is awaited.
_COUNTED, _SEEN = 2.0, 0.25


@dataclass
class Service:
    """The state of a server. None of it is a job's: several servers can stand in front of one storage."""

    backend: DirectBackend
    reader: Reader
    hidden: Mapping[str, str]  #: places of the server, and what to say instead of each
    followed: Followed = field(init=False)
    metrics: Metrics = field(init=False)
    #: The lanes of requests that read rows or wait, of questions, and of exports; and the exports that are under way.
    reads: Lane = field(default_factory=lambda: Lane(_READS, _READS_EACH))
    answers: Lane = field(default_factory=lambda: Lane(_ANSWERS, _ANSWERS_EACH))
    exports: Lane = field(default_factory=lambda: Lane(_EXPORTS, _EXPORTS_EACH))
    exporting: AtOnce = field(init=False)
    questions: AtOnce = field(default_factory=lambda: AtOnce(_QUESTIONS, "busy", "questions", 1))

    def __post_init__(self) -> None:
        backend, ended = self.backend, set[str]()
        self.followed = Followed(backend)
        self.metrics = Metrics(backend.storage, backend.queue, backend.settings.model)
        self.exporting = AtOnce(backend.settings.api_exports, "too_many_exports", "exports", _AFTER)
        self._open = Recent(lambda: len(open_jobs(backend.storage, ended)))
        self._workers = Recent(backend.workers)
        self._storage_id = known_id(backend.storage)

    async def make_room(self) -> None:
        """Raise Refused if as many jobs are unfinished as the server allows."""
        unfinished = await self._open.get(_COUNTED)
        if unfinished >= self.backend.settings.api_jobs:
            raise Refused(
                429, "too_many_jobs", f"{unfinished:,} jobs are unfinished, as many as this server takes",
                "Submit again when some of them have ended.", 30,
            )  # fmt: skip

    async def await_worker(self, model: str, key: str | None, turns: Turns) -> None:
        """Wait until a worker serves a model, unless the job of the key has ended. Raises NoWorker after a few seconds
        without one, and RedisUnreachable."""
        if key:
            has_ended = await turns.run(partial(self.backend.storage.exists, layout.report(job_of_key(key))))
            if has_ended:
                return
        ends, age = anyio.current_time() + PATIENCE, _COUNTED
        while not is_served(model, workers := await self._workers.get(age), self._storage_id):
            if anyio.current_time() > ends:
                raise await turns.run(partial(unserved, model, workers, self.backend.queue))
            await anyio.sleep(_SEEN)
            age = _SEEN

    def public(self, document: Any) -> Any:
        """A JSON document without the names of the server's places."""
        return without(document, self.hidden)

    def close(self) -> None:
        """Stop following jobs, and close the connections."""
        self.followed.close()
        self.backend.close()


#: The paths of outputs that have other names.
_PATHS = {"predictions": "results"}


def job_document(progress: Progress) -> dict[str, Any]:
    """The fields of `producer status --json`; outputs are paths of this server, remedies in the words of HTTP."""
    document = dict(dated(progress))
    if progress.reason:
        document["reason"] |= remedied(Remedy(progress.reason.remedy or ""))
    path = f"/v1/jobs/{progress.id}"
    uris = {"output_uri": f"{path}/results", "error_uri": f"{path}/errors"}
    document |= {name: uri for name, uri in uris.items() if document[name]}
    document["outputs"] = {
        name: about | {"uri": f"{path}/{_PATHS.get(name, name)}"} for name, about in document["outputs"].items()
    }
    return document


class Followed:
    """The jobs that are watched. Each is followed once, however many clients watch it."""

    def __init__(self, backend: DirectBackend) -> None:
        self._backend = backend
        self._threads = anyio.CapacityLimiter(_FOLLOWERS)
        self._jobs: dict[str, _Job] = {}

    async def watch(self, job: str) -> AsyncIterator[Progress]:
        """A job's status, after each change and every few seconds, until it has ended. Raises what `follow` raises."""
        followed = self._jobs.get(job)
        if followed is None:
            followed = self._jobs[job] = _Job()
            followed.task = asyncio.create_task(self._follow(job, followed))
        followed.watchers += 1
        seen = 0
        try:
            while True:
                with suppress(TimeoutError):  # sent again, so that a client knows that the server is there
                    await asyncio.wait_for(followed.after(seen), _SILENCE)
                if followed.latest is None and followed.error is None:
                    continue
                if followed.error:
                    raise followed.error
                seen, latest = followed.step, followed.latest
                assert latest is not None  # noqa: S101 - for the type checker: a step came with it
                yield latest
                if latest.finished:
                    return
        finally:
            followed.watchers -= 1
            if not followed.watchers and followed.task:
                self._forget(job, followed)
                followed.task.cancel()

    async def _follow(self, job: str, followed: _Job) -> None:
        polls = partial(next, self._backend.polls(job), None)
        try:
            while (poll := await to_thread.run_sync(polls, limiter=self._threads)) is not None:
                progress, pause = poll
                await followed.tell(progress)
                if not progress.finished:
                    await anyio.sleep(pause)
        except BulkqaError as error:
            await followed.tell(None, error)
        except Exception:  # those who watch must not wait forever
            log.exception("job %s cannot be followed", job)
            await followed.tell(None, BulkqaError(f"job {job} cannot be followed; the server's log says why"))
        finally:
            self._forget(job, followed)

    def _forget(self, job: str, followed: _Job) -> None:
        """Forget a job that is no longer followed, unless a later watcher follows it again."""
        if self._jobs.get(job) is followed:
            del self._jobs[job]

    def close(self) -> None:
        """Stop following."""
        for followed in list(self._jobs.values()):
            if followed.task:
                followed.task.cancel()


class _Job:
    """A job that is followed, and its latest status."""

    def __init__(self) -> None:
        self.watchers = 0
        self.step = 0
        self.latest: Progress | None = None
        self.error: BulkqaError | None = None
        self.task: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def tell(self, latest: Progress | None, error: BulkqaError | None = None) -> None:
        if latest == self.latest and error is None:
            return
        async with self._news:
            self.latest, self.error = latest or self.latest, error
            self.step += 1
            self._news.notify_all()

    async def after(self, step: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.step > step)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


# All of these are coroutines: the framework would call a function in one of its threads.


async def of_request(request: Request) -> Service:
    """The service of the application."""
    return _service(request)


async def job_of(job: str, request: Request) -> str:
    """The id of the job in the path, given the id or its beginning. Raises UnknownJob."""
    backend = _service(request).backend
    if await run_in_threadpool(is_id, backend.storage, job):
        return job
    return await (await reads_of(request)).run(partial(backend.find, job))


async def reads_of(request: Request) -> Turns:
    """The turns of a request that reads rows, or all jobs, or waits."""
    return Turns(_service(request).reads, client_of(request.scope), request.is_disconnected)


async def export_of(request: Request) -> AsyncIterator[Turns]:
    """The turns of an export. Raises Refused if its client has as many as it may."""
    service, client = _service(request), client_of(request.scope)
    with service.exporting.held(client):
        yield Turns(service.exports, client, request.is_disconnected)


Here = Annotated[Service, Depends(of_request)]
JobId = Annotated[str, Depends(job_of)]
Reads = Annotated[Turns, Depends(reads_of)]
Export = Annotated[Turns, Depends(export_of)]
