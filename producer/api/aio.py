"""The Python API for asyncio: the methods of `producer.api.client`, each in a thread, with the same signatures."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from producer.api.client import Client, Connected, Job, _shown
from producer.api.errors import api_errors

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from producer.api.display import JobProgress

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


def _in_thread(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A method of `Client` or `Job` as one of its asynchronous twin, `_sync` being the object itself."""

    @wraps(method)
    async def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, self._sync, *args, **kwargs)

    return called


def _giving(
    made: Callable[[T], R], method: Callable[Concatenate[Any, P], T]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """The same, with something made of the result."""

    @wraps(method)
    async def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return made(await asyncio.to_thread(method, self._sync, *args, **kwargs))

    return called


def _signature_of(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[[Callable[..., Coroutine[Any, Any, T]]], Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]]:
    """For an asynchronous method that is written out: it is called with all arguments of `method`, by name."""
    signature = inspect.signature(method)

    def decorated(written: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
        @wraps(method)
        async def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            return await written(**bound.arguments)

        return called

    return decorated


class AsyncJob:
    """`bulkqa.Job` for asyncio."""

    def __init__(self, job: Job) -> None:
        self._sync = job
        self.id = job.id

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncJob) and self._sync == other._sync

    def __hash__(self) -> int:
        return hash(self._sync)

    def _repr_html_(self) -> str:
        return self._sync._repr_html_()

    status = _in_thread(Job.status)
    cancel = _in_thread(Job.cancel)
    delete = _in_thread(Job.delete)
    predictions = _in_thread(Job.predictions)
    table = _in_thread(Job.table)
    results = _in_thread(Job.results)

    @_signature_of(Job.wait)
    async def wait(self, timeout: float | None, progress: Any, patience: float | None) -> JobProgress:
        """As `Job.wait`. A cancelled task stops waiting within a second or two, and the job goes on."""
        with api_errors(), ExitStack() as resources:
            show = _shown(progress, resources)
            steps = self._sync._follow(timeout, patience)
            latest = await asyncio.to_thread(next, steps)
            while True:
                show(latest)
                later = await asyncio.to_thread(next, steps, None)
                if later is None:
                    return latest
                latest = later


def _async_jobs(jobs: list[Job]) -> list[AsyncJob]:
    return [AsyncJob(job) for job in jobs]


class AsyncClient(Connected):
    """`bulkqa.Client` for asyncio: use it as `async with AsyncClient() as client`. It raises the same errors."""

    @property
    def _sync(self) -> Client:
        return Client.over(self._backend)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    close = _in_thread(Client.close)
    submit = _giving(AsyncJob, Client.submit)
    job = _giving(AsyncJob, Client.job)
    jobs = _giving(_async_jobs, Client.jobs)
    workers = _in_thread(Client.workers)
