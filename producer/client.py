"""The Python API: what the `producer` command does, with DataFrames. Imports pandas only where one is made or given."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pandas as pd

    from contract.format.job import Options
    from contract.ledger.progress import Progress
    from contract.queue import Queue, WorkerInfo
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.input.source import ReadOptions


class Client:
    """A connection to the storage and the Redis that workers share.

    Both come from the environment (BULKQA_STORAGE_URL, BULKQA_REDIS_URL) unless they are given.
    Errors are those of `contract.errors`.
    """

    def __init__(self, storage: str | None = None, redis: str | None = None) -> None:
        from contract import settings
        from contract.namespace import open_queue
        from contract.storage import open_storage

        self._settings: Settings = settings.load(storage_url=storage, redis_url=redis)
        self._storage: Storage = open_storage(self._settings.storage_url, create=True)
        self._queue = open_queue(self._settings, self._storage)

    def submit(
        self,
        data: str | Path | BinaryIO | pd.DataFrame,
        *,
        read: ReadOptions | None = None,
        options: Options | None = None,
        model: str | None = None,
        key: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Job:
        """Submit a file or a DataFrame. With a `key`, submitting the same twice gives the first job.

        Raises InputError if the data as a whole cannot be read, RedisUnreachable before anything was written.
        """
        from contract.format.job import Options
        from producer.input.source import ReadOptions
        from producer.jobs.submit import Request, submit_and_send

        request = Request(read or ReadOptions(), options or Options(), model or "", key, metadata or {})
        file = data if isinstance(data, str | Path) or hasattr(data, "read") else _parquet(data)
        submitted = submit_and_send(file, self._storage, self._queue, self._settings, request)
        return self.job(submitted.manifest.id)

    def job(self, job: str) -> Job:
        """A job that was submitted before. Raises UnknownJob."""
        from producer.jobs.find import find

        return Job(find(self._storage, job), self._storage, self._queue, self._settings)

    def close(self) -> None:
        """Close the connections to Redis."""
        self._queue.close()

    def workers(self) -> list[WorkerInfo]:
        """The workers that are there, with what each holds. Raises RedisUnreachable."""
        return self._queue.workers()

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        from contract.ledger import records

        return [Job(job, self._storage, self._queue, self._settings) for job in records.jobs(self._storage)]


class Job:
    """A submitted job."""

    def __init__(self, job: str, storage: Storage, queue: Queue, settings: Settings) -> None:
        self.id = job
        self._storage = storage
        self._queue = queue
        self._settings = settings

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def status(self) -> Progress:
        """Where the job stands now. Raises StorageUnreachable; without Redis that is the `reason`."""
        from contract.ledger import records

        return records.status(self._storage, self._queue, self.id)

    def wait(self, timeout: float | None = None, progress: Callable[[Progress], None] | None = None) -> Progress:
        """Until the job has ended, whatever its end. Raises TimeoutError; the job then goes on."""
        from producer.jobs.follow import TimedOut, follow

        try:
            for latest in follow(self.id, self._storage, self._queue, self._settings, timeout):
                if progress:
                    progress(latest)
        except TimedOut as late:
            raise TimeoutError(str(late)) from late
        return latest

    def cancel(self) -> None:
        """Ask for the job's end: rows that are done stay. Raises RedisUnreachable once the cancel is noted."""
        from contract.ledger.reconcile import cancel

        cancel(self.id, self._storage, self._queue, self._settings)

    def delete(self, *, cancel: bool = False, force: bool = False) -> None:
        """Remove the job with all its rows, answers and records. One under way is refused, unless it is to be cancelled
        first, or removed as it is. Raises UsageError."""
        from producer.jobs.remove import delete

        delete(self.id, self._storage, self._queue, self._settings, cancel=cancel, force=force)

    def predictions(self) -> list[dict[str, Any]]:
        """Predictions in row order: of an unfinished job, those that are there without a gap."""
        from producer.jobs.follow import ready_lines

        return [json.loads(line) for block in ready_lines(self.id, self._storage) for line in block.splitlines()]

    def results(self) -> pd.DataFrame:
        """The same as a DataFrame, indexed by row. Columns that were passed through get their own names back, but for
        those that would hide a column of the prediction: these are prefixed with `input_`. Needs the extra [pandas]."""
        pd = _pandas()
        rows = []
        for prediction in self.predictions():
            passed = prediction.pop("passthrough", {})
            error = prediction.pop("error", None) or {}
            row = prediction | {"error_code": error.get("code"), "error_message": error.get("message")}
            rows.append(row | {f"input_{name}" if name in row else name: value for name, value in passed.items()})
        return pd.DataFrame(rows).set_index("row") if rows else pd.DataFrame()


def _pandas() -> Any:
    from contract.errors import UsageError

    try:
        import pandas
    except ImportError as error:
        raise UsageError(
            "results are given as a DataFrame, and pandas is not installed",
            "Install it: pip install 'bulkqa[pandas]'. Or call predictions(), which gives the same as dictionaries.",
        ) from error
    return pandas


def _parquet(frame: Any) -> BinaryIO:
    """A DataFrame as a Parquet file in memory, without its index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
    file.seek(0)
    return file
