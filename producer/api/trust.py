"""Judging in Python: what `Job.judge` takes, and what `Job.sample` and `Job.trust` return."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

from contract.errors import UsageError
from contract.format import codec
from producer.trust.labels import judged, read
from producer.trust.promises.curve import svg
from producer.trust.promises.trusted import Trusted
from producer.trust.promises.words import in_words
from producer.trust.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

#: The columns of a sample, and those that are to be filled in.
_SHOWN, _FILLED = ("row", "id", "question", "answer", "excerpt", "score"), ("verdict", "correct_answer", "note")


@dataclass(frozen=True, slots=True)
class JobTrust(Trusted):
    """What the judged answers of a job promise: the fields of `producer trust --json`. A notebook shows it in words
    and as a curve."""

    @classmethod
    def of(cls, trusted: Trusted) -> JobTrust:
        """The same promise."""
        return cls(**{field.name: getattr(trusted, field.name) for field in fields(Trusted)})

    def to_json(self) -> dict[str, Any]:
        """The fields as `producer trust --json` names them."""
        return codec.values(self)

    def __str__(self) -> str:
        return "\n".join(f"{word:<11}{text}" for word, text in in_words(self))

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{word}</th><td>{escape(text)}</td></tr>" for word, text in in_words(self))
        return f"<table>{rows}</table>{svg(self)}"


def verdicts_of(data: Any) -> list[Verdict]:
    """Verdicts in a DataFrame, in a list of dicts, or in a file. Raises UsageError for anything else, or if there are
    none."""
    if isinstance(data, str | os.PathLike):
        return read(os.fspath(data))
    if hasattr(data, "to_dict") and hasattr(data, "notna"):  # a DataFrame
        data = data.astype(object).where(data.notna(), None).to_dict("records")
    rows = list(data) if isinstance(data, Iterable) and not isinstance(data, Mapping) else [data]
    if others := [row for row in rows if not isinstance(row, Mapping)]:
        raise UsageError(
            f"verdicts cannot be read from {type(others[0]).__name__}",
            "Give a DataFrame, or a list of dicts: [{'row': 7, 'verdict': 'right'}], or the path of a file of labels.",
        )
    return judged((f"row {number}", row) for number, row in enumerate(rows, 1))


def to_judge(predictions: list[dict[str, Any]], floor: float | None) -> pd.DataFrame:
    """Predictions with the columns that are to be filled in. `floor` goes with each verdict."""
    import pandas as pd

    rows = [{"excerpt": each.get("context")} | each for each in predictions]
    shown = [{name: row.get(name) for name in _SHOWN} | {"floor": floor} | dict.fromkeys(_FILLED) for row in rows]
    return pd.DataFrame(shown, columns=[*_SHOWN, "floor", *_FILLED])
