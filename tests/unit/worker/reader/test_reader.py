"""A whole model directory: the one that ships answers; one whose parts do not fit is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import ModelError
from contract.format.job import Options
from tests import REPO
from worker.reader.decode import RowFailure, Window
from worker.reader.model import describe
from worker.reader.open import open_reader
from worker.reader.reader import Reader

SHIPPED = REPO / "models" / "minilm-l6-qa"
TOWER = "The Eiffel Tower was built by Gustave Eiffel in Paris. It was finished in 1889."

pytestmark = pytest.mark.skipif(not (SHIPPED / "reader.json").exists(), reason="models/minilm-l6-qa is not built")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return open_reader(SHIPPED)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "model"))


def change(directory: Path, **values: Any) -> Path:
    path = directory / "reader.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return directory


def test_the_shipped_model_answers(reader: Reader) -> None:
    (span,) = reader.answer("Who built the tower?", TOWER, Options()).spans
    assert (span.answer, TOWER[span.start : span.end]) == ("Gustave Eiffel", "Gustave Eiffel")
    assert 0 < span.score <= 1


@pytest.mark.parametrize(
    "name",
    [
        "Rene\u0301 Cote\u0301",
        "Ren\u00e9 C\u00f4t\u00e9",
        "\U0001f600 Smith \U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\u6771\u4eac\u5927\u5b66",
        "\u0645\u062d\u0645\u062f \u0639\u0644\u064a",
        "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u0130brahim \u00d6zt\u00fcrk",
    ],
)
def test_offsets_are_code_points_in_any_script(reader: Reader, name: str) -> None:
    context = f"  \U0001f680 It was {name}  who built\u00a0it,\tnot \ufb01ve others.\n"
    answer = reader.answer("Who built it?", context, Options(top_k=10, n_best=50))
    assert answer.spans
    for span in answer.spans:
        assert context[span.start : span.end] == span.answer == span.answer.strip() != ""


def test_a_long_context_is_read_to_its_end(reader: Reader) -> None:
    context = "Nothing of note was said about the weather of that long year. " * 80 + TOWER
    answer = reader.answer("Who built the Eiffel Tower?", context, Options(max_seq_len=192, doc_stride=64))
    assert answer.spans[0].answer in ("Gustave", "Gustave Eiffel")
    assert answer.spans[0].start > len(context) - len(TOWER)


def test_only_the_windows_that_match_the_question_are_run(reader: Reader) -> None:
    dull = "Nothing of note was said about the weather of that long year. " * 60
    context, question = f"{dull}{TOWER} {dull}", "Who built the Eiffel Tower?"
    options = Options(max_seq_len=192, doc_stride=64)
    runs: list[int] = []
    reader.on_progress(lambda: runs.append(1))
    try:
        whole, every = reader.answer(question, context, options), len(runs)
        top = reader.answer(question, context, replace(options, top_windows=2))
    finally:
        reader.on_progress(lambda: None)
    assert len(runs) - every == 2 < every
    assert [top.spans[0].answer, top.margin, top.null_score] == [whole.spans[0].answer, whole.margin, whole.null_score]
    assert reader.answer_many([(question, context)], replace(options, top_windows=2)) == [top]


def test_a_long_question_is_cut_and_says_so(reader: Reader) -> None:
    answer = reader.answer("Who built the tower? " * 300, TOWER, Options())
    assert answer.flags[0] == "question_truncated"
    assert answer.spans


def test_answers_are_the_same_bytes_alone_and_among_others(reader: Reader) -> None:
    rows = [("Who built it?", TOWER), ("When was it finished?", TOWER), ("Where?", f"In Rome. {TOWER}")] * 4
    alone = [reader.answer(question, context, Options(top_k=3)) for question, context in rows]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda row: reader.answer(*row, Options(top_k=3)), reversed(rows)))
    assert together[::-1] == alone


def test_the_jobs_threshold_overrides_the_models(copied: Path) -> None:
    never, always = Options(), Options(no_answer_threshold=-1000.0)
    model = open_reader(change(copied, no_answer_threshold=-1000.0, null_trained=True, known_answers=[]))
    assert model.answer("Who?", TOWER, never).spans == ()
    assert model.answer("Who?", TOWER, Options(no_answer_threshold=1000.0)).spans
    untrained = open_reader(change(copied, no_answer_threshold=-1000.0, null_trained=False))
    assert untrained.answer("Who?", TOWER, never).spans
    assert untrained.answer("Who?", TOWER, always).spans == ()


def test_jobs_are_pinned_to_a_threshold_of_the_model_as_well(copied: Path) -> None:
    """Two workers that differ only in it would answer one job in two ways."""
    shipped = describe(copied)
    assert shipped.pinned == shipped.digest
    one, other = (describe(change(copied, no_answer_threshold=by, null_trained=True)).pinned for by in (0.0, 1.0))
    assert len({one, other, shipped.pinned}) == 3
    assert describe(change(copied, null_trained=False)).pinned == shipped.digest, "it decides nothing then"


@pytest.mark.parametrize(
    ("question", "context", "code"),
    [
        ("", TOWER, "empty_question"),
        ("Who?", "\x00\x01", "empty_context"),
        ("Who?", "a\ud800", "bad_encoding"),
    ],
)
def test_a_row_that_cannot_be_answered_has_its_code(reader: Reader, question: str, context: str, code: str) -> None:
    with pytest.raises(RowFailure) as failure:
        reader.answer(question, context, Options())
    assert failure.value.error.code == code


class PanicException(BaseException):
    """Like a panic in Rust, which does not derive from Exception."""


@pytest.mark.parametrize("error", [RuntimeError("broken"), TypeError("broken"), PanicException("broken")])
def test_what_breaks_tokenizer_or_runtime_is_this_rows_error(
    reader: Reader, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader._session, "run", once(raising(error), reader._session.run))
    with pytest.raises(RowFailure) as failure:
        reader.answer("Who?", TOWER, Options())
    assert failure.value.error.code == "inference_error"
    assert failure.value.error.message == f"{type(error).__name__}: broken"


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), SystemExit()])
def test_what_is_not_the_rows_fault_passes_through(
    reader: Reader, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader._session, "run", raising(error))
    with pytest.raises(type(error)):
        reader.answer("Who?", TOWER, Options())


def once(first: Callable[[Window], Any], then: Callable[[Window], Any]) -> Callable[[Window], Any]:
    """A run of the model with a different first result."""
    runs = iter([first])
    return lambda window: next(runs, then)(window)


def raising(error: BaseException) -> Any:
    def run(_: Window) -> None:
        raise error

    return run


def test_logits_that_are_not_finite_are_this_rows_error(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(window: Window) -> tuple[np.ndarray, np.ndarray]:
        return (np.full(window.input_ids.shape, np.nan, np.float32),) * 2

    monkeypatch.setattr(reader._session, "run", once(run, reader._session.run))
    with pytest.raises(RowFailure, match="inference_error"):
        reader.answer("Who?", TOWER, Options())


def test_a_model_that_answers_nothing_any_more_is_no_rows_fault(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example after the loss of a GPU: its known answers fail as well."""
    monkeypatch.setattr(reader._session, "run", raising(RuntimeError("CUDA failure 719")))
    with pytest.raises(ModelError, match="CUDA failure 719"):
        reader.answer("Who?", TOWER, Options())


def test_every_run_of_the_model_is_a_sign_of_life(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many windows of a row: the row may take longer than a worker may be silent."""
    runs: list[None] = []
    monkeypatch.setattr(reader._session, "after_run", reader._session.after_run)  # restored afterwards
    reader.on_progress(lambda: runs.append(None))
    options = Options(max_seq_len=64, doc_stride=16, max_question_len=16)
    windows = len(reader._encoder.encode("Who?", TOWER * 9, options).windows)
    reader.answer("Who?", TOWER * 9, options)
    assert len(runs) == windows > 3
    reader.answer_many([("Who?", TOWER), ("When?", TOWER)], Options())
    assert len(runs) == windows + 2


def known(answer: str) -> list[dict[str, str]]:
    return [{"question": "Who built the tower?", "context": TOWER, "answer": answer}]


def test_a_wrong_known_answer_is_an_error_with_the_answer(copied: Path) -> None:
    open_reader(change(copied, known_answers=known("Gustave Eiffel")))
    with pytest.raises(ModelError, match="'Gustave Eiffel', not 'Napoleon'"):
        open_reader(change(copied, known_answers=known("Napoleon")))
    with pytest.raises(ModelError, match="cannot answer ''"):
        open_reader(change(copied, known_answers=[{"question": "", "context": TOWER, "answer": "x"}]))


def test_a_vocabulary_larger_than_the_models_is_refused(copied: Path) -> None:
    size = describe(SHIPPED).vocab_size
    with pytest.raises(ModelError, match="the tokenizer has ids up to"):
        open_reader(change(copied, vocab_size=size - 1))


def test_a_template_outside_the_vocabulary_is_refused(copied: Path) -> None:
    template = json.loads((copied / "reader.json").read_text())["template"] | {"middle": [99999]}
    with pytest.raises(ModelError, match="99999"):
        open_reader(change(copied, template=template))


@pytest.mark.parametrize("positions", [4, 513])
def test_positions_that_the_graph_does_not_have_are_refused(copied: Path, positions: int) -> None:
    with pytest.raises(ModelError, match=f"{positions} tokens"):
        open_reader(change(copied, max_positions=positions))


def test_a_reader_that_need_not_reach_its_peak_at_once_does_not_run_the_longest_window(copied: Path) -> None:
    """All other checks remain: the known questions are asked."""
    open_reader(change(copied, max_positions=513), longest=False)
    with pytest.raises(ModelError, match="Napoleon"):
        open_reader(change(copied, known_answers=known("Napoleon")), longest=False)


def test_inputs_other_than_the_graphs_are_refused(copied: Path) -> None:
    with pytest.raises(ModelError, match="its description says"):
        open_reader(change(copied, inputs=["input_ids"]))


def test_a_changed_file_is_refused(copied: Path) -> None:
    with (copied / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ModelError, match="digest"):
        open_reader(copied)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"reader\.json"):
        open_reader(tmp_path)
