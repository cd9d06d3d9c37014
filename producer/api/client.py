"""The Python API: what the `producer` command does, with DataFrames. Imports pandas only if a DataFrame is used."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from producer.api.arguments import check_count, check_kind, check_seconds, checked_metadata
from producer.api.connection import Connection
from producer.api.errors import raises_api_errors

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import IO, Self, TypeAlias, Unpack

    import pandas as pd
    import pyarrow as pa

    from contract.format.job import Manifest, Options
    from contract.notifications.record import Notification
    from contract.queue import WorkerInfo
    from producer.api.display import JobProgress
    from producer.api.keywords import Keywords
    from producer.backend import Backend
    from producer.input.location import InputSpec
    from producer.input.options import ReadOptions
    from producer.jobs.check import Checked
    from producer.jobs.diff_document import Summary
    from producer.jobs.logs import Event
    from producer.jobs.usage import Usage
    from producer.jobs.verify import Verified
    from producer.request import Request
    from producer.results.columns import InputColumns
    from producer.results.typed import Shape

    #: A path, an open file, bytes; a DataFrame, records, columns, or a table of any Arrow library.
    Data: TypeAlias = (
        str | os.PathLike[str] | IO[bytes] | IO[str] | bytes | pd.DataFrame | Iterable[Mapping[str, Any]] | Any
    )

log = logging.getLogger("bulkqa.client")

#: Seconds without a worker for the job's model after which `wait` gives up, by default.
PATIENCE = 300.0


class Client(Connection):
    """A connection to the storage and Redis that the workers use, or to a `producer serve`.

    Arguments that are left out come from the environment: BULKQA_STORAGE_URL and BULKQA_REDIS_URL, or BULKQA_SERVER and
    BULKQA_API_TOKEN. Close it, or use it as `with Client() as client`. All methods raise errors of `contract.errors`
    only; this one raises UsageError for a malformed address, StorageUnreachable if the storage cannot be created, and
    Unreachable if a server does not answer.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Jobs continue."""
        self._backend.close()

    @raises_api_errors
    def submit(
        self,
        data: Data | None = None,
        *,
        documents: str | os.PathLike[str] | None = None,
        questions: Data | None = None,
        read: ReadOptions | None = None,
        options: Options | None = None,
        **keywords: Unpack[Keywords],
    ) -> Job:
        """Submit questions and contexts, or questions that are asked of documents, and return their job.

        `data`: the path of a file; an open file, binary or text; bytes; a pandas DataFrame; a list of dicts or a dict
        of columns; or a table with the Arrow PyCapsule interface, as those of pyarrow, polars and DuckDB. Options are
        keywords, `submit(frame, question="q", top_k=3)`; `read` and `options` take them as objects. A second call with
        the same `key` returns the first job.

        In place of `data`: `documents`, a folder, a pattern or an address, or with `text="column"` a table of them; and
        `questions`, data with a column `question`, a text file with one a line, or a list of texts.

        A row that cannot be scored raises nothing: its prediction has the error. Raises InputError if the data as a
        whole cannot be read, UsageError for a wrong option, key or model, RedisUnreachable before anything is written,
        StorageUnreachable.
        """
        from producer.api.data import asked

        source = asked(data, documents, questions)
        submitted = self._backend.submit(*_request(source, read, options, keywords))
        for note in submitted.notes:
            log.warning("job %s: %s", submitted.manifest.id, note)
        return self._job(submitted.manifest.id)

    @raises_api_errors
    def job(self, job: str) -> Job:
        """The job with an id, or with an unambiguous prefix of one. Raises UnknownJob."""
        from contract.errors import UnknownJob

        if not isinstance(job, str):
            raise UnknownJob(f"{job!r} is not a job id", "Client.jobs() lists them.")
        return self._job(self._backend.find(job))

    @raises_api_errors
    def jobs(
        self,
        *,
        status: str | Iterable[str] = (),
        limit: int | None = None,
        metadata: Mapping[str, str] | None = None,
        model: str | None = None,
    ) -> list[Job]:
        """Jobs, oldest first: in one of these states, with all of this metadata, for this model; only the last `limit`.

        Raises UsageError for an unknown state, StorageUnreachable.
        """
        from producer.jobs.select import JobFilter

        states = (status,) if isinstance(status, str) else tuple(status)
        check_count("limit", limit)
        job_filter = JobFilter(status=states, metadata=checked_metadata(metadata), model=model, limit=limit)
        if not (states or metadata or model):
            return [self._job(job) for job in self._backend.ids(limit)]
        listed = self._backend.jobs(job_filter)
        for job, problem in listed.damaged.items():
            log.warning("job %s is left out: %s", job, problem)
        return [self._job(progress.id) for progress in listed.jobs]

    @raises_api_errors
    def workers(self) -> list[WorkerInfo]:
        """The running workers, each with the chunk that it holds. Raises RedisUnreachable."""
        return self._backend.workers()

    @raises_api_errors
    def check(self, data: Data, *, read: ReadOptions | None = None, **keywords: Unpack[Keywords]) -> Checked:
        """Read data as `submit` would, without making a job: its columns, rows, errors and sizes. Raises InputError if
        `submit` would."""
        from contract import settings
        from producer.jobs.check import check_file

        file, request = _request(data, read, None, keywords)
        current = settings.load()
        return check_file(file, request.with_row_limit(current.max_row_bytes).read, current)

    @raises_api_errors
    def du(self) -> list[Usage]:
        """The bytes that each job takes, by purpose. Raises UsageError on a server, StorageUnreachable."""
        from producer.jobs import usage

        return usage.of_all(self._direct("du").storage)

    @raises_api_errors
    def gc(self, older_than: float, *, unfinished: bool = False) -> dict[str, int]:
        """Delete the jobs that ended at least `older_than` seconds ago; with `unfinished`, also cancel and delete those
        submitted that long ago. Returns the bytes that each took. A damaged job is left, and logged. Raises UsageError
        on a server, Unreachable."""
        from contract.errors import BulkqaError, Unreachable
        from producer.jobs.remove import old

        check_seconds("older_than", older_than)
        backend, before, freed = self._direct("gc"), time.time() - older_than, {}
        for job in backend.ids(None):
            try:
                if old(backend.storage, job, before, unfinished=unfinished):
                    _, freed[job] = backend.delete(job, cancel=unfinished)
            except Unreachable:
                raise
            except BulkqaError as error:
                log.warning("job %s is left: %s", job, error)
        return freed

    def _job(self, job: str) -> Job:
        return Job(job, self)


class Diff(NamedTuple):
    """How two jobs differ."""

    changes: list[dict[str, Any]]  #: as `producer diff --json` gives them
    summary: Summary


class Job:
    """A submitted job."""

    def __init__(self, job: str, client: Client) -> None:
        self.id = job
        self._client = client

    @property
    def _backend(self) -> Backend:
        return self._client._backend

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self.id, self._backend.url) == (other.id, other._backend.url)

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    @raises_api_errors
    def status(self) -> JobProgress:
        """The job's current state. Raises StorageUnreachable; if Redis does not answer, its `reason` says so."""
        from producer.api.display import JobProgress

        return JobProgress.of(self._backend.status(self.id))

    @raises_api_errors
    def wait(
        self,
        timeout: float | None = None,
        progress: bool | Callable[[JobProgress], None] = False,  # noqa: FBT001, FBT002 - as others have it
        *,
        patience: float | None = PATIENCE,
    ) -> JobProgress:
        """Wait until the job has ended, however it ends: see the `status` of the result.

        `progress`: True for a bar in a notebook or a terminal, or a function to call with each state. Why a job waits
        is logged as a warning of `bulkqa.client`. A job does not need to be waited for.

        Raises TimedOut, a TimeoutError, after `timeout` seconds; NoWorker if no worker served the job's model from its
        storage for `patience` seconds (None: no limit); StorageUnreachable.
        """
        with ExitStack() as resources:
            show = _progress_display(progress, resources)
            for state in self._follow(timeout, patience):
                show(state)
            return state

    def _follow(self, timeout: float | None, patience: float | None) -> Iterator[JobProgress]:
        """The job's state, repeatedly until it has ended."""
        from contract.errors import NoWorker, TimedOut
        from contract.remedy import Remedy
        from producer.api.display import JobProgress
        from producer.jobs import follow

        for name, seconds in (("timeout", timeout), ("patience", patience)):
            check_seconds(name, seconds)
        logged_code: str | None = None
        try:
            for step in follow.patient(self._backend.follow(self.id, timeout), patience):
                progress = JobProgress.of(step)
                yield progress
                reason = progress.reason if not progress.finished else None
                if reason and reason.code != logged_code:
                    log.warning("job %s waits: %s. %s", self.id, reason.message, reason.remedy or "")
                logged_code = reason.code if reason else None
        except NoWorker as error:
            longer = " The job is kept. To wait longer: wait(patience=SECONDS); None: no limit."
            raise NoWorker(
                f"job {self.id} has waited for {patience:g} seconds: {error.message}",
                Remedy(error.remedy or "", longer),
            ) from None
        except follow.StillRunning as running:
            reason = running.progress.reason
            message = f"{running}{f': {reason.message}' if reason else ''}"
            raise TimedOut(message, "The job continues.") from running

    @raises_api_errors
    def cancel(self) -> None:
        """Cancel the job: finished rows stay. If it raises RedisUnreachable, the request to cancel is stored."""
        self._backend.cancel(self.id)

    @raises_api_errors
    def delete(self, *, cancel: bool = False, force: bool = False) -> None:
        """Delete the job with all its rows, answers and records. Raises UsageError for a job that has not
        ended, unless it is cancelled first (`cancel`) or deleted in any state (`force`)."""
        self._backend.delete(self.id, cancel=cancel, force=force)

    @raises_api_errors
    def diff(self, other: Job, *, by_id: bool = False) -> Diff:
        """The rows that another job answers differently, matched by their number or their id, and counts of all rows.
        Of an unfinished job: the rows that are ready."""
        from producer.jobs.diff_document import Summary

        check_kind("other", other, Job)
        summary = Summary()
        return Diff(list(self._backend.diff(self.id, other.id, summary, by_id=by_id)), summary)

    @raises_api_errors
    def verify(self) -> Verified:
        """Recount, rehash and re-check the job; what is wrong is in `problems`. Raises UsageError on a server."""
        from producer.jobs.verify import verify_job

        return verify_job(self._client._direct("verify").storage, self.id)

    @raises_api_errors
    def logs(self, *, verbose: bool = False) -> list[Event]:
        """The job's history, oldest first; `verbose`: with each chunk that was done at once. Raises UsageError on a
        server."""
        from producer.jobs.logs import events

        backend = self._client._direct("logs")
        return events(backend.storage, backend.queue, self.id, verbose=verbose)

    @raises_api_errors
    def notifications(self) -> Notification:
        """The delivery attempts of the job's webhook, and when the next one is due."""
        return self._backend.notification(self.id)

    @raises_api_errors
    def predictions(self) -> list[dict[str, Any]]:
        """Predictions in row order, as dicts; of an unfinished job, those that are ready without a gap.

        Raises BulkqaError if they were altered or deleted after the job ended, StorageUnreachable.
        """
        return [json.loads(line) for block in self._backend.lines(self.id) for line in block.splitlines()]

    @raises_api_errors
    def table(self) -> pa.Table:
        """Predictions as an Arrow table with a column `row`, in the types of the input: see `results`."""
        return self._shape()[0].table(self.predictions())

    def _shape(self) -> tuple[Shape, InputColumns | None, Manifest]:
        """The columns of the predictions, those of the input if they were stored, and the manifest."""
        from producer.results.typed import Shape

        manifest, columns = self._backend.manifest(self.id), self._backend.columns(self.id)
        return Shape(manifest, columns), columns, manifest

    @raises_api_errors
    def results(self, *, long: bool = False) -> pd.DataFrame:
        """Predictions as a DataFrame with the index of the submitted DataFrame, else the row numbers: so
        `frame["answer"] = job.results()["answer"]` is right. Of an unfinished job: the rows that are ready.

        The columns, whatever the outcome: line, id, status, question, context, answer, start and end (Int64), score,
        raw_score, null_score, margin, flags (lists), exact_match, f1, error_code, error_message, raw, alternatives
        (lists of dicts), and those that were passed through, with their types and names, but with the prefix `input_`
        if a name is one of the others. `long`: a row per answer, with its `rank` from 1, in place of alternatives.

        Needs the extra [pandas]. Raises UsageError without it, BulkqaError if answers or column types were altered or
        deleted, StorageUnreachable.
        """
        from producer.api import pandas as frames

        frames.need_pandas()
        shape, columns, manifest = self._shape()
        predictions = self.predictions()
        shown = {column.name: column.shown for column in shape.others}
        named = shown | ({manifest.id_column: "id"} if manifest.id_column else {})
        frame = frames.to_frame(shape.table(predictions), columns, named)
        if not shape.typed:
            passthrough = [prediction.get("passthrough") or {} for prediction in predictions]
            own = {manifest.question_column, manifest.context_column, manifest.id_column}
            keys = dict.fromkeys([*manifest.source.columns, *(key for row in passthrough for key in row)])
            frame = frames.expand_passthrough(frame, passthrough, shape.shown(key for key in keys if key not in own))
        return frames.to_long(frame) if long else frame


def _request(
    data: Any, read: ReadOptions | None, options: Options | None, keywords: Mapping[str, Any]
) -> tuple[InputSpec, Request]:
    """The file to read, and what is requested of it. Options are checked before the data is read."""
    from contract.format.job import Options
    from producer.api.data import as_input
    from producer.input.location import Documents
    from producer.input.options import ReadOptions
    from producer.request import request_of

    check_kind("read", read, ReadOptions)
    check_kind("options", options, Options)
    request_of(keywords, read=read, options=options)
    file, columns = (data, None) if isinstance(data, Documents) else as_input(data)
    return file, request_of(keywords, read=read, options=options, columns=columns)


def _progress_display(
    progress: bool | Callable[[JobProgress], None],  # noqa: FBT001 - the argument of `wait`
    resources: ExitStack,
) -> Callable[[JobProgress], None]:
    """The function that shows each state of a job."""
    if callable(progress):
        return progress
    if not progress:
        return lambda _: None
    from producer.api.display import bar

    return resources.enter_context(bar())
