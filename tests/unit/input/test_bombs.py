"""Files of a few kilobytes that expand to gigabytes: the real command, in a process whose memory is measured."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import InputError
from contract.settings import Settings
from producer.input import memory
from producer.input.options import ReadOptions
from producer.jobs.check import check_file
from tests import REPO
from tests.preloaded import Commands

pytestmark = pytest.mark.slow  # a quarter of the time of all unit tests, for the memory of Arrow

#: Of a process that has loaded what it needs, 140 MiB.
PEAK = 600 << 20
MIB = 1 << 20


#: A process keeps the memory that its parent had when it was forked as its own peak: so there is a small one between.
_MEASURED = """
import os, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
output = process.stdout.read()
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024, output.decode())
"""


def run(*arguments: str, **environment: str) -> tuple[int, str, int]:
    """The exit code of a Python, its output, and its peak memory. A runaway process is stopped."""
    command = [sys.executable, "-c", _MEASURED, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    code, peak, output = done.stdout.split(" ", 2)
    return int(code), output, int(peak)


Check: TypeAlias = Callable[..., tuple[int, str, int]]


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    made = Commands(os.environ, address_space=4 << 30)
    yield made
    made.close()


@pytest.fixture
def check(commands: Commands, tmp_path: Path) -> Check:
    """`producer check`: its exit code, what it prints, and the most memory it held."""

    def checked(path: Path, **environment: str) -> tuple[int, str, int]:
        done = commands.run("check", str(path), "--json", cwd=tmp_path, env=os.environ | environment)
        return done.returncode, without_progress(done.stdout + done.stderr), done.peak

    return checked


def without_progress(output: str) -> str:
    """A slow machine reports how far it is."""
    return re.sub(r"^reading .*\n", "", output, flags=re.MULTILINE)


def write(path: Path, context: object, rows: int = 1, **options: object) -> None:
    columns = {"question": pa.array(["who?"] * rows), "context": context}
    columns |= options.pop("more", {})
    options = {"compression": "zstd", "write_statistics": False} | options
    pq.write_table(pa.table(columns), path, **options)
    assert path.stat().st_size < 200_000


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.large_string()))


def one_large_dictionary_entry(path: Path, rows: int = 1400) -> None:
    """700 MiB of rows of half a MiB each, all of them good."""
    write(path, repeated("x" * (MIB // 2), rows), rows, store_schema=False)


def rows_too_large_from_one_entry(path: Path) -> None:
    write(path, repeated("x" * (2 * MIB), 512), 512, store_schema=False)


def texts_behind_the_mean(path: Path) -> None:
    """A row group whose mean row is small: 500 large ones follow many small ones."""
    context = pa.array(["y"] * 50_000 + ["x" * (MIB // 2)] * 500, pa.large_string())
    write(path, context, 50_500, use_dictionary=False, write_batch_size=64, row_group_size=200_000)


def texts_by_their_prefix(path: Path) -> None:
    """DELTA_BYTE_ARRAY: a value is stored as the length of the prefix that it shares with the one before."""
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
    """One row that is too large, and small enough to be decoded."""
    values = pa.ListArray.from_arrays(pa.array([0, 2 * MIB], pa.int32()), pa.array(np.zeros(2 * MIB, np.int8)))
    write(path, pa.array(["c"]), more={"list": values})


@pytest.mark.parametrize(
    ("made", "rows", "rejected"),
    [
        (one_large_dictionary_entry, 1400, 0),
        (rows_too_large_from_one_entry, 512, 512),
        (texts_behind_the_mean, 50_500, 0),
        (texts_by_their_prefix, 1400, 0),
        (millions_of_rows_in_a_group, 1_000_000, 0),
        (one_text_of_forty_mib, 1, 1),
        (columns_of_deep_structs, 1, 0),
        (a_list_of_a_million, 1, 1),
    ],
)
def test_a_file_that_expands_is_read_in_bounded_memory(
    made: Callable[[Path], None], rows: int, rejected: int, tmp_path: Path, check: Check
) -> None:
    made(path := tmp_path / "in.parquet")
    code, output, peak = check(path)
    summary = json.loads(output)
    assert (code, summary["rows"], summary["rejected"]) == (3 if rejected else 0, rows, rejected)
    assert set(summary["codes"]) == ({"row_too_large"} if rejected else set())
    assert peak < PEAK


_SUBMIT = """
import sys
from contract.settings import Settings
from contract.storage import open_storage
from producer.jobs.submit import submit
from producer.request import Request
manifest = submit(sys.argv[1], open_storage(sys.argv[2], create=True), Settings(), Request()).manifest
print(manifest.rows, manifest.rejected)
"""


def test_submit_writes_a_file_that_expands_in_bounded_memory(tmp_path: Path) -> None:
    """Without Redis, which it does not need."""
    one_large_dictionary_entry(path := tmp_path / "in.parquet")
    code, output, peak = run("-c", _SUBMIT, str(path), str(tmp_path / "storage"))
    assert (code, output.split()) == (0, ["1400", "0"])
    assert peak < PEAK


def one_text_of_128_mib(path: Path) -> None:
    write(path, pa.array(["x" * (128 * MIB)]), use_dictionary=False)


def the_same_in_gzip(path: Path) -> None:
    write(path, pa.array(["x" * (120 * MIB)]), use_dictionary=False, compression="gzip")


def one_entry_of_128_mib(path: Path) -> None:
    write(path, pa.array(["x" * (128 * MIB)]))


def the_same_with_a_lie(path: Path) -> None:
    """The directory says that the column has 100 bytes; the page header, which the decoder follows, says otherwise."""
    one_text_of_128_mib(path)
    data = path.read_bytes()
    meta = pq.ParquetFile(path).metadata.row_group(0)
    for true in {meta.total_byte_size, meta.column(1).total_uncompressed_size}:
        encoded = _zigzag(true)
        assert encoded in data[-2000:]
        data = data[:-2000] + data[-2000:].replace(encoded, _zigzag(100, len(encoded)))
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
    """A list of a million times the same text of 100 KB."""
    values = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), repeated("x" * 100_000, 1_000_000))
    write(path, pa.array(["c"]), more={"list": values})


def a_directory_of_eighteen_mib(path: Path) -> None:
    table = pa.table({"question": ["q"], "context": ["c"]}).replace_schema_metadata({"note": "x" * (8 * MIB)})
    pq.write_table(table, path)  # which writes it twice, once in base64


def a_schema_nested_without_end(path: Path) -> None:
    """A footer made by hand, of 300,000 nested structs: version, then the schema."""
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


def columns_that_are_too_large_together(path: Path) -> None:
    more = {f"c{n}": pa.array(["x" * (12 * MIB)]) for n in range(40)}
    write(path, pa.array(["c"]), more=more, use_dictionary=False)


#: What a row of these takes may be allowed, and it then is an error of that row.
ROWS_TOO_LARGE = [
    (one_text_of_128_mib, "'context'"),
    (the_same_in_gzip, "'context'"),
    (one_entry_of_128_mib, "'context'"),
    (the_same_with_a_lie, "'context'"),
    (a_list_of_ten_million, "'list'"),
    (a_list_among_empty_ones, "'list'"),
]


@pytest.mark.parametrize(
    ("made", "about", "where"),
    [
        *((made, "does not fit into 128 MiB of memory", column) for made, column in ROWS_TOO_LARGE),
        (columns_that_are_too_large_together, "does not fit into 128 MiB", "its columns together"),
        (texts_in_a_list, "10,000 times", "after row"),
        (a_directory_of_eighteen_mib, "the directory at its end", "size limit"),
        (a_schema_nested_without_end, "the directory at its end", "size limit"),
        (four_gib_of_rows_that_are_one, "does not fit into 128 MiB", "'context'"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_refused_with_a_remedy(
    made: Callable[[Path], None], about: str, where: str, tmp_path: Path, check: Check
) -> None:
    made(path := tmp_path / "in.parquet")
    code, output, peak = check(path, BULKQA_READ_MEMORY=str(128 * MIB))
    assert code == 2
    assert about in output
    assert where in output
    assert str(path) in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 2  # what, and what to do
    assert "does not fit" not in output or f"BULKQA_READ_MEMORY={256 * MIB}" in output
    assert peak < PEAK - 256 * MIB


@pytest.mark.parametrize("pool", ["system", "mimalloc", "jemalloc"])
@pytest.mark.parametrize("made", [one_entry_of_128_mib, a_list_of_ten_million, four_gib_of_rows_that_are_one])
def test_with_every_allocator_memory_is_bounded_and_no_process_dies(
    made: Callable[[Path], None], pool: str, tmp_path: Path
) -> None:
    made(path := tmp_path / "in.parquet")
    environment = {"ARROW_DEFAULT_MEMORY_POOL": pool, "BULKQA_READ_MEMORY": str(128 * MIB)}
    code, output, peak = run("-m", "producer", "check", str(path), "--json", **environment)
    output = without_progress(output)
    if code == 3:
        assert json.loads(output)["codes"] == {"row_too_large": 1}
    else:
        assert (code, "too large to be decoded" in output, len(output.strip().splitlines())) == (2, True, 2)
    assert peak < PEAK


def test_the_remedy_of_a_file_that_is_too_large_works(tmp_path: Path, check: Check) -> None:
    one_text_of_128_mib(path := tmp_path / "in.parquet")
    _, output, _ = check(path, BULKQA_READ_MEMORY=str(192 * MIB))
    name, more = re.findall(r"(BULKQA_READ_MEMORY)=(\d+)", output)[0]
    assert check(path, **{name: more})[0] == 3


def test_the_limit_is_restored_after_reading_and_without_limits_files_are_read(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_list_of_a_million(path := tmp_path / "in.parquet")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    for _ in range(2):
        assert check_file(str(path), ReadOptions(), settings).rejected == 1
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
        monkeypatch.setattr(memory, "_STATM", tmp_path / "none")
    with memory.Bound(1):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_lower_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_set = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 30, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: limits_set.append(limits))
    with memory.Bound(1 << 40):
        assert limits_set == []
    assert limits_set == [(1 << 30, resource.RLIM_INFINITY)]


def test_threads_that_read_at_once_leave_no_limit_behind(tmp_path: Path, settings: Settings) -> None:
    one_large_dictionary_entry(path := tmp_path / "in.parquet", rows=256)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: check_file(str(path), ReadOptions(), settings).rows, range(4)))
    assert counts == [256] * 4
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("head", [b"question|context\nwho?|", b'{"question": "q", "context": "c"}\n{"question": "'])
def test_gzip_that_expands_more_than_text_is_refused(head: bytes, tmp_path: Path, check: Check) -> None:
    path = tmp_path / "in.gz"
    sink = io.BytesIO()
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=9) as file:
        file.write(b"x" * (16 * MIB))
    path.write_bytes(gzip.compress(head) + sink.getvalue() * 20)  # a gzip file may have many members
    code, output, peak = check(path)
    assert code == 2
    assert re.search(r"in.gz: a gzip bomb: .*800 times", output)
    assert "gzip -dc" in output
    assert peak < PEAK


def test_gzip_that_expands_as_text_does_is_read(tmp_path: Path, check: Check) -> None:
    """The same questions again and again, and a bomb's size: more than 256 MiB, at a hundred to one."""
    lines = b"".join(b"who is %d?|%s\n" % (n, b"the same context " * 2000) for n in range(1000))
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(b"question|context\n") + gzip.compress(lines, 6) * 9)
    code, output, peak = check(path)
    assert (code, json.loads(output)["rows"]) == (0, 9_000)
    assert peak < PEAK


def test_large_pages_are_read_in_a_large_file(tmp_path: Path, settings: Settings) -> None:
    """Long contexts make large pages: a writer looks every 1024 rows whether a page is full."""
    dice = np.random.default_rng(0)
    texts = [bytes(dice.integers(97, 123, 250_000, np.uint8)).decode() for _ in range(512)]
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"question": ["q"] * 512, "context": texts}), path, compression="zstd")
    assert check_file(str(path), ReadOptions(), settings).rows == 512


def test_a_directory_without_columns_does_not_kill_the_process(tmp_path: Path, settings: Settings) -> None:
    """Some calls of pyarrow kill the process if a column is missing: none of them is made."""
    path = tmp_path / "in.parquet"
    write(path, pa.array(["c"]))
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    for place in range(len(data) - 8 - size, len(data) - 8):
        for bit in (4, 16):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            with suppress(InputError):
                check_file(str(path), ReadOptions(), settings)


#: Rows of half a megabyte of punctuation, which is a token for each character, in four threads.
_LONG_ROWS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from contract.format.job import Options
from worker.reader.encode import Encoder
from worker.reader.model import describe
folder = Path(sys.argv[1])
encoder = Encoder(folder / "tokenizer.json", describe(folder))
contexts = [".,;:!?" * 87_000 + str(n) for n in range(4)]
with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(lambda context: len(encoder.encode("Who?", context, Options()).windows), contexts)))
"""


def test_long_contexts_do_not_take_memory_in_every_thread_at_once() -> None:
    code, output, peak = run("-c", _LONG_ROWS, str(REPO / "models" / "minilm-l6-qa"))
    assert (code, int(output) > 4 * 2000) == (0, True), output
    assert peak < 700 * MIB  # all at once take 1,150
