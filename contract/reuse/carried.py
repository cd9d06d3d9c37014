"""The outcomes that rows of a chunk carry, as a file beside the chunk: `000000.carried`.

JSON lines. The first has the ways in which they were computed, each of the others the outcome of a row, and the number
of its way. Nothing in there points at the job that they come from, which may be deleted. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from contract.format import codec
from contract.format.job import Answer, RowError, Span

#: Errors that depend on the row alone, like an answer. All others are of the work, or of rows that were rejected.
LASTING = ("bad_encoding", "empty_question", "empty_context")


_SPAN = ("answer", "start", "end", "score", "raw_score", "margin")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Way:
    """How outcomes of a part were computed."""

    rule: int  #: the version of the answering rule
    numerics: str  #: as in the part's footer; empty if that has none
    batch_invariant: bool = True
    seconds: float = 0.0  #: processor seconds a row


@dataclass(frozen=True, slots=True)
class _Head:
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Carried:
    """The outcome that a row carries."""

    outcome: Answer | RowError
    way: Way


def outcome_of(prediction: Mapping[str, Any]) -> bytes | None:
    """The outcome in a prediction, as `encode` takes it; None for an error that another attempt may not have."""
    if prediction["status"] == "error":
        error = prediction["error"]
        return _dumped({"error": error}) if error["code"] in LASTING else None
    spans = []
    if prediction["status"] == "answered":
        spans = [[each.get(name) for name in _SPAN] for each in (prediction, *prediction.get("alternatives", ()))]
    about = {name: prediction.get(name) for name in ("null_score", "score", "flags", "margin")}
    return _dumped({"spans": spans} | about)


def _dumped(values: dict[str, Any]) -> bytes:
    return _JSON.encode(values).encode()


def encode(outcomes: Iterable[tuple[int, Way, bytes]]) -> bytes:
    """The file of rows by their numbers: how each was computed, and the result of `outcome_of`."""
    ways: dict[Way, int] = {}
    lines, last, number = [], None, 0
    for row, way, outcome in outcomes:
        if way is not last:  # neighbours mostly have the same
            last, number = way, ways.setdefault(way, len(ways))
        lines.append(b'{"row":%d,"way":%d,%b' % (row, number, outcome[1:]))
    head = json.dumps({"ways": [asdict(way) for way in ways]}, separators=(",", ":")).encode()
    return b"\n".join([head, *lines, b""])


def decode(data: bytes) -> dict[int, Carried]:
    """The outcomes in a file, by the number of the row. Raises ValueError if it cannot be read."""
    head, *lines = data.splitlines()
    ways = codec.read(_Head, head).ways
    try:
        values = map(json.loads, lines)
        return {each["row"]: Carried(outcome_from(each), ways[each["way"]]) for each in values}
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"an outcome lacks {error}") from error


def outcome_from(values: Mapping[str, Any]) -> Answer | RowError:
    """The outcome in parsed JSON of `outcome_of`."""
    if "error" in values:
        return RowError(**values["error"])
    spans = tuple(Span(*span) for span in values["spans"])
    return Answer(spans, values["null_score"], values["score"], tuple(values["flags"]), values["margin"])
