"""A submitted job in the Python API. Imports pandas only when a DataFrame is requested."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from producer.api.arguments import check_kind, check_seconds
from producer.api.errors import raises_api_errors

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from contract.format.job import Manifest
    from contract.notifications.record import Notification
    from producer.api.connection import Connection
    from producer.api.display import JobProgress
    from producer.api.trust import JobTrust
    from producer.backend import Backend
    from producer.jobs.diff_document import By, Summary
    from producer.jobs.logs import Event
    from producer.jobs.verify import Verified
    from producer.results.columns import InputColumns
    from producer.results.typed import Core, Shape

log = logging.getLogger("bulkqa.client")

#: Seconds without a worker for the job's model after which `wait` gives up, by default.
PATIENCE = 300.0


class Diff(NamedTuple):
    """How two jobs differ."""

    changes: list[dict[str, Any]]  #: as `producer diff --json` gives them
    summary: Summary


class Job:
    """A submitted job."""

    def __init__(self, job: str, client: Connection) -> None:
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
                    verb = "is being cancelled" if progress.status == "cancelling" else "waits"
                    log.warning("job %s %s: %s. %s", self.id, verb, reason.message, reason.remedy or "")
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
    def pause(self) -> None:
        """Stop scoring the job until `resume`; chunks under way are finished. If it raises RedisUnreachable, the pause
        is stored."""
        self._backend.pause(self.id)

    @raises_api_errors
    def resume(self) -> None:
        """Continue a paused job. If it raises RedisUnreachable, the request to resume is stored."""
        self._backend.resume(self.id)

    @raises_api_errors
    def retry(self) -> Job:
        """Make a new job from the same rows: rows with a processing error, cancelled ones included, are scored again,
        the others keep their outcome. Raises UsageError if no row has one, or the job has not ended."""
        return Job(self._backend.retry(self.id).manifest.id, self._client)

    @raises_api_errors
    def delete(self, *, cancel: bool = False, force: bool = False) -> None:
        """Delete the job with all its rows, answers and records. Raises UsageError for a job that has not
        ended, unless it is cancelled first (`cancel`) or deleted in any state (`force`)."""
        self._backend.delete(self.id, cancel=cancel, force=force)

    @raises_api_errors
    def diff(self, other: Job, *, by_id: bool = False, by_group: bool = False) -> Diff:
        """The rows that another job answers differently, matched by their number or their id, and counts of all rows;
        with `by_group`, groups, matched by name. For an unfinished job: the rows that are ready."""
        from producer.jobs.diff_document import Summary

        check_kind("other", other, Job)
        summary = Summary()
        by: By = "group" if by_group else "id" if by_id else "row"
        return Diff(list(self._backend.diff(self.id, other.id, summary, by=by)), summary)

    @raises_api_errors
    def verify(self) -> Verified:
        """Recount, rehash and re-check the job; `problems` lists what is wrong. Raises UsageError on a server."""
        from producer.jobs.verify import verify_job

        return verify_job(self._client._direct("verify").storage, self.id)

    @raises_api_errors
    def logs(self, *, verbose: bool = False) -> list[Event]:
        """The job's history, oldest first; `verbose`: also chunks that were done at the first attempt. Raises
        UsageError on a server."""
        from producer.jobs.logs import events

        backend = self._client._direct("logs")
        return events(backend.storage, backend.queue, self.id, verbose=verbose)

    @raises_api_errors
    def notifications(self) -> Notification:
        """The delivery attempts of the job's webhook, and when the next one is due."""
        return self._backend.notification(self.id)

    @raises_api_errors
    def sample(self, rows: int = 300, *, precision: float = 0.9, seed: int = 1, all_rows: bool = False) -> pd.DataFrame:
        """A random sample of the answers that are worth judging, for a promise of that precision, as a DataFrame: fill
        in its column `verdict` from the top down, and pass it to `judge`. The same seed draws the same rows.
        `all_rows`: also several rows of one group or document. Needs the extra [pandas]. Raises NotEnded."""
        from producer.api.pandas import need_pandas
        from producer.api.trust import to_judge
        from producer.trust.sample import AROUND

        need_pandas()
        drawn = self._backend.sample(self.id, rows, precision, seed, one_of_each=not all_rows)
        return to_judge(self._backend.details(self.id, drawn.rows, AROUND), drawn.floor)

    @raises_api_errors
    def judge(self, verdicts: Any, *, by: str = "", picked: bool = False) -> int:
        """Store verdicts on answers of the job; returns how many. The last verdict on a row counts.

        `verdicts`: a DataFrame from `sample`, a list of dicts, or the path of a file of labels. They have `row` and
        `verdict`: right, wrong, no answer, skipped; span, with `start` and `end` in the context; withdrawn, to undo
        one. `correct_answer` has the right words, `by` says who judged. `picked`: the rows were picked by hand, and
        promise nothing. Raises NotEnded, and UsageError for an invalid verdict: then none is stored."""
        from producer.api.trust import verdicts_of
        from producer.trust.labels import sampled
        from producer.trust.verdicts import batches

        own = sampled(verdicts_of(verdicts), by, picked=picked)
        return sum(self._backend.judge(self.id, batch) for batch in batches(own))

    @raises_api_errors
    def verdicts(self) -> list[dict[str, Any]]:
        """The verdict that counts for each judged row, as dicts, in the order in which rows were first judged."""
        from contract.format import codec

        return [codec.values(verdict) for verdict in self._backend.verdicts(self.id)]

    @raises_api_errors
    def trust(self, precision: float = 0.9, *, confidence: float = 0.95) -> JobTrust:
        """The score from which at least this share of the answers is right, by the verdicts of the job, or else by the
        reference answers of its input. Its `threshold` is None if nothing can be promised yet. Raises NotEnded, and
        UsageError if no answer was judged."""
        from producer.api.trust import JobTrust

        return JobTrust.of(self._backend.trust(self.id, precision, confidence))

    @raises_api_errors
    def predictions(self) -> list[dict[str, Any]]:
        """Predictions in row order, as dicts; for an unfinished job, those that are ready, up to the first gap.

        Raises BulkqaError if they were altered or deleted after the job ended, StorageUnreachable.
        """
        return [json.loads(line) for block in self._backend.lines(self.id) for line in block.splitlines()]

    @raises_api_errors
    def table(self) -> pa.Table:
        """Predictions as an Arrow table with a column `row`, in the types of the input: see `results`."""
        return self._shape()[0].table(self.predictions())

    @raises_api_errors
    def group_answers(self) -> list[dict[str, Any]]:
        """The groups of the job, each with its best answer, as dicts, in the order of their first rows. Raises
        UsageError if the job has no groups, NotEnded if it has not ended."""
        return [json.loads(line) for block in self._backend.groups(self.id) for line in block.splitlines()]

    @raises_api_errors
    def groups(self) -> pd.DataFrame:
        """The groups of the job as a DataFrame, in the order of their first rows.

        The columns: group, id, question, status, answer, row (the passage that has the answer), passage (its place in a
        list of contexts), start and end in it, score, raw_score, margin, null_score, support (passages whose best
        answer reads the same), passages, flags, exact_match, f1, error_code, error_message, alternatives, and the other
        columns of that row. Needs the extra [pandas]. Raises UsageError without it or if the job has no
        groups, NotEnded.
        """
        from producer.results.groups import check, group_core

        manifest = self._backend.manifest(self.id)
        check(manifest)
        return self._frame(group_core, self.group_answers)

    def _shape(self, columns_of: Core | None = None) -> tuple[Shape, InputColumns | None, Manifest]:
        """The columns of the predictions, or those of `columns_of`; the columns of the input, if they were stored; and
        the manifest."""
        from producer.results.typed import Shape, core

        manifest, columns = self._backend.manifest(self.id), self._backend.columns(self.id)
        return Shape(manifest, columns, columns_of or core), columns, manifest

    @raises_api_errors
    def results(self, *, long: bool = False, probability: bool = False) -> pd.DataFrame:
        """Predictions as a DataFrame with the index of the submitted DataFrame, or else the row numbers, so that
        `frame["answer"] = job.results()["answer"]` is right. For an unfinished job: the rows that are ready.

        The columns, whatever the outcome: line, id, status, question, context, answer, start and end (Int64), score,
        raw_score, null_score, margin, flags (lists), exact_match, f1, error_code, error_message, raw, alternatives
        (lists of dicts), and the input's other columns with their types and names (with the prefix `input_` if a name
        is one of these). `long`: a row per answer, with its `rank` from 1, in place of alternatives. `probability`:
        after `score` also how likely each answer is right, estimated from the job's verdicts.

        Needs the extra [pandas]. Raises UsageError without it, or if too few answers were judged; BulkqaError if
        answers or column types were altered or deleted, StorageUnreachable.
        """
        from producer.api.pandas import to_long

        calibration = self._backend.calibration(self.id) if probability else None
        frame = self._frame(None, self.predictions)
        if calibration:
            frame.insert(frame.columns.get_loc("score") + 1, "probability", calibration.of_frame(frame))
        return to_long(frame) if long else frame

    @raises_api_errors
    def labels(self) -> dict[str, Any]:
        """The judged rows whose right answer is known, in the format of SQuAD 2.0. Raises UsageError without any."""
        from producer.trust.export.labels import in_squad

        document: dict[str, Any] = in_squad(self._backend, self.id).document
        return document

    def _frame(self, columns_of: Core | None, lines: Callable[[], list[dict[str, Any]]]) -> pd.DataFrame:
        """The predictions, or the groups, that `lines` gives, as a DataFrame."""
        from producer.api import pandas as frames

        frames.need_pandas()
        shape, columns, manifest = self._shape(columns_of)
        predictions = lines()
        shown = {column.name: column.shown for column in shape.others}
        named = shown | ({manifest.id_column: "id"} if manifest.id_column else {})
        frame = frames.to_frame(shape.table(predictions), columns, named, by_row=columns_of is None)
        if not shape.typed:
            passthrough = [prediction.get("passthrough") or {} for prediction in predictions]
            own = {manifest.question_column, manifest.context_column, manifest.id_column}
            keys = dict.fromkeys([*manifest.source.columns, *(key for row in passthrough for key in row)])
            frame = frames.expand_passthrough(frame, passthrough, shape.shown(key for key in keys if key not in own))
        return frame


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
