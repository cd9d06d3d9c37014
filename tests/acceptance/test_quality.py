"""Answers to the evaluation questions through the whole path: `producer run` on them, scored as SQuAD does.

The data is not part of this repository: skipped where ../shared is absent.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.cluster import REPO
from worker.evaluate import load_squad, score

EVAL = REPO.parent / "shared" / "data" / "eval.json"

#: F1 of the same checkpoint at fp32, in torch, decoded by the same rules (models/minilm-l6-qa/README.md).
FP32_F1 = 76.9


@pytest.mark.skipif(not EVAL.exists(), reason="the evaluation data is not there: ../shared/data/eval.json")
def test_answers_through_the_whole_path_are_as_good_as_the_model(tmp_path: Path) -> None:
    examples = load_squad(EVAL)
    file = tmp_path / "eval.jsonl"
    with file.open("w") as lines:
        for example in examples:
            row = {"id": example.id, "question": example.question, "context": example.context}
            lines.write(json.dumps(row) + "\n")
    command = [sys.executable, "-m", "producer", "run", str(file), "-o", "out.json", "--storage", "storage"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=110)
    predictions = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert [p["id"] for p in predictions] == [example.id for example in examples]
    assert all(p["context"][p["start"] : p["end"]] == p["answer"] for p in predictions)
    quality = score(examples, [p["answer"] for p in predictions])
    print({name: round(value, 2) for name, value in quality.items()})
    assert quality["f1"] >= FP32_F1 - 2.0
