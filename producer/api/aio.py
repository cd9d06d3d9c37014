"""The Python API for asyncio: the same methods as `producer.api.client`, each in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from producer.api.client import PATIENCE, Client, Job
from producer.api.words import api_words

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self, Unpack

    import pandas as pd
    import pyarrow as pa

    from contract.format.job import Options
    from contract.queue import WorkerInfo
    from producer.api.arguments import Keywords
    from producer.api.client import Data
    from producer.api.display import JobProgress
    from producer.input.options import ReadOptions


class AsyncClient:
    """`bulkqa.Client` for asyncio, to be used as `async with AsyncClient() as client`. Errors are the same."""

    def __init__(
        self,
        storage: str | os.PathLike[str] | None = None,
        redis: str | None = None,
        *,
        server: str | None = None,
        token: str | None = None,
    ) -> None:
        self._client = Client(storage, redis, server=server, token=token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._client!r}"

    async def close(self) -> None:
        """Close the connections. Jobs go on."""
        await asyncio.to_thread(self._client.close)

    async def submit(
        self,
        data: Data,
        *,
        read: ReadOptions | None = None,
        options: Options | None = None,
        model: str | None = None,
        key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        notify: str | None = None,
        expire: str | None = None,
        **keywords: Unpack[Keywords],
    ) -> AsyncJob:
        """As `Client.submit`."""
        given: dict[str, Any] = {"read": read, "options": options, "model": model, "key": key, "metadata": metadata}
        given |= {"notify": notify, "expire": expire}
        return AsyncJob(await asyncio.to_thread(self._client.submit, data, **given, **keywords))

    async def job(self, job: str) -> AsyncJob:
        """As `Client.job`."""
        return AsyncJob(await asyncio.to_thread(self._client.job, job))

    async def jobs(
        self,
        *,
        status: str | Iterable[str] = (),
        limit: int | None = None,
        metadata: Mapping[str, str] | None = None,
        model: str | None = None,
    ) -> list[AsyncJob]:
        """As `Client.jobs`."""
        given: dict[str, Any] = {"status": status, "limit": limit, "metadata": metadata, "model": model}
        return [AsyncJob(job) for job in await asyncio.to_thread(self._client.jobs, **given)]

    async def workers(self) -> list[WorkerInfo]:
        """As `Client.workers`."""
        return await asyncio.to_thread(self._client.workers)


class AsyncJob:
    """`bulkqa.Job` for asyncio."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.id = job.id

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncJob) and self._job == other._job

    def __hash__(self) -> int:
        return hash(self._job)

    def _repr_html_(self) -> str:
        return self._job._repr_html_()

    async def status(self) -> JobProgress:
        """As `Job.status`."""
        return await asyncio.to_thread(self._job.status)

    async def wait(
        self,
        timeout: float | None = None,
        progress: bool | Callable[[JobProgress], None] = False,  # noqa: FBT001, FBT002
        *,
        patience: float | None = PATIENCE,
    ) -> JobProgress:
        """As `Job.wait`. A task that is cancelled stops waiting within a second or two, and the job goes on."""
        with api_words(), ExitStack() as resources:
            show = progress if callable(progress) else self._job._bar(resources) if progress else None
            steps = self._job._follow(timeout, patience)
            latest = await asyncio.to_thread(next, steps)
            while True:
                if show:
                    show(latest)
                later = await asyncio.to_thread(next, steps, None)
                if later is None:
                    return latest
                latest = later

    async def cancel(self) -> None:
        """As `Job.cancel`."""
        await asyncio.to_thread(self._job.cancel)

    async def delete(self, *, cancel: bool = False, force: bool = False) -> None:
        """As `Job.delete`."""
        await asyncio.to_thread(self._job.delete, cancel=cancel, force=force)

    async def predictions(self) -> list[dict[str, Any]]:
        """As `Job.predictions`."""
        return await asyncio.to_thread(self._job.predictions)

    async def table(self) -> pa.Table:
        """As `Job.table`."""
        return await asyncio.to_thread(self._job.table)

    async def results(self, *, long: bool = False) -> pd.DataFrame:
        """As `Job.results`."""
        return await asyncio.to_thread(self._job.results, long=long)
