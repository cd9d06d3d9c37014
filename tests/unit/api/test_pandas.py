"""DataFrames and tables come back with their rows, index and types, whatever the outcome."""

# ruff: noqa: DTZ001 - users have times without a zone
from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import string
import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkqa import Client, Job
from contract.errors import BulkqaError, InputError
from contract.format import layout
from contract.ledger.stored import load_manifest
from producer.results.output import shape_of, write_stream
from producer.results.typed import CORE
from tests.making import finish, finish_parts

BERLIN = "Europe/Berlin"
COLUMNS = [name for name in CORE.names if name != "row"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKQA_CHUNK_ROWS", "3")


def answered(client: Client, data: Any, **options: Any) -> Job:
    """The job of the data, finished."""
    job = client.submit(data, **options)
    finish(job.id, client._backend.storage, client._backend.queue, client._backend.settings)
    return job


def rows(count: int, **others: Any) -> pd.DataFrame:
    """A frame whose answers are `word0`, `word1`, ..., with other columns."""
    texts = {"question": [f"what is {n}?" for n in range(count)], "context": [f"word{n} it is" for n in range(count)]}
    return pd.DataFrame(texts | others)


def assert_same_index(actual: pd.Index, expected: pd.Index) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about checks of later versions
        pd.testing.assert_index_equal(actual, expected, exact=True)
    assert getattr(actual, "freq", None) == getattr(expected, "freq", None)


def parquet_of(job: Job) -> pa.Table:
    """The job as `producer results JOB -o answers.parquet` writes it."""
    from producer.results.lines import ready_lines

    out = io.BytesIO()
    write_stream(out, ready_lines(job.id, job._backend.storage), "parquet", shape_of(job._backend, job.id, "parquet"))
    return pq.read_table(out)


# The index

INDEXES = {
    "numbers": pd.RangeIndex(5),
    "a range of its own": pd.RangeIndex(10, 60, 10, name="n"),
    "downwards": pd.RangeIndex(4, -1, -1),
    "filtered": pd.Index([7, 3, 9, 4, 1]),
    "repeated": pd.Index([1, 1, 2, 2, 1]),
    "named": pd.Index(list("edcba"), name="letter"),
    "small": pd.Index([1, 2, 3, 4, 5], dtype="uint8"),
    "nullable": pd.Index([1, 2, None, 4, 5], dtype="Int64"),
    "floats": pd.Index([0.1, np.inf, -np.inf, np.nan, 1e300]),
    "booleans": pd.Index([True, False, True, True, False]),
    "objects": pd.Index(list("abcde"), dtype="object"),
    "dates": pd.DatetimeIndex(pd.date_range("2026-03-28 01:30", periods=5, freq="D", name="day")),
    "nanoseconds": pd.DatetimeIndex([1, 2, 3, 4, pd.NaT], dtype="datetime64[ns]"),
    "zoned, over the change of the clocks": pd.date_range("2026-10-25", periods=5, freq="h", tz=BERLIN),
    "days of Python": pd.Index([dt.date(2026, 1, day) for day in range(1, 6)], dtype="object"),
    "spans": pd.to_timedelta([1, 2, 3, 4, 5], unit="h"),
    "periods": pd.period_range("2026-01", periods=5, freq="M"),
    "intervals": pd.interval_range(0, 5, closed="left"),
    "categories": pd.CategoricalIndex(list("abcab"), categories=list("cbaz"), ordered=True),
    "decimals": pd.Index([decimal.Decimal(n) / 4 for n in range(5)], dtype="object"),
    "levels": pd.MultiIndex.from_arrays([list("aabbc"), [1, 2, 1, 2, 1]], names=["letter", None]),
    "levels of dates": pd.MultiIndex.from_product([pd.date_range("2026", periods=5, tz="UTC"), ["x"]], names=["d", 7]),
    "a name of parts": pd.Index([5, 4, 3, 2, 1], name=("a", 1)),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_answers_are_at_their_rows(client: Client, index: pd.Index) -> None:
    frame = rows(5).set_axis(index, axis=0)
    results = answered(client, frame).results()
    assert_same_index(results.index, frame.index)
    if index.is_unique:
        frame["answer"] = results["answer"]
        assert [f"{answer} it is" for answer in frame["answer"]] == frame["context"].tolist()
        joined = frame.sample(frac=1, random_state=1).join(results[["start"]])
        assert (joined["context"].str.partition(" ")[0] == joined["answer"]).all()


def test_answers_of_a_filtered_frame_fit_the_whole_frame(client: Client) -> None:
    frame = rows(9)
    frame["answer"] = answered(client, frame[frame.index % 3 == 1]).results()["answer"]
    assert frame["answer"].dropna().to_dict() == {1: "word1", 4: "word4", 7: "word7"}


labels = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=7),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), min_size=1, max_size=7),
    st.lists(st.floats(allow_nan=True), min_size=1, max_size=7),
    st.lists(st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), min_size=1, max_size=7),
    st.lists(st.booleans(), min_size=1, max_size=7),
)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels, st.none() | st.text("ab", max_size=2) | st.integers())
def test_any_index_comes_back(client: Client, values: list[Any], name: Any) -> None:
    frame = rows(len(values)).set_axis(pd.Index(values, name=name), axis=0)
    results = answered(client, frame).results()
    pd.testing.assert_index_equal(results.index, frame.index, exact=True)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([1, "a", 2.0], dtype="object"),
        pd.Index([object()] * 3),
        pd.Index(["\ud800", "b", "c"], dtype="object"),
        pd.Index(["a", b"b", "c"], dtype="object"),
        pd.Index([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 5), None], dtype="object"),
        pd.Index([1, 2, 3], name=dt.date(2026, 1, 1)),
    ],
    ids=["mixed", "anything", "half a pair", "text and bytes", "days and times", "an odd name"],
)
def test_an_index_that_cannot_be_stored_is_refused(client: Client, index: pd.Index) -> None:
    with pytest.raises(InputError, match="index cannot be stored") as caught:
        client.submit(rows(3).set_axis(index, axis=0))
    assert "reset_index" in (caught.value.remedy or "")
    assert client.jobs() == []


def test_rows_of_an_unfinished_job_have_their_labels(client: Client) -> None:
    job = client.submit(rows(8).set_axis(list("abcdefgh"), axis=0))
    manifest = load_manifest(client._backend.storage, job.id)
    finish_parts(client._backend.storage, manifest)
    client._backend.storage.delete(layout.part(job.id, 1))
    assert job.results().index.tolist() == ["a", "b", "c"]
    client._backend.storage.delete(layout.part(job.id, 0))
    assert job.results().index.tolist() == []


def test_a_row_that_lost_its_columns_keeps_its_label(client: Client) -> None:
    frame = rows(4, note=["x", "y" * 2000, "z", "z"], number=[1, 2, 3, 4]).set_axis([9, 8, 7, 6], axis=0)
    results = answered(client, frame, max_row_bytes=1000).results()
    assert results.index.tolist() == [9, 8, 7, 6]
    assert results["error_code"].tolist()[1] == "row_too_large"
    assert results["number"].tolist() == [1, pd.NA, 3, 4]
    assert results["number"].dtype == "Int64"


def test_a_job_of_a_file_is_numbered_by_its_rows(client: Client, tmp_path: Path) -> None:
    rows(4).set_axis(list("abcd"), axis=0).to_parquet(tmp_path / "f.parquet")
    results = answered(client, tmp_path / "f.parquet").results()
    assert results.index.tolist() == [0, 1, 2, 3]
    assert results.index.name == "row"


def test_a_key_covers_the_index_too(client: Client) -> None:
    """With other labels the same rows are another job: answers would be at wrong rows."""
    client.submit(rows(3), key="k")
    client.submit(rows(3), key="k")
    with pytest.raises(BulkqaError, match="was submitted differently"):
        client.submit(rows(3).set_axis([2, 1, 0], axis=0), key="k")


def test_altered_types_are_an_error_and_the_answers_remain(client: Client) -> None:
    job = answered(client, rows(3).set_axis(list("abc"), axis=0))
    client._backend.storage.replace(layout.columns(job.id), b"other")
    with pytest.raises(BulkqaError, match="altered or removed"):
        job.results()
    assert len(job.predictions()) == 3


# Types

TYPED = {
    "int64": [1, 2**62, -5],
    "uint8": np.array([1, 2, 255], "uint8"),
    "uint64": np.array([1, 2, 2**64 - 1], "uint64"),
    "nullable": pd.array([1, None, 2**60 + 1], "Int64"),
    "small nullable": pd.array([1, None, 3], "UInt16"),
    "float": [0.1, float("nan"), 1e300],
    "half": np.array([0.5, 1.5, 2.5], "float16"),
    "single": np.array([0.1, 0.2, 0.3], "float32"),
    "nullable float": pd.array([0.1, None, 0.3], "Float64"),
    "bool": [True, False, True],
    "boolean": pd.array([True, None, False], "boolean"),
    "text": ["a", None, ""],
    "string": pd.array(["a", None, "\u2028"], "string"),
    "object": pd.Series(["a", None, "c"], dtype="object"),
    "category": pd.Categorical(["b", None, "b"], categories=["c", "b", "unused"], ordered=True),
    "category of numbers": pd.Categorical([3, 1, 3], categories=[1, 2, 3]),
    "empty category": pd.Categorical([None, None, None], categories=[]),
    "date": pd.Series([dt.date(1960, 1, 1), None, dt.date(2026, 1, 1)], dtype="object"),
    "time": pd.Series([dt.time(0, 0), dt.time(23, 59, 59, 999999), None], dtype="object"),
    "timestamp": pd.Series([pd.Timestamp(1), pd.NaT, pd.Timestamp("2026-01-01 00:00:00.123456789")]),
    "seconds": pd.Series(np.array(["1000-01-01", "2026-01-01", "9999-12-31"], "datetime64[s]")),
    "zoned": pd.Series(pd.date_range("2026-10-25 01:00", periods=3, freq="h", tz=BERLIN)),
    "offset": pd.Series(pd.date_range("2026-10-25 01:00", periods=3, freq="h", tz="+05:30")),
    "timedelta": pd.Series([pd.Timedelta(1), pd.NaT, pd.Timedelta(days=-40000)]),
    "period": pd.Series(pd.period_range("2026", periods=3, freq="Q")),
    "interval": pd.Series(pd.interval_range(0.0, 3.0)),
    "decimal": pd.Series([decimal.Decimal("1.10"), None, decimal.Decimal("-1E-10")], dtype="object"),
    "bytes": pd.Series([b"\0\xff", None, b""], dtype="object"),
    "uuid": pd.Series([uuid.UUID(int=n) for n in range(3)], dtype="object"),
    "lists": pd.Series([[1, None], [], None], dtype="object"),
    "dicts": pd.Series([{"a": 1, "b": [dt.date(2026, 1, 1)]}, {"a": None, "b": []}, None], dtype="object"),
    "arrow": pd.array([dt.datetime(2026, 1, 1), None, dt.datetime(1, 1, 1)], pd.ArrowDtype(pa.timestamp("us"))),
    "arrow decimal": pd.array([decimal.Decimal("1.5")] * 3, pd.ArrowDtype(pa.decimal128(10, 2))),
    "nothing": pd.Series([None] * 3, dtype="object"),
    "id": [30, 10, 20],
}


@pytest.mark.parametrize("name", TYPED)
def test_a_column_comes_back_unchanged(client: Client, name: str) -> None:
    frame = rows(3, **{name: TYPED[name]})
    before = frame.copy(deep=True)
    job = answered(client, frame)
    pd.testing.assert_series_equal(job.results()[name], before[name], check_names=False)
    pd.testing.assert_frame_equal(frame, before)
    assert parquet_of(job).column_names == job.table().column_names


def test_all_columns_come_back_together_and_merge_by_a_numeric_id(client: Client) -> None:
    frame = rows(3, **TYPED)
    results = answered(client, frame).results()
    others = [name for name in TYPED if name != "id"]
    pd.testing.assert_frame_equal(results[others], frame[others])
    assert frame.merge(results[["id", "answer"]], on="id")["answer"].tolist() == ["word0", "word1", "word2"]


IDS = {
    "integers": [3, 1],
    "floats": [0.1, 2.0],
    "booleans": [False, True],
    "categories": pd.Categorical(["b", "a"]),
    "dates": pd.to_datetime(["2026-01-02", "2026-01-01"]).tz_localize(BERLIN),
    "decimals": pd.Series([decimal.Decimal("1.50"), decimal.Decimal("2.00")], dtype="object"),
    "spans": pd.to_timedelta([1, 2]),
    "text": ["x", "y"],
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_results_merge_by_ids_of_any_type(client: Client, ids: Any) -> None:
    frame = rows(2, key=ids)
    results = answered(client, frame, id="key").results()
    kind = frame["key"].dtype if frame["key"].dtype != "category" else results["status"].dtype
    assert results["id"].dtype == kind
    merged = frame.merge(results[["id", "answer"]], left_on="key", right_on="id")
    assert merged["answer"].tolist() == ["word0", "word1"]


def test_numbers_as_column_names_are_kept_and_names_that_collide_get_a_prefix(client: Client) -> None:
    frame = rows(2, answer=["a", "b"], row=[5, 6], input_row=[7, 8], score=["x", "y"])
    frame[3] = [1, 2]
    results = answered(client, frame).results()
    assert list(results.columns) == [*COLUMNS, "input_answer", "input_input_row", "input_row", "input_score", 3] or set(
        results.columns
    ) == {*COLUMNS, "input_answer", "input_input_row", "input_row", "input_score", 3}
    assert results["input_answer"].tolist() == ["a", "b"]
    assert results[3].tolist() == [1, 2]


PARQUET = pa.table(
    {
        "question": ["q?", "q?"],
        "context": ["c c", "c c"],
        "id": pa.array([5, 6], pa.int32()),
        "when": pa.array([1, None], pa.timestamp("ns", BERLIN)),
        "day": pa.array([1, None], pa.date32()),
        "clock": pa.array([1, None], pa.time64("us")),
        "span": pa.array([1, None], pa.duration("ms")),
        "price": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(12, 2)),
        "kind": pa.array(["a", None]).dictionary_encode(),
        "raw": pa.array([b"\xff", None]),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "nested": pa.array([{"x": [{"y": dt.datetime(2026, 1, 1)}]}, None]),
        "flag": pa.array([True, None]),
        "small": pa.array([1, None], pa.int8()),
        "fixed": pa.array([[1.5, 2.5], None], pa.list_(pa.float32(), 2)),
    }
)


def test_parquet_output_has_the_types_of_parquet_input(client: Client, tmp_path: Path) -> None:
    pq.write_table(PARQUET, tmp_path / "f.parquet")
    output = parquet_of(answered(client, tmp_path / "f.parquet"))
    for name in PARQUET.column_names:
        column = output["input_raw" if name == "raw" else name]
        assert column.type == PARQUET[name].type, name
        assert column.to_pylist() == PARQUET[name].to_pylist(), name
    assert output.column_names[: len(CORE.names)] == CORE.names


def test_a_file_of_all_types_written_by_pandas_is_read_with_them(client: Client, tmp_path: Path) -> None:
    kinds = {name: values for name, values in TYPED.items() if name not in ("half", "uuid")}
    frame = rows(3, **kinds)
    frame.to_parquet(tmp_path / "f.parquet")
    submitted = pq.read_table(tmp_path / "f.parquet")
    output = parquet_of(answered(client, tmp_path / "f.parquet"))
    for name in kinds:
        kind, expected = output[name].type, submitted[name].type
        if pa.types.is_dictionary(expected):  # their number is known only at the end, so the index type is the widest
            assert (kind.value_type, kind.ordered) == (expected.value_type, expected.ordered), name
        else:
            assert kind == expected, name
        assert str(output[name].to_pylist()) == str(submitted[name].to_pylist()), name


values = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    pa.large_binary(): st.binary(max_size=9),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.time32("ms"): st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    pa.time64("us"): st.times(),
    pa.timestamp("us"): st.datetimes(dt.datetime(1000, 1, 1)),
    pa.timestamp("us", BERLIN): st.datetimes(dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)),
    pa.duration("us"): st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
    pa.decimal128(20, 6): st.decimals(-(10**12), 10**12, places=6),
}


#: Of the types that Python holds in part only: the numbers that they are stored as.
stored = {kind: st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-(10**14), 10**14) for kind in (
    pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC"),
    pa.timestamp("ms", "+05:30"), pa.timestamp("us", "Europe/Stockholm"), pa.duration("ns"),
)} | {pa.date32(): st.integers(-(2**31), 2**31 - 1), pa.time64("ns"): st.integers(0, 86_400 * 10**9 - 1)}  # fmt: skip


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(1, 7))
def test_any_values_come_back(client: Client, data: st.DataObject, count: int) -> None:
    columns = {}
    for number, (kind, value) in enumerate([*values.items(), *stored.items()]):
        drawn = data.draw(st.lists(st.none() | value, min_size=count, max_size=count))
        storage = kind if number < len(values) else pa.int32() if kind == pa.date32() else pa.int64()
        column = pa.array(drawn, storage).cast(kind)
        columns[string.ascii_letters[number]] = column
        columns[string.ascii_letters[number] * 2] = pa.ListArray.from_arrays([0, *[count] * count], column)
    own = {"question": ["q?"] * count, "context": ["c"] * count}
    table = answered(client, pa.table(own | columns)).table()
    for name, column in columns.items():
        assert table[name].type == column.type
        if pa.types.is_floating(getattr(column.type, "value_type", column.type)):  # NaN is not equal to itself
            assert str(table[name].to_pylist()) == str(column.to_pylist())
        else:
            assert table[name].combine_chunks().equals(column), column.type


def test_infinite_numbers_come_back(client: Client) -> None:
    numbers = [np.inf, -np.inf, 1.0, np.nan]
    assert str(answered(client, rows(4, x=numbers)).results()["x"].tolist()) == str(numbers)
    lines = "".join(json.dumps({"question": "q?", "context": "c", "x": x}) + "\n" for x in numbers)
    job = answered(client, io.StringIO(lines))
    assert [row["passthrough"]["x"] for row in job.predictions()] == ["Infinity", "-Infinity", 1.0, None]
    assert str(job.results()["x"].tolist()) == str(numbers)


def test_nan_and_a_missing_value_are_two_things_outside_pandas(client: Client) -> None:
    for data in (pa.table, dict):
        job = answered(client, data({"question": ["q?"] * 3, "context": ["c"] * 3, "x": [1.5, float("nan"), None]}))
        assert str(job.table()["x"].to_pylist()) == "[1.5, nan, None]"
        assert [row["passthrough"]["x"] for row in job.predictions()] == [1.5, "NaN", None]


FAR = {
    "day": pa.array([2**31 - 1, -(2**31), 0], pa.int32()).cast(pa.date32()),
    "time": pa.array([2**63 - 1, -(2**63) + 1, 0], pa.timestamp("us")),
    "zone": pa.array([2**62, -(2**62), -5_364_662_399_999_999], pa.timestamp("us", "Europe/Stockholm")),
    "days": pa.array([[2**31 - 1], None, [0]], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
}


def test_one_date_that_python_cannot_hold_takes_no_output_away(client: Client) -> None:
    job = answered(client, pa.table({"question": ["q?"] * 3, "context": ["c"] * 3} | FAR))
    assert job.table().select([*FAR]).equals(pa.table(FAR))
    days = ["+5881580-07-11", "-5877641-06-23", "1970-01-01"]
    assert [row["passthrough"]["day"] for row in job.predictions()] == days
    assert [row["passthrough"]["zone"] for row in job.predictions()][::2] == [
        "+148108-07-06T14:00:27.387904+0000", "1800-01-01T00:00:00.000001+0000",
    ]  # fmt: skip
    assert parquet_of(job).select([*FAR]).equals(pa.table(FAR))
    results = job.results()
    assert results["day"].tolist() == ["+5881580-07-11", "-5877641-06-23", dt.date(1970, 1, 1)]
    assert results["days"].tolist() == [["+5881580-07-11"], None, [dt.date(1970, 1, 1)]]
    assert results["time"].dtype == "datetime64[us]"
    assert "+148108-" in str(results["zone"])


# One schema


OUTCOMES = ["answered", "no answer", "failed", "mixed", "nothing ready", "cancelled", "top_k", "without contexts"]


def outcome(client: Client, kind: str) -> pd.DataFrame:
    frame = rows(4, extra=[1, 2, 3, 4])
    options: dict[str, Any] = {"top_k": {"top_k": 3}, "without contexts": {"omit_context": True}}.get(kind, {})
    if kind in ("no answer", "mixed"):
        frame.loc[frame.index[:2] if kind == "mixed" else frame.index, "question"] = "nothing?"
    if kind in ("failed", "mixed"):
        frame.loc[frame.index[2:3] if kind == "mixed" else frame.index, "question"] = "odd?"
    job = client.submit(frame, **options)
    if kind == "cancelled":
        job.cancel()
    if kind != "nothing ready":
        finish(job.id, client._backend.storage, client._backend.queue, client._backend.settings)
    return job.results()


@pytest.mark.parametrize("kind", OUTCOMES)
def test_columns_and_types_do_not_depend_on_the_outcome(client: Client, kind: str) -> None:
    results, usual = outcome(client, kind), outcome(client, "answered")
    assert list(results.columns) == [*COLUMNS, "extra"]
    assert results.dtypes.to_dict() == usual.dtypes.to_dict()
    assert str(results["start"].dtype) == str(results["end"].dtype) == "Int64"
    assert all(isinstance(value, list) for name in ("flags", "alternatives") for value in results[name])


def test_offsets_slice_even_if_a_row_failed(client: Client) -> None:
    results = outcome(client, "mixed").query("status == 'answered'")
    spans = zip(results["context"], results["start"], results["end"], strict=True)
    assert [context[start:end] for context, start, end in spans] == results["answer"].tolist() == ["word3"]


@pytest.mark.parametrize("data", [b"question|context|x\nq?|c|1\n", b'{"question": "q?", "context": "c", "x": 1}\n'])
def test_columns_of_a_file_do_not_depend_on_the_outcome(client: Client, data: bytes) -> None:
    job = client.submit(io.BytesIO(data))
    assert list(job.results().columns) == [*COLUMNS, "x"]
    finish(job.id, client._backend.storage, client._backend.queue, client._backend.settings)
    assert list(job.results().columns) == [*COLUMNS, "x"]
    assert job.results()["x"].tolist() in (["1"], [1])


def test_keys_late_in_json_lines_are_columns_too(client: Client) -> None:
    lines = [{"question": "q?", "context": "c", "n": 1}, {"question": "q?", "context": "c", "late": {"a": [1]}}]
    results = answered(client, io.StringIO("".join(json.dumps(line) + "\n" for line in lines))).results()
    assert results["late"].tolist()[1] == {"a": [1]}
    assert results["n"].tolist()[0] == 1


def alternatives(client: Client, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose rows have three answers, none and an error."""
    from contract.format.job import Answer, Span
    from tests import making

    answer = making.answer

    def several(row: Any) -> Any:
        first = answer(row)
        if not isinstance(first, Answer) or not first.spans:
            return first
        more = [Span((row.context or "")[n : n + 1], n, n + 1, 0.1, 1.0) for n in (6, 7)]
        return Answer((*first.spans, *more), first.null_score, first.score)

    monkeypatch.setattr(making, "answer", several)
    frame = rows(3).set_axis(list("xyz"), axis=0)
    frame["question"] = ["what?", "nothing?", "odd?"]
    return answered(client, frame, top_k=3)


def test_long_results_have_a_row_per_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    job = alternatives(client, monkeypatch)
    wide, long = job.results(), job.results(long=True)
    assert long.index.tolist() == ["x", "x", "x", "y", "z"]
    assert long["rank"].tolist() == [1, 2, 3, 1, 1]
    assert long["answer"].tolist()[:4] == ["word0", "i", "t", ""]
    spans = long[long["status"] == "answered"]
    cut = [c[s:e] for c, s, e in zip(spans["context"], spans["start"], spans["end"], strict=True)]
    assert cut == spans["answer"].tolist()
    assert long["score"].tolist()[:3] == [0.5, 0.1, 0.1]
    pd.testing.assert_frame_equal(
        long[long["rank"] == 1].drop(columns="rank"), wide.drop(columns="alternatives"), check_flags=False
    )
    assert long.drop(columns="rank").dtypes.to_dict() == wide.drop(columns="alternatives").dtypes.to_dict()
    assert wide["alternatives"].map(len).tolist() == [2, 0, 0]


@pytest.mark.parametrize("kind", OUTCOMES)
def test_long_results_have_one_schema_too(client: Client, kind: str) -> None:
    outcome(client, kind)
    expected = [*COLUMNS[: COLUMNS.index("answer")], "rank", *COLUMNS[COLUMNS.index("answer") :], "extra"]
    expected.remove("alternatives")
    assert list(client.jobs()[-1].results(long=True).columns) == expected
