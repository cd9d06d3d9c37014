"""DataFrames in and out: their rows and index on the way to a job, and the DataFrame that `results` returns.

Index and dtypes are stored with the job (`producer.results.columns`) and come back with the answers; an index that
would not come back equal is refused. Imports pandas only if a DataFrame is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from contract.errors import InputError, UsageError
from producer.api.arrow import ERRORS, ParquetBuffer, parquet, table_of, types_of, unsupported
from producer.input.formats.parquet.convert import converted, json_type
from producer.results.columns import InputColumns

if TYPE_CHECKING:
    import pandas as pd


def need_pandas() -> None:
    """Raise UsageError unless pandas is installed."""
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "results() returns a DataFrame, but pandas is not installed",
            "Install it: pip install 'bulkqa[pandas]'. Or call predictions() for dicts, or table() for an Arrow table.",
        ) from error


def from_frame(frame: pd.DataFrame) -> tuple[ParquetBuffer, InputColumns]:
    """The rows of a DataFrame as a file, and its column types and index. Raises InputError if either cannot be
    stored."""
    if frame.columns.nlevels > 1:
        raise unsupported("a DataFrame whose columns have several levels", "Join them: frame.columns.map('_'.join)")
    table = table_of([(name, _dense(frame.iloc[:, number])) for number, name in enumerate(frame.columns)])
    if table.num_columns == 0:
        raise InputError("empty_file", "the DataFrame has no columns", "Check that it is the right one.")
    index, metadata = _index_columns(frame.index)
    metadata["dtypes"] = {str(name): str(frame.iloc[:, number].dtype) for number, name in enumerate(frame.columns)}
    metadata["numbers"] = [str(name) for name in frame.columns if not isinstance(name, str)]
    columns = InputColumns(types_of(table), index, metadata)
    _check_index(frame.index, columns)
    return parquet(table, columns), columns


def _dense(values: Any) -> Any:
    return values.sparse.to_dense() if str(values.dtype).startswith("Sparse") else values


def _index_columns(index: pd.Index) -> tuple[pa.Table, dict[str, Any]]:
    """The levels of an index as columns, and its metadata. A RangeIndex needs no column."""
    import pandas as pd

    names = [_label(name) for name in index.names]
    if isinstance(index, pd.RangeIndex):
        return pa.table({}), {"names": names, "range": [index.start, index.step]}
    levels = [index.get_level_values(n) for n in range(index.nlevels)]
    try:
        arrays = [pa.array(level, from_pandas=True) for level in levels]
    except (*ERRORS, UnicodeEncodeError) as error:
        raise _bad_index(error) from error
    columns = {str(number): array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
               for number, array in enumerate(arrays)}  # fmt: skip
    freq = getattr(index, "freqstr", None) if index.dtype.kind in "Mm" else None
    return pa.table(columns), {"names": names, "levels": [str(level.dtype) for level in levels], "freq": freq}


def _bad_index(problem: object) -> InputError:
    return unsupported(
        f"a DataFrame whose index cannot be stored with its rows: {problem}".splitlines()[0],
        "Turn it into a column with frame.reset_index(), or convert it to one type.",
    )


def _label(name: Any) -> Any:
    """A name of an index as a JSON value."""
    if isinstance(name, tuple):
        return [_label(part) for part in name]
    plain = name.item() if hasattr(name, "item") else name
    if plain is None or isinstance(plain, str | bool | int | float):
        return plain
    raise _bad_index(f"its name is {name!r}, a {type(name).__name__}")


def _check_index(index: pd.Index, columns: InputColumns) -> None:
    """Raise InputError if the index would not come back equal: better no job than answers at wrong rows."""
    try:
        restored = index_of(columns, len(index))
        equal = restored.equals(index) and [*map(_label, restored.names)] == [*map(_label, index.names)]
    except ERRORS as error:
        raise _bad_index(error) from error
    if not equal:
        raise _bad_index("it would come back different")


def index_of(columns: InputColumns | None, rows: int) -> pd.Index:
    """The index of a job's first rows: that of the submitted DataFrame, else the row numbers."""
    import pandas as pd

    frame = columns.frame if columns else None
    if columns is None or frame is None:
        return pd.RangeIndex(rows, name="row")
    names = [_name(label) for label in frame["names"]]
    if "range" in frame:
        start, step = frame["range"]
        return pd.RangeIndex(start, start + rows * step, step, name=names[0])
    kinds = zip(columns.index.columns, frame["levels"], strict=True)
    levels = [pd.Index(to_series(level.slice(0, rows), kind)) for level, kind in kinds]
    if len(levels) == 1:
        return _with_freq(levels[0].rename(names[0]), frame.get("freq"))
    return pd.MultiIndex.from_arrays(levels, names=names)


def _with_freq(index: pd.Index, freq: str | None) -> pd.Index:
    """An index of dates with its frequency."""
    return type(index)(index, freq=freq) if freq else index


def _name(label: Any) -> Any:
    """The name of an index from its JSON value."""
    return tuple(map(_name, label)) if isinstance(label, list) else label


def to_series(column: Any, kind: str | None = None) -> pd.Series[Any]:
    """An Arrow column as a Series, of the dtype `kind` if it is not None. Integers and booleans with missing values
    become nullable. A date or time that Python cannot hold is its text."""
    import pandas as pd

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if kind == "object" or not _fits(array):
        return pd.Series(_cells(array), dtype=object)
    dtype = _dtype(kind, array.type)
    if hasattr(dtype, "__from_arrow__"):
        return pd.Series(dtype.__from_arrow__(pa.chunked_array([array])), copy=False)
    if array.null_count and (pa.types.is_integer(array.type) or pa.types.is_boolean(array.type)):
        nullable = "boolean" if pa.types.is_boolean(array.type) else str(array.type).replace("i", "I").replace("u", "U")
        return pd.Series(_dtype(nullable, None).__from_arrow__(array), copy=False)
    series = pd.Series(array.to_pandas(), copy=False)
    return series if dtype is None or series.dtype == dtype else series.astype(dtype)


def _fits(array: Any) -> bool:
    """Whether pandas can hold and show all values. Durations and timestamps without a zone it can, whatever their
    size."""
    kind = array.type
    large = pa.types.is_duration(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)
    if large or not (pa.types.is_temporal(kind) or pa.types.is_nested(kind)):
        return True
    try:
        array.to_pylist()
    except (ValueError, OverflowError):
        return False
    return True


def _cells(array: Any) -> list[Any]:
    """The values as Python's; as JSON's where Python has none."""
    try:
        return array.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        return [_cell(array[number : number + 1]) for number in range(len(array))]


def _cell(array: Any) -> Any:
    try:
        return array[0].as_py()
    except (ValueError, OverflowError):
        return converted(array, json_type(array.type), {})[0].as_py()


def _dtype(kind: str | None, arrow_type: Any) -> Any:
    """The pandas dtype with a name; None if it follows from the Arrow type."""
    import pandas as pd

    if kind is None or kind == "category":
        return None
    if kind.endswith("[pyarrow]") and kind != "string[pyarrow]":
        return pd.ArrowDtype(arrow_type)
    try:
        return pd.api.types.pandas_dtype(kind)
    except TypeError:  # from another version of pandas
        return None


#: Columns of ours that are whole numbers, some of them missing.
_INTEGERS = ("row", "line", "passage", "page", "start", "end", "excerpt_start", "support", "passages", "rank")


def to_frame(
    table: pa.Table, columns: InputColumns | None, shown: dict[str, str], *, by_row: bool = True
) -> pd.DataFrame:
    """Predictions in the schema of `results.typed` as a DataFrame, or groups: those are not `by_row`. `shown` maps
    columns of the input to their names in the results.

    Integers of our own are Int64, lists are never missing, and the index of predictions is the submitted one.
    """
    import pandas as pd

    submitted = (columns.frame if columns else None) or {"dtypes": {}, "numbers": []}
    input_names = {out: name for name, out in shown.items()}
    series: dict[Any, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        input_name = input_names.get(name)
        if name in _INTEGERS and not (name == "row" and by_row):
            series[name] = to_series(column, "Int64")
        elif input_name is not None:
            label: Any = int(name) if input_name in submitted["numbers"] and name == input_name else name
            series[label] = to_series(column, submitted["dtypes"].get(input_name))
        elif name in ("flags", "alternatives"):
            series[name] = pd.Series([value or [] for value in column.to_pylist()], dtype=object)
        elif name != "row":
            series[name] = to_series(column)
    frame = pd.DataFrame(series, index=pd.RangeIndex(table.num_rows), copy=False)
    return frame.set_axis(_index_of_rows(table, columns), axis=0) if by_row else frame


def _index_of_rows(table: pa.Table, columns: InputColumns | None) -> pd.Index:
    """The index of predictions. All texts of a list in a DataFrame have the label of its row."""
    if columns is None or columns.frame is None or "passage" not in table.column_names:
        return index_of(columns, table.num_rows)
    begins = [place is None or place == 0 for place in table["passage"].to_pylist()]
    return index_of(columns, sum(begins)).take(np.cumsum(begins) - 1)


def expand_passthrough(frame: pd.DataFrame, passthrough: list[dict[str, Any]], shown: dict[str, str]) -> pd.DataFrame:
    """Results of a JSON input with a column per key, named by `shown`, in place of `passthrough`. pandas infers the
    types."""
    import pandas as pd

    values = {
        out: pd.Series(_infinite([row.get(name) for row in passthrough]), index=frame.index)
        for name, out in shown.items()
    }
    return pd.concat([frame.drop(columns="passthrough"), pd.DataFrame(values, index=frame.index)], axis=1)


def _infinite(values: list[Any]) -> list[Any]:
    """Values of JSON, with infinities in place of their texts if all others are numbers."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = (value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    if not texts or not {*texts} <= {"Infinity", "-Infinity"} or sum(numbers) + len(texts) < len(values):
        return values
    return [float(value) if isinstance(value, str) else value for value in values]


def to_long(frame: pd.DataFrame) -> pd.DataFrame:
    """Results with a row per answer, best first, with its `rank` from 1, in place of the column `alternatives`."""
    import numpy as np
    import pandas as pd

    alternatives = frame["alternatives"]
    counts = alternatives.map(len).to_numpy(dtype=int)
    rows = frame.drop(columns="alternatives").iloc[np.repeat(np.arange(len(frame)), counts + 1)].copy()
    rank = [n for count in counts for n in range(1, count + 2)]
    rows.insert(list(rows.columns).index("answer"), "rank", pd.array(rank, dtype="Int64"))
    spans: list[dict[str, Any]] = [span for others in alternatives for span in ({}, *others)]
    later = np.array(rank, dtype=int) > 1
    for name in ("answer", "start", "end", "score", "raw_score", "margin"):
        position = list(rows.columns).index(name)
        values = rows[name].astype(object).to_numpy(copy=True)
        values[later] = [span.get(name) for span in spans if span]  # jobs of earlier versions have no margin
        rows.isetitem(position, pd.Series(values, index=rows.index, dtype=rows[name].dtype))
    return rows
