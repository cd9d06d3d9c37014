"""The Python API: what the `producer` command does, with DataFrames. Imports pandas only where one is made or given."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from producer.api.arguments import check_seconds, check_states, check_text, checked_metadata, options_of

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import IO, Self, TypeAlias, Unpack

    import pandas as pd
    import pyarrow as pa

    from contract.format.job import Options
    from contract.queue import WorkerInfo
    from producer.api.arguments import Keywords
    from producer.api.display import JobProgress
    from producer.backend import Backend
    from producer.input.options import ReadOptions
    from producer.results.typed import Shape

    #: A path, an open file, bytes; a DataFrame, records, columns, or a table of any library of Arrow.
    Data: TypeAlias = (
        str | os.PathLike[str] | IO[bytes] | IO[str] | bytes | pd.DataFrame | Iterable[Mapping[str, Any]] | Any
    )

log = logging.getLogger("bulkqa.client")

#: Why a job waits that nobody will score before somebody does something.
_NOBODY = ("no_worker", "other_model", "other_storage")
#: For how long `wait` lets nobody serve a job's model, in seconds, unless it is told.
PATIENCE = 300.0


class Client:
    """A connection to the storage and the Redis that workers share, or to a `producer serve` in front of them.

    What is not given comes from the environment: BULKQA_STORAGE_URL and BULKQA_REDIS_URL, or BULKQA_SERVER and
    BULKQA_API_TOKEN. To be closed, or used as `with Client() as client`. Raises errors of `contract.errors` only, here
    and in all methods: UsageError for an address that is none, StorageUnreachable for a storage that cannot be made,
    Unreachable where a server does not answer.
    """

    def __init__(
        self,
        storage: str | os.PathLike[str] | None = None,
        redis: str | None = None,
        *,
        server: str | None = None,
        token: str | None = None,
    ) -> None:
        from contract import settings
        from contract.errors import UsageError
        from producer.api.words import api_words
        from producer.backend import open_backend

        with api_words():
            place = None if storage is None else str(storage)
            if place or redis:
                if server:
                    raise UsageError("a server is asked instead of a storage and Redis", "Give one or the other.")
                server = ""
            given = settings.load(storage_url=place, redis_url=redis, server=server, api_token=token)
            self._backend: Backend = open_backend(given, create=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._backend.url!r})"

    def close(self) -> None:
        """Close the connections. Jobs go on."""
        self._backend.close()

    def submit(
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
    ) -> Job:
        """Submit questions and contexts, and give their job. With a `key`, the same twice gives the first job. `notify`
        is a URL to which the sweeper tells that the job has ended, `expire` how long after that it removes it: "30d".

        `data`: the path of a file; an open file, of bytes or text; bytes; a pandas DataFrame; a list of dicts, a dict
        of columns; or a table that has the Arrow PyCapsule interface, as those of pyarrow, polars and DuckDB. The
        fields of `read` and `options` may be given as keywords: `submit(frame, question="q", top_k=3)`.

        A row that cannot be scored is no error here: it has an error in the results. Raises InputError if the data as a
        whole cannot be read, UsageError for an option, key or model that cannot be, RedisUnreachable before anything
        was written, StorageUnreachable.
        """
        from producer.api.data import taken
        from producer.api.words import api_words
        from producer.jobs.submit import Request
        from producer.times import span

        with api_words():
            reading, answering = options_of(read, options, dict(keywords))
            check_text(model=model, key=key, notify=notify, expire=expire)
            about = checked_metadata(metadata)
            file, columns = taken(data)
            request = Request(
                reading, answering, model or "", key, about, columns, notify or "", span(expire) if expire else None
            )
            return self._job(self._backend.submit(file, request).manifest.id)

    def job(self, job: str) -> Job:
        """A job that was submitted before, by its id or an unambiguous beginning of it. Raises UnknownJob."""
        from contract.errors import UnknownJob
        from producer.api.words import api_words

        with api_words():
            if not isinstance(job, str):
                raise UnknownJob(f"{job!r} is not a job id", "Client.jobs() lists them.")
            return self._job(self._backend.find(job))

    def jobs(
        self,
        *,
        status: str | Iterable[str] = (),
        limit: int | None = None,
        metadata: Mapping[str, str] | None = None,
        model: str | None = None,
    ) -> list[Job]:
        """Jobs, oldest first: those of one of these states, with all of this metadata, of this model; the last `limit`.

        Raises UsageError for a state that there is not, StorageUnreachable.
        """
        from contract.errors import UsageError
        from producer.api.words import api_words
        from producer.jobs.select import JobFilter

        with api_words():
            states = (status,) if isinstance(status, str) else tuple(status)
            check_states(states)
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
                raise UsageError(f"limit must be a number of jobs, not {limit!r}")
            if not (states or metadata or model):
                return [self._job(job) for job in self._backend.ids(limit)]
            wanted = JobFilter(status=states, metadata=checked_metadata(metadata), model=model, limit=limit)
            found = self._backend.jobs(wanted)
            for job, complaint in found.damaged.items():  # passed over, with a word
                log.warning("job %s: %s", job, complaint)
            return [self._job(one.id) for one in found.jobs]

    def workers(self) -> list[WorkerInfo]:
        """The workers that are there, with what each holds. Raises RedisUnreachable."""
        from producer.api.words import api_words

        with api_words():
            return self._backend.workers()

    def _job(self, job: str) -> Job:
        return Job(job, self._backend)


class Job:
    """A submitted job."""

    def __init__(self, job: str, backend: Backend) -> None:
        self.id = job
        self._backend = backend

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self.id, self._backend.url) == (other.id, other._backend.url)

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    def status(self) -> JobProgress:
        """Where the job stands now. Raises StorageUnreachable; without Redis that is the `reason`."""
        from producer.api.display import JobProgress
        from producer.api.words import api_words

        with api_words():
            return JobProgress.of(self._backend.status(self.id))

    def wait(
        self,
        timeout: float | None = None,
        progress: bool | Callable[[JobProgress], None] = False,  # noqa: FBT001, FBT002 - as others have it
        *,
        patience: float | None = PATIENCE,
    ) -> JobProgress:
        """Until the job has ended, whatever its end, which is in the `status` of what is returned.

        `progress`: True for a bar in a notebook or on a terminal, or what is to be called with each standing. Where the
        job does not go on, the reason is logged as a warning of `bulkqa.client`. Whoever stops waiting ends no job.

        Raises TimedOut, a TimeoutError, after `timeout` seconds; NoWorker if for `patience` seconds no worker served
        the job's model from its storage (None: wait for one for ever); StorageUnreachable.
        """
        from producer.api.words import api_words

        with api_words(), ExitStack() as resources:
            show = progress if callable(progress) else self._bar(resources) if progress else None
            for latest in self._follow(timeout, patience):
                if show:
                    show(latest)
            return latest

    def _bar(self, resources: ExitStack) -> Callable[[JobProgress], None]:
        from producer.api.display import bar

        return resources.enter_context(bar())

    def _follow(self, timeout: float | None, patience: float | None) -> Iterator[JobProgress]:
        """Where the job stands, again and again until it has ended."""
        from contract.errors import NoWorker, TimedOut
        from producer.api.display import JobProgress
        from producer.jobs import follow

        for name, seconds in (("timeout", timeout), ("patience", patience)):
            check_seconds(name, seconds)
        alone_since: float | None = None
        told: str | None = None
        try:
            for step in self._backend.follow(self.id, timeout):
                found = JobProgress.of(step)
                yield found
                reason = found.reason if not found.finished else None
                if reason and reason.code != told:
                    log.warning("job %s waits: %s. %s", self.id, reason.message, reason.remedy or "")
                told = reason.code if reason else None
                if reason is None or reason.code not in _NOBODY:
                    alone_since = None
                    continue
                alone_since = time.monotonic() if alone_since is None else alone_since
                if patience is not None and time.monotonic() - alone_since >= patience:
                    raise NoWorker(
                        f"job {self.id} waits, and has for {patience:g} seconds: {reason.message}",
                        f"{reason.remedy} The job is kept. To wait longer: wait(patience=SECONDS), or None for ever.",
                    )
        except follow.TimedOut as late:
            reason = late.progress.reason
            raise TimedOut(f"{late}{f': {reason.message}' if reason else ''}", "The job goes on.") from late

    def cancel(self) -> None:
        """Ask for the job's end: rows that are done stay. Raises RedisUnreachable once the cancel is noted."""
        from producer.api.words import api_words

        with api_words():
            self._backend.cancel(self.id)

    def delete(self, *, cancel: bool = False, force: bool = False) -> None:
        """Remove the job with all its rows, answers and records. One under way is refused, unless it is to be cancelled
        first, or removed as it is. Raises UsageError."""
        from producer.api.words import api_words

        with api_words():
            self._backend.delete(self.id, cancel=cancel, force=force)

    def predictions(self) -> list[dict[str, Any]]:
        """Predictions in row order, as JSON has them: of an unfinished job, those that are there without a gap.

        Raises BulkqaError where they were altered or removed since the job ended, StorageUnreachable.
        """
        from producer.api.words import api_words

        with api_words():
            return [json.loads(line) for block in self._backend.lines(self.id) for line in block.splitlines()]

    def table(self) -> pa.Table:
        """The same as an Arrow table with a column `row`, in the types of the input: see `results`."""
        from producer.api.words import api_words

        with api_words():
            return self._shape()[0].table(self.predictions())

    def _shape(self) -> tuple[Shape, Any, Any]:
        """The columns of the predictions, those that were kept of the input, and the manifest."""
        from producer.results.typed import Shape

        manifest, kept = self._backend.manifest(self.id), self._backend.columns(self.id)
        return Shape(manifest, kept), kept, manifest

    def results(self, *, long: bool = False) -> pd.DataFrame:
        """The same as a DataFrame, with the index of the DataFrame that was submitted, else the numbers of the rows: so
        that `frame["answer"] = job.results()["answer"]` is right. Of an unfinished job: the rows that are ready.

        The columns, whatever the outcome: line, id, status, question, context, answer, start and end (Int64), score,
        raw_score, null_score, flags (lists), exact_match, f1, error_code, error_message, raw, alternatives (lists of
        dicts), and those that were passed through, in the types that they had: under their own names, but for those
        that would hide one of the others, which get `input_` before them. `long`: a row for each answer, of which
        `rank` counts from 1, instead of alternatives.

        Needs the extra [pandas]. Raises UsageError without it, BulkqaError where answers or the types of columns were
        altered or removed, StorageUnreachable.
        """
        from producer.api import pandas as frames
        from producer.api.words import api_words
        from producer.results.typed import shown_names

        with api_words():
            frames.need_pandas()
            shape, kept, manifest = self._shape()
            predictions = self.predictions()
            shown = {column.name: column.shown for column in shape.others}
            named = shown | ({manifest.id_column: "id"} if manifest.id_column else {})
            frame = frames.frame_of(shape.table(predictions), kept, named)
            if not shape.typed:
                passed = [prediction.get("passthrough") or {} for prediction in predictions]
                own = {manifest.question_column, manifest.context_column, manifest.id_column}
                keys = dict.fromkeys([*manifest.source.columns, *(key for row in passed for key in row)])
                frame = frames.expanded(frame, passed, shown_names(key for key in keys if key not in own))
            return frames.long_of(frame) if long else frame
