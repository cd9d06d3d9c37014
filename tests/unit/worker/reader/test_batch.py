"""Batches of windows: within the budget, with padding that changes no answer, and with rows that fail by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ModelError
from contract.format.job import Answer, Options, Row, RowError, Span
from tests import REPO, untrained
from worker.build import build
from worker.reader import session as session_module
from worker.reader.batch import MICRO_BATCH, pad, plan
from worker.reader.decode import RowFailure, Window
from worker.reader.model import describe
from worker.reader.open import open_reader
from worker.reader.session import Session, providers_for
from worker.scoring import Watch, score

SHIPPED = REPO / "models" / "minilm-l6-qa"


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200), st.booleans())
def test_every_window_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, padding: bool) -> None:
    batches = plan(lengths, budget, padding=padding)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= budget
        assert padding or len({lengths[index] for index in batch}) == 1
    in_order = [lengths[index] for batch in batches for index in batch]
    assert in_order == sorted(lengths)


def test_windows_that_fit_together_are_together() -> None:
    assert plan([4, 2, 3, 2], 9) == [[1, 3, 2], [0]]
    assert plan([4, 2, 3, 2], 9, padding=False) == [[1, 3], [2], [0]]


def test_padding_is_zeros_at_the_end() -> None:
    assert pad([np.array([1, 2]), np.array([3])]).tolist() == [[1, 2], [3, 0]]


def windows(lengths: Sequence[int], vocabulary: int) -> list[Window]:
    random = np.random.default_rng(3)
    return [Window(random.integers(5, vocabulary, n), 3, 0, n - 4) for n in lengths]


class Counting:
    """The runtime's session, recording the shape of every run."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.shapes: list[tuple[int, ...]] = []

    def run(self, outputs: list[str], feed: dict[str, np.ndarray]) -> Any:
        self.shapes += [feed["input_ids"].shape]
        return self._inner.run(outputs, feed)


@pytest.fixture(scope="module", params=["Bert", "Roberta"])
def fp32(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained reader in fp32."""
    folder = tmp_path_factory.mktemp("fp32")
    untrained.checkpoint(folder / "source", request.param)
    build(str(folder / "source"), folder / "model", precision="fp32", force_unknown=True)
    return folder / "model"


@pytest.mark.build
def test_windows_together_give_the_logits_they_give_alone_in_their_order(fp32: Path) -> None:
    info = describe(fp32)
    session = Session(fp32, info, budget=200)
    session._session = counting = Counting(session._session)
    session.batched = True  # as on a GPU
    batch = windows([40, 9, 100, 12, 9, 33, 100, 64, 12], info.vocab_size)
    together = session.run_many(batch)
    assert all(n * length <= 200 for n, length in counting.shapes)
    assert len(counting.shapes) < len(batch), "some ran together"
    for window, (start, end) in zip(batch, together, strict=True):
        alone = session.run(window)
        np.testing.assert_allclose(start, alone[0], atol=1e-4)
        np.testing.assert_allclose(end, alone[1], atol=1e-4)
    assert session.run_many([]) == []


@pytest.mark.build
def test_what_is_padded_is_masked(tmp_path: Path) -> None:
    """A graph whose logits are the ids plus the number of tokens that its mask includes."""
    import onnx

    node, kinds = onnx.helper.make_node, onnx.TensorProto
    nodes = [
        node("ReduceSum", ["attention_mask", "axis"], ["seen"], keepdims=1),
        node("Add", ["input_ids", "seen"], ["sum"]),
        node("Cast", ["sum"], ["start_logits"], to=kinds.FLOAT),
        node("Neg", ["start_logits"], ["end_logits"]),
    ]
    shape = ["batch", "sequence"]
    graph = onnx.helper.make_graph(
        nodes,
        "masked",
        [onnx.helper.make_tensor_value_info(name, kinds.INT64, shape) for name in ("input_ids", "attention_mask")],
        [onnx.helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name in ("start_logits", "end_logits")],
        [onnx.helper.make_tensor("axis", kinds.INT64, [1], [1])],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "model.onnx")
    info = replace(describe(SHIPPED), inputs=("input_ids", "attention_mask"), precision="fp32")
    session = Session(tmp_path, info, budget=64)
    session._session = counting = Counting(session._session)
    session.batched = True  # as on a GPU
    batch = windows([20, 7, 31, 8, 7], 100)
    for window, (start, end) in zip(batch, session.run_many(batch), strict=True):
        assert start.tolist() == (window.input_ids + len(window.input_ids)).tolist() == (-end).tolist()
    assert counting.shapes == [(3, 8), (2, 31)]


@pytest.mark.build
def test_rows_together_give_the_answers_they_give_alone(fp32: Path) -> None:
    reader = open_reader(fp32)
    text = "The city was founded by the Romans, who called it Turicum. Zürich lies in Switzerland. "
    pairs = [("Who founded it?", text * n) for n in (1, 5, 2)] + [("", text), ("Where is it?", "  "), ("Who?", text)]
    options = Options(max_seq_len=96, doc_stride=16, top_k=2)
    found = reader.answer_many(pairs, options)
    assert [each.code for each in found if isinstance(each, RowError)] == ["empty_question", "empty_context"]
    for pair, each in zip(pairs, found, strict=True):
        if isinstance(each, Answer):
            alone = reader.answer(*pair, options)
            assert [(s.start, s.end) for s in each.spans] == [(s.start, s.end) for s in alone.spans]
            assert each.score == pytest.approx(alone.score, abs=1e-4)


class Together:
    """A reader for batches. It fails on the row "odd", and on a whole batch with "poison" in it."""

    micro_batch = MICRO_BATCH

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def answer(self, question: str, context: str, options: Options) -> Answer:
        self.sizes.append(1)
        if question in ("odd", "poison"):
            raise RowFailure("inference_error", question)
        return Answer((Span(context, 0, len(context), 0.5, 1.0),), 0.0, 0.5)

    def answer_many(self, pairs: Sequence[tuple[str, str]], options: Options) -> list[Answer | RowError]:
        self.sizes.append(len(pairs))
        if any(question == "poison" for question, _ in pairs):
            raise RuntimeError("the whole batch")
        return [
            RowError("inference_error", "odd") if q == "odd" else Answer((Span(c, 0, len(c), 0.5, 1.0),), 0.0, 0.5)
            for q, c in pairs
        ]


def scored(reader: Together, questions: list[str], threads: int = 1) -> list[dict[str, Any]]:
    rows = [Row(n, question, f"context {n}") for n, question in enumerate(questions)]
    begun: list[int] = []
    ended: list[int] = []
    watch = Watch(begin=begun.append, end=ended.append)
    with ThreadPoolExecutor(threads) as pool:
        found = score(rows, reader, Options(), pool, threads, watch)
    assert sorted(begun) == sorted(ended) == list(range(len(rows)))
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_a_chunk_is_scored_by_many_rows_at_once_and_one_row_fails_alone(threads: int) -> None:
    reader = Together()
    questions = ["q"] * 7 + ["odd"] + ["q"] * 200
    found = scored(reader, questions, threads)
    assert [p["status"] for p in found] == ["answered"] * 7 + ["error"] + ["answered"] * 200
    assert [p["answer"] for p in found if p["status"] == "answered"][-1] == f"context {len(questions) - 1}"
    assert max(reader.sizes) > 5


def test_a_batch_has_at_most_the_readers_text_and_a_longer_row_is_alone() -> None:
    reader = Together()
    reader.micro_batch = 100
    scored(reader, ["x" * 20] * 60 + ["x" * 500] + ["x" * 20] * 60)
    assert set(reader.sizes) == {1, 2, 3}  # 30 characters a row with its context
    assert reader.sizes[:5] == [3, 3, 3, 3, 3]
    assert reader.sizes[-1] == 1, "ever fewer towards the end"


def test_rows_that_may_kill_the_process_are_scored_one_by_one() -> None:
    reader = Together()
    rows = [Row(n, "q", f"context {n}") for n in range(50)]
    with ThreadPoolExecutor(1) as pool:
        score(rows, reader, Options(), pool, 1, Watch(alone=True))
    assert set(reader.sizes) == {1}


def test_a_batch_that_fails_is_scored_row_by_row() -> None:
    reader = Together()
    found = scored(reader, ["q", "poison", "q"])
    assert [p["status"] for p in found] == ["answered", "error", "answered"]
    assert reader.sizes == [3, 1, 1, 1]


@pytest.mark.parametrize(
    ("setting", "available", "provider"),
    [
        ("auto", True, "CUDAExecutionProvider"),
        ("cuda", True, "CUDAExecutionProvider"),
        ("cpu", True, "CPUExecutionProvider"),
        ("auto", False, "CPUExecutionProvider"),
        ("cpu", False, "CPUExecutionProvider"),
    ],
)
def test_the_provider_is_that_of_the_setting(
    setting: str, available: bool, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ["CPUExecutionProvider"] + ["CUDAExecutionProvider"] * available
    monkeypatch.setattr(session_module.ort, "get_available_providers", lambda: listed)
    assert providers_for(setting)[0] == provider
    assert providers_for(setting)[-1] == "CPUExecutionProvider"


def test_missing_cuda_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="no CUDA"):
        providers_for("cuda")


def test_cuda_that_cannot_be_used_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime itself silently continues on the CPU."""
    monkeypatch.setattr(session_module, "providers_for", lambda setting: ("CPUExecutionProvider",))
    with pytest.raises(ModelError, match="cannot use it here") as caught:
        open_reader(SHIPPED, "cuda")
    assert "BULKQA_PROVIDER=cpu" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("provider", "precision", "batched"),
    [
        ("CPUExecutionProvider", "fp32", False),
        ("CUDAExecutionProvider", "fp32", True),
        ("CUDAExecutionProvider", "int8", False),
    ],
)
def test_batches_are_for_gpus_and_never_for_a_graph_whose_neighbours_change_answers(
    provider: str, precision: str, batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner: Callable[..., Any] = session_module.ort.InferenceSession

    def elsewhere(path: str, options: Any, providers: list[str], **more: Any) -> Any:
        made = inner(path, options, ["CPUExecutionProvider"], **more)
        made.get_providers = lambda: [provider]
        return made

    monkeypatch.setattr(session_module.ort, "InferenceSession", elsewhere)
    info = replace(describe(SHIPPED), precision=precision)
    assert Session(SHIPPED, info, (provider,)).batched == batched
