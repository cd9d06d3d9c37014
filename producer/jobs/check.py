"""`producer check`: read a file as `producer submit` does, without making a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contract.errors import InputError
from contract.forecast.work import Forecast
from contract.format import chunk
from contract.format.job import JUDGED_ROWS, Groups, Options, Row
from contract.settings import Settings
from producer.forecast.outlook import NOTHING, Outlook
from producer.forecast.survey import Survey
from producer.input.location import InputSpec
from producer.input.open import Input, open_input
from producer.input.options import ReadOptions

#: Rows that are shown at most.
_SHOWN = 10
#: Rows that a glance counts at most, and how many of its tables are surveyed together.
_COUNTED, _TOGETHER = 20_000, 100


@dataclass(frozen=True, slots=True)
class Checked:
    """The contents of a file, in numbers. Lengths are in characters."""

    name: str
    format: str
    delimiter: str | None
    columns: tuple[str, ...]
    id_column: str | None
    answers_column: str | None
    rows: int
    rejected: int
    chunks: int
    bytes: int
    sha256: str
    longest_question: int
    longest_context: int
    codes: dict[str, int]
    first_errors: tuple[dict[str, Any], ...]
    files: int = 1
    notes: tuple[str, ...] = ()  #: what the user should know about the input
    groups: Groups | None = None
    forecast: Forecast | None = None  #: with the default options of answering


def check_file(
    file: InputSpec,
    read: ReadOptions,
    settings: Settings,
    progress: Callable[[Input], None] | None = None,
    outlook: Outlook = NOTHING,
) -> Checked:
    """Read a whole file as submit does. Raises InputError if submit would."""
    survey = outlook.survey(Options())
    codes = Counter[str]()
    shown: list[dict[str, Any]] = []
    seen: list[str | None] = []
    rows = chunks = question = context = 0
    with open_input(file, read, settings.read_memory) as source:
        for table in source.tables(settings.chunk_rows, settings.chunk_bytes):
            survey.add(table)
            rows += table.num_rows
            chunks += 1
            question = max(question, _longest(table["question"]))
            context = max(context, _longest(table["context"]))
            bad = table.filter(pc.is_valid(table["code"])).select(["row", "line", "code", "message"])
            codes.update(bad["code"].to_pylist())
            shown += bad.slice(0, max(0, _SHOWN - len(shown))).to_pylist()
            seen += [] if len(seen) >= JUDGED_ROWS else table["code"].slice(0, JUDGED_ROWS - len(seen)).to_pylist()
            if progress:
                progress(source)
        wrong_column = _wrong_column(seen, source)
        return Checked(
            name=source.name,
            format=source.format,
            delimiter=source.delimiter,
            columns=tuple(source.columns),
            id_column=source.id_column,
            answers_column=source.answers_column,
            rows=rows,
            rejected=sum(codes.values()),
            chunks=chunks,
            bytes=source.bytes_read,
            sha256=source.sha256,
            longest_question=question,
            longest_context=context,
            codes=dict(codes.most_common()),
            first_errors=tuple(shown),
            files=source.files,
            notes=(*wrong_column, *source.notes),
            groups=source.groups,
            forecast=outlook.forecast(survey.finish()),
        )


def _wrong_column(codes: list[str | None], source: Input) -> list[str]:
    """A note if the first rows, given by their error, all fail for the same reason."""
    if len(codes) < 2 or codes[0] is None or any(code != codes[0] for code in codes):
        return []
    columns = {"empty_question": source.question_column, "empty_context": source.context_column}
    column = columns.get(codes[0])
    is_right = f": is {column!r} the right column?" if column else ""
    return [f"the first {len(codes)} rows all have the error {codes[0]}{is_right}"]


@dataclass(frozen=True, slots=True)
class Glance:
    """The beginning of a file."""

    name: str
    format: str
    delimiter: str | None
    columns: tuple[str, ...]
    question_column: str
    context_column: str
    id_column: str | None
    answers_column: str | None
    sheet: str | None  #: of a workbook, the one that is read,
    sheets: tuple[str, ...]  #: of all that it has
    rows: tuple[dict[str, Any], ...]  #: the first: row, question, context, passthrough; of a bad row, code and message
    count: int  #: rows that were read,
    complete: bool  #: which are all of the file
    work: tuple[float, float, float]  #: of the rows that can be scored (`Work`),
    scored: int  #: so many
    bytes_read: int
    notes: tuple[str, ...] = ()  #: what the user should know about it


def glance(file: InputSpec, read: ReadOptions, settings: Settings, survey: Survey | None = None) -> Glance:
    """Read the first rows of a file as submit does. Raises InputError if submit would by then."""
    survey = survey or NOTHING.survey(Options())
    with open_input(file, read, settings.read_memory) as source:
        tables = source.tables(_SHOWN, settings.chunk_bytes)
        first = next(tables)
        count, complete = _counted(chain([first], tables), survey)
        surveyed = survey.finish()
        return Glance(
            name=source.name,
            format=source.format,
            delimiter=source.delimiter,
            columns=tuple(source.columns),
            question_column=source.question_column,
            context_column=source.context_column,
            id_column=source.id_column,
            answers_column=source.answers_column,
            sheet=source.sheet,
            sheets=source.sheets,
            rows=tuple(map(_shown, chunk.rows(first))),
            count=count,
            complete=complete,
            work=astuple(surveyed.total),
            scored=surveyed.rows,
            bytes_read=source.bytes_read,
            notes=source.notes,
        )


def _counted(tables: Iterator[pa.Table], survey: Survey) -> tuple[int, bool]:
    """The number of rows up to a bound, which the survey sees, and whether these are all. The beginning of a file may
    end in the middle of a row: that ends the count."""
    count, complete, held = 0, False, list[pa.Table]()
    with suppress(InputError):
        for table in tables:
            count += table.num_rows
            held.append(table)
            if len(held) == _TOGETHER:
                survey.add(pa.concat_tables(held))
                held.clear()
            if count >= _COUNTED:
                break
        else:
            complete = True
    if held:
        survey.add(pa.concat_tables(held))
    return count, complete


def _shown(row: Row) -> dict[str, Any]:
    error = {"code": row.error and row.error.code, "message": row.error and row.error.message}
    return {"row": row.row, "question": row.question, "context": row.context, "passthrough": row.passthrough} | error


def _longest(texts: pa.ChunkedArray) -> int:
    once = [each.dictionary if pa.types.is_dictionary(each.type) else each for each in texts.chunks]
    return max((int(pc.max(pc.utf8_length(each)).as_py() or 0) for each in once), default=0)
