"""Rows of an Arrow table, answered: for engines that hand tables to functions (Ray, Spark, Dask, polars, DuckDB)."""

from __future__ import annotations

from typing import Any, TypeVar

import pyarrow as pa

from contract.format.job import Options, RowError
from worker.pipeline.engine import Engine

#: An Arrow table or a record batch.
Data = TypeVar("Data")

#: The columns that are added, as in the results of a job.
COLUMNS = {
    "status": pa.string(),
    "answer": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    "score": pa.float64(),
    "raw_score": pa.float64(),
    "null_score": pa.float64(),
    "margin": pa.float64(),
    "flags": pa.list_(pa.string()),
    "error_code": pa.string(),
    "error_message": pa.string(),
}


def answered(data: Any, engine: Engine, options: Options, question: str, context: str) -> Any:
    """The table, or record batch, with COLUMNS beside its own. Raises ValueError if it lacks the two columns, or has
    one of those already."""
    names: list[str] = data.schema.names
    if missing := [name for name in (question, context) if name not in names]:
        raise ValueError(f"the table has no column {missing[0]!r}; it has: {', '.join(names)}")
    if double := [name for name in COLUMNS if name in names]:
        raise ValueError(f"the table has a column {double[0]!r} already: rename it")
    pairs = zip(data.column(question).to_pylist(), data.column(context).to_pylist(), strict=True)
    texts = ((asked or "", text or "") for asked, text in pairs)
    rows = [_values(outcome) for outcome in engine.answers(texts, options)]
    made = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in COLUMNS.items()}
    return type(data).from_arrays([*data.columns, *made.values()], names=[*names, *made])


def _values(outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, RowError):
        return {"status": "error", "error_code": outcome.code, "error_message": outcome.message}
    scores = {"score": outcome.score, "null_score": outcome.null_score, "margin": outcome.margin}
    values = {"status": "no_answer", "answer": "", "flags": list(outcome.flags)} | scores
    if outcome.spans:
        best = outcome.spans[0]
        values |= {"status": "answered", "answer": best.answer, "start": best.start, "end": best.end}
        values |= {"raw_score": best.raw_score}
    return values
