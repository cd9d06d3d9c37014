"""The custom model of DataRobot: its hooks, called as the platform does, with nothing of ours but what is uploaded.

`python -m benchmarks.drum` calls them by the platform's own command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import datarobot
from tests.acceptance.cluster import REPO, write_rows, year

_CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import custom
model = custom.load_model(sys.argv[1])
for asked in json.load(sys.stdin):
    data = asked["data"].encode(asked.get("encode")) if asked.get("encode") else asked["data"]
    try:
        about = {name: asked.get(name) for name in ("mimetype", "charset")}
        said, about = custom.score_unstructured(model, data, {}, **about)
        assert about == {"mimetype": "application/json", "charset": "utf-8"}
        print(json.dumps({"said": json.loads(said)}))
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
ours = [m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] in ("contract", "worker", "producer")]
assert all(file.startswith(sys.argv[1]) for file in ours), ours
assert not {"celery", "redis", "pyarrow", "pandas"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("datarobot") / "code"
    datarobot.make(REPO / "models" / "minilm-l6-qa", made)
    return made


def called(folder: Path, *asked: dict[str, Any]) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", _CALL, str(folder)]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def csv(data: str, **about: str) -> dict[str, Any]:
    return {"data": data, "mimetype": "text/csv", "charset": "utf-8"} | about


def test_every_row_gets_one_answer_in_order_however_many_there_are(folder: Path, tmp_path: Path):
    text = write_rows(tmp_path / "rows.csv", 1100).read_text()
    (found,) = called(folder, csv(text))
    predictions = found["said"]["predictions"]
    assert [set(one) for one in predictions] == [{"context", "question", "answer"}] * 1100
    assert all(f"number {number} " in one["question"] for number, one in enumerate(predictions))
    right = sum(one["answer"] == str(year(number)) for number, one in enumerate(predictions))
    assert right > 1000


def test_json_gives_as_many_as_came(folder: Path):
    one = {"question": "When was it built?", "context": "It was built in 1874."}
    asked = [{"data": json.dumps(what), "mimetype": "application/json"} for what in (one, [one, one])]
    found = called(folder, *asked)
    assert found[0]["said"] == one | {"answer": "1874"}
    assert found[1]["said"] == {"predictions": [one | {"answer": "1874"}] * 2}


def test_a_row_that_cannot_be_answered_says_why_and_costs_no_other(folder: Path):
    text = "id|question|context\n1||b\n2|a?\n3|a?|b|c\n4|What is it?|It is a mill.\n"
    (found,) = called(folder, csv(text))
    codes = [one.get("error", {}).get("code") for one in found["said"]["predictions"]]
    assert codes == ["empty_question", "empty_context", "bad_row", None]
    assert [one["answer"] for one in found["said"]["predictions"]][:3] == ["", "", ""]


def test_what_is_read_as_neither_is_refused_with_what_to_do(folder: Path):
    long = f'question|context\n"What is it?"|"{"A long way. " * 20_000}It is a mill | forge."\n'
    found = called(
        folder,
        csv("a,b\n1,2\n"),
        csv("question|context\nWas ist das?|Eine M\xfchle.\n", encode="latin-1"),
        csv("question|context\nWas ist das?|Eine M\xfchle.\n", encode="latin-1", charset="latin-1"),
        csv("\ufeffquestion|context\nWhat is it?|It is a mill.\n", encode="utf-8"),
        csv(long),
        csv(""),
        {"data": "{", "mimetype": "application/json"},
        {"data": "3", "mimetype": "application/json"},
    )
    assert "Columns found with the delimiter '|': a,b" in found[0]["error"]
    assert "charset" in found[1]["error"]
    assert found[2]["said"]["predictions"][0]["context"] == "Eine M\xfchle."
    assert found[3]["said"]["predictions"][0]["answer"] == "mill"
    assert found[4]["said"]["predictions"][0]["answer"]
    assert "there is no column question" in found[5]["error"]
    assert "no JSON" in found[6]["error"]
    assert "question" in found[7]["error"]


def test_its_requirements_are_all_that_it_imports(folder: Path):
    wanted = {line.partition(">")[0] for line in (folder / "requirements.txt").read_text().split()}
    code = "import sys; sys.path.insert(0, sys.argv[1]); import custom; print(*{m.split('.')[0] for m in sys.modules})"
    command = [sys.executable, "-c", code, str(folder)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())
    packages = {"numpy", "onnxruntime", "tokenizers", "pydantic"}
    assert wanted == packages <= loaded
