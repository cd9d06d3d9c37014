"""The Python API for asyncio: the methods of `Client` and `Job`, each in a thread, with the same signatures."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from producer.api.client import Client
from producer.api.connection import Connection
from producer.api.errors import api_errors
from producer.api.job import Job, _progress_display

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from producer.api.display import JobProgress
    from producer.api.job import Diff

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

#: Of each of the two pools. A wait takes a thread for a second or two at a time.
_THREADS = 32


async def _called(pool: str, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """The result of a call in a thread of this module: the application's own executor is left to the application."""
    run = partial(contextvars.copy_context().run, call, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool(pool, os.getpid()), run)


@cache
def _pool(name: str, process: int) -> ThreadPoolExecutor:
    """The threads of a process, since a fork has none of its parent's. Waits have some of their own: however many there
    are, other calls go on."""
    return ThreadPoolExecutor(_THREADS, f"bulkqa-{name}")


def _in_thread(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A method of `Client` or `Job` as a coroutine method; `self._sync` is the `Client` or `Job`."""

    @wraps(method)
    async def wrapper(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await _called("call", method, self._sync, *args, **kwargs)

    return wrapper


def _in_thread_as(
    convert: Callable[[T], R], method: Callable[Concatenate[Any, P], T]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """The same, and its result is converted."""

    @wraps(method)
    async def wrapper(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return convert(await _called("call", method, self._sync, *args, **kwargs))

    return wrapper


def _signature_of(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[[Callable[..., Coroutine[Any, Any, T]]], Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]]:
    """Give a hand-written coroutine method the signature of `method`; it gets all arguments by name."""
    signature = inspect.signature(method)

    def decorate(coroutine: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
        @wraps(method)
        async def wrapper(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            return await coroutine(**bound.arguments)

        return wrapper

    return decorate


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
    pause = _in_thread(Job.pause)
    resume = _in_thread(Job.resume)
    delete = _in_thread(Job.delete)
    predictions = _in_thread(Job.predictions)
    table = _in_thread(Job.table)
    results = _in_thread(Job.results)
    groups = _in_thread(Job.groups)
    group_answers = _in_thread(Job.group_answers)
    verify = _in_thread(Job.verify)
    retry = _in_thread_as(lambda job: AsyncJob(job), Job.retry)
    logs = _in_thread(Job.logs)
    notifications = _in_thread(Job.notifications)
    sample = _in_thread(Job.sample)
    judge = _in_thread(Job.judge)
    verdicts = _in_thread(Job.verdicts)
    trust = _in_thread(Job.trust)
    labels = _in_thread(Job.labels)

    @_signature_of(Job.diff)
    async def diff(self, other: AsyncJob, by_id: bool, by_group: bool) -> Diff:  # noqa: FBT001 - they come by name
        """Like `Job.diff`."""
        other_job = other._sync if isinstance(other, AsyncJob) else other
        return await _called("call", Job.diff, self._sync, other_job, by_id=by_id, by_group=by_group)

    @_signature_of(Job.wait)
    async def wait(self, timeout: float | None, progress: Any, patience: float | None) -> JobProgress:
        """Like `Job.wait`. A cancelled task stops waiting within a second or two; the job continues."""
        with api_errors(), ExitStack() as resources:
            show = _progress_display(progress, resources)
            steps = self._sync._follow(timeout, patience)
            state: JobProgress = await _called("wait", next, steps)
            while True:
                show(state)
                following = await _called("wait", next, steps, None)
                if following is None:
                    return state
                state = following


def _async_jobs(jobs: list[Job]) -> list[AsyncJob]:
    return [AsyncJob(job) for job in jobs]


class AsyncClient(Connection):
    """`bulkqa.Client` for asyncio: use it as `async with AsyncClient() as client`. It raises the same errors."""

    @property
    def _sync(self) -> Client:
        return Client._over(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    close = _in_thread(Client.close)
    submit = _in_thread_as(AsyncJob, Client.submit)
    answer = _in_thread(Client.answer)
    job = _in_thread_as(AsyncJob, Client.job)
    jobs = _in_thread_as(_async_jobs, Client.jobs)
    workers = _in_thread(Client.workers)
    check = _in_thread(Client.check)
    forecast = _in_thread(Client.forecast)
    du = _in_thread(Client.du)
    gc = _in_thread(Client.gc)
