"""DataFrames in and out: their rows and index on the way to a job, and the DataFrame that `results` gives.

The index and the dtypes are kept beside the job (`producer.results.columns`), and come back with the answers; an index
that would come back as another is refused. Imports pandas only where a DataFrame is given or made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from contract.errors import InputError, UsageError
from producer.api.arrow import ERRORS, Table, parquet, refused, table_of, types_of
from producer.results.columns import InputColumns

if TYPE_CHECKING:
    import pandas as pd


def need_pandas() -> None:
    """Raise UsageError where pandas is not installed."""
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "results are given as a DataFrame, and pandas is not installed",
            "Install it: pip install 'bulkqa[pandas]'. Or call predictions(), which gives the same as dictionaries, or "
            "table(), which gives an Arrow table.",
        ) from error


def of_frame(frame: pd.DataFrame) -> tuple[Table, InputColumns]:
    """The rows of a DataFrame, and what is kept of its columns and index. Raises InputError where either cannot
    travel."""
    if frame.columns.nlevels > 1:
        raise refused("a DataFrame whose columns have several levels", "Join them: frame.columns.map('_'.join)")
    places = range(frame.shape[1])
    table = table_of([(name, _dense(frame.iloc[:, place])) for name, place in zip(frame.columns, places, strict=True)])
    if table.num_columns == 0:
        raise InputError("empty_file", "the DataFrame has no columns", "Is it the right one?")
    index, about = _index_in(frame.index)
    about["dtypes"] = {str(name): str(frame.iloc[:, place].dtype) for place, name in enumerate(frame.columns)}
    about["numbers"] = [str(name) for name in frame.columns if not isinstance(name, str)]
    columns = InputColumns(types_of(table), index, about)
    _check_index(frame.index, columns)
    return parquet(table, columns), columns


def _dense(values: Any) -> Any:
    return values.sparse.to_dense() if str(values.dtype).startswith("Sparse") else values


def _index_in(index: pd.Index) -> tuple[pa.Table, dict[str, Any]]:
    """The levels of an index as columns, and what else there is to it. That of every row in turn needs no column."""
    import pandas as pd

    names = [_label(name) for name in index.names]
    if isinstance(index, pd.RangeIndex):
        return pa.table({}), {"names": names, "range": [index.start, index.step]}
    levels = [index.get_level_values(n) for n in range(index.nlevels)]
    try:
        arrays = [pa.array(level, from_pandas=True) for level in levels]
    except (*ERRORS, UnicodeEncodeError) as error:
        raise _no_index(error) from error
    whole = [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arrays]
    named = dict(zip(map(str, range(len(whole))), whole, strict=True))
    freq = getattr(index, "freqstr", None) if index.dtype.kind in "Mm" else None
    return pa.table(named), {"names": names, "levels": [str(level.dtype) for level in levels], "freq": freq}


def _no_index(error: object) -> InputError:
    return refused(
        f"a DataFrame whose index cannot travel with its rows: {error}".splitlines()[0],
        "Make it a column, frame.reset_index(), or of one type.",
    )


def _label(name: Any) -> Any:
    """A name of an index as JSON holds it."""
    if isinstance(name, tuple):
        return [_label(part) for part in name]
    plain = name.item() if hasattr(name, "item") else name
    if plain is None or isinstance(plain, str | bool | int | float):
        return plain
    raise _no_index(f"its name is {name!r}, a {type(name).__name__}")


def _check_index(index: pd.Index, columns: InputColumns) -> None:
    """Better no job than answers at wrong rows."""
    try:
        back = index_out(columns, len(index))
        same = back.equals(index) and [*map(_label, back.names)] == [*map(_label, index.names)]
    except ERRORS as error:
        raise _no_index(error) from error
    if not same:
        raise _no_index("it would come back as another")


def index_out(columns: InputColumns | None, rows: int) -> pd.Index:
    """The index of a job's first rows: that of its DataFrame, else their numbers."""
    import pandas as pd

    frame = columns.frame if columns else None
    if columns is None or frame is None:
        return pd.RangeIndex(rows, name="row")
    names = [_unlabelled(name) for name in frame["names"]]
    if "range" in frame:
        start, step = frame["range"]
        return pd.RangeIndex(start, start + rows * step, step, name=names[0])
    kinds = zip(columns.index.columns, frame["levels"], strict=True)
    levels = [pd.Index(series_of(level.slice(0, rows), kind)) for level, kind in kinds]
    if len(levels) == 1:
        return _with_freq(levels[0].rename(names[0]), frame.get("freq"))
    return pd.MultiIndex.from_arrays(levels, names=names)


def _with_freq(index: pd.Index, freq: str | None) -> pd.Index:
    """An index of dates with the step that it had, where it still is regular."""
    return type(index)(index, freq=freq) if freq else index


def _unlabelled(name: Any) -> Any:
    return tuple(map(_unlabelled, name)) if isinstance(name, list) else name


def series_of(column: Any, kind: str | None = None) -> pd.Series[Any]:
    """An Arrow column as pandas has it, in the dtype `kind` if that is given: integers and booleans that have lost one
    become nullable."""
    import pandas as pd

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if kind == "object":
        return pd.Series(array.to_pylist(), dtype=object)
    dtype = _dtype(kind, array.type)
    if hasattr(dtype, "__from_arrow__"):
        return pd.Series(dtype.__from_arrow__(pa.chunked_array([array])), copy=False)
    if array.null_count and (pa.types.is_integer(array.type) or pa.types.is_boolean(array.type)):
        nullable = "boolean" if pa.types.is_boolean(array.type) else str(array.type).replace("i", "I").replace("u", "U")
        return pd.Series(_dtype(nullable, None).__from_arrow__(array), copy=False)
    made = pd.Series(array.to_pandas(), copy=False)
    return made if dtype is None or made.dtype == dtype else made.astype(dtype)


def _dtype(kind: str | None, of_arrow: Any) -> Any:
    """The pandas dtype of a name; None for those that an Arrow type tells by itself."""
    import pandas as pd

    if kind is None or kind == "category":
        return None
    if kind.endswith("[pyarrow]") and kind != "string[pyarrow]":
        return pd.ArrowDtype(of_arrow)
    try:
        return pd.api.types.pandas_dtype(kind)
    except TypeError:  # of another version of pandas
        return None


def frame_of(table: pa.Table, columns: InputColumns | None, shown: dict[str, str]) -> pd.DataFrame:
    """Predictions in the schema of `results.typed` as a DataFrame. `shown`: what the input's columns are called.

    `start`, `end` and `line` are Int64, lists are never missing, and the index is the one that was submitted.
    """
    import pandas as pd

    frame = (columns.frame if columns else None) or {"dtypes": {}, "numbers": []}
    back = {out: name for name, out in shown.items()}
    made: dict[Any, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        given = back.get(name)
        if name in ("line", "start", "end", "rank"):
            made[name] = series_of(column, "Int64")
        elif given is not None:
            label: Any = int(name) if given in frame["numbers"] and name == given else name
            made[label] = series_of(column, frame["dtypes"].get(given))
        elif name in ("flags", "alternatives"):
            made[name] = pd.Series([value or [] for value in column.to_pylist()], dtype=object)
        elif name != "row":
            made[name] = series_of(column)
    whole = pd.DataFrame(made, index=pd.RangeIndex(table.num_rows), copy=False)
    return whole.set_axis(index_out(columns, table.num_rows), axis=0)


def expanded(frame: pd.DataFrame, passed: list[dict[str, Any]], shown: dict[str, str]) -> pd.DataFrame:
    """The same with a column for each key of JSON Lines, in place of their text. Their types are as they come."""
    import pandas as pd

    values = {out: pd.Series([row.get(name) for row in passed], index=frame.index) for name, out in shown.items()}
    return pd.concat([frame.drop(columns="passthrough"), pd.DataFrame(values, index=frame.index)], axis=1)


def long_of(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each answer: the first as it is, `rank` 1, and below it its alternatives. `alternatives` is gone."""
    import numpy as np
    import pandas as pd

    others = frame["alternatives"]
    counts = others.map(len).to_numpy(dtype=int)
    rows = frame.drop(columns="alternatives").iloc[np.repeat(np.arange(len(frame)), counts + 1)].copy()
    rank = [n for count in counts for n in range(1, count + 2)]
    rows.insert(list(rows.columns).index("answer"), "rank", pd.array(rank, dtype="Int64"))
    spans: list[dict[str, Any]] = [span for found in others for span in ({}, *found)]
    later = np.array(rank, dtype=int) > 1
    for name in ("answer", "start", "end", "score", "raw_score"):
        place = list(rows.columns).index(name)
        values = rows[name].astype(object).to_numpy(copy=True)
        values[later] = [span[name] for span in spans if span]
        rows.isetitem(place, pd.Series(values, index=rows.index, dtype=rows[name].dtype))
    return rows
