"""What all routes share: the backend, the reader of uploads, the followers of jobs that are watched."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from contract.errors import BulkqaError
from contract.ledger.progress import Progress
from contract.ledger.sweeper import open_jobs
from contract.remedy import Remedy
from producer.backend import Backend
from producer.backend.direct import DirectBackend
from producer.server.metrics import Metrics
from producer.server.problems import Refused, remedied, without
from producer.server.uploads.reader import Reader
from producer.times import dated

log = logging.getLogger("bulkqa.server")

#: Jobs that are followed at once; another one is followed when one of them has ended.
_FOLLOWED = 64
#: Seconds after which an unchanged status is sent again.
_SILENCE = 2.0
#: Seconds for which a count of unfinished jobs is used again.
_COUNTED = 2.0


@dataclass
class Service:
    """The state of a server. None of it is a job's: several servers can stand in front of one storage."""

    backend: DirectBackend
    reader: Reader
    hidden: Mapping[str, str]  #: places of the server, and what to say instead of each
    followed: Followed = field(init=False)
    metrics: Metrics = field(init=False)
    _ended: set[str] = field(default_factory=set)
    _open: tuple[float, int] = (-_COUNTED, 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.followed = Followed(self.backend)
        self.metrics = Metrics(self.backend.storage, self.backend.queue, self.backend.settings.model)

    def make_room(self) -> None:
        """Raise Refused if as many jobs are unfinished as the server allows."""
        with self._lock:
            if time.monotonic() - self._open[0] > _COUNTED:
                self._open = (time.monotonic(), len(open_jobs(self.backend.storage, self._ended)))
            if self._open[1] >= self.backend.settings.api_jobs:
                raise Refused(
                    429, "too_many_jobs", f"{self._open[1]:,} jobs are unfinished, as many as this server takes",
                    "Submit again when some of them have ended.", 30,
                )  # fmt: skip

    def public(self, document: Any) -> Any:
        """A JSON document without the names of the server's places."""
        return without(document, self.hidden)

    def close(self) -> None:
        """Stop following jobs, and close the connections."""
        self.followed.close()
        self.backend.close()


def job_document(progress: Progress) -> dict[str, Any]:
    """The fields of `producer status --json`; outputs are paths of this server, remedies in the words of HTTP."""
    document = dict(dated(progress))
    if progress.reason:
        document["reason"] |= remedied(Remedy(progress.reason.remedy or ""))
    path = f"/v1/jobs/{progress.id}"
    uris = {"output_uri": f"{path}/results", "error_uri": f"{path}/errors"}
    document |= {name: uri for name, uri in uris.items() if document[name]}
    document["outputs"] = {
        name: about | {"uri": uris["error_uri" if name == "errors" else "output_uri"]}
        for name, about in document["outputs"].items()
    }
    return document


class Followed:
    """The jobs that are watched. Each is followed once, however many clients watch it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._threads = ThreadPoolExecutor(_FOLLOWED, "follow")
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
        steps = self._backend.follow(job)
        loop = asyncio.get_running_loop()
        try:
            while (step := await loop.run_in_executor(self._threads, next, steps, None)) is not None:
                await followed.tell(step)
        except BulkqaError as error:
            await followed.tell(None, error)
        except Exception:  # those who watch must not wait forever
            log.exception("job %s cannot be followed", job)
            await followed.tell(None, BulkqaError(f"job {job} cannot be followed; the server's log says why"))
        finally:
            self._forget(job, followed)

    def _forget(self, job: str, followed: _Job) -> None:
        """Forget a job that is followed no more, unless a later watcher has it followed anew."""
        if self._jobs.get(job) is followed:
            del self._jobs[job]

    def close(self) -> None:
        """Stop following."""
        for followed in list(self._jobs.values()):
            if followed.task:
                followed.task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


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


def of_request(request: Request) -> Service:
    """The service of the application."""
    service: Service = request.app.state.service
    return service


def job_of(job: str, request: Request) -> str:
    """The id of the job in the path. Raises UnknownJob."""
    return of_request(request).backend.find(job)


Here = Annotated[Service, Depends(of_request)]
JobId = Annotated[str, Depends(job_of)]
