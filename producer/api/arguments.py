"""What the methods of the Python API are given, checked: options by name, states, metadata, seconds."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from contract.format.job import Options
    from producer.input.options import ReadOptions


class Keywords(TypedDict, total=False):
    """What `submit` takes as keywords: the fields of ReadOptions and of Options."""

    question: str
    context: str
    id: str | None
    answers: str | None
    delimiter: str
    escape: str | None
    max_row_bytes: int
    header: bool
    encoding: str | None
    sheet: str | None
    format: str | None
    max_seq_len: int
    doc_stride: int
    max_question_len: int
    max_answer_len: int
    top_k: int
    n_best: int
    no_answer_threshold: float | None
    omit_context: bool


def options_of(
    read: ReadOptions | None, options: Options | None, keywords: dict[str, Any]
) -> tuple[ReadOptions, Options]:
    """Both kinds of options, with the keywords on top. Raises UsageError for one that there is not."""
    from contract.errors import UsageError
    from contract.format.job import Options
    from producer.input.options import ReadOptions

    for name, given, kind in (("read", read, ReadOptions), ("options", options, Options)):
        if given is not None and not isinstance(given, kind):
            raise UsageError(f"{name} must be {kind.__name__}(...), not a {type(given).__name__}")
    of_read = {each.name for each in fields(ReadOptions)}
    of_both = of_read | {each.name for each in fields(Options)}
    for name in keywords:
        if name not in of_both:
            near = difflib.get_close_matches(name, of_both, n=1)
            meant = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(of_both))}."
            raise UsageError(f"submit takes no {name}", meant)
    _check_types([each for kind in (ReadOptions, Options) for each in fields(kind)], keywords)
    if read:
        _check_types(fields(read), {each.name: getattr(read, each.name) for each in fields(read)})
    if options:
        _check_types(fields(options), {each.name: getattr(options, each.name) for each in fields(options)})
    reading = replace(read or ReadOptions(), **{k: v for k, v in keywords.items() if k in of_read})
    return reading, replace(options or Options(), **{k: v for k, v in keywords.items() if k not in of_read})


def _check_types(known: Iterable[Field[Any]], values: dict[str, Any]) -> None:
    """Raise UsageError for a value that its field does not hold: `top_k=3.0`, `question=None`."""
    from contract.errors import UsageError

    for each in known:
        value, kinds = values.get(each.name, each.default), str(each.type).split(" | ")
        found = "None" if value is None else type(value).__name__
        if found not in kinds and not ("float" in kinds and _is_int(value)):
            raise UsageError(f"{each.name} must be {' or '.join(kinds)}, not {value!r}")


def check_text(**values: object) -> None:
    """Raise UsageError for what is neither text nor None."""
    from contract.errors import UsageError

    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name} must be str, not {value!r}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_seconds(name: str, value: object) -> None:
    """Raise UsageError unless it is a number of seconds, or None."""
    from contract.errors import UsageError

    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise UsageError(f"{name} must be a number of seconds, not {value!r}")


def check_states(states: tuple[str, ...]) -> None:
    """Raise UsageError for a state that no job has."""
    from contract.errors import UsageError
    from contract.ledger.progress import TERMINAL

    known = ("queued", "running", "finalizing", "cancelling", *TERMINAL)
    for state in states:
        if state not in known:
            near = difflib.get_close_matches(str(state), known, n=1)
            meant = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise UsageError(f"no job has the status {state!r}", meant)


def checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of it. Raises UsageError for what is no dict of text."""
    from contract.errors import UsageError

    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise UsageError(f"metadata must be a dict of text, not a {type(metadata).__name__}")
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageError(f"metadata must be text: {name!r} is {value!r}", "Write it as text: str(value).")
    return dict(metadata)
