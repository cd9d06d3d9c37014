"""Batches of windows, for GPUs. Pure numpy.

On a CPU a batch gains nothing (`session`), so batches are used with a GPU's provider only. A dynamically quantized
graph is never batched: its windows would share one activation scale, and neighbours would change answers. In fp32 they
change the last bits at most; parts say so (`batch_invariant`).

A batch costs its padded size, the longest window times the number of windows; that is bounded, not the number. Covers
which windows go into a batch, and their padding; not running it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Padded tokens in a run: at 384 tokens 42 windows, well under a gigabyte of activations in models up to large.
TOKEN_BUDGET = 16_384
#: Characters of the rows that are encoded, run and decoded together: some 64 encyclopedia rows.
MICRO_BATCH = 50_000


def plan(lengths: Sequence[int], budget: int = TOKEN_BUDGET, *, padding: bool = True) -> list[list[int]]:
    """Batches of indices of windows, sorted by length so that little is padded: max(length) x n <= budget in each.

    Every index is in one batch. A window longer than the budget is a batch of its own. Without `padding`, which a graph
    without an attention mask would take for text, the windows of a batch have equal lengths.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):  # a stable sort: ties stay in order
        # In ascending order the last window is the longest of its batch.
        fits = bool(batches) and lengths[index] * (len(batches[-1]) + 1) <= budget
        if fits and (padding or lengths[index] == lengths[batches[-1][0]]):
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of any length as one array (n, longest), padded with zeros. So is the mask, which is an input too."""
    if len(rows) == 1:
        return rows[0][np.newaxis]
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded
