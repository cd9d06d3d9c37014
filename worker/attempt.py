"""One attempt at a chunk, as storage sees it: recorded before the work, and from the second on with the rows in flight.

A killed process cannot say what killed it. So the next attempt takes the rows in flight as suspects into quarantine:
each is scored alone, in a process of its own (`worker quarantine`). A row that kills that process is a poison row, and
gets the error worker_crash; any other has its outcome.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from contract.command import program
from contract.errors import ModelError
from contract.format import codec, layout
from contract.format.job import Answer, Options, Row, RowError, Span
from contract.ledger import events, quarantine, records
from contract.ledger.quarantine import InFlight
from contract.storage import Storage
from worker.scoring import Drained, Watch

log = logging.getLogger("bulkqa.worker")

#: The first line that a quarantine process prints. If it dies after that, the row killed it; before, anything may have.
WARM = "warm"


class Attempt:
    """One attempt at one chunk."""

    def __init__(self, storage: Storage, job: str, chunk: int, worker: str) -> None:
        """Record the attempt. Raises StorageUnreachable: without the record a death would not be counted."""
        self._storage, self._job, self._chunk = storage, job, chunk
        self._worker, self._started_at = worker, time.time()
        record = codec.dump(events.Started(worker, self._started_at))
        self.number = 1
        self.dead: tuple[int, ...] = ()
        # Most attempts are the first: creating the record shows that, without listing those of all other chunks.
        while not storage.create(layout.attempt(job, chunk, self.number), record, durable=False):
            earlier = records.attempts(storage, job)[chunk]
            self.number, self.dead = max(earlier.started) + 1, earlier.dead
        self._in_flight: set[int] = set()
        self._lock = threading.Lock()
        in_flight = [quarantine.read(storage, job, chunk, number) for number in self.dead]
        self.poison = quarantine.poison(in_flight)
        self.suspects = {row for record in in_flight for row in record.rows} - self.poison
        self._suspected = tuple(sorted(self.suspects))

    def release(self, why: str) -> None:
        """Record that the attempt ended in order, unfinished: it does not count against the chunk."""
        record = codec.dump(events.Released(why, time.time()))
        self._storage.create(layout.released(self._job, self._chunk, self.number), record)

    def forget(self, *, mine: bool = True) -> None:
        """Delete the records of the attempts: the chunk has its part, which has their number. If there were several, a
        summary is kept for the job's log. `mine`: whether the part is of this attempt."""
        if self.number > 1:
            self._summarize("last" if mine else "late")
        for number in range(1, self.number + 1):
            self._storage.delete(layout.attempt(self._job, self._chunk, number))
            if self.number > 1:
                self._storage.delete(layout.released(self._job, self._chunk, number))
                self._storage.delete(layout.in_flight(self._job, self._chunk, number))

    def _summarize(self, end: str) -> None:
        last = events.Attempted(
            chunk=self._chunk,
            attempt=self.number,
            worker=self._worker,
            started_at=self._started_at,
            ended_at=time.time(),
            end=end,
            suspects=self._suspected,
            poison=tuple(sorted(self.poison)),
        )
        events.keep(self._storage, self._job, last)

    def watched(self, watch: Watch) -> Watch:
        """The same watch, recording rows in flight: only if an attempt died before, because each record is a write."""
        if not self.dead:
            return watch

        def begin(row: int) -> None:
            with self._lock:
                self._in_flight.add(row)
                self._record_in_flight(quarantined=False)
            watch.begin(row)

        def end(row: int) -> None:
            with self._lock:
                self._in_flight.discard(row)
            watch.end(row)

        return replace(watch, begin=begin, end=end, alone=True)

    def quarantine(
        self,
        rows: list[Row],
        options: Options,
        model_dir: Path,
        watch: Watch,
        here: Callable[[Row], Answer | RowError],
    ) -> dict[int, Answer | RowError]:
        """Outcomes by row number of suspects and poison rows, and of rows with the same text.

        `here` scores a row in this process, for when no other can be started. Raises Drained if `watch` says stop.
        """
        crash = RowError("worker_crash", "the process that scored this row died, even with this row alone")
        outcomes: dict[tuple[str | None, str | None], Answer | RowError] = {}
        guilty = {(row.question, row.context) for row in rows if row.row in self.poison}
        for row in rows:
            text = row.question, row.context
            if text in guilty:
                outcomes[text] = crash
            elif row.row in self.suspects and text not in outcomes:
                self._in_flight = {row.row}
                self._record_in_flight(quarantined=True)
                verdict = score_apart(row, options, model_dir, watch)
                if isinstance(verdict, str):
                    log.error("job %s: row %d kills the process that scores it: %s", self._job, row.row, verdict)
                    self.poison.add(row.row)
                outcomes[text] = crash if isinstance(verdict, str) else verdict or here(row)
        self._in_flight.clear()
        if self.poison:
            self._record_in_flight(quarantined=False)
        return {row.row: outcomes[row.question, row.context] for row in rows if (row.question, row.context) in outcomes}

    def _record_in_flight(self, *, quarantined: bool) -> None:
        record = InFlight(tuple(sorted(self._in_flight)), quarantined, tuple(sorted(self.poison)))
        with suppress(FileNotFoundError):  # the job was published meanwhile, and its attempts were deleted
            self._storage.replace(layout.in_flight(self._job, self._chunk, self.number), record.to_bytes())


def score_apart(row: Row, options: Options, model_dir: Path, watch: Watch) -> Answer | RowError | str | None:
    """Score one row in a process of its own: its outcome, or how the row killed the process. None if the process ended
    before it was ready.

    The process ends itself if it hangs (`worker.cli`). Raises Drained, after killing it, if `watch` says stop.
    """
    command = [*program("worker"), "quarantine", "--model-dir", str(model_dir)]
    request = json.dumps({"question": row.question, "context": row.context, "options": asdict(options)})
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        pending: str | None = request
        while True:
            if watch.stop():
                process.kill()
                raise Drained
            try:
                output, _ = process.communicate(pending, timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                pending = None
                watch.end(row.row)
    warm, _, outcome = output.partition("\n")
    if warm != WARM or process.returncode == ModelError.exit_code:
        log.warning("row %d could not be scored in another process: exit status %d", row.row, process.returncode)
        return None
    if process.returncode != 0:
        return f"exit status {process.returncode}"
    values = json.loads(outcome)
    if "code" in values:
        return RowError(**values)
    return Answer(
        spans=tuple(Span(**span) for span in values["spans"]),
        null_score=values["null_score"],
        score=values["score"],
        flags=tuple(values["flags"]),
        margin=values["margin"],
    )
