"""A worker's child process at work: one message becomes one part.

Order in `Worker.work`: look whether the chunk still needs doing; take its lease; record the attempt; score; write the
part; only then let the message be acknowledged. A death at any point leaves either the part, or an attempt that
counts and a lease that runs out, upon which `contract.ledger.reconcile` has the chunk sent again.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from contract import evaluation
from contract.errors import BulkqaError, ModelError, RedisUnreachable, StorageUnreachable
from contract.format import layout, part
from contract.format.job import Manifest, ModelRef, check_job_id
from contract.health import HealthFile
from contract.ledger import counting, order, records
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import Damage, StoredJob
from contract.logs import log_context
from contract.machine import peak_memory
from contract.namespace import open_queue, storage_id
from contract.queue import WorkerInfo
from contract.settings import Settings
from contract.storage import Storage, open_storage
from worker import scoring
from worker.attempt import Attempt
from worker.heartbeat import HEARTBEAT, Heartbeat
from worker.scoring import Drained, Stop, Watch

if TYPE_CHECKING:
    from worker.reader.reader import Reader

log = logging.getLogger("bulkqa.worker")

#: How often the cancel marker is looked for, in seconds, and in times of what a look took: an object store charges
#: for each.
_CANCEL_LOOK, _LOOK_SHARE = 1.0, 100.0
#: Jobs whose index a worker keeps.
_KEPT_JOBS = 64


@dataclass(slots=True)
class _Known:
    """What a worker keeps of a job, none of which changes in its life."""

    job: StoredJob
    pinned: ModelRef | None = None
    kept: bool = False  #: it was read for another chunk


class Worker:
    """A warm reader and its surroundings, in the child process."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        health: HealthFile,
        draining: Callable[[], bool],
        restart: Callable[[], None],
        heard: Callable[[], float],
    ) -> None:
        from worker.metrics import Meter
        from worker.reader.reader import Reader

        self.settings = settings
        self.name = name
        self._draining = draining
        self._restart = restart
        self.storage: Storage = open_storage(settings.storage_url)
        self.queue = open_queue(settings, self.storage)
        self.threads = settings.threads
        started = time.monotonic()
        self.reader: Reader = Reader.open(settings.model_dir, settings.provider)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="score")
        self._jobs: dict[str, _Known] = {}
        self._looks: tuple[str, float] = ("", 0.0)
        self._model = ModelRef(self.reader.info.name, self.reader.info.pinned, self.reader.info.precision)
        info = self.reader.info
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
        )
        self._heartbeat = Heartbeat(self.queue, settings, me, health, restart, heard, draining)
        self._meter = Meter(info, self.reader.provider)
        self.reader.on_progress(self._heartbeat.beat, self._meter.count_batch)
        log.info("worker %s: warm in %.1f s, %d threads, %s, %s", name, time.monotonic() - started, self.threads,
                 self.reader.provider, "windows in batches" if self.reader.batched else "one window a run")  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether a chunk is being worked on."""
        return self._heartbeat.active is not None

    def close(self) -> None:
        """Stop the heartbeat, and leave."""
        self._heartbeat.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def work(self, job: object, chunk: object, tag: str | None) -> bool:
        """Do what a message asks for. False if the message has to go back on the queue."""
        with self._heartbeat.hearing():
            return self._work(job, chunk, tag)

    def _work(self, job: object, chunk: object, tag: str | None) -> bool:
        try:
            if self._draining():
                return False
            task = self._checked(job, chunk)
            done = self._do(*task, tag) if task else True
            self._heartbeat.trouble = ""
            return done
        except Drained:
            return False
        except ModelError as error:  # as when a GPU was lost: what follows would be answered no better
            log.warning("worker %s: %s. It restarts", self.name, error.message)
            self._restart()
            return False
        except StorageUnreachable as error:
            log.warning("worker %s waits: %s", self.name, error)
            self._heartbeat.trouble = error.message
            time.sleep(HEARTBEAT)
            return False
        except Exception:
            # The message is spent; the attempt is counted, and reconcile sends the chunk again or gives it up.
            log.exception("worker %s: job %s chunk %s was not finished", self.name, job, chunk)
            return True

    def _checked(self, job: object, chunk: object) -> tuple[_Known, int] | None:
        """What the message speaks of, or None if there is nothing to do: a message proves nothing."""
        try:
            known = self._job(check_job_id(job))  # type: ignore[arg-type]
        except StorageUnreachable:
            raise
        except BulkqaError as error:  # no such job, damaged, or of another version: who understands it sends it again
            log.warning("worker %s dropped a message: %s", self.name, error.message)
            return None
        manifest = known.job.manifest
        if type(chunk) is not int or not 0 <= chunk < manifest.chunks:
            log.warning("worker %s dropped a message: job %s has no chunk %r", self.name, manifest.id, chunk)
            return None
        if manifest.model != self._model.name:
            log.warning("worker %s dropped a message: job %s is for model %s", self.name, manifest.id, manifest.model)
            return None
        return known, chunk

    def _do(self, known: _Known, chunk: int, tag: str | None) -> bool:
        manifest = known.job.manifest
        job = manifest.id
        # Of a job that was just read also whether it has ended: its parts may be on their way out.
        if self.storage.exists(layout.part(job, chunk)) or (not known.kept and self.storage.exists(layout.report(job))):
            self._advance(manifest, chunk)
            return True
        if not self._leased(job, chunk):
            log.info("worker %s: job %s chunk %d is being scored elsewhere", self.name, job, chunk)
            return True
        self._hint(lambda: order.fill(manifest.model, self.queue, self.settings))  # a message less waits now
        try:
            with log_context(job=job, chunk=chunk), self._heartbeat.over(job, chunk, tag):
                pinned = known.pinned = known.pinned or records.pin_model(self.storage, job, self._model)
                if pinned.digest != self._model.digest:
                    self._decline(manifest, chunk, pinned)
                    return True
                done = self._done(known, chunk)
        except (Drained, StorageUnreachable, ModelError):  # no fault of the chunk's
            self._hint(lambda: self.queue.release(job, chunk, self.name))
            log.info("worker %s gave job %s chunk %d back", self.name, job, chunk)
            raise
        if done:
            self._advance(manifest, chunk)
            return True
        self._hint(lambda: self.queue.release(job, chunk, self.name))
        again = self._checked(job, chunk)
        return self._do(*again, tag) if again else True

    def _done(self, known: _Known, chunk: int) -> bool:
        """Score a chunk and write its part. False where the job is not what it was: look at it again."""
        job = known.job.id
        began = time.monotonic()
        data = known.job.chunk(chunk)
        if isinstance(data, Damage) and known.kept:  # the job may have been removed since, and made again under its key
            self._jobs.pop(job, None)
            return False
        self._meter.count_storage("read", time.monotonic() - began)
        attempt = Attempt(self.storage, job, chunk, self.name)
        if attempt.number - 1 in attempt.dead:
            self._meter.count_death()
        try:
            with log_context(attempt=attempt.number):
                scored = self._score(known.job, chunk, data, attempt)
            began = time.monotonic()
            mine = self.storage.create(layout.part(job, chunk), scored)
        except (Drained, StorageUnreachable, ModelError) as reason:  # not to count as a death
            self._meter.count_attempt("given_back")
            attempt.release(_why(reason))
            raise
        self._meter.count_storage("write", time.monotonic() - began)
        self._meter.count_attempt("done" if mine else "late")
        with suppress(StorageUnreachable):
            attempt.forget(mine=mine)
        if not mine:
            log.info("worker %s: job %s chunk %d was finished by another first", self.name, job, chunk)
        return True

    def _decline(self, manifest: Manifest, chunk: int, pinned: ModelRef) -> None:
        """Hand a chunk on to the workers of the model that its job is pinned to. Once: none but those see it then."""
        log.warning("worker %s declines job %s chunk %d: it is pinned to %s (%s), this is %s; the message waits for a "
                    "worker that holds it", self.name, manifest.id, chunk, pinned.name, pinned.digest,
                    self._model.digest)  # fmt: skip
        self._hint(lambda: self.queue.release(manifest.id, chunk, self.name))
        self._hint(lambda: self.queue.send(manifest.model, manifest.id, [chunk], pinned.digest))

    def _score(self, job: StoredJob, chunk: int, data: bytes | Damage, attempt: Attempt) -> bytes:
        """The bytes of the chunk's part. `data`: its file, or what is wrong with that."""
        started = time.time()
        manifest, options = job.manifest, job.manifest.options
        rows = job.rows_of(chunk, data)
        heartbeat = self._heartbeat
        watch = Watch(stop=self._stop(manifest.id), end=lambda _row: heartbeat.beat(), done=heartbeat.rows)
        with self._heartbeat.watching():
            had = attempt.quarantine(
                rows, options, self.settings.model_dir, watch, lambda row: scoring.alone(row, self.reader, options)
            )
            watch = attempt.watched(watch)
            predictions = scoring.score(rows, self.reader, options, self._pool, self.threads, watch, had)
        judged, sums = evaluation.judge(predictions, rows, manifest.answers_column)
        encoded, footer = part.encode(
            judged,
            evaluation=sums,
            started_at=started,
            finished_at=time.time(),
            worker=self.name,
            model=self._model.digest,
            batch_invariant=not self.reader.batched,
            attempts=attempt.number,
            job=manifest.id,
            chunk=chunk,
            peak_rss=peak_memory(),
        )
        self._meter.count_part(footer)
        log.info("worker %s: job %s chunk %d: %d rows in %.1f s, %d failed", self.name, manifest.id, chunk, footer.rows,
                 footer.finished_at - started, footer.failed)  # fmt: skip
        return encoded

    def _stop(self, job: str) -> Callable[[], Stop]:
        """Whether to stop before the next micro-batch; now and then the cancel marker is looked for."""
        cancelled = False

        def stop() -> Stop:
            nonlocal cancelled
            if self._draining():
                return "drain"
            looked, due = self._looks
            if not cancelled and (looked != job or time.monotonic() >= due):
                began = time.monotonic()
                self._looks = job, began + _CANCEL_LOOK  # not by all threads at once
                with suppress(StorageUnreachable):
                    cancelled = records.cancel_requested(self.storage, job)
                took = time.monotonic() - began
                self._looks = job, began + max(_CANCEL_LOOK, _LOOK_SHARE * took)
            return "cancel" if cancelled else None

        return stop

    def _advance(self, manifest: Manifest, chunk: int) -> None:
        """After a part is there: keep the queue filled, and finish the job if this was its last chunk."""
        if chunk % counting.KEEP_EVERY == counting.KEEP_EVERY - 1:
            with suppress(StorageUnreachable):
                counting.counted(self.storage, manifest.id, {})
        try:
            last = self.queue.finish(manifest.id, chunk, self.name)
            order.fill(manifest.model, self.queue, self.settings)
            if last:  # or Redis was emptied, and its hints have to be made again
                reconcile(manifest.id, self.storage, self.queue, self.settings, owner=self.name)
        except (RedisUnreachable, StorageUnreachable) as error:
            log.warning("worker %s: %s", self.name, error.message)

    def _leased(self, job: str, chunk: int) -> bool:
        try:
            return self.queue.lease(job, chunk, self.name, self.settings.lease)
        except RedisUnreachable:
            return True  # two may score the chunk then; its part is written once

    @staticmethod
    def _hint(call: Callable[[], object]) -> None:
        with suppress(RedisUnreachable):
            call()

    def _job(self, job: str) -> _Known:
        """What storage says of a job; of one that was asked for before, what it said then."""
        if job in self._jobs:
            self._jobs[job].kept = True
            return self._jobs[job]
        stored = StoredJob.open(self.storage, job)
        if len(self._jobs) >= _KEPT_JOBS:
            self._jobs.clear()
        self._jobs[job] = _Known(stored)
        return self._jobs[job]


def _why(reason: Exception) -> str:
    """Why a chunk was given back, for the log of its job."""
    return "the worker was told to stop" if isinstance(reason, Drained) else str(reason).partition("\n")[0]
