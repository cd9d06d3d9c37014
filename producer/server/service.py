"""What all routes share: the storage and the queue, a reader of uploads, and the followers of jobs that are watched."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from contract.errors import BulkqaError
from contract.ledger import records
from contract.ledger.progress import Progress
from contract.ledger.sweeper import open_jobs
from contract.queue import Queue
from contract.settings import Settings
from contract.storage import Storage
from producer.jobs.find import find
from producer.jobs.follow import follow
from producer.results.scores import Scores
from producer.server.metrics import Metrics
from producer.server.problems import Refused
from producer.server.uploads import Reader
from producer.times import dated

log = logging.getLogger("bulkqa.server")

#: Jobs that are followed at once; whoever watches another gets its turn when one of them has ended.
_FOLLOWED = 64
#: Seconds after which who watches a job is told again where it stands.
_SILENCE = 2.0
#: Seconds for which the count of jobs under way is believed.
_COUNTED = 2.0


@dataclass
class Service:
    """The server's own. Nothing of a job is held here: another server beside it says the same."""

    settings: Settings
    storage: Storage
    queue: Queue
    reader: Reader
    hidden: Mapping[str, str]  #: places of the server, each with what is said instead
    followed: Followed = field(init=False)
    scores: Scores = field(init=False)
    metrics: Metrics = field(init=False)
    listed: dict[str, Progress] = field(
        default_factory=dict
    )  #: jobs that have ended, for a list that is asked for often
    _ended: set[str] = field(default_factory=set)
    _open: tuple[float, int] = (-_COUNTED, 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.followed = Followed(self)
        self.scores = Scores(self.storage)
        self.metrics = Metrics(self.storage, self.queue, self.settings.model)

    def find(self, job: str) -> str:
        """The id of a job. Raises UnknownJob."""
        return find(self.storage, job)

    def status(self, job: str) -> dict[str, Any]:
        """Where a job stands, as `told`."""
        return self.told(records.status(self.storage, self.queue, job))

    def told(self, progress: Progress) -> dict[str, Any]:
        """The fields of `producer status --json`; where outputs are, as paths of this server."""
        said = dict(dated(progress))
        here = f"/v1/jobs/{progress.id}"
        places = {"output_uri": f"{here}/results", "error_uri": f"{here}/errors"}
        said |= {name: place for name, place in places.items() if said[name]}
        said["outputs"] = {
            name: about | {"uri": places["error_uri" if name == "errors" else "output_uri"]}
            for name, about in said["outputs"].items()
        }
        return said

    def make_room(self) -> None:
        """Raise Refused where as many jobs are under way as may be."""
        with self._lock:
            if time.monotonic() - self._open[0] > _COUNTED:
                self._open = (time.monotonic(), len(open_jobs(self.storage, self._ended)))
            if self._open[1] >= self.settings.api_jobs:
                raise Refused(
                    429, "too_many_jobs", f"{self._open[1]:,} jobs are under way, as many as may be",
                    "Submit again when some of them have ended.", 30,
                )  # fmt: skip


class Followed:
    """Jobs that somebody watches: each followed once, however many look on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = ThreadPoolExecutor(_FOLLOWED, "follow")
        self._jobs: dict[str, _Job] = {}

    async def watch(self, job: str) -> AsyncIterator[Progress]:
        """Where a job stands, whenever that has changed and every few seconds, until it has ended. Raises what `follow`
        would."""
        followed = self._jobs.get(job)
        if followed is None:
            followed = self._jobs[job] = _Job()
            followed.task = asyncio.create_task(self._follow(job, followed))
        followed.watchers += 1
        seen = 0
        try:
            while True:
                with suppress(TimeoutError):  # told again, so that whoever looks on knows that we are there
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
        given = self._service
        steps: Iterator[Progress] = follow(job, given.storage, given.queue, given.settings)
        loop = asyncio.get_running_loop()
        try:
            while (step := await loop.run_in_executor(self._threads, next, steps, None)) is not None:
                await followed.tell(step)
        except BulkqaError as error:
            await followed.tell(None, error)
        except Exception:  # whoever looks on must not wait for ever
            log.exception("job %s cannot be followed", job)
            await followed.tell(None, BulkqaError(f"job {job} cannot be followed; the server's log says why"))
        finally:
            self._forget(job, followed)

    def _forget(self, job: str, followed: _Job) -> None:
        """That it is followed, unless it is by now for somebody who came later."""
        if self._jobs.get(job) is followed:
            del self._jobs[job]

    def close(self) -> None:
        """Follow nothing any more."""
        for followed in list(self._jobs.values()):
            if followed.task:
                followed.task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Job:
    """One that is followed."""

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
    """The service of the application that a request is for."""
    service: Service = request.app.state.service
    return service


def job_of(job: str, request: Request) -> str:
    """The id of the job in the path. Raises UnknownJob."""
    return of_request(request).find(job)


Here = Annotated[Service, Depends(of_request)]
JobId = Annotated[str, Depends(job_of)]
