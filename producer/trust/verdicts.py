"""What people say of answers: a verdict, the rules for it, and which of several counts. Pure.

| verdict | | in a promise |
|---|---|---|
| right, wrong | of the answer | right, wrong |
| span | these words of the context would be right | wrong, unless they read as the answer does |
| no_answer | there is none in the context | wrong |
| skipped | somebody saw it and did not say | wrong: what is hard to judge is not left out |
| withdrawn | as if the row had never been judged | |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from contract import squad
from contract.errors import UsageError
from contract.format import codec

Kind = Literal["right", "wrong", "span", "no_answer", "skipped", "withdrawn"]
#: Verdicts that are stored at once, at most; and characters of each of their texts.
MOST, TEXT = 10_000, 10_000
#: Characters of all texts that are sent at once.
_TEXTS = 500_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person's judgement of the answer of a row."""

    row: int
    verdict: Kind
    start: int | None = None  #: of a span: where in the context it begins and ends, in code points
    end: int | None = None
    answer: str | None = None  #: that was judged; None: not known
    correct: str = ""  #: what would be right, where no span of the context is known
    note: str = ""
    floor: float | None = None  #: lowest score of the pool that the row was drawn from at random; None: picked by hand
    by: str = ""  #: who judged, as the client says
    at: float = 0.0  #: when it was stored, in seconds since 1970

    @property
    def right(self) -> bool:
        """Whether the answer counts as right."""
        return self.verdict == "right"


def latest(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdict that counts for each row, the last, given all in the order in which they were stored. The result is
    in the order in which rows were first judged; those drawn at random, in which they were first judged as such. A row
    that was drawn at random remains so when it is judged again by hand."""
    by_row: dict[int, Verdict] = {}
    for verdict in verdicts:
        before = by_row.get(verdict.row)
        if verdict.verdict == "withdrawn":
            by_row.pop(verdict.row, None)
        elif before and before.floor is not None and verdict.floor is None:
            by_row[verdict.row] = replace(verdict, floor=before.floor)
        else:
            if before and before.floor is None and verdict.floor is not None:
                del by_row[verdict.row]
            by_row[verdict.row] = verdict
    return list(by_row.values())


def given(verdict: Verdict) -> dict[str, Any]:
    """A verdict as a client sends it: without what is not set, or set where it is stored."""
    return {name: value for name, value in asdict(verdict).items() if value not in (None, "") and name != "at"}


def batches(verdicts: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """Verdicts in batches of as many as are stored at once."""
    batch, size = list[Verdict](), 0
    for verdict in verdicts:
        length = sum(len(text or "") for text in (verdict.answer, verdict.correct, verdict.note, verdict.by))
        if batch and (len(batch) == MOST or size + length > _TEXTS):
            yield batch
            batch, size = [], 0
        batch.append(verdict)
        size += length
    if batch:
        yield batch


def digest(verdicts: Sequence[Verdict]) -> str:
    """The sha256 of verdicts, whatever process computes it."""
    return hashlib.sha256(codec.line(list(verdicts)).encode()).hexdigest()


def settled(verdict: Verdict, prediction: dict[str, Any], context: str) -> Verdict:
    """A verdict on a prediction as it is stored: the right words become a span if the context has them, and a span that
    reads as the answer does becomes right. Raises UsageError for a verdict that does not fit the prediction."""
    place = f"row {verdict.row}"
    if verdict.verdict == "withdrawn":
        return Verdict(verdict.row, "withdrawn", note=verdict.note, by=verdict.by)
    if prediction["status"] == "error":
        raise UsageError(f"{place} failed ({prediction['error']['code']}): there is no answer to judge")
    if verdict.verdict == "span":
        start, end = verdict.start, verdict.end
        if start is None or end is None or not 0 <= start < end <= len(context):
            raise UsageError(
                f"{place}: the context has {len(context):,} characters, and no words from {start} to {end}",
                "start and end count its characters from 0, and the end is after the last.",
            )
    elif verdict.start is not None or verdict.end is not None:
        raise UsageError(
            f"{place}: a verdict {verdict.verdict!r} has no start and end", 'Say "span", or leave them out.'
        )
    verdict = replace(verdict, correct=verdict.correct.strip())
    if verdict.verdict == "wrong" and verdict.correct and not _reads_as(verdict.correct, prediction):
        match = re.search(re.escape(verdict.correct), context) or re.search(re.escape(verdict.correct), context, re.I)
        if match:
            return replace(verdict, verdict="span", start=match.start(), end=match.end(), correct="")
    if verdict.verdict == "span" and _reads_as(context[verdict.start : verdict.end], prediction):
        return replace(verdict, verdict="right", start=None, end=None)
    return verdict


def _reads_as(text: str, prediction: dict[str, Any]) -> bool:
    """Whether a text reads as the answer does, as references are compared with it."""
    return prediction["status"] == "answered" and squad.normalize(text) == squad.normalize(prediction["answer"])


def judges(verdict: Verdict, prediction: dict[str, Any]) -> bool:
    """Whether the judged answer is that of a prediction, as far as a spreadsheet leaves that recognizable: it rewrites
    numbers, trims blanks, and writes a question mark for a letter that its encoding lacks."""
    if verdict.answer is None or verdict.verdict == "withdrawn":
        return True
    judged, answer = ("".join(text.split()) for text in (verdict.answer, prediction.get("answer") or ""))
    if len(judged) == len(answer) and all(
        a == b or (a in "?\ufffd" and b > "\x7f") for a, b in zip(judged, answer, strict=True)
    ):
        return True
    number = _number(judged)
    return number is not None and number == _number(answer)


def _number(text: str) -> float | None:
    """The number in a text, None if there is none; thousands may be separated."""
    try:
        return float(re.sub(r"(?<=\d)[,'\u2019](?=\d{3}\b)", "", text)) if text.isascii() else None
    except ValueError:
        return None
