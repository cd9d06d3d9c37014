"""One try of a chunk, as storage sees it: counted before the work, with crumbs that name the rows under way.

A killed process cannot say what killed it. So every try is recorded before it begins, and from the second on it notes
which rows are under way. The next try takes those as suspects and scores each alone in a process of its own
(`worker trial`): what kills that process is condemned to the error worker_crash, what survives has its outcome.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from contract.errors import ModelError
from contract.format import layout
from contract.format.job import Answer, Options, Row, RowError, Span
from contract.ledger import quarantine as crumbs
from contract.ledger import records
from contract.ledger.quarantine import Crumb
from contract.storage import Storage
from worker.scoring import Drained, Watch

log = logging.getLogger("bulkqa.worker")

#: The first line of a trial: from here on it is the row that ends the process. Before, it may be anything.
WARM = "warm"


class Attempt:
    """One try of one chunk."""

    def __init__(self, storage: Storage, job: str, chunk: int, worker: str) -> None:
        """Record the try. Raises StorageUnreachable: no work without it, since a death would not be counted."""
        self._storage, self._job, self._chunk = storage, job, chunk
        record = records.dump({"worker": worker, "started_at": time.time()})
        self.number = 1
        self.dead: tuple[int, ...] = ()
        # The first try is the rule: it finds out by making its record, without a look at those of all other chunks.
        while not storage.create(layout.attempt(job, chunk, self.number), record, durable=False):
            tries = records.tries(storage, job)[chunk]
            self.number, self.dead = max(tries.started) + 1, tries.dead
        self._under_way: set[int] = set()
        self._lock = threading.Lock()
        found = [crumbs.read(storage, job, chunk, number) for number in self.dead]
        self.condemned = crumbs.condemned(found)
        self.suspects = {row for crumb in found for row in crumb.rows} - self.condemned

    def release(self) -> None:
        """The try ended in order, unfinished: it does not count against the chunk."""
        self._storage.create(layout.released(self._job, self._chunk, self.number), b"")

    def forget(self) -> None:
        """The chunk has its part, which says how many tries it took: their records have served."""
        for number in range(1, self.number + 1):
            self._storage.delete(layout.attempt(self._job, self._chunk, number))
            if self.number > 1:
                self._storage.delete(layout.released(self._job, self._chunk, number))
                self._storage.delete(layout.crumb(self._job, self._chunk, number))

    def watched(self, watch: Watch) -> Watch:
        """The same watch, leaving crumbs, row by row: only where an attempt died before, since each costs a write."""
        if not self.dead:
            return watch

        def begin(row: int) -> None:
            with self._lock:
                self._under_way.add(row)
                self._leave(trial=False)
            watch.begin(row)

        def end(row: int) -> None:
            with self._lock:
                self._under_way.discard(row)
            watch.end(row)

        return Watch(stop=watch.stop, begin=begin, end=end, alone=True)

    def try_suspects(
        self,
        rows: list[Row],
        options: Options,
        model_dir: Path,
        watch: Watch,
        here: Callable[[Row], Answer | RowError],
    ) -> dict[int, Answer | RowError]:
        """Outcomes by row number of the rows that are suspected or condemned, and of those with the same text.

        `here` scores a row in this process, for when no other can be had. Raises Drained if `watch` asks for a stop.
        """
        crash = RowError("worker_crash", "the process that scored this row died, also alone")
        found: dict[tuple[str | None, str | None], Answer | RowError] = {}
        guilty = {(row.question, row.context) for row in rows if row.row in self.condemned}
        for row in rows:
            text = row.question, row.context
            if text in guilty:
                found[text] = crash
            elif row.row in self.suspects and text not in found:
                self._under_way = {row.row}
                self._leave(trial=True)
                verdict = try_row(row, options, model_dir, watch)
                if isinstance(verdict, str):
                    log.error("job %s: row %d ends the process that scores it: %s", self._job, row.row, verdict)
                    self.condemned.add(row.row)
                found[text] = crash if isinstance(verdict, str) else verdict or here(row)
        self._under_way.clear()
        if self.condemned:
            self._leave(trial=False)
        return {row.row: found[row.question, row.context] for row in rows if (row.question, row.context) in found}

    def _leave(self, *, trial: bool) -> None:
        crumb = Crumb(tuple(sorted(self._under_way)), trial, tuple(sorted(self.condemned)))
        with suppress(FileNotFoundError):  # the job was published meanwhile, and what is under way swept away
            self._storage.replace(layout.crumb(self._job, self._chunk, self.number), crumb.to_bytes())


def try_row(row: Row, options: Options, model_dir: Path, watch: Watch) -> Answer | RowError | str | None:
    """Score one row in a process of its own: its outcome, or how that process ended. None if it did not get so far.

    That process ends itself when it hangs (`worker.cli.trial`), and is ended when `watch` asks for a stop: Drained.
    """
    command = [sys.executable, "-m", "worker", "trial", "--model-dir", str(model_dir)]
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
        log.warning("row %d could not be tried in another process: exit status %d", row.row, process.returncode)
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
    )
