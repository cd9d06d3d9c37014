"""The inputs of a session's graph, shown by graphs that return them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from contract.errors import ModelError
from tests import REPO
from worker.reader.decode import Window
from worker.reader.model import ModelInfo, Template, describe
from worker.reader.session import Session

SHIPPED = REPO / "models" / "minilm-l6-qa"
WINDOW = Window(np.array([2, 50, 51, 3, 60, 61, 3]), first=4, begin=0, end=2)
ALL = ("input_ids", "attention_mask", "token_type_ids")


def info(*inputs: str, **values: object) -> ModelInfo:
    template = Template((2,), (3,), (3,))
    return ModelInfo("toy", "0" * 16, "fp32", "toy", inputs, 512, 100, template, null_trained=False, **values)


def graph(
    folder: Path, *inputs: str, kind: str = "INT64", outputs: tuple[str, str] = ("start_logits", "end_logits")
) -> Path:
    """A graph whose start logits are its first input, and its end logits the last."""
    onnx = pytest.importorskip("onnx", reason="needs the extra [build]")
    helper, types = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", [source], [result], to=types.FLOAT)
        for source, result in zip((inputs[0], inputs[-1]), outputs, strict=True)
    ]
    dims = ["batch", "sequence"]
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, getattr(types, kind), dims) for name in inputs],
        [helper.make_tensor_value_info(name, types.FLOAT, dims) for name in outputs],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def test_ids_and_types_are_fed_as_the_template_says(tmp_path: Path) -> None:
    start, end = Session(graph(tmp_path, "input_ids", "token_type_ids"), info("input_ids", "token_type_ids")).run(
        WINDOW
    )
    assert start.tolist() == WINDOW.input_ids.tolist()
    assert end.tolist() == [0, 0, 0, 0, 1, 1, 1]  # the separator in the middle goes with the question
    assert (start.dtype, start.shape, end.shape) == (np.float32, (7,), (7,))


def test_every_position_is_attended_to(tmp_path: Path) -> None:
    _, end = Session(graph(tmp_path, "input_ids", "attention_mask"), info("input_ids", "attention_mask")).run(WINDOW)
    assert end.tolist() == [1] * 7


@pytest.mark.parametrize("inputs", [("input_ids",), ("token_type_ids", "input_ids"), ALL])
@pytest.mark.parametrize("kind", ["INT64", "INT32"])
def test_only_declared_inputs_are_fed_in_their_own_type(tmp_path: Path, inputs: tuple[str, ...], kind: str) -> None:
    Session(graph(tmp_path, *inputs, kind=kind), info(*inputs)).run(WINDOW)


def test_inputs_other_than_described_are_refused(tmp_path: Path) -> None:
    folder = graph(tmp_path, "input_ids", "attention_mask")
    with pytest.raises(ModelError, match="its description says"):
        Session(folder, info(*ALL))
    with pytest.raises(ModelError, match="its description says"):
        Session(folder, info("input_ids"))


def test_a_graph_that_is_no_reader_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a reader"):
        Session(graph(tmp_path, "input_ids", kind="FLOAT"), info("input_ids"))
    with pytest.raises(ModelError, match="not a reader"):
        Session(graph(tmp_path, "input_ids", outputs=("logits", "pooled")), info("input_ids"))
    with pytest.raises(ModelError, match="its description says"):
        Session(graph(tmp_path, "input_ids", "pixels"), info("input_ids", "pixels"))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Session(tmp_path, info("input_ids"))


def test_optimizers_are_disabled_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    calls, real = [], onnxruntime.InferenceSession

    def spy(*args: object, **named: object) -> object:
        calls.append(named)
        return real(*args, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    disabled = ("SkipLayerNormFusion", "AttentionFusion")
    Session(graph(tmp_path, "input_ids"), info("input_ids", disabled_optimizers=disabled))
    assert calls == [{"disabled_optimizers": list(disabled)}]


class Runtime:
    def __init__(self, message: str) -> None:
        self.message = message

    def run(self, *_: object) -> None:
        raise RuntimeError(self.message)


@pytest.mark.parametrize(
    ("message", "raised"),
    [
        ("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 123", MemoryError),
        ("std::bad_alloc", MemoryError),
        ("indices element out of data bounds, idx=9 must be within the inclusive range", RuntimeError),
    ],
)
def test_a_lack_of_memory_is_not_taken_for_a_row_that_breaks_the_model(
    tmp_path: Path, message: str, raised: type[Exception]
) -> None:
    session = Session(graph(tmp_path, "input_ids"), info("input_ids"))
    session._session = Runtime(message)
    with pytest.raises(raised, match=r"alloc|bounds"):
        session.run(WINDOW)


@pytest.fixture(scope="module")
def shipped() -> Session:
    if not (SHIPPED / "reader.json").exists():
        pytest.skip("models/minilm-l6-qa is not built")
    return Session(SHIPPED, describe(SHIPPED))


def windows() -> list[Window]:
    random = np.random.default_rng(0)
    return [Window(random.integers(1000, 29000, length), 10, 0, 1) for length in random.integers(11, 200, 24)]


def test_logits_depend_on_the_window_alone_whatever_other_threads_run(shipped: Session) -> None:
    alone = [shipped.run(window) for window in windows()]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(shipped.run, reversed(windows())))
    for one, other in zip(alone, reversed(together), strict=True):
        assert [logits.tobytes() for logits in one] == [logits.tobytes() for logits in other]


def test_the_shipped_graph_takes_its_longest_window_and_no_longer(shipped: Session) -> None:
    longest = describe(SHIPPED).max_positions
    start, end = shipped.run(Window(np.full(longest, 102), 10, 0, 1))
    assert start.shape == end.shape == (longest,)
    with pytest.raises(Exception, match=str(longest + 1)):
        shipped.run(Window(np.full(longest + 1, 102), 10, 0, 1))


def test_the_graph_can_be_loaded_while_the_rest_is_imported() -> None:
    """In a process of its own: records, tokenizer and decoding would keep the first answer waiting."""
    code = (
        "import sys, worker.reader.session\n"
        "rest = {'tokenizers', 'contract.format.job', 'worker.reader.encode', 'worker.reader.decode'}\n"
        "assert not (loaded := rest & sys.modules.keys()), loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=os.environ | {"PYTHONPATH": str(REPO)})
