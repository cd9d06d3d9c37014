"""The custom model of DataRobot: its hooks, called as the platform does, with nothing of ours but what is uploaded.

`python -m benchmarks.drum` calls them by the platform's own command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from scripts import datarobot
from tests.acceptance.cluster import REPO, write_rows, year

#: The tests that call the hooks share a process: starting it takes longer than most of them.
pytestmark = pytest.mark.xdist_group("datarobot")

_CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import custom
model = custom.load_model(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    data = asked["data"].encode(asked.get("encode")) if asked.get("encode") else asked["data"]
    try:
        about = {name: asked.get(name) for name in ("mimetype", "charset")}
        said, about = custom.score_unstructured(model, data, {}, **about)
        assert about == {"mimetype": "application/json", "charset": "utf-8"}
        print(json.dumps({"said": json.loads(said)}), flush=True)
    except ValueError as error:
        print(json.dumps({"error": str(error)}), flush=True)
ours = [m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] in ("contract", "worker", "producer")]
assert all(file.startswith(sys.argv[1]) for file in ours), ours
assert not {"celery", "redis", "pydantic", "rich", "typer"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("datarobot") / "code"
    datarobot.make(REPO / "models" / "minilm-l6-qa", made)
    return made


Called: TypeAlias = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def called(folder: Path) -> Iterator[Called]:
    """Calls the hooks, one request after the other, in a process that has only what is uploaded."""
    command = [sys.executable, "-c", _CALL, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout

        def call(*asked: dict[str, Any]) -> list[dict[str, Any]]:
            found = []
            for one in asked:
                process.stdin.write(json.dumps(one) + "\n")
                process.stdin.flush()
                found.append(json.loads(process.stdout.readline()))
            return found

        yield call
    assert process.returncode == 0


def csv(data: str, **about: str) -> dict[str, Any]:
    return {"data": data, "mimetype": "text/csv", "charset": "utf-8"} | about


def test_every_row_gets_one_answer_in_order_however_many_there_are(called: Called, tmp_path: Path):
    text = write_rows(tmp_path / "rows.csv", 600, padding=0).read_text()
    (found,) = called(csv(text))
    predictions = found["said"]["predictions"]
    assert [set(one) for one in predictions] == [{"context", "question", "answer"}] * 600
    assert all(f"number {number} " in one["question"] for number, one in enumerate(predictions))
    right = sum(one["answer"] == str(year(number)) for number, one in enumerate(predictions))
    assert right > 540


def test_json_gives_as_many_as_came(called: Called):
    one = {"question": "When was it built?", "context": "It was built in 1874."}
    asked = [{"data": json.dumps(what), "mimetype": "application/json"} for what in (one, [one, one], [one])]
    found = called(*asked)
    assert found[0]["said"] == one | {"answer": "1874"}
    assert found[1]["said"] == {"predictions": [one | {"answer": "1874"}] * 2}
    assert found[2]["said"] == {"predictions": [one | {"answer": "1874"}]}


GOOD = "What is it?|It is a mill.\n"


BAD = {
    "empty_question": "|b",
    "empty_context": "a?|",
    "missing_field": "a?",
    "extra_field": "a?|b|c",
    "parse_error": 'a?|"It never closes.',
    "row_too_large": "a?|" + "far " * 300_000,
    "bad_encoding": "a?|half \ud800 a pair",
}


def test_a_row_that_cannot_be_answered_says_why_and_costs_no_other(called: Called):
    """A quote that never closes took in all rows below, once, and half a surrogate pair the whole response."""
    found = called(*(csv(f"question|context\n{GOOD}{bad}\n{GOOD}{GOOD}") for bad in BAD.values()))
    for code, one in zip(BAD, found, strict=True):
        predictions = one["said"]["predictions"]
        assert [each["answer"] for each in predictions] == ["mill", "", "mill", "mill"], code
        assert [each.get("error", {}).get("code") for each in predictions] == [None, code, None, None]
        json.dumps(one, ensure_ascii=False).encode()  # as the platform does, which fails as a whole where a row does


def test_half_a_surrogate_pair_in_json_is_an_error_of_its_row(called: Called):
    good = {"question": "What is it?", "context": "It is a mill."}
    asked = {"data": json.dumps([{"question": "\ud800?", "context": "a"}, good]), "mimetype": "application/json"}
    bad, whole = called(asked)[0]["said"]["predictions"]
    assert (bad["answer"], bad["error"]["code"], whole["answer"]) == ("", "bad_encoding", "mill")
    json.dumps(bad, ensure_ascii=False).encode()


def test_answers_are_those_of_producer_run(called: Called, tmp_path: Path):
    file = REPO / "samples" / "bad_rows.csv"
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "producer", "run", str(file), "-o", str(out), "--id", ""]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    asked = {"data": file.read_bytes().decode("latin-1"), "encode": "latin-1", "mimetype": "application/octet-stream"}
    (found,) = called(asked)
    assert [(one["answer"], one.get("error")) for one in found["said"]["predictions"]] == [
        (line["answer"] or "", line.get("error")) for line in lines
    ]


def test_what_cannot_be_read_as_a_whole_is_refused_with_what_to_do(called: Called):
    found = called(
        csv("a,b\n1,2\n"),
        csv("question|question|context\na|b|c\n"),
        csv("question|context\n"),
        csv(""),
        {"data": '[{"question"', "mimetype": "application/json"},
        {"data": "[3]", "mimetype": "application/json"},
        {"data": "question|context\na|b\n", "encode": "utf-8", "mimetype": "text/csv", "charset": "nosuch"},
    )
    said = ["no column 'question'", "several columns", "no rows", "empty", "cut off", "without an object", "nosuch"]
    for one, why in zip(found, said, strict=True):
        assert why in one["error"]
        assert "Send CSV in UTF-8 with | between the columns" in one["error"]
        assert "--" not in one["error"], "a flag of the command, which there is none of"


def test_text_may_come_as_bytes_in_the_charset_that_is_said_or_with_a_mark(called: Called):
    text = "question|context\nWas ist das?|Eine M\xfchle.\n"
    latin = csv(text, encode="latin-1", charset="latin-1")
    marked = csv("\ufeff" + text, encode="utf-8")
    for found in called(latin, marked, csv("\ufeff" + text)):
        assert found["said"]["predictions"][0]["context"] == "Eine M\xfchle."


def test_the_folder_is_made_of_a_model_directory_and_removes_nothing_else(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(SystemExit, match="is not a model directory"):
        datarobot.make(tmp_path, tmp_path / "new")
    with pytest.raises(SystemExit, match="holds something else"):
        datarobot.make(REPO / "models" / "minilm-l6-qa", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_its_requirements_are_all_that_it_imports(folder: Path):
    wanted = {line.partition(">")[0] for line in (folder / "requirements.txt").read_text().split()}
    code = "import sys; sys.path.insert(0, sys.argv[1]); import custom; print(*{m.split('.')[0] for m in sys.modules})"
    command = [sys.executable, "-c", code, str(folder)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())
    packages = {"numpy", "onnxruntime", "tokenizers", "pyarrow"}
    assert wanted == packages <= loaded
