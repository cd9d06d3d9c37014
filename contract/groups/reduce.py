"""The predictions of a job -> its groups, one JSON line each, in the order of their first rows.

Consecutive rows of a group are reduced as they come. Scattered groups go through temporary files: predictions are
divided by a digest of their group, each file is reduced alone, and the results are merged by first row. So memory is
bounded by the groups of one file, whatever the job's size. Rows without a group belong to none.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from contract import evaluation
from contract.format.job import Manifest
from contract.groups.choose import Group

#: Rows that one temporary file is for, and how many files there are at most: each is open.
_FILE_ROWS, _FILES = 32_768, 256
#: Lines of one block.
_BLOCK = 1_000
#: Fields of a prediction that no group needs.
_LONG = ("context", "raw")


class _Outcome(NamedTuple):
    first_row: int
    group: dict[str, Any]
    gold: Sequence[str] | None  #: the right answers, if they are known


@dataclass(slots=True)
class GroupSums:
    """The groups of a job by outcome, and the sums of their evaluation."""

    answered: int = 0
    no_answer: int = 0
    failed: int = 0
    cancelled: int = 0  #: groups of which every row was cancelled
    evaluation: evaluation.Sums | None = None

    def count(self, group: dict[str, Any]) -> None:
        """Add the outcome of a group."""
        status = group["status"]
        if status == "error":
            cancelled = group["error"]["code"] == "job_cancelled"
            self.cancelled += cancelled
            self.failed += not cancelled
        else:
            self.answered += status == "answered"
            self.no_answer += status == "no_answer"


def groups(
    lines: Iterable[bytes], manifest: Manifest, sums: GroupSums, hold: Callable[[], Any] = lambda: None
) -> Iterator[bytes]:
    """The groups of a job, as JSON lines, in blocks of whole ones; they are counted in `sums`.

    `lines` are all predictions in row order, in blocks of whole JSON lines. `hold` is called at least once for a
    thousand groups and for each temporary file.
    """
    scattered = manifest.groups is not None and manifest.groups.scattered
    reduced = _scattered(lines, manifest, hold) if scattered else _consecutive(lines, manifest)
    block: list[bytes] = []
    for outcome in reduced:
        block.append(_line(outcome, manifest, sums))
        if len(block) == _BLOCK:
            hold()
            yield b"".join(block)
            block = []
    if block:
        yield b"".join(block)


def _line(outcome: _Outcome, manifest: Manifest, sums: GroupSums) -> bytes:
    group, gold = outcome.group, outcome.gold
    sums.count(group)
    if manifest.answers_column is not None:
        sums.evaluation = sums.evaluation or evaluation.nothing()
        group = evaluation.judged(group, None if gold is None else tuple(gold), sums.evaluation)
    return _json(group)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _outcome(group: Group) -> _Outcome:
    return _Outcome(group.first_row, *group.outcome())


def _of_groups(lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The predictions that have a group, each with its JSON line."""
    for block in lines:
        for line in block.splitlines():
            prediction = json.loads(line)
            if prediction.get("group") is not None:
                yield prediction, line


def _consecutive(lines: Iterable[bytes], manifest: Manifest) -> Iterator[_Outcome]:
    current: Group | None = None
    for prediction, line in _of_groups(lines):
        if current is None or current.name != prediction["group"]:
            if current is not None:
                yield _outcome(current)
            current = Group(prediction, manifest)
        current.add(prediction, line)
    if current is not None:
        yield _outcome(current)


def _scattered(lines: Iterable[bytes], manifest: Manifest, hold: Callable[[], Any]) -> Iterator[_Outcome]:
    with ExitStack() as resources:
        files = [resources.enter_context(TemporaryFile()) for _ in range(min(_FILES, manifest.rows // _FILE_ROWS + 1))]
        for prediction, _ in _of_groups(lines):
            short = {name: value for name, value in prediction.items() if name not in _LONG}
            files[zlib.crc32(prediction["group"].encode()) % len(files)].write(_json(short))
        for file in files:
            hold()
            _reduce(file, manifest)
        merged = heapq.merge(*(map(json.loads, file) for file in files), key=lambda outcome: outcome[0])
        yield from (_Outcome(*outcome) for outcome in merged)


def _reduce(file: IO[bytes], manifest: Manifest) -> None:
    """Replace the predictions in a file by the outcomes of their groups, in the order of their first rows."""
    found: dict[str, Group] = {}
    file.seek(0)
    for line in file:
        prediction = json.loads(line)
        name = prediction["group"]
        if name not in found:
            found[name] = Group(prediction, manifest)
        found[name].add(prediction, line)
    file.seek(0)
    file.truncate()
    for group in found.values():
        file.write(_json(_outcome(group)))
    file.seek(0)
