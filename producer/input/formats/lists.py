"""Contexts that are lists of texts: each text becomes a row, a passage, with its place in the list.

An empty list, like a context that is not a list, stays one row, without a place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.format import nesting
from producer.input.formats.records import BATCH_BYTES
from producer.input.rows import ROW_OVERHEAD, Column, Fault, Lists, Rows, pc, strings, weights

#: The beginning of a text that may be a list.
_LIST = r"^\s*\["


def are_lists(contexts: Column) -> bool:
    """Whether all texts of a column that are not blank are JSON lists of texts."""
    texts = contexts.filter(pc.invert(pc.or_(pc.equal(contexts, ""), pc.utf8_is_space(contexts)))).drop_null()
    if not len(texts) or not pc.all(pc.match_substring_regex(texts, _LIST)).as_py():
        return False
    return all(_list(text) is not None for text in texts.to_pylist())


def parsed_lists(rows: Rows) -> Rows:
    """Rows whose contexts are JSON lists of texts, with these lists. Rejects other rows, but for blank contexts."""
    lists: list[list[str | None] | None] = []
    for index, text in enumerate(rows.context.to_pylist()):
        is_blank = not text or text.isspace()
        lists.append(None if is_blank or index in rows.faults else _list(text))
        if lists[-1] is None and not is_blank:
            message = "the context is not a JSON list of texts, as the contexts of the first rows are"
            rows.reject([index], Fault("parse_error", message))
    lengths = np.array([-1 if texts is None else len(texts) for texts in lists], np.int64)
    faults: dict[int, Fault] = {}
    flat = strings([text for texts in lists if texts is not None for text in texts], faults)
    return replace(rows, lists=Lists(lengths, flat, faults))


def _list(text: str) -> list[str | None] | None:
    """The list that a text is as JSON; None for anything else."""
    try:
        value = nesting.loads(text, json.loads)
    except ValueError:
        return None
    is_texts = isinstance(value, list) and all(item is None or isinstance(item, str) for item in value)
    return value if is_texts else None


def spread(rows: Rows) -> Iterator[Rows]:
    """The same rows with a row for each text of a list, a few MiB at a time: what is beside a list is in all of
    them."""
    lists = rows.lists
    if lists is None:
        yield rows
        return
    rows.reject(np.flatnonzero(lists.lengths == 0), Fault("empty_context", "the list of contexts is empty"))
    counts = np.maximum(lists.lengths, 1)
    origin = np.repeat(np.arange(len(counts)), counts)  # the row that each comes from
    first = np.cumsum(counts) - counts
    place = np.arange(len(origin)) - first[origin]
    is_text = lists.lengths[origin] > 0
    texts = pa.concat_arrays([lists.texts, rows.context])
    text = np.where(is_text, lists.starts[origin] + place, len(lists.texts) + origin)
    faults = _spread_faults(rows.faults, lists, first, counts)
    beside = [column for column in (rows.id, rows.question, rows.group, rows.passthrough) if column is not None]
    size = sum((weights(column) for column in beside), np.full(len(counts), ROW_OVERHEAD))[origin]
    for start, stop in _cuts(size + weights(texts)[text]):
        here, among = slice(start, stop), pa.array(origin[start:stop])
        yield Rows(
            id=rows.id.take(among),
            question=rows.question.take(among),
            context=texts.take(pa.array(text[here])),
            passthrough=None if rows.passthrough is None else rows.passthrough.take(among),
            lines=None if rows.lines is None else np.asarray(rows.lines)[origin[here]],
            faults={index - start: fault for index, fault in faults.items() if start <= index < stop},
            group=None if rows.group is None else rows.group.take(among),
            passage=pa.array(place[here], mask=~is_text[here]),
        )


def _spread_faults(
    faults: dict[int, Fault], lists: Lists, first: NDArray[np.int64], counts: NDArray[np.int64]
) -> dict[int, Fault]:
    """The faults of rows, which all rows made of them have, and those of texts."""
    found = {int(first[row]) + place: fault for row, fault in faults.items() for place in range(counts[row])}
    for index, fault in lists.faults.items():
        row = int(np.searchsorted(lists.starts, index, side="right")) - 1
        found.setdefault(int(first[row] + index - lists.starts[row]), fault)
    return found


def _cuts(size: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where rows of these sizes are cut."""
    ends = np.cumsum(size)
    start = 0
    while start < len(size):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        yield start, stop
        start = stop
