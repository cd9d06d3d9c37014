"""The pipeline answers in this process: the results of transformers' pipeline, and the answers of a job."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from bulkqa import pipeline
from contract.errors import ModelError
from contract.format.job import Options
from tests import REPO
from worker.pipeline.models import directory_of
from worker.pipeline.pipeline import QuestionAnswering
from worker.reader.open import open_reader

SHIPPED = REPO / "models" / "minilm-l6-qa"
TOWER = "The Eiffel Tower was built by Gustave Eiffel in Paris. It was finished in 1889."
WHO, WHEN = "Who built the tower?", "When was it finished?"
NONE = "What is the population of Mars?"

pytestmark = pytest.mark.skipif(not (SHIPPED / "reader.json").exists(), reason="models/minilm-l6-qa is not built")


@pytest.fixture(scope="module")
def qa() -> QuestionAnswering:
    return pipeline("question-answering", model=str(SHIPPED))


def test_one_question(qa: QuestionAnswering) -> None:
    result: Any = qa(question=WHO, context=TOWER)
    assert result.keys() == {"score", "start", "end", "answer"}
    assert result["answer"] == TOWER[result["start"] : result["end"]] == "Gustave Eiffel"
    assert 0 < result["score"] <= 1
    assert qa([{"question": WHO, "context": TOWER}]) == result


def test_it_loads_only_what_answering_takes() -> None:
    """In a process of its own: settings, tables and the queue would double the time to the first answer."""
    heavy = ("celery", "pandas", "pyarrow", "pydantic", "redis", "transformers", "torch")
    code = (
        "import sys; from bulkqa import pipeline\n"
        "assert 'numpy' not in sys.modules and 'onnxruntime' not in sys.modules\n"
        "assert pipeline()(question='Who did it?', context='Ann did it.')['answer'] == 'Ann'\n"
        f"assert not (loaded := {set(heavy)} & sys.modules.keys()), loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=os.environ | {"PYTHONPATH": str(REPO)})


def test_lists_and_generators_keep_their_order(qa: QuestionAnswering) -> None:
    rows = [{"question": (WHO, WHEN)[n % 2], "context": TOWER * (1 + n % 5)} for n in range(60)]
    results: Any = qa(rows)
    assert [each["answer"] for each in results] == ["Gustave Eiffel", "1889"] * 30
    generated: Any = qa(row for row in rows)
    assert not isinstance(generated, list)
    assert list(generated) == results
    assert [qa(**row) for row in rows[:5]] == results[:5]


def test_of_an_input_without_end_only_as_much_is_read_as_is_asked(qa: QuestionAnswering) -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        for row in repeat({"question": WHO, "context": TOWER}):
            read += 1
            yield row

    results: Any = qa(endless())
    assert len(list(islice(results, 10))) == 10
    results.close()
    assert read < 10_000


def test_top_k_gives_a_list_best_first(qa: QuestionAnswering) -> None:
    results: Any = qa(question=WHO, context=TOWER, top_k=3)
    assert results[0]["answer"] == "Gustave Eiffel"
    scores = [each["score"] for each in results]
    assert len(results) == 3
    assert scores == sorted(scores, reverse=True)
    assert qa(question=WHO, context=TOWER, topk=3) == results


def test_no_answer_is_one_of_the_answers_if_that_is_allowed(qa: QuestionAnswering) -> None:
    always: Any = qa(question=NONE, context=TOWER)
    assert always["answer"]
    result: Any = qa(question=NONE, context=TOWER, handle_impossible_answer=True)
    assert (result["answer"], result["start"], result["end"]) == ("", 0, 0)
    both: Any = qa(question=NONE, context=TOWER, handle_impossible_answer=True, top_k=2)
    assert both[0] == result
    assert both[1]["answer"] == always["answer"]
    assert sum(each["score"] for each in both) <= 1


def test_its_no_answer_score_is_that_of_a_job(qa: QuestionAnswering) -> None:
    answer = open_reader(SHIPPED).answer(NONE, TOWER, Options(no_answer_threshold=0.0, max_answer_len=15))
    result: Any = qa(question=NONE, context=TOWER, handle_impossible_answer=True)
    assert not answer.spans
    assert result["score"] == pytest.approx(answer.score, abs=2e-6)


def test_answers_are_whole_words_unless_told_otherwise(qa: QuestionAnswering) -> None:
    context = "Xylanthropomancy was invented by Quorvexilian in 1606."
    asked = {"question": "When was it invented?", "context": context, "max_answer_len": 1}
    whole: Any = qa(**asked)
    pieces: Any = qa(**asked, align_to_words=False)
    assert whole["start"] <= pieces["start"] <= pieces["end"] <= whole["end"]
    assert whole["answer"] in ("1606", "Quorvexilian")


def test_short_windows_are_allowed_as_transformers_allows_them(qa: QuestionAnswering) -> None:
    result: Any = qa(question=WHEN, context=TOWER * 20, max_seq_len=64, doc_stride=32, max_question_len=16)
    assert result["answer"] == "1889"
    again: Any = qa(question=WHEN, context=TOWER * 20, max_seq_len=128)
    assert again["answer"] == "1889"


@pytest.mark.parametrize("options", [{"top_k": 0}, {"max_answer_len": 0}, {"max_seq_len": 10}, {"top_n": 1}])
def test_wrong_options_are_refused(qa: QuestionAnswering, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        qa(question=WHO, context=TOWER, **options)


def test_a_row_that_cannot_be_answered_is_an_error_that_names_it(qa: QuestionAnswering) -> None:
    with pytest.raises(ValueError, match="Who built the tower"):
        qa([{"question": WHO, "context": TOWER}, {"question": WHO, "context": " \n "}])


def test_several_threads_may_call(qa: QuestionAnswering) -> None:
    rows = [{"question": (WHO, WHEN)[n % 2], "context": TOWER} for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: qa(rows), range(8)))
    assert all(result == results[0] for result in results)


def test_a_forked_process_answers_too(qa: QuestionAnswering) -> None:
    """In a process of its own: pytest has threads."""
    code = (
        "import os, sys; from bulkqa import pipeline\n"
        "qa = pipeline(); rows = [dict(question='Who?', context='Ann.')] * 9\n"
        "before = qa(rows)\n"
        "if (child := os.fork()) == 0: os._exit(0 if qa(rows) == before else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=os.environ | {"PYTHONPATH": str(REPO)})


def test_it_can_be_sent_to_another_process(qa: QuestionAnswering) -> None:
    assert pickle.loads(pickle.dumps(qa))(question=WHO, context=TOWER) == qa(question=WHO, context=TOWER)  # noqa: S301


def test_a_table_has_the_answers_of_a_job_beside_its_columns(qa: QuestionAnswering) -> None:
    questions = [WHO, NONE, None]
    table = pa.table({"id": ["a", "b", "c"], "question": questions, "context": [TOWER] * 3})
    made = qa.table(table, no_answer_threshold=0.0)
    reader = open_reader(SHIPPED)
    answer = reader.answer(WHO, TOWER, Options(no_answer_threshold=0.0))
    rows = made.to_pylist()
    assert [row["status"] for row in rows] == ["answered", "no_answer", "error"]
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert (rows[0]["answer"], rows[0]["score"]) == ("Gustave Eiffel", answer.score)
    assert rows[2]["error_code"] == "empty_question"
    (batch,) = table.to_batches()
    assert qa.table(batch, no_answer_threshold=0.0).to_pylist() == rows
    assert qa.table(table.slice(0, 0)).num_rows == 0
    with pytest.raises(ValueError, match="no column 'text'"):
        qa.table(table, context="text")
    with pytest.raises(ValueError, match="already"):
        qa.table(made)


def test_models_by_name(tmp_path: Path) -> None:
    assert directory_of(None) == directory_of("minilm-l6-qa") == SHIPPED
    assert directory_of(SHIPPED) == SHIPPED
    with pytest.raises(ModelError, match="there is no folder"):
        directory_of(str(tmp_path / "nothing" / "here"))


def test_a_tokenizer_may_be_named_as_the_model_is(qa: QuestionAnswering) -> None:
    named = pipeline("question-answering", model=str(SHIPPED), tokenizer=str(SHIPPED), framework="pt")
    assert named(question=WHO, context=TOWER) == qa(question=WHO, context=TOWER)
    with pytest.raises(ValueError, match="its own tokenizer"):
        pipeline("question-answering", model=str(SHIPPED), tokenizer="another")
    with pytest.raises(ValueError, match="not a dict"):
        pipeline("question-answering", model={})  # type: ignore[arg-type]  # as a loaded model is


@pytest.mark.parametrize("device", [None, -1, "cpu", "cpu:0", SimpleNamespace(type="cpu")])
def test_devices_of_torch_are_understood(device: Any) -> None:
    assert pipeline(device=device)(question=WHO, context=TOWER)["answer"] == "Gustave Eiffel"


def test_a_device_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'mps'"):
        pipeline(device="mps")


def test_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="question-answering"):
        pipeline("summarization")
