"""The graph answers as the torch checkpoint does, decoded by the same rules, row by row.

On the checkpoint of the reader that ships and the evaluation questions, which are not part of this repository: skipped
where ../shared is absent. `test_build` compares logits of tiny checkpoints of every family.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from contract.format.job import Options
from tests import REPO
from worker.build import build
from worker.evaluate import load_squad
from worker.reader.open import open_reader

SHARED = REPO.parent / "shared"

pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(not (SHARED / "model").exists(), reason="the checkpoint is not there: ../shared/model"),
]


def test_every_row_has_the_answer_of_torch(tmp_path: Path) -> None:
    build(str(SHARED / "model"), tmp_path / "fp32", "fp32", null_trained=True)
    reader = open_reader(tmp_path / "fp32")
    recipe = runpy.run_path(str(REPO / "models" / "train.py"), run_name="recipe")
    reference, _ = recipe["opened"](str(SHARED / "model"))
    options = Options(top_k=2, max_seq_len=160, doc_stride=48, max_question_len=40)
    rows = load_squad(SHARED / "data" / "eval.json")[::12]
    assert len(rows) > 35
    for row in rows:
        ours, theirs = (one.answer(row.question, row.context, options) for one in (reader, reference))
        assert [(s.start, s.end) for s in ours.spans] == [(s.start, s.end) for s in theirs.spans], row.question
        assert ours.flags == theirs.flags
        assert ours.score == pytest.approx(theirs.score, abs=1e-3)
        assert ours.null_score == pytest.approx(theirs.null_score, abs=1e-3)
