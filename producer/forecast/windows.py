"""How many windows rows have, and of how many tokens, from the tokens of their questions and contexts. Pure.

The same arithmetic as `worker.reader.encode`, over whole columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.format.job import Options

#: Tokens of a window that are neither question nor context: three in BERT's family, four in RoBERTa's.
_SPECIAL = 3
#: The longest window of a model of which nothing is known.
_LONGEST = 512

Numbers = NDArray[Any]


def work_of(questions: Numbers, contexts: Numbers, options: Options, longest: int = 0) -> Numbers:
    """The windows of rows, their tokens and the squares of these, (n, 3), given the tokens of questions and contexts.

    `longest`: tokens in the longest window that the model takes; 0: unknown. With `top_windows` the windows that are
    scored count as full ones.
    """
    length = min(options.max_seq_len, longest or _LONGEST)
    limit = min(options.max_question_len, max((length - _SPECIAL) // 2, length - _SPECIAL - options.doc_stride - 1))
    head = np.minimum(questions, limit) + _SPECIAL
    room = np.maximum(1.0, length - head)
    step = np.where(options.doc_stride < room, room - options.doc_stride, np.maximum(1.0, room // 2))
    full = np.ceil(np.maximum(0.0, contexts - room) / step)
    last = head + contexts - full * step
    if options.top_windows is not None:
        beyond = full >= options.top_windows
        full = np.where(beyond, options.top_windows, full)
        last = np.where(beyond, 0.0, last)
    return np.stack([full + (last > 0), full * length + last, full * length**2 + last**2], axis=-1)
