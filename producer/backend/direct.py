"""The backend of a machine that shares storage and Redis with the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from contract.errors import BulkqaError, RedisUnreachable
from contract.format import layout
from contract.format.documents import Document
from contract.format.job import Manifest
from contract.ledger import reconcile, records
from contract.ledger.progress import Progress
from contract.ledger.stored import load_manifest
from contract.notifications import record
from contract.queue import Queue, WorkerInfo
from contract.queue.redis import RedisQueue
from contract.settings import Settings
from contract.storage import Storage
from producer.backend.protocol import Listed, Reading
from producer.forecast.outlook import Outlook, look
from producer.forecast.quote import Beginning, Quote, Wish, quote_beginning
from producer.input.checks.pairs import Pair
from producer.input.location import InputSpec
from producer.jobs import follow, remove
from producer.jobs.answer import Answered, answer
from producer.jobs.check import forecast_file
from producer.jobs.diff import batches, differences
from producer.jobs.diff_document import By, Summary
from producer.jobs.find import find
from producer.jobs.follow import Steps
from producer.jobs.select import JobFilter, select
from producer.jobs.submit import Submitted, retry_and_send, sources_of, submit_and_send
from producer.request import Request
from producer.results import columns, groups
from producer.results.documents import texts
from producer.results.lines import AHEAD, ready_lines

if TYPE_CHECKING:
    from producer.results.groups import GroupPage
    from producer.results.pages import Matches, Page, RowFilter
    from producer.results.scores import Scores, Spread
    from producer.trust.calibration.probability import Calibration
    from producer.trust.judge import Judgements
    from producer.trust.promises.trusted import Trusted
    from producer.trust.sample import Sample
    from producer.trust.verdicts import Verdict


@dataclass(frozen=True)
class DirectBackend:
    """See `producer.backend.protocol.Backend`. What is not in it is for the routes of a server."""

    settings: Settings
    storage: Storage
    queue: RedisQueue
    #: How much of a job's work is done while somebody waits for it: a server leaves it to workers and the sweeper.
    bound: reconcile.Bound = reconcile.WHOLE
    #: Jobs that have ended: a list does not read them again.
    _ended: dict[str, Progress] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def url(self) -> str:
        return self.storage.url

    def submit(self, file: InputSpec, request: Request, progress: Callable[[Reading], None] | None = None) -> Submitted:
        return submit_and_send(file, self.storage, self.queue, self.settings, request, progress)

    def forecast(
        self, file: InputSpec, request: Request, wish: Wish, progress: Callable[[Reading], None] | None = None
    ) -> Quote:
        outlook, sources = self._outlook(request.model), sources_of(self.storage, self.settings, request)
        return forecast_file(file, request, self.settings, outlook, wish, sources, progress)

    def forecast_rest(self, name: str, beginning: Beginning, size: int, model: str | None, wish: Wish) -> Quote:
        """The forecast of a file of which the beginning was read."""
        return quote_beginning(name, beginning, size, self._outlook(model), wish)

    def _outlook(self, model: str | None) -> Outlook:
        return look(self.settings, model or self.settings.model, self.storage, self.queue)

    def answer(self, pairs: Sequence[Pair], request: Request, timeout: float) -> list[dict[str, Any]]:
        answered = follow.completed(self.answering(pairs, request, timeout))
        answered.discard()
        return answered.predictions

    def answering(
        self, pairs: Sequence[Pair], request: Request, timeout: float, *, patient: bool = True
    ) -> Steps[Answered]:
        """The same in steps. Raises Busy at once unless `patient`."""
        return answer(pairs, self.storage, self.queue, self.settings, request, timeout, self.bound, patient=patient)

    def find(self, job: str) -> str:
        return find(self.storage, job)

    def manifest(self, job: str) -> Manifest:
        return load_manifest(self.storage, job)

    def status(self, job: str, *, reason: bool = True) -> Progress:
        return records.status(self.storage, self.queue if reason else None, job)

    def follow(self, job: str, timeout: float | None = None) -> Iterator[Progress]:
        return follow.follow(job, self.storage, self.queue, self.settings, timeout, self.bound)

    def polls(self, job: str) -> Iterator[tuple[Progress, float]]:
        """A job's status until the job has ended, each with the seconds to wait before the next."""
        return follow.polls(job, self.storage, self.queue, self.settings, self.bound)

    def jobs(self, filters: JobFilter) -> Listed:
        damaged: dict[str, BulkqaError] = {}
        statuses = records.statuses(self.storage, self._if_it_answers(), self._ended)
        return Listed(select(_well(statuses, damaged), filters), damaged)

    def _if_it_answers(self) -> Queue | None:
        """Asked once: a Redis that is away is not waited for at every job of a list."""
        try:
            self.queue.ping()
        except RedisUnreachable:
            return None
        return self.queue

    def ids(self, limit: int | None) -> list[str]:
        names = records.jobs(self.storage)
        return names[max(0, len(names) - limit) if limit is not None else 0 :]

    def lines(
        self, job: str, *, offset: int = 0, wait: Callable[[], bool] | None = None, ahead: int = AHEAD
    ) -> Iterator[bytes]:
        """`ahead`: how many parts are read at once; with 1, in the caller's thread."""
        return ready_lines(job, self.storage, offset=offset, wait=wait, ahead=ahead)

    def groups(self, job: str, *, offset: int = 0) -> Iterator[bytes]:
        """`offset`: the number of the first group."""
        return groups.blocks(self.storage, job, offset)

    def group_page(self, job: str, offset: int, limit: int, filters: RowFilter) -> GroupPage:
        """Some groups from the number `offset` on."""
        return groups.page(self.storage, job, offset, limit, filters)

    def rows(
        self,
        job: str,
        offset: int,
        limit: int,
        filters: RowFilter,
        *,
        by_score: bool = False,
        question: int | None = None,
        among: Sequence[int] | None = None,
        around: int | None = None,
    ) -> Page:
        """Some predictions from row `offset` on; `by_score`, answers only, the lowest score first; `question`, only
        those for one question of a job with documents, by its number; `among`, only these rows, in this order.
        `around`: code points of a context before and after its answer; None: all."""
        from producer.results import pages

        if among is not None:
            own = pages.own(self.manifest(job), among)
            return pages.page_in_order(self.storage, job, own, offset, limit, filters, around)
        if question is not None:
            of_question = pages.of_question(self.manifest(job), question)
            return pages.page_in_order(self.storage, job, of_question, offset, limit, filters, around)
        if by_score:
            lowest = self._scores.lowest(job)
            return pages.page_in_order(self.storage, job, lowest, offset, limit, filters, around)
        return pages.page(self.storage, job, offset, limit, filters, around)

    def matches(self, job: str, offset: int, filters: RowFilter) -> Matches:
        """How many predictions match from row `offset` on, as far as one call looks."""
        from producer.results import pages

        return pages.matches(self.storage, job, offset, filters)

    def scores(self, job: str) -> Spread:
        """The histogram of a job's scores, as far as they could be read by now."""
        return self._scores.spread(job)

    @cached_property
    def _scores(self) -> Scores:
        from producer.results.scores import Scores

        return Scores(self.storage)

    def judge(self, job: str, verdicts: Sequence[Verdict]) -> int:
        return follow.completed(self.judgements.judge(job, verdicts))

    def verdicts(self, job: str) -> list[Verdict]:
        return self.judgements.verdicts(job)

    def sample(self, job: str, rows: int, precision: float, seed: int, *, one_of_each: bool = True) -> Sample:
        return follow.completed(self.judgements.sample(job, rows, precision, seed, one_of_each=one_of_each))

    def details(self, job: str, rows: Sequence[int], around: int) -> list[dict[str, Any]]:
        from producer.results import pages

        return pages.details(self.storage, job, rows, around)

    def trust(self, job: str, precision: float, confidence: float) -> Trusted:
        return follow.completed(self.judgements.trust(job, precision, confidence))

    def calibration(self, job: str) -> Calibration:
        return follow.completed(self.calibrating(job))

    def calibrating(self, job: str) -> Steps[Calibration]:
        """The same in steps."""
        from producer.trust.calibration.record import calibration

        return calibration(self.storage, job, self.judgements.verdicts(job))

    @cached_property
    def judgements(self) -> Judgements:
        """Verdicts, and what they promise; what takes long in steps."""
        from producer.trust.judge import Judgements

        return Judgements(self.storage, self._scores)

    def columns(self, job: str) -> columns.InputColumns | None:
        return columns.load(self.storage, self.manifest(job))

    def documents(self, job: str) -> list[Document]:
        return texts.index(self.storage, self.manifest(job))

    def text(self, job: str, document: int) -> str | None:
        return texts.text(self.storage, self.manifest(job), document)

    def errors(self, job: str) -> Iterator[bytes] | None:
        key = layout.errors(job)
        return self.storage.blocks(key) if self.storage.exists(key) else None

    def cancel(self, job: str) -> None:
        reconcile.cancel(job, self.storage, self.queue, self.settings)

    def pause(self, job: str) -> None:
        reconcile.pause(job, self.storage, self.queue, self.settings)

    def resume(self, job: str) -> None:
        reconcile.resume(job, self.storage, self.queue, self.settings)

    def retry(self, job: str) -> Submitted:
        return retry_and_send(job, self.storage, self.queue, self.settings)

    def delete(self, job: str, *, cancel: bool = False, force: bool = False) -> tuple[str, int]:
        job = remove.find_removable(self.storage, job)
        return job, remove.delete(job, self.storage, self.queue, cancel=cancel, force=force)

    def deleting(self, job: str, timeout: float, *, cancel: bool = False) -> Steps[tuple[str, int]]:
        """The same in steps. `timeout`: seconds to wait for the end of a job that is cancelled. Raises TimedOut."""
        job = remove.find_removable(self.storage, job)
        size = yield from remove.deleting(job, self.storage, self.queue, cancel=cancel, timeout=timeout)
        return job, size

    def diff(self, first: str, second: str, summary: Summary, *, by: By = "row") -> Iterator[dict[str, Any]]:
        return differences(self.storage, first, second, summary, by=by)

    def diff_batches(
        self, first: str, second: str, summary: Summary, *, by: By = "row"
    ) -> Iterator[list[dict[str, Any]]]:
        """The same in batches, read in the caller's thread, each of which takes about as long, however few differ."""
        return batches(self.storage, first, second, summary, by=by, ahead=1)

    def notification(self, job: str) -> record.Notification:
        return record.of(self.storage, job)

    def workers(self) -> list[WorkerInfo]:
        return self.queue.workers()

    def close(self) -> None:
        self.queue.close()


def _well(
    statuses: Iterable[tuple[str, Progress | BulkqaError]], damaged: dict[str, BulkqaError]
) -> Iterator[Progress]:
    """The jobs whose records can be read; the errors of the others go to `damaged`."""
    for job, status in statuses:
        if isinstance(status, BulkqaError):
            damaged[job] = status
        else:
            yield status
