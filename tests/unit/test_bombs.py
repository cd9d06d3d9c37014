"""Files of a few kilobytes that stand for gigabytes: the real command, in a memory of its own that is measured."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import InputError
from contract.settings import Settings
from producer.input import pages, thrift
from producer.input.source import ReadOptions
from producer.jobs.check import check_file

#: Of a process that has loaded what it needs, 140 MiB.
PEAK = 600 << 20
MIB = 1 << 20


#: A process keeps the memory that its parent had when it was forked as its own peak: so there is a small one between.
_MEASURED = """
import os, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
said = process.stdout.read()
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024, said.decode())
"""


def run(*arguments: str) -> tuple[int, str, int]:
    """The exit code of a Python, what it says, and the most memory it held. What runs away is stopped."""
    command = [sys.executable, "-c", _MEASURED, sys.executable, *arguments]
    code, peak, said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(" ", 2)
    return int(code), said, int(peak)


def check(path: Path) -> tuple[int, str, int]:
    return run("-m", "producer", "check", str(path), "--json")


def write(path: Path, context: object, rows: int = 1, **options: object) -> None:
    columns = {"question": pa.array(["who?"] * rows), "context": context}
    columns |= options.pop("more", {})
    options = {"compression": "zstd", "write_statistics": False} | options
    pq.write_table(pa.table(columns), path, **options)
    assert path.stat().st_size < 200_000


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.large_string()))


def one_large_dictionary_entry(path: Path) -> None:
    """A GiB of rows of half a MiB each, all of them good."""
    write(path, repeated("x" * (MIB // 2), 2048), 2048, store_schema=False)


def rows_too_large_from_one_entry(path: Path) -> None:
    write(path, repeated("x" * (2 * MIB), 512), 512, store_schema=False)


def texts_behind_the_mean(path: Path) -> None:
    """A row group whose mean row is small: 500 large ones follow many small ones."""
    context = pa.array(["y"] * 50_000 + ["x" * (MIB // 2)] * 500, pa.large_string())
    write(path, context, 50_500, use_dictionary=False, write_batch_size=64, row_group_size=200_000)


def texts_by_their_prefix(path: Path) -> None:
    """DELTA_BYTE_ARRAY: a value is said by how much of it is that of the one before."""
    context = pa.array(["x" * (MIB // 2)] * 1400, pa.large_string())
    write(path, context, 1400, use_dictionary=False, column_encoding={"context": "DELTA_BYTE_ARRAY"})


def millions_of_rows_in_a_group(path: Path) -> None:
    write(path, repeated("y", 1_000_000), 1_000_000, row_group_size=1_000_000, store_schema=False)


def one_text_of_forty_mib(path: Path) -> None:
    write(path, pa.array(["x" * (40 * MIB)]), use_dictionary=False)


def columns_of_deep_structs(path: Path) -> None:
    value: pa.Array = repeated("x", 1)
    for _ in range(40):
        value = pa.StructArray.from_arrays([value], ["a"])
    write(path, pa.array(["c"]), more={"deep": value})


def a_list_of_a_million(path: Path) -> None:
    """One row that is too large to be one, and small enough to be looked at."""
    values = pa.ListArray.from_arrays(pa.array([0, 2 * MIB], pa.int32()), pa.array(np.zeros(2 * MIB, np.int8)))
    write(path, pa.array(["c"]), more={"list": values})


@pytest.mark.parametrize(
    ("made", "rows", "rejected"),
    [
        (one_large_dictionary_entry, 2048, 0),
        (rows_too_large_from_one_entry, 512, 512),
        (texts_behind_the_mean, 50_500, 0),
        (texts_by_their_prefix, 1400, 0),
        (millions_of_rows_in_a_group, 1_000_000, 0),
        (one_text_of_forty_mib, 1, 1),
        (columns_of_deep_structs, 1, 0),
        (a_list_of_a_million, 1, 1),
    ],
)
def test_what_expands_is_read_in_bounded_memory(
    made: Callable[[Path], None], rows: int, rejected: int, tmp_path: Path
) -> None:
    made(path := tmp_path / "in.parquet")
    code, said, peak = check(path)
    found = json.loads(said)
    assert (code, found["rows"], found["rejected"]) == (3 if rejected else 0, rows, rejected)
    assert set(found["codes"]) == ({"row_too_large"} if rejected else set())
    assert peak < PEAK


_SUBMIT = """
import sys
from contract.settings import Settings
from contract.storage import open_storage
from producer.jobs.submit import Request, submit
manifest = submit(sys.argv[1], open_storage(sys.argv[2], create=True), Settings(), Request()).manifest
print(manifest.rows, manifest.rejected)
"""


def test_submit_writes_what_expands_in_bounded_memory(tmp_path: Path) -> None:
    """Without Redis, which has no part in it."""
    one_large_dictionary_entry(path := tmp_path / "in.parquet")
    code, said, peak = run("-c", _SUBMIT, str(path), str(tmp_path / "storage"))
    assert (code, said.split()) == (0, ["2048", "0"])
    assert peak < PEAK


def one_text_of_128_mib(path: Path) -> None:
    write(path, pa.array(["x" * (128 * MIB)]), use_dictionary=False)


def the_same_in_gzip(path: Path) -> None:
    write(path, pa.array(["x" * (120 * MIB)]), use_dictionary=False, compression="gzip")


def one_entry_of_128_mib(path: Path) -> None:
    write(path, pa.array(["x" * (128 * MIB)]))


def the_same_with_a_lie(path: Path) -> None:
    """The directory says that the column has 100 bytes; the page header, by which it is decoded, has no such wish."""
    one_text_of_128_mib(path)
    data = path.read_bytes()
    meta = pq.ParquetFile(path).metadata.row_group(0)
    for true in {meta.total_byte_size, meta.column(1).total_uncompressed_size}:
        told = _zigzag(true)
        assert told in data[-2000:]
        data = data[:-2000] + data[-2000:].replace(told, _zigzag(100, len(told)))
    path.write_bytes(data)
    assert pq.ParquetFile(path).metadata.row_group(0).total_byte_size == 100


def a_list_of_ten_million(path: Path) -> None:
    count = 10_000_000
    values = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.array(np.zeros(count, np.int8)))
    write(path, pa.array(["c"]), more={"list": values})


def a_list_among_empty_ones(path: Path) -> None:
    """The mean row is small: one list of ten million among a hundred thousand empty ones."""
    count, rows = 10_000_000, 100_000
    ends = pa.array([0] * 500 + [count] * (rows - 499), pa.int32())
    values = pa.ListArray.from_arrays(ends, pa.array(np.zeros(count, np.int8)))
    write(path, pa.array(["c"] * rows), rows, more={"list": values}, data_page_version="2.0")


def texts_in_a_list(path: Path) -> None:
    """A list of a million texts, of 100 KB each, that are one."""
    values = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), repeated("x" * 100_000, 1_000_000))
    write(path, pa.array(["c"]), more={"list": values})


def a_directory_of_eighteen_mib(path: Path) -> None:
    table = pa.table({"question": ["q"], "context": ["c"]}).replace_schema_metadata({"note": "x" * (8 * MIB)})
    pq.write_table(table, path)  # which writes it twice, once in base64


def a_schema_nested_without_end(path: Path) -> None:
    """A footer by hand, of 300,000 structs in one another: version, then the schema."""
    group = bytes([0x48, 1, 0x61, 0x15, 2, 0])  # name: "a", one child
    count = 300_000
    footer = b"\x15\x02" + b"\x19" + b"\xfc" + _varint(count) + group * count + b"\x16\x02" + b"\x19\x0c" + b"\0"
    path.write_bytes(b"PAR1" + bytes(600) + footer + struct.pack("<I", len(footer)) + b"PAR1")


def four_gib_of_rows_that_are_one(path: Path) -> None:
    write(path, repeated("x" * (40 * MIB), 128), 128, store_schema=False)


def _varint(value: int, length: int = 0) -> bytes:
    out = bytearray()
    while value > 127 or len(out) + 1 < length:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int, length: int = 0) -> bytes:
    return _varint(value * 2, length)


def test_the_same_number_may_take_more_bytes() -> None:
    assert _zigzag(100, 5) == b"\xc8\x81\x80\x80\x00"


@pytest.mark.parametrize(
    ("made", "about", "where"),
    [
        (one_text_of_128_mib, "pages take up to 256 MiB", "'context'"),
        (the_same_in_gzip, "pages take up to 240 MiB", "'context'"),
        (one_entry_of_128_mib, "pages take up to 256 MiB", "'context'"),
        (the_same_with_a_lie, "pages take up to 256 MiB", "'context'"),
        (a_list_of_ten_million, "a single row takes", "'list.list.element'"),
        (a_list_among_empty_ones, "a single row takes", "'list.list.element'"),
        (texts_in_a_list, "a single row takes", "'list.list.element'"),
        (a_directory_of_eighteen_mib, "the directory at its end has", "16,777,216"),
        (a_schema_nested_without_end, "more than 65,536 columns", "damaged"),
        (four_gib_of_rows_that_are_one, "10,000 times", "after row"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_a_remedy(
    made: Callable[[Path], None], about: str, where: str, tmp_path: Path
) -> None:
    made(path := tmp_path / "in.parquet")
    code, said, peak = check(path)
    assert code == 2
    assert about in said
    assert where in said
    assert str(path) in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 2  # what, and what to do
    assert peak < PEAK


@pytest.mark.parametrize("head", [b"question|context\nwho?|", b'{"question": "q", "context": "c"}\n{"question": "'])
def test_gzip_that_unpacks_to_more_than_text_can_is_refused(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    sink = io.BytesIO()
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=9) as file:
        file.write(b"x" * (16 * MIB))
    path.write_bytes(gzip.compress(head) + sink.getvalue() * 20)  # a gzip file may have many members
    code, said, peak = check(path)
    assert code == 2
    assert re.search(r"in.gz: a gzip bomb: .*800 times", said)
    assert "gzip -dc" in said
    assert peak < PEAK


def test_gzip_of_what_text_can_is_read(tmp_path: Path) -> None:
    """The same questions again and again, and a bomb's size: more than 256 MiB, at a hundred to one."""
    lines = b"".join(b"who is %d?|%s\n" % (n, b"the same context " * 2000) for n in range(1000))
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(b"question|context\n") + gzip.compress(lines, 6) * 9)
    code, said, peak = check(path)
    assert (code, json.loads(said)["rows"]) == (0, 9_000)
    assert peak < PEAK


def test_large_pages_are_read_where_the_file_is_large_too(tmp_path: Path, settings: Settings) -> None:
    """Long contexts make large pages: a writer looks every 1024 rows whether a page is full."""
    dice = np.random.default_rng(0)
    texts = [bytes(dice.integers(97, 123, 250_000, np.uint8)).decode() for _ in range(512)]
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"question": ["q"] * 512, "context": texts}), path, compression="zstd")
    assert check_file(str(path), ReadOptions(), settings).rows == 512


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_the_longest_list_is_told_from_the_pages(
    version: str, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_SMALL", 0)
    dice = np.random.default_rng(1)
    for most in (1, 3, 9, 40, 3000):
        lists = [None if size % 5 == 0 else list(range(size)) for size in dice.integers(0, most, 200).tolist()]
        sink = io.BytesIO()
        options = {"data_page_size": int(dice.choice([64, 1000])), "row_group_size": int(dice.choice([50, 1000]))}
        pq.write_table(pa.table({"l": lists}), sink, compression=compression, data_page_version=version, **options)
        file = pa.BufferReader(sink.getvalue())
        found = pages.Pages(file, pq.ParquetFile(file).metadata, groups := pages.directory(file), MIB)
        leaf = found._leaf(0, list(range(len(groups))))
        assert leaf.per_row == max(1, *(len(entry or []) for entry in lists))


def test_a_directory_without_columns_does_not_end_the_process(tmp_path: Path, settings: Settings) -> None:
    """Asked for a column that is not there, the decoder ends the process: pages are told from our own reading."""
    path = tmp_path / "in.parquet"
    write(path, pa.array(["c"]))
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    for place in range(len(data) - 8 - size, len(data) - 8):
        for bit in (4, 16):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            with suppress(InputError):
                check_file(str(path), ReadOptions(), settings)


def test_many_columns_may_point_to_one_page(tmp_path: Path) -> None:
    """A page that is stored once counts once, and takes its memory forty times."""
    path = tmp_path / "in.parquet"
    texts = [np.random.default_rng(0).bytes(8 * MIB).hex()]
    pq.write_table(pa.table({f"c{n}": texts if n == 0 else ["c"] for n in range(40)}), path, use_dictionary=False)
    file = pa.OSFile(str(path))
    (group,) = pages.directory(file)
    group = group._replace(chunks=[group.chunks[0]] * 40)
    with pytest.raises(pages.TooLargeError, match="pages take up to 1,280 MiB"):
        list(pages.Pages(file, pq.ParquetFile(file).metadata, [group], MIB).batches())


def test_a_page_beyond_the_end_is_damage_and_no_room_is_made_for_it(tmp_path: Path) -> None:
    write(path := tmp_path / "in.parquet", pa.array(["c"]))
    file = pa.OSFile(str(path))
    (group,) = pages.directory(file)
    for at in (path.stat().st_size + 1, (1 << 63) - 1):
        moved = group._replace(chunks=[chunk._replace(at=at) for chunk in group.chunks])
        with pytest.raises(pages.DamagedError, match="no page header"):
            list(pages.Pages(file, pq.ParquetFile(file).metadata, [moved], MIB).batches())


def test_a_field_that_comes_twice_is_what_the_decoder_takes_it_for() -> None:
    """Of another kind it is passed over, of the same the last one counts, and structs are merged."""
    size, other, twice = b"\x25" + _zigzag(5), b"\x06" + _zigzag(2) + _zigzag(7), b"\x05" + _zigzag(2) + _zigzag(9)
    assert thrift.Compact(size + other + b"\0").struct() == {(2, thrift.I32): 5, (2, thrift.I64): 7}
    assert thrift.Compact(size + twice + b"\0").struct() == {(2, thrift.I32): 9}
    inner = b"\x1c" + b"\x15" + _zigzag(5) + b"\0" + b"\x0c" + _zigzag(1) + b"\x25" + _zigzag(7) + b"\0"
    assert thrift.Compact(inner + b"\0").struct() == {(1, thrift.STRUCT): {(1, thrift.I32): 5, (2, thrift.I32): 7}}
    with pytest.raises(thrift.DamagedError, match="too large"):
        thrift.Compact(b"\x25" + _varint(1 << 32) + b"\0").struct()


def test_a_directory_of_other_things_than_columns_is_damage() -> None:
    numbers = b"\x49" + b"\x1c" + b"\x19\x15" + _zigzag(7) + b"\0" + b"\0"  # row groups, the first with columns: [7]
    with pytest.raises(thrift.DamagedError, match="without some of the columns"):
        pages.directory(pa.BufferReader(b"PAR1" + numbers + struct.pack("<I", len(numbers)) + b"PAR1"))


#: Rows of a megabyte of punctuation, which is a token for each character, in four threads.
_LONG_ROWS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from contract.format.job import Options
from worker.reader.encode import Encoder
from worker.reader.model import describe
folder = Path(sys.argv[1])
encoder = Encoder(folder / "tokenizer.json", describe(folder))
contexts = [".,;:!?" * 174_000 + str(n) for n in range(4)]
with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(lambda context: len(encoder.encode("Who?", context, Options()).windows), contexts)))
"""


def test_long_contexts_do_not_take_their_memory_in_every_thread_at_once() -> None:
    code, said, peak = run("-c", _LONG_ROWS, str(Path(__file__).parents[2] / "models" / "minilm-l6-qa"))
    assert (code, int(said) > 4 * 4000) == (0, True), said
    assert peak < 1200 * MIB
