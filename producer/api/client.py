"""The Python API: what the `producer` command does, with DataFrames. Imports pandas only if a DataFrame is used."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from producer.api.arguments import check_count, check_kind, check_seconds, checked_metadata
from producer.api.connection import Connection
from producer.api.errors import raises_api_errors
from producer.api.job import Job

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import IO, Self, TypeAlias, Unpack

    import pandas as pd

    from contract.format.job import Options
    from contract.queue import WorkerInfo
    from producer.api.keywords import AnswerKeywords, Keywords
    from producer.forecast.quote import Quote
    from producer.input.location import InputSpec
    from producer.input.options import ReadOptions
    from producer.jobs.check import Checked
    from producer.jobs.usage import Usage
    from producer.request import Request

    #: A path, an open file, bytes; a DataFrame, records, columns, or a table of any Arrow library.
    Data: TypeAlias = (
        str | os.PathLike[str] | IO[bytes] | IO[str] | bytes | pd.DataFrame | Iterable[Mapping[str, Any]] | Any
    )

log = logging.getLogger("bulkqa.client")


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
        documents: Data | list[str | os.PathLike[str]] | None = None,
        questions: Data | None = None,
        read: ReadOptions | None = None,
        options: Options | None = None,
        **keywords: Unpack[Keywords],
    ) -> Job:
        """Submit questions and contexts, or questions about documents, and return their job.

        `data`: the path of a file; an open file, binary or text; bytes; a pandas DataFrame; a list of dicts or a dict
        of columns; or a table with the Arrow PyCapsule interface, as in pyarrow, polars and DuckDB. Options are
        keywords, `submit(frame, question="q", top_k=3)`; `read` and `options` take them as objects. A second call with
        the same `key` returns the first job.

        In place of `data`: `documents`, a folder, a pattern, an address or a list of paths, or with `text="column"` a
        table; and `questions`, data with a column `question`, a text file with one per line, or a list of texts.

        A row that cannot be scored raises nothing: its prediction has the error. Raises InputError if the data as a
        whole cannot be read, UsageError for a wrong option, key or model, RedisUnreachable before anything is written,
        StorageUnreachable.
        """
        from producer.api.data import source_of

        source = source_of(data, documents, questions)
        submitted = self._backend.submit(*_request(source, read, options, keywords))
        for note in submitted.notes:
            log.warning("job %s: %s", submitted.manifest.id, note)
        return self._job(submitted.manifest.id)

    @raises_api_errors
    def answer(
        self,
        question: str,
        context: str,
        *,
        options: Options | None = None,
        timeout: float = 10.0,
        **keywords: Unpack[AnswerKeywords],
    ) -> dict[str, Any]:
        """Answer one question at once, beside all jobs: its prediction, as in results, within `timeout` seconds.

        Options are keywords; one of a job itself, such as `key`, makes the question a job, which is waited for. A
        question that cannot be scored raises nothing: its prediction has the error. Raises NoWorker if no worker serves
        the model, Busy if too many questions wait, TimedOut, UsageError, Unreachable. Many questions are answered
        sooner, and with less work, as a job: `submit`.
        """
        from contract.format.job import Options
        from producer.input.checks.pairs import Pair
        from producer.request import answer_request_of

        check_kind("question", question, str)
        check_kind("context", context, str)
        check_kind("options", options, Options)
        check_seconds("timeout", timeout)
        request = answer_request_of(keywords, options)
        (prediction,) = self._backend.answer([Pair(question, context)], request, timeout)
        return prediction

    @raises_api_errors
    def job(self, job: str) -> Job:
        """The job with an id, or with an unambiguous prefix of one. Raises UnknownJob."""
        from contract.errors import UnknownJob
        from contract.remedy import LIST_JOBS

        if not isinstance(job, str):
            raise UnknownJob(f"{job!r} is not a job id", LIST_JOBS)
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
        """Read data as `submit` would, without making a job: its columns, rows, errors and sizes, and with `reuse` how
        many rows would be reused. Raises InputError if `submit` would."""
        from contract import settings
        from producer.jobs.check import check_file
        from producer.jobs.submit import sources_of

        file, request = _request(data, read, None, keywords)
        current, sources = settings.load(), None
        if request.reuse:
            backend = self._direct("check with reuse")
            sources = sources_of(backend.storage, backend.settings, request)
        request = request.with_row_limit(current.max_row_bytes)
        return check_file(file, request.read, current, options=request.options, sources=sources)

    @raises_api_errors
    def forecast(
        self,
        data: Data | None = None,
        *,
        documents: Data | list[str | os.PathLike[str]] | None = None,
        questions: Data | None = None,
        workers: int | None = None,
        deadline: float | None = None,
        price: float | None = None,
        read: ReadOptions | None = None,
        options: Options | None = None,
        **keywords: Unpack[Keywords],
    ) -> Quote:
        """Estimate what a job of this data would take, without making one: windows, CPU hours, and seconds on the
        running workers, with the range within which eight of ten jobs end.

        `workers` assumes this many workers. `deadline`, in seconds, sets `workers_needed`; `price` of a CPU hour sets
        `cost`. A server reads the first rows of a large file, and assumes that the rest is like them. Raises
        InputError if `submit` would, UsageError, Unreachable.
        """
        from producer.api.data import source_of
        from producer.forecast.quote import Wish

        file, request = _request(source_of(data, documents, questions), read, options, keywords)
        return self._backend.forecast(file, request, Wish(workers, deadline, price))

    @raises_api_errors
    def du(self) -> list[Usage]:
        """The bytes that each job takes, by purpose. Raises UsageError on a server, StorageUnreachable."""
        from producer.jobs import usage

        return usage.of_all(self._direct("du").storage)

    @raises_api_errors
    def gc(self, older_than: float, *, unfinished: bool = False) -> dict[str, int]:
        """Delete the jobs that ended at least `older_than` seconds ago; with `unfinished`, also cancel and delete those
        submitted that long ago. Returns the bytes that each took. Damaged jobs are skipped, and logged. Raises
        UsageError on a server, Unreachable."""
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


def _request(
    data: Any, read: ReadOptions | None, options: Options | None, keywords: Mapping[str, Any]
) -> tuple[InputSpec, Request]:
    """The file to read, and the request. Options are checked before the data is read."""
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
