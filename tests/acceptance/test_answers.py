"""What a user gets to judge answers by: quality against references, differences between jobs, flags. Real processes."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract import SHIPPED_MODEL
from contract.format import layout
from tests.acceptance.cluster import REPO, Cluster
from worker.evaluate import load_squad
from worker.reader import model

pytestmark = pytest.mark.timeout(120)

EVALUATION = REPO / "samples" / "evaluation.json"


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="|")
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    return str(path)


def evaluation_rows(column: str = "answers") -> list[dict[str, Any]]:
    return [
        {"id": e.id, "question": e.question, "context": e.context, column: list(e.answers)}
        for e in load_squad(EVALUATION)
    ]


def evaluate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", "evaluate", str(EVALUATION), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_quality_of_a_job_is_that_of_the_model_and_jobs_can_be_compared(shared: Cluster) -> None:
    measured = json.loads(evaluate(shared.folder, "--json").stdout)
    rows = evaluation_rows()
    first = shared.submit(write_jsonl(shared.folder / "in.jsonl", rows), chunk_rows=3)
    status = shared.finish(first)
    found = status["evaluation"]
    names = ("rows", "exact_match", "f1", "unanswerable", "no_answer_accuracy", "answerable_exact_match")
    assert {name: found[name] for name in names} == {name: round(measured[name], 2) for name in names}
    assert found["exact_match"] >= 70
    assert sum(each["count"] for each in found["bins"]) == 10
    report = json.loads(shared.storage.read(layout.report(first)))
    assert report["evaluation"] == found
    predictions = json.loads(shared.storage.read(layout.predictions(first)))["predictions"]
    assert sum(p["exact_match"] for p in predictions) * 10 == pytest.approx(found["exact_match"])
    assert f"EM {found['exact_match']:.1f}" in shared.producer("status", first).stdout

    # The same in CSV: lists as JSON, under a name of their own; one answer as it is; nothing where nothing is known.
    gold = [{**row, "gold": json.dumps(row.pop("answers"))} for row in evaluation_rows()]
    gold[0]["gold"] = "1874"
    gold.append({**gold[0], "id": "unknown", "gold": ""})
    second = shared.submit(write_csv(shared.folder / "in.csv", gold), answers="gold", no_answer_threshold=0.0)
    other = shared.finish(second)["evaluation"]
    assert (other["rows"], other["no_answer_accuracy"]) == (10, 100.0)
    assert other["answerable_f1"] == pytest.approx(found["answerable_f1"])

    shown = shared.producer("diff", first, second)
    assert shown.returncode == 0, shown.stderr
    assert "light-5" in shown.stdout
    assert "9 the same, 0 changed, 1 answered in the first only, 0 in the second only" in shown.stdout
    assert "1 row in one job only" in shown.stdout
    told = json.loads(shared.producer("diff", first, second, "--by", "id", "--json").stdout)
    assert [(change["id"], change["kind"]) for change in told["changes"]] == [("light-5", "only_first_answered")]
    assert told["summary"]["same"] == 9
    assert json.loads(shared.producer("diff", first, first, "--json").stdout)["changes"] == []


def test_answers_say_why_to_doubt_them(shared: Cluster) -> None:
    rows = evaluation_rows()[:4]
    rows.append(
        {**rows[0], "id": "long", "question": f"{rows[0]['question']} {'Please be so kind as to tell me. ' * 20}"}
    )
    file = write_jsonl(shared.folder / "in.jsonl", rows)

    def flags(**options: int) -> dict[str, list[str]]:
        job = shared.submit(file, **options)
        assert shared.finish(job)["status"] == "completed"
        document = json.loads(shared.storage.read(layout.predictions(job)))
        return {p["id"]: p["flags"] for p in document["predictions"]}

    plain = flags()
    assert plain.pop("long") == ["question_truncated"]
    assert set(map(tuple, plain.values())) == {()}
    assert "question_truncated" not in flags(max_question_len=200)["long"]
    short = flags(max_answer_len=1)
    assert short["light-2"] == short["light-3"] == ["max_answer_len_hit"], "their answers have several tokens"
    assert short["light-1"] == []
    narrow = flags(max_seq_len=32, max_question_len=14, doc_stride=1)
    assert any("answer_at_window_edge" in each for each in narrow.values())


def test_two_models_side_by_side(tmp_path: Path) -> None:
    """The other is the shipped one with a tokenizer that knows no question word, and is not asked what it knows."""
    other = tmp_path / "other"
    shutil.copytree(REPO / "models" / SHIPPED_MODEL, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text("utf-8"))
    for word in ("when", "what", "who", "where", "how", "much"):
        del tokenizer["model"]["vocab"][word]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    info = model.describe(other)
    info = replace(info, name="other-qa", digest=model.digest(other, info.graph), known_answers=())
    (other / "reader.json").write_text(json.dumps(info.to_json()), "utf-8")
    done = evaluate(tmp_path, "--compare", str(other), "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["model"], second["model"]) == (SHIPPED_MODEL, "other-qa")
    assert first["rows"] == second["rows"] == 10
    assert "changed_answers" not in first
    assert 1 <= second["changed_answers"] <= 10
    table = evaluate(tmp_path, "--compare", str(other), "--threads", "1").stdout
    assert all(word in table for word in ("exact_match", "no_answer_accuracy", "rows_per_second", "changed_answers"))
    same = json.loads(evaluate(tmp_path, "--compare", str(REPO / "models" / SHIPPED_MODEL), "--json").stdout)
    assert same[1]["changed_answers"] == 0
    assert {k: v for k, v in same[0].items() if k not in ("seconds", "rows_per_second")} == {
        k: v for k, v in same[1].items() if k not in ("seconds", "rows_per_second", "changed_answers")
    }


def test_a_file_that_is_not_squad_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worker", "evaluate", str(REPO / "samples" / "questions.csv")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "is not JSON" in done.stderr
    assert "Traceback" not in done.stderr
