"""Remote inputs: the same rows as from a local file, and errors that say what is wrong and show no secret."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import InputError, UsageError
from producer.input.location import Documents
from producer.input.open import open_input
from tests import s3
from tests.making import csv

PREFIX = f"s3://{s3.BUCKET}/inputs"


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A prefix of its own."""
    for name, value in s3.environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return f"{PREFIX}/{abs(hash(request.node.name))}"


def put(url: str, data: bytes) -> None:
    """By Amazon's own client, for which a key is a name."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    client(os.environ["AWS_ENDPOINT_URL"]).put_object(Bucket=bucket, Key=key, Body=data)


@cache
def client(endpoint: str) -> Any:
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def one(question: str) -> bytes:
    return f"question|context\n{question}|It was raised in 1788.\n".encode()


def questions(url: str) -> list[str]:
    return [question for question, _ in rows(url)]


def rows(url: str) -> list[tuple[str, str]]:
    with open_input(url) as source:
        return [
            pair
            for table in source.tables(5, 1 << 20)
            for pair in zip(table["question"].to_pylist(), table["context"].to_pylist(), strict=True)
        ]


def here(tmp_path: Path, count: int = 30) -> tuple[list[tuple[str, str]], str]:
    file = tmp_path / "rows.csv"
    file.write_bytes(csv(count))
    with open_input(file) as source:
        list(source.tables(5, 1 << 20))
        digest = source.sha256
    return rows(str(file)), digest


def test_an_object_is_read_as_a_file_is(bucket: str, tmp_path: Path):
    expected, digest = here(tmp_path)
    put(f"{bucket}/rows.csv", csv(30))
    with open_input(f"{bucket}/rows.csv") as source:
        tables = list(source.tables(5, 1 << 20))
        assert (source.name, source.size, source.sha256) == ("rows.csv", len(csv(30)), digest)
        assert source.bytes_read == source.size
    assert sum(table.num_rows for table in tables) == 30
    assert rows(f"{bucket}/rows.csv") == expected


def test_parquet_and_compressed_objects_are_read(bucket: str, tmp_path: Path):
    import gzip

    expected, _ = here(tmp_path)
    file = io.BytesIO()
    pq.write_table(pa.table({"question": [q for q, _ in expected], "context": [c for _, c in expected]}), file)
    put(f"{bucket}/rows.parquet", file.getvalue())
    put(f"{bucket}/rows.csv.gz", gzip.compress(csv(30)))
    assert rows(f"{bucket}/rows.parquet") == rows(f"{bucket}/rows.csv.gz") == expected


def test_a_prefix_or_a_pattern_of_objects_is_one_input(bucket: str, tmp_path: Path):
    expected, _ = here(tmp_path, 4)
    for name in ("part-1.csv", "part-0.csv", "other.csv"):
        put(f"{bucket}/data/{name}", csv(4))
    put(f"{bucket}/data/_SUCCESS", b"")
    put(f"{bucket}/data/", b"")  # a folder, as services show one
    assert rows(f"{bucket}/data/") == expected * 3
    assert rows(f"{bucket}/data/part-*.csv") == expected * 2
    with open_input(f"{bucket}/data/") as source:
        assert source.size == 3 * len(csv(4))


NAMES = ["PO# 1.csv", "a?b.csv", "50%25.csv", "50%.csv", "x[1].csv", "ä+b & c.csv", "day=1 00%3A00/p#1.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_a_name_and_not_an_address(bucket: str, name: str):
    for other in ("PO", "a", "50%.csv", "50", "x1.csv", "day=1 00:00/p"):
        put(f"{bucket}/{other}", one("Another?"))
    put(f"{bucket}/{name}", one("When?"))
    with open_input(f"{bucket}/{name}") as source:
        assert (source.name, source.size) == (name.rpartition("/")[2], len(one("When?")))
    assert questions(f"{bucket}/{name}") == ["When?"]


def test_names_are_names_below_a_prefix_and_in_a_pattern_too(bucket: str):
    for name in NAMES:
        put(f"{bucket}/in#1 [a]/{name}", one(name))
    put(f"{bucket}/in/50%.csv", one("Another?"))
    put(f"{bucket}/in#1 a/50%.csv", one("Another?"))
    assert questions(f"{bucket}/in#1 [a]/") == sorted(NAMES)
    assert questions(f"{bucket}/in#1 [a]/[P5]*.csv") == ["50%.csv", "50%25.csv", "PO# 1.csv"]
    assert questions(f"{bucket}/in#1 [ab]/50%.csv") == ["Another?"]


def test_a_prefix_is_all_below_it_and_a_pattern_reaches_as_deep_as_it_says(bucket: str):
    for name in ("b.csv", "a/z.csv", "a/deep/p.csv", "a-b.csv", "day=2/p.csv", "day=1/p.csv"):
        put(f"{bucket}/top/{name}", one(name))
    for name in ("_SUCCESS", "a/_temporary/p.csv", ".hidden/p.csv", "a/.DS_Store", "a/Thumbs.db", "a/deep/desktop.ini"):
        put(f"{bucket}/top/{name}", one("No data?"))
    everything = ["a/deep/p.csv", "a/z.csv", "a-b.csv", "b.csv", "day=1/p.csv", "day=2/p.csv"]
    assert questions(f"{bucket}/top/") == questions(f"{bucket}/top/**") == everything
    with open_input(f"{bucket}/top/") as source:
        assert source.files == 6
    assert questions(f"{bucket}/top/*/p.csv") == ["day=1/p.csv", "day=2/p.csv"]
    assert questions(f"{bucket}/top/**/p.csv") == ["a/deep/p.csv", "day=1/p.csv", "day=2/p.csv"]
    assert questions(f"{bucket}/t*p/*.csv") == ["a-b.csv", "b.csv"]


def test_a_row_is_named_with_the_path_of_its_object(bucket: str):
    put(f"{bucket}/data/day=1/p.csv", b"question|context\n|c\n")
    put(f"{bucket}/data/day=2/p.csv", b"question|context\n|c\n")
    with open_input(f"{bucket}/data/") as source:
        messages = [text for table in source.tables(9, 1 << 20) for text in table["message"].to_pylist()]
    assert [message.partition(":")[0] for message in messages] == ["day=1/p.csv", "day=2/p.csv"]


@pytest.mark.parametrize("path", ["/rows.csv", "a//rows.csv", "a/../rows.csv", "a/\t.csv", "a//"])
def test_a_name_that_cannot_be_read_is_refused_and_reads_no_other(bucket: str, path: str):
    put(f"s3://{s3.BUCKET}/rows.csv", one("Another?"))
    put(f"s3://{s3.BUCKET}/a/rows.csv", one("Another?"))
    with pytest.raises(UsageError) as error:
        rows(f"s3://{s3.BUCKET}/{path}")
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "no such object"),
        ("nothing/", "no objects"),
        ("none-*.csv", "no objects"),
    ],
)
def test_a_missing_object_is_an_error(bucket: str, path: str, message: str):
    with pytest.raises(InputError, match=message) as error:
        open_input(f"{bucket}/{path}")
    assert path in error.value.message
    assert error.value.remedy


def test_a_missing_bucket_and_an_address_with_a_password_are_refused(bucket: str):
    for path in ("rows.csv", "data/"):
        with pytest.raises(InputError, match="no such"):
            open_input(f"s3://nobody-has-this-bucket/{path}")
    with pytest.raises(UsageError) as error:
        open_input(f"s3://user:{s3.SECRET}@{s3.BUCKET}/rows.csv")
    assert s3.SECRET not in str(error.value)


# The web


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/moved.csv":
            self.send_response(302)
            self.send_header("Location", "/rows.csv?sig=other")
            self.end_headers()
            return
        if path not in ("/rows.csv", "/cut.csv"):
            self.send_response(403 if "secret" in path else 404)
            self.end_headers()
            return
        data = csv(30)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if path == "/cut.csv" else data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_on_the_web_is_read_also_after_a_redirect(site: str, tmp_path: Path):
    expected, _ = here(tmp_path)
    assert rows(f"{site}/rows.csv?sig=abc") == expected
    assert rows(f"{site}/moved.csv") == expected
    with open_input(f"{site}/rows.csv?sig=abc") as source:
        assert (source.name, source.size) == ("rows.csv", len(csv(30)))


@pytest.mark.parametrize(
    ("path", "message"), [("/none.csv", "404"), ("/secret.csv", "403"), ("/cut.csv", r"peer|closed|complete")]
)
def test_errors_of_the_web_show_no_secret(site: str, path: str, message: str):
    with pytest.raises(InputError, match=message) as error:
        rows(f"{site}{path}?sig=hidden")
    assert path in error.value.message
    assert "hidden" not in str(error.value)


def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"unreadable|refused") as error:
        rows("http://127.0.0.1:9/rows.csv?sig=hidden")
    assert "hidden" not in str(error.value)


def test_a_local_file_of_that_name_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    (tmp_path / "s3:" / "rows.csv").write_bytes(csv(3))
    assert len(rows("s3://rows.csv")) == 3
    with pytest.raises(InputError, match="ftp://"):
        open_input("ftp://host/rows.csv")


def test_an_address_that_became_a_path_is_refused():
    with pytest.raises(InputError, match="lost a slash"):
        open_input(Path("s3://bucket/rows.csv"))


@pytest.mark.parametrize("address", ["http://[::1/x", "https://[::1/x", "s3://[x/y", "https://host:secret/x"])
def test_a_malformed_address_is_an_error_that_does_not_show_it(address: str):
    with pytest.raises(InputError, match="malformed") as error:
        open_input(address)
    assert (error.value.exit_code, "secret" in str(error.value)) == (2, False)


def test_documents_and_their_questions_lie_in_a_bucket(bucket: str):
    for name in ("b.txt", "a.html", "deep/c.md"):
        put(f"{bucket}/docs/{name}", f"<p>{name} is here.".encode())
    put(f"{bucket}/questions.txt", b"Where?\nWhen?\n")
    with open_input(Documents(f"{bucket}/docs/", f"{bucket}/questions.txt")) as source:
        (table,) = source.tables(0, 1 << 20)
        size = source.size
    assert table["document"].to_pylist() == [name for name in ("a.html", "b.txt", "deep/c.md") for _ in range(2)]
    assert table["context"].to_pylist()[::2] == ["a.html is here.", "<p>b.txt is here.", "<p>deep/c.md is here."]
    assert size == source.bytes_read > 0
