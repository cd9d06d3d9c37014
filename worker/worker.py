"""A worker's child process at work: one message becomes one part.

Order in `Worker.work`: check that the chunk has no part yet; lease it; record the attempt; score; write the part; only
then is the message acknowledged. A death at any point leaves either the part, or an attempt that counts and a lease
that expires: then `contract.ledger.reconcile` sends the chunk again.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from contract import evaluation
from contract.errors import BulkqaError, ModelError, RedisUnreachable, StorageUnreachable
from contract.format import layout, part
from contract.format.job import Manifest, ModelRef, Row, check_job_id
from contract.format.part import Footer
from contract.health import HealthFile
from contract.ledger import counting, order, records
from contract.ledger.reconcile import BRIEF, drop, reconcile, stop_at_errors
from contract.ledger.stored import Damage, StoredJob
from contract.logs import log_context
from contract.machine import peak_memory
from contract.namespace import open_queue, storage_id
from contract.queue import WorkerInfo
from contract.reuse.carried import Way
from contract.settings import Settings
from contract.storage import Storage, open_storage
from contract.trust import split
from worker import reuse, scoring
from worker.attempt import Attempt
from worker.heartbeat import HEARTBEAT, Heartbeat, Parent
from worker.questions.lane import Lane
from worker.rate import Effort, Speed
from worker.reader.decode import ANSWERING_RULE
from worker.reuse import Spared
from worker.scoring import Drained, Prediction, Stop, Watch

if TYPE_CHECKING:
    from worker.reader.reader import BatchStats

log = logging.getLogger("bulkqa.worker")

#: The pause between two checks of the cancel marker: at least these seconds, and at least this many times the duration
#: of a check, because an object store charges for each.
_CANCEL_CHECK, _CANCEL_CHECK_SHARE = 1.0, 100.0
#: Jobs whose manifest and index a worker keeps.
_CACHED_JOBS = 64
#: With fewer windows than this for each thread, a chunk says little of how fast these are when all are busy.
_BUSY = 8


@dataclass(slots=True)
class _CachedJob:
    """What a worker keeps of a job. None of it changes while the job exists."""

    stored: StoredJob
    pinned: ModelRef | None = None
    footers: dict[int, Footer] = field(default_factory=dict)  #: of some parts, for `stop_at_errors`
    reused: bool = False  #: read for an earlier chunk; the job may have been removed since


class Worker:
    """A warm reader with its storage and queue, in the child process."""

    def __init__(self, settings: Settings, name: str, health: HealthFile, parent: Parent) -> None:
        from worker.metrics import Meter
        from worker.reader.cost import at_start, measure
        from worker.reader.open import open_reader

        self.settings = settings
        self.name = name
        self._parent = parent
        self.storage: Storage = open_storage(settings.storage_url)
        self.queue = open_queue(settings, self.storage)
        self.threads = settings.threads
        started = time.monotonic()
        self.reader = open_reader(settings.model_dir, settings.provider)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="score")
        self._jobs: dict[str, _CachedJob] = {}
        self._cancel_check: tuple[str, float] = ("", 0.0)  # the job of the last one, and when the next is due
        self._model = ModelRef(self.reader.info.name, self.reader.info.pinned, self.reader.info.precision)
        info = self.reader.info
        self._cost = info.cost or measure(self.reader)
        self._speed = Speed()
        self._speed.add(*at_start(self.reader, self._cost, self._pool, self.threads))
        me = WorkerInfo(
            name,
            info.name,
            info.pinned,
            info.precision,
            self.threads,
            version("bulkqa"),
            max_positions=info.max_positions,
            host=socket.gethostname(),
            storage=storage_id(self.storage),
            cost=self._cost,
            speed=self._speed.value(),
        )
        self._heartbeat = Heartbeat(self.queue, settings, me, health, parent)
        self._meter = Meter(info, self.reader.provider)
        self._effort = Effort()
        self._way = Way(ANSWERING_RULE, self.reader.numerics, not self.reader.batched)
        self._repeats = reuse.Repeats()
        count = self._meter.count_question
        self._lane = Lane(self.storage, self.queue, self.reader, self._model, self.threads, parent, count)
        self.reader.on_progress(self._after_window, self._count_batch)
        log.info("worker %s: warm in %.1f s, %d threads, %s, %s", name, time.monotonic() - started, self.threads,
                 self.reader.provider, "windows in batches" if self.reader.batched else "one window a run")  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether the worker holds a chunk."""
        return self._heartbeat.active is not None

    def close(self) -> None:
        """Finish the questions under way, and stop the heartbeat and the threads."""
        self._lane.close()
        self._heartbeat.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._repeats.close()

    def work(self, job: object, chunk: object, tag: str | None) -> bool:
        """Handle a message. False if the message has to go back on the queue."""
        with self._heartbeat.handling():
            return self._handle(job, chunk, tag)

    def _handle(self, job: object, chunk: object, tag: str | None) -> bool:
        try:
            if self._parent.draining():
                return False
            if task := self._find(job, chunk):
                self._finish(*task, tag)
            self._heartbeat.trouble = ""
            return True
        except Drained:
            return False
        except ModelError as error:  # such as a lost GPU: other chunks would fail too
            log.warning("worker %s: %s. It restarts", self.name, error.message)
            self._parent.restart()
            return False
        except StorageUnreachable as error:
            log.warning("worker %s waits: %s", self.name, error)
            self._heartbeat.trouble = error.message
            time.sleep(HEARTBEAT)
            return False
        except Exception:
            # The message is used up. The attempt counts, and reconcile sends the chunk again or gives it up.
            log.exception("worker %s: job %s chunk %s was not finished", self.name, job, chunk)
            return True

    def _find(self, job: object, chunk: object) -> tuple[_CachedJob, int] | None:
        """The job and chunk of a message, or None if they do not exist: anybody may have sent it."""
        try:
            cached = self._load(check_job_id(job))  # type: ignore[arg-type]
        except StorageUnreachable:
            raise
        except BulkqaError as error:  # no such job, or damaged, or of another version, whose workers send it again
            log.warning("worker %s dropped a message: %s", self.name, error.message)
            return None
        manifest = cached.stored.manifest
        if type(chunk) is not int or not 0 <= chunk < manifest.chunks:
            log.warning("worker %s dropped a message: job %s has no chunk %r", self.name, manifest.id, chunk)
            return None
        if manifest.model != self._model.name:
            log.warning("worker %s dropped a message: job %s is for model %s", self.name, manifest.id, manifest.model)
            return None
        return cached, chunk

    def _finish(self, cached: _CachedJob, chunk: int, tag: str | None) -> None:
        """Give a chunk its part, unless another worker does. Raises Drained, StorageUnreachable or ModelError if the
        message has to go back."""
        manifest = cached.stored.manifest
        job = manifest.id
        if self._has_ended(cached, chunk):
            self._advance(manifest, chunk)
            return
        if records.is_paused(self.storage, job):
            self._try_redis(lambda: drop(cached.stored, chunk, self.queue, self.settings))
            return
        if not self._lease(job, chunk):
            log.info("worker %s: another worker scores job %s chunk %d", self.name, job, chunk)
            return
        self._try_redis(lambda: order.fill(manifest.model, self.queue, self.settings))  # one message less is waiting
        try:
            with log_context(job=job, chunk=chunk), self._heartbeat.holding(job, chunk, tag):
                pinned = cached.pinned = cached.pinned or records.pin_model(self.storage, job, self._model)
                if pinned.digest != self._model.digest:
                    self._decline(manifest, chunk, pinned)
                    return
                written = self._write_part(cached, chunk)
        except (Drained, StorageUnreachable, ModelError):  # not because of the chunk
            self._try_redis(lambda: self.queue.release(job, chunk, self.name))
            log.info("worker %s handed job %s chunk %d back", self.name, job, chunk)
            raise
        if written:
            self._advance(manifest, chunk)
            self._stop_at_errors(cached)
            return
        self._try_redis(lambda: self.queue.release(job, chunk, self.name))
        if task := self._find(job, chunk):
            self._finish(*task, tag)

    def _has_ended(self, cached: _CachedJob, chunk: int) -> bool:
        """Whether the chunk has a part. For a job that was just read also whether it has a report: the job may be under
        removal, and its parts deleted already."""
        job = cached.stored.id
        if self.storage.exists(layout.part(job, chunk)):
            return True
        return not cached.reused and self.storage.exists(layout.report(job))

    def _write_part(self, cached: _CachedJob, chunk: int) -> bool:
        """Score a chunk and write its part. False if the cached job is out of date."""
        job = cached.stored.id
        began = time.monotonic()
        data = cached.stored.chunk(chunk)
        if isinstance(data, Damage) and cached.reused:  # the job may have been removed and submitted again
            self._jobs.pop(job, None)
            return False
        self._meter.count_storage("read", time.monotonic() - began)
        attempt = Attempt(self.storage, job, chunk, self.name)
        if attempt.number - 1 in attempt.dead:
            self._meter.count_death()
        try:
            with log_context(attempt=attempt.number):
                encoded = self._score(cached.stored, chunk, data, attempt)
            began = time.monotonic()
            mine = self.storage.create(layout.part(job, chunk), encoded)
        except (Drained, StorageUnreachable, ModelError) as error:  # does not count as a death
            self._meter.count_attempt("given_back")
            attempt.release(_reason(error))
            raise
        self._meter.count_storage("write", time.monotonic() - began)
        self._meter.count_attempt("done" if mine else "late")
        with suppress(StorageUnreachable):
            attempt.forget(mine=mine)
        if not mine:
            log.info("worker %s: another worker finished job %s chunk %d first", self.name, job, chunk)
        return True

    def _decline(self, manifest: Manifest, chunk: int, pinned: ModelRef) -> None:
        """Hand a chunk on to the queue of the model that its job is pinned to, from which only its workers take."""
        log.warning("worker %s declines job %s chunk %d: the job is pinned to %s (%s), this is %s; the message "
                    "waits for a worker of that model", self.name, manifest.id, chunk, pinned.name, pinned.digest,
                    self._model.digest)  # fmt: skip
        self._try_redis(lambda: self.queue.release(manifest.id, chunk, self.name))
        self._try_redis(lambda: self.queue.send(manifest.model, manifest.id, [chunk], pinned.digest))

    def _score(self, job: StoredJob, chunk: int, data: bytes | Damage, attempt: Attempt) -> bytes:
        """The bytes of the chunk's part. `data`: the result of `StoredJob.chunk`."""
        started = time.time()
        manifest = job.manifest
        rows = job.rows_of(chunk, data)
        forecast = job.index.work[chunk] if job.index.work else 0.0
        effort = self._effort = Effort()
        spared = reuse.spared(job, chunk, rows, self._way, None if self.reader.batched else self._repeats)
        predictions = self._predictions(manifest, rows, attempt, effort, forecast, spared)
        spared.keep(predictions)
        marked = split.marked(predictions, manifest.trust, self._model.digest, ANSWERING_RULE)
        judged, sums = evaluation.judge(marked, rows, manifest.answers_column, manifest.answers_form)
        encoded, footer = part.encode(
            judged,
            evaluation=sums,
            started_at=started,
            finished_at=time.time(),
            worker=self.name,
            model=self._model.digest,
            batch_invariant=not self.reader.batched and spared.reused.batch_invariant,
            rule=ANSWERING_RULE,
            attempts=attempt.number,
            job=manifest.id,
            chunk=chunk,
            peak_rss=peak_memory(),
            windows=effort.windows,
            tokens=effort.tokens,
            squares=effort.squares,
            cpu_seconds=round(effort.cpu_seconds, 3),
            work=forecast,
            **spared.footer(rows, predictions),
        )
        self._meter.count_part(footer)
        log.info("worker %s: job %s chunk %d: %d row%s in %.1f s, %d failed", self.name, manifest.id, chunk,
                 footer.rows, "" if footer.rows == 1 else "s", footer.finished_at - started, footer.failed)  # fmt: skip
        return encoded

    def _predictions(
        self, manifest: Manifest, rows: list[Row], attempt: Attempt, effort: Effort, forecast: float, spared: Spared
    ) -> list[Prediction]:
        """The predictions of rows, and the speed at which they were made. `forecast`: the work that they should be."""
        heartbeat, options = self._heartbeat, manifest.options
        watch = Watch(
            stop=self._stop_check(manifest.id),
            end=lambda _: heartbeat.advance(),
            done=heartbeat.count_rows,
            spent=effort.count_cpu,
        )
        with heartbeat.scoring(attempt.number, lambda: min(forecast, self._cost.seconds(effort.work))):
            known = spared.outcomes | attempt.quarantine(
                rows, options, self.settings.model_dir, watch,
                here=lambda row: scoring.answer_alone(row, self.reader, options),
            )  # fmt: skip
            watch = attempt.watched(watch)
            began = time.monotonic()
            predictions = scoring.score(rows, self.reader, options, self._pool, self.threads, watch, known)
            thread_seconds = (time.monotonic() - began) * self.threads
        if effort.windows >= _BUSY * self.threads and not watch.alone:
            self._speed.add(self._cost.seconds(effort.work), thread_seconds)
            heartbeat.speed = self._speed.value()
        return predictions

    def _after_window(self) -> None:
        self._heartbeat.advance()
        self._lane.give_way()

    def _count_batch(self, stats: BatchStats) -> None:
        self._meter.count_batch(stats)
        self._effort.count_windows(*stats.sums)

    def _stop_check(self, job: str) -> Callable[[], Stop]:
        """A callback that says whether to stop before the next micro-batch, and sometimes checks the cancel marker."""
        cancelled = False

        def stop() -> Stop:
            nonlocal cancelled
            if self._parent.draining():
                return "drain"
            checked, due = self._cancel_check
            if not cancelled and (checked != job or time.monotonic() >= due):
                began = time.monotonic()
                self._cancel_check = job, began + _CANCEL_CHECK  # not by all threads at once
                with suppress(StorageUnreachable):
                    cancelled = records.cancel_requested(self.storage, job)
                took = time.monotonic() - began
                self._cancel_check = job, began + max(_CANCEL_CHECK, _CANCEL_CHECK_SHARE * took)
            return "cancel" if cancelled else None

        return stop

    def _advance(self, manifest: Manifest, chunk: int) -> None:
        """The chunk has its part: keep the queue filled, and finish the job if this was its last chunk."""
        if chunk % counting.KEEP_EVERY == counting.KEEP_EVERY - 1:
            with suppress(StorageUnreachable):
                counting.counted(self.storage, manifest.id, {})
        try:
            last = self.queue.finish(manifest.id, chunk, self.name)
            order.fill(manifest.model, self.queue, self.settings)
            if last:  # or Redis was emptied, and its hints have to be restored
                reconcile(manifest.id, self.storage, self.queue, self.settings, owner=self.name)
        except (RedisUnreachable, StorageUnreachable) as error:
            log.warning("worker %s: %s", self.name, error.message)

    def _stop_at_errors(self, cached: _CachedJob) -> None:
        """End a job of which too many rows have failed."""
        if cached.stored.manifest.max_errors is None:
            return
        try:
            if stop_at_errors(cached.stored, cached.footers):
                reconcile(cached.stored.id, self.storage, self.queue, self.settings, owner=self.name, bound=BRIEF)
        except (RedisUnreachable, StorageUnreachable) as error:
            log.warning("worker %s: %s", self.name, error.message)

    def _lease(self, job: str, chunk: int) -> bool:
        try:
            return self.queue.lease(job, chunk, self.name, self.settings.lease)
        except RedisUnreachable:
            return True  # then two workers may score the chunk; its part is written once

    @staticmethod
    def _try_redis(call: Callable[[], object]) -> None:
        with suppress(RedisUnreachable):
            call()

    def _load(self, job: str) -> _CachedJob:
        """A job from storage, or from the cache."""
        if job in self._jobs:
            self._jobs[job].reused = True
            return self._jobs[job]
        stored = StoredJob.open(self.storage, job)
        if len(self._jobs) >= _CACHED_JOBS:
            self._jobs.clear()
        self._jobs[job] = _CachedJob(stored)
        return self._jobs[job]


def _reason(error: Exception) -> str:
    """Why a chunk was handed back, for the log of its job."""
    return "the worker was stopped" if isinstance(error, Drained) else str(error).partition("\n")[0]
