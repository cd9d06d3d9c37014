"""`producer check` and `producer forecast`: read a file as `producer submit` does, without making a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
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
from producer.forecast.quote import Quote, Wish, quote
from producer.forecast.survey import Surveyed
from producer.input.location import InputSpec
from producer.input.open import Input, open_input
from producer.input.options import ReadOptions
from producer.request import Request
from producer.reuse.count import Reusable
from producer.reuse.sources import Source

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
    forecast: Forecast | None = None
    reused: int | None = None  #: rows that take their outcome from another job; None: no job is named


def check_file(
    file: InputSpec,
    read: ReadOptions,
    settings: Settings,
    progress: Callable[[Input], None] | None = None,
    outlook: Outlook = NOTHING,
    options: Options = Options(),  # noqa: B008 - frozen
    sources: Sequence[Source] | None = None,
) -> Checked:
    """Read a whole file as submit does. `sources`: the jobs to reuse, if any are named. Raises InputError if submit
    would."""
    survey = _Survey(outlook, options, sources)
    codes = Counter[str]()
    shown: list[dict[str, Any]] = []
    seen: list[str | None] = []
    rows = chunks = question = context = 0
    with open_input(file, read, settings.read_memory) as source, closing(survey):
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
        surveyed, reused = survey.finish()
        return Checked(
            **_about(source),
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
            forecast=outlook.forecast(surveyed),
            reused=reused,
        )


def forecast_file(
    file: InputSpec,
    request: Request,
    settings: Settings,
    outlook: Outlook,
    wish: Wish,
    sources: Sequence[Source] | None = None,
    progress: Callable[[Input], None] | None = None,
) -> Quote:
    """The forecast of a file, which is read as `submit` does. Raises InputError if that would."""
    survey = _Survey(outlook, request.options, sources)
    with open_input(file, request.read, settings.read_memory) as source, closing(survey):
        for table in source.tables(settings.chunk_rows, settings.chunk_bytes):
            survey.add(table)
            if progress:
                progress(source)
        surveyed, reused = survey.finish()
        return quote(surveyed, outlook, wish, source.name, reused=reused)


class _Survey:
    """The work of an input, without the rows that would take their outcome from `sources`."""

    def __init__(self, outlook: Outlook, options: Options, sources: Sequence[Source] | None) -> None:
        self._survey = outlook.survey(options)
        self._reusable = None if sources is None else Reusable(sources)

    def add(self, table: pa.Table) -> None:
        """The next rows."""
        self._survey.add(table, self._reusable.add(table) if self._reusable else None)

    def finish(self) -> tuple[Surveyed, int | None]:
        """The work, and how many rows are reused; None where no job is named. Once."""
        surveyed = self._survey.finish()
        if self._reusable is None:
            return surveyed, None
        reused, shares = self._reusable.finish()
        return surveyed.without(shares), reused

    def close(self) -> None:
        """Drop the keys of the rows."""
        if self._reusable:
            self._reusable.close()


def _about(source: Input) -> dict[str, Any]:
    """How a file is read, as fields of both."""
    names = "name", "format", "delimiter", "id_column", "answers_column"
    return {name: getattr(source, name) for name in names} | {"columns": tuple(source.columns)}


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
    sheet: str | None  #: of a workbook: the one that is read
    sheets: tuple[str, ...]  #: of a workbook: all
    rows: tuple[dict[str, Any], ...]  #: the first: row, question, context, passthrough; of a bad row, code and message
    count: int  #: rows that were read
    complete: bool  #: whether these are all rows of the file
    work: tuple[float, float, float]  #: `Work` of the rows that will be scored
    scored: int  #: rows that can be scored, or reused
    reused: int | None  #: rows that take their outcome from another job; None: no job is named
    bytes_read: int
    notes: tuple[str, ...] = ()  #: what the user should know about it


def glance(
    file: InputSpec,
    read: ReadOptions,
    settings: Settings,
    outlook: Outlook = NOTHING,
    options: Options = Options(),  # noqa: B008 - frozen
    sources: Sequence[Source] | None = None,
) -> Glance:
    """Read the first rows of a file as submit does. `sources`: as for `check_file`. Raises InputError if submit would
    by then."""
    survey = _Survey(outlook, options, sources)
    with open_input(file, read, settings.read_memory) as source, closing(survey):
        tables = source.tables(_SHOWN, settings.chunk_bytes)
        first = next(tables)
        count, complete = _counted(chain([first], tables), survey)
        surveyed, reused = survey.finish()
        return Glance(
            **_about(source),
            question_column=source.question_column,
            context_column=source.context_column,
            sheet=source.sheet,
            sheets=source.sheets,
            rows=tuple(map(_shown, chunk.rows(first))),
            count=count,
            complete=complete,
            work=astuple(surveyed.total),
            scored=surveyed.rows,
            reused=reused,
            bytes_read=source.bytes_read,
            notes=source.notes,
        )


def _counted(tables: Iterator[pa.Table], survey: _Survey) -> tuple[int, bool]:
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
