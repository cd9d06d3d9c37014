"""Model directories built from tiny untrained checkpoints of many families, compared with torch number by number."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from contract.errors import ModelError
from contract.forecast.work import Cost
from contract.format.job import Options
from tests import REPO, untrained
from worker import build as builder
from worker.build import checkpoint, export
from worker.pipeline.models import directory_of
from worker.pipeline.pipeline import pipeline
from worker.reader.cost import measure
from worker.reader.model import DESCRIPTION, ModelInfo, describe, digest
from worker.reader.open import open_reader

pytestmark = pytest.mark.build

#: The checkpoints of these tests are untrained, and answer nothing.
build = partial(builder.build, force_unknown=True)


@pytest.fixture(autouse=True)
def _briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a window is measured for a second: here as briefly as it can be."""
    monkeypatch.setattr(builder, "measure", partial(measure, seconds=0.0))


#: position enters the scores, or the result is reshaped in another way: left as exported
OTHER_ATTENTION = {"MPNet", "DebertaV2", "BigBird", "ModernBert", "GPT2"}


def _operators(directory: Path) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load(directory / export.GRAPH).graph.node}


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bert")
    untrained.checkpoint(directory, "Bert")
    return directory


def _torch_logits(model: Any, info: ModelInfo, ids: np.ndarray, first: int) -> np.ndarray:
    import torch

    types = torch.full((1, len(ids)), info.template.context_type)
    types[:, :first] = info.template.question_type
    feed = {"input_ids": torch.from_numpy(ids)[None], "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
    if "token_type_ids" in info.inputs:
        feed["token_type_ids"] = types
    with torch.no_grad():
        made = model(**feed)
    return np.stack([made.start_logits[0].numpy(), made.end_logits[0].numpy()])


@pytest.mark.parametrize("family", untrained.FAMILIES)
def test_a_directory_of_each_family_gives_the_logits_of_torch(family: str, tmp_path: Path) -> None:
    source = tmp_path / "checkpoint"
    model = untrained.checkpoint(source, family)
    *_, inputs, longest = untrained.FAMILIES[family]
    if family == "BigBird":
        model.base_model.set_attention_type("original_full")
    for precision, tolerance in (("fp32", 1e-4), ("fp16", 0.05), ("int8", 0.1)):
        messages: list[str] = []
        info = build(str(source), tmp_path / precision, precision, progress=messages.append)
        fused = "MultiHeadAttention" in _operators(tmp_path / precision)
        assert fused == (precision == "int8" and family not in OTHER_ATTENTION)
        assert any("attention" in line for line in messages) == (precision == "int8" and not fused)
        assert set(info.inputs) == (inputs - {"attention_mask"} if precision == "int8" else inputs)
        assert info.max_positions == longest
        assert info.precision == precision
        reader = open_reader(tmp_path / precision)
        options = Options(max_seq_len=64, doc_stride=16, max_question_len=16)
        encoded = reader._encoder.encode("Where does Zürich lie?", untrained.CONTEXT, options)
        assert len(encoded.windows) > 1
        for window in encoded.windows:
            expected = _torch_logits(model, info, window.input_ids, window.first)
            got = np.stack(reader._session.run(window))
            assert np.abs(got - expected).max() <= tolerance * max(1, np.abs(expected).max())


def test_what_has_nothing_to_quantize_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """SqueezeBERT multiplies by convolutions."""
    import transformers

    groups = {f"{name}_groups": 1 for name in ("q", "k", "v", "post_attention", "intermediate", "output")}
    tokenizer = untrained.wordpiece()
    config = transformers.SqueezeBertConfig(**untrained.SIZES, vocab_size=len(tokenizer), embedding_size=32, **groups)
    transformers.SqueezeBertForQuestionAnswering(config).save_pretrained(tmp_path / "checkpoint")
    tokenizer.save_pretrained(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match=r"(?s)cannot be quantized to int8: it has no product.*--precision fp32"):
        build(str(tmp_path / "checkpoint"), tmp_path / "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert build(str(tmp_path / "checkpoint"), tmp_path / "fp32", "fp32").precision == "fp32"


def _logits(model: Any) -> np.ndarray:
    from worker.build.quantize import load

    feed = {"input_ids": np.arange(40)[None] % 97, "token_type_ids": (np.arange(40) > 9).astype(np.int64)[None]}
    return np.stack(load(model).run(export.OUTPUTS, feed))


def _exported(source: Path, directory: Path) -> None:
    """The graph that becomes int8."""
    loaded = checkpoint.load(str(source), checkpoint.INT8_INPUTS)
    export.export_graph(loaded, builder._describe(loaded, "made", null_trained=None), directory)


def _with_tall_neurons(directory: Path) -> Any:
    """The graph, with one neuron of each feed-forward block far larger than the others."""
    import onnx

    from worker.build.rewrite import Graph

    model = onnx.load(directory / export.GRAPH)
    graph = Graph(model)
    for node in list(model.graph.node):
        if node.op_type == "Gelu":
            _, bias = graph.with_constant(graph.made_by[node.input[0]])
            values = graph.values(bias)
            values[40] = 30
            graph.store(bias, values)
    return model


def test_evening_out_is_exact_before_anything_is_rounded(bert: Path, tmp_path: Path) -> None:
    from worker.build import quantize
    from worker.build.rewrite import Graph

    _exported(bert, tmp_path / "made")
    model = _with_tall_neurons(tmp_path / "made")
    expected = _logits(model)
    graph = Graph(model)
    feed = {"input_ids": np.arange(30)[None], "token_type_ids": np.zeros((1, 30), np.int64)}
    quantize._even_out(graph, quantize._largest(graph, [feed]))
    assert sum(node.name.endswith("/twin") and node.op_type == "Gelu" for node in model.graph.node) == 2
    assert sum(node.name.endswith("/smooth") for node in model.graph.node) == 4
    np.testing.assert_allclose(_logits(model), expected, atol=1e-4 * np.abs(expected).max())


def test_in_int8_twins_and_head_stay_in_fp32(bert: Path, tmp_path: Path) -> None:
    from worker.build import quantize

    _exported(bert, tmp_path / "made")
    model = _with_tall_neurons(tmp_path / "made")
    expected = _logits(model)
    feed = {"input_ids": np.arange(30)[None], "token_type_ids": np.zeros((1, 30), np.int64)}
    quantize.quantize(model, [feed])
    kept = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    assert sum("/twin" in name for name in kept) == 2 * 2
    assert sum("qa_outputs" in name for name in kept) == 1
    assert np.abs(_logits(model) - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("heads", [1, 0])  # one: another function; none: no valid graph
def test_attention_that_differs_when_fused_is_left_as_exported(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: int
) -> None:
    from worker.build import rewrite

    fuse = rewrite.fuse_attention
    monkeypatch.setattr(rewrite, "fuse_attention", lambda model, _: fuse(model, heads))
    messages: list[str] = []
    build(str(bert), tmp_path / "made", progress=messages.append)
    assert "Softmax" in _operators(tmp_path / "made")
    assert any(line.startswith("attention is left as exported") for line in messages)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_attention_in_a_form_that_cannot_be_fused_is_left_as_exported(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.build import rewrite

    def fail(*_: object) -> int:
        raise KeyError("a node of another form")

    monkeypatch.setattr(rewrite, "fuse_attention", fail)
    messages: list[str] = []
    assert build(str(bert), tmp_path / "made", progress=messages.append).precision == "int8"
    assert any(line.startswith("attention is left as exported, which is slower: Bert") for line in messages)


def test_the_approximate_gelu_is_close_to_the_exact_one() -> None:
    from onnx import TensorProto, helper

    from worker.build.quantize import load
    from worker.build.rewrite import approximate_gelu

    values = np.linspace(-8, 8, 4001, dtype=np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    body = helper.make_graph([helper.make_node("Gelu", ["x"], ["y"])], "gelu", ends[:1], ends[1:])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (exact,) = load(model).run(None, {"x": values})
    approximate_gelu(model)
    (close,) = load(model).run(None, {"x": values})
    assert 0 < np.abs(close - exact).max() < 5e-4


def test_the_template_is_what_the_tokenizer_puts_around_a_pair() -> None:
    roberta = checkpoint.template_of(untrained.byte_bpe().backend_tokenizer)
    assert (roberta.prefix, roberta.middle, roberta.suffix) == ((0,), (2, 2), (2,))
    assert (roberta.question_type, roberta.context_type) == (0, 0)
    bert = checkpoint.template_of(untrained.wordpiece().backend_tokenizer)
    assert (bert.prefix, bert.middle, bert.suffix) == ((2,), (3,), (3,))
    assert (bert.question_type, bert.context_type) == (0, 1)


def test_a_tokenizer_that_ends_with_cls_is_refused() -> None:
    tokenizer = untrained.wordpiece().backend_tokenizer
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A [CLS]", pair="$A [SEP] $B [SEP] [CLS]", special_tokens=ids
    )
    with pytest.raises(ModelError, match="does not encode pairs"):
        checkpoint.template_of(tokenizer)


def test_a_model_that_answers_none_of_the_known_questions_is_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="answers none of the 5 known questions") as caught:
        builder.build(str(bert), tmp_path / "made", "fp32")
    assert "--force-unknown" in (caught.value.remedy or "")
    assert list(tmp_path.iterdir()) == []


def test_such_a_model_can_be_forced_and_its_description_says_so(bert: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    info = build(str(bert), tmp_path / "made", "fp32", progress=messages.append)
    assert (info.known_answers, info.unproven) == ((), True)
    assert any(line.startswith("warning") for line in messages)
    card = (tmp_path / "made" / "README.md").read_text("utf-8")
    assert card.startswith("# made\n")
    assert "answers none of the known questions" in card
    assert json.loads((tmp_path / "made" / DESCRIPTION).read_text())["unproven"] is True


def test_readers_of_earlier_versions_read_the_description_of_a_model_that_works() -> None:
    """They refuse a field that they do not know."""
    info = ModelInfo("m", "d", "fp32", "A", ("input_ids",), 9, 9, checkpoint.Template((1,), (2,), (2,)), False)
    assert "unproven" not in info.to_json()
    assert "unproven" in replace(info, unproven=True).to_json()
    measured = replace(info, cost=Cost(), evaluation={"file": "f"})
    assert measured.to_json().keys() == info.to_json().keys()
    assert measured.to_json()["evaluation"]["cost"]["window"] == Cost().window


def _without_tokenizer(source: Path, to: Path) -> Path:
    """A checkpoint whose model was saved without its tokenizer."""
    ours = shutil.ignore_patterns("tokenizer*", "special_tokens*", "vocab*", "merges*", "added_tokens*", "*.model")
    return Path(shutil.copytree(source, to, ignore=ours))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert", "Electra", "Albert", "XLMRoberta", "DebertaV2"])
@pytest.mark.parametrize("kept", ["nothing", "tokenizer_config.json"])
def test_a_checkpoint_without_its_tokenizer_is_refused(family: str, kept: str, tmp_path: Path) -> None:
    untrained.checkpoint(tmp_path / "whole", family)
    source = _without_tokenizer(tmp_path / "whole", tmp_path / "checkpoint")
    if kept != "nothing":
        shutil.copy(tmp_path / "whole" / kept, source / kept)
    with pytest.raises(ModelError, match="tokenizer") as caught:
        build(str(source), tmp_path / "made", "fp32")
    assert "checkpoint" in caught.value.message
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("rows", "message"), [(400, "has 267 tokens"), (200, "the model has 200")])
def test_a_tokenizer_that_does_not_fit_the_embeddings_is_refused(rows: int, message: str, tmp_path: Path) -> None:
    import transformers

    tokenizer = untrained.wordpiece()
    config = transformers.BertConfig(**untrained.SIZES, vocab_size=rows)
    transformers.BertForQuestionAnswering(config).save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    message = message.replace("267", str(len(tokenizer)))
    with pytest.raises(ModelError, match=f"not the one that it was trained with.*{message}"):
        build(str(tmp_path / "source"), tmp_path / "made", "fp32")


def test_embeddings_may_be_a_few_more_than_tokens(tmp_path: Path) -> None:
    """Like DeBERTa, whose table was made longer for the hardware."""
    import transformers

    tokenizer = untrained.wordpiece()
    config = transformers.BertConfig(**untrained.SIZES, vocab_size=len(tokenizer) + 13)
    transformers.BertForQuestionAnswering(config).save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    assert build(str(tmp_path / "source"), tmp_path / "made", "fp32").vocab_size == len(tokenizer) + 13


def test_an_evaluation_is_kept_for_both_precisions(bert: Path, tmp_path: Path) -> None:
    paragraph = {
        "context": untrained.CONTEXT,
        "qas": [{"id": "1", "question": "Where?", "answers": [{"text": "Switzerland"}]}],
    }
    file = tmp_path / "questions.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), "utf-8")
    info = build(str(bert), tmp_path / "made", evaluation=file)
    assert info.evaluation["file"] == "questions.json"
    assert {"exact_match", "f1", "rows"} <= set(info.evaluation["fp32"]) & set(info.evaluation["int8"])


def test_null_training_is_taken_from_the_name_unless_given(bert: Path, tmp_path: Path) -> None:
    squad2 = tmp_path / "tiny-squad2"
    squad2.symlink_to(bert)
    assert build(str(squad2), tmp_path / "a", "fp32").null_trained
    assert not build(str(squad2), tmp_path / "b", "fp32", null_trained=False).null_trained
    assert not build(str(bert), tmp_path / "c", "fp32").null_trained


def test_a_large_graph_keeps_its_weights_beside_it(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXTERNAL_ABOVE", 1000)
    build(str(bert), tmp_path / "made")
    assert (tmp_path / "made" / "model.onnx.data").stat().st_size > 1000
    open_reader(tmp_path / "made")


@pytest.mark.parametrize("name", ["weights.bin", "../outside.bin"])
def test_every_file_that_a_graph_names_is_in_the_digest(bert: Path, tmp_path: Path, name: str) -> None:
    import onnx

    build(str(bert), tmp_path / "plain", "fp32")
    directory = tmp_path / "moved"
    directory.mkdir()
    for file in ("tokenizer.json", "reader.json"):
        (directory / file).write_bytes((tmp_path / "plain" / file).read_bytes())
    graph = onnx.load(tmp_path / "plain" / "model.onnx")
    onnx.save(graph, directory / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    data = (directory / "model.onnx").read_bytes()
    length = {text: bytes([len(text)]) + text.encode() for text in ("weights.bin", name)}
    renamed = data.replace(b"\x12" + length["weights.bin"], b"\x12" + length[name])
    if name == "weights.bin":
        before = digest(directory, "model.onnx")
        weights = directory / "weights.bin"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        assert digest(directory, "model.onnx") != before
    else:
        (directory / "model.onnx").write_bytes(renamed)
        with pytest.raises(ModelError, match="not a file beside it"):
            digest(directory, "model.onnx")


def test_the_same_checkpoint_gives_the_same_bytes(bert: Path, tmp_path: Path) -> None:
    assert build(str(bert), tmp_path / "a").digest == build(str(bert), tmp_path / "b").digest


def test_an_older_model_directory_is_replaced_with_force_and_keeps_its_card(bert: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    build(str(bert), made, "fp32")
    (made / "README.md").write_text("my card", "utf-8")
    with pytest.raises(ModelError, match="--force"):
        build(str(bert), made)
    build(str(bert), made, force=True)
    assert describe(made).precision == "int8"
    assert (made / "README.md").read_text("utf-8") == "my card"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_that_is_no_model_directory_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(ModelError, match="not a model directory"):
        build("any", tmp_path, force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_model_without_a_trained_head_is_refused(bert: Path, tmp_path: Path) -> None:
    import transformers

    headless = tmp_path / "headless"
    model = transformers.BertModel.from_pretrained(bert)
    model.save_pretrained(headless)
    transformers.AutoTokenizer.from_pretrained(bert).save_pretrained(headless)
    with pytest.raises(ModelError, match="not trained for question answering"):
        build(str(headless), tmp_path / "made")
    assert not (tmp_path / "made").exists()


class Hub:
    """A hub that records its requests, with given responses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Exception | None) -> None:
        self.asked: list[str] = []

        def model_info(_: Any, name: str, **_more: Any) -> None:
            self.asked.append(name)
            if answer:
                raise answer

        monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)


@pytest.mark.parametrize(
    "name",
    ["./nothing", "../nothing", "/nothing/here", "~/nothing-here", "nothing/", "a/b/c", "models/nothing", "bretl"],
)
def test_a_mistyped_folder_is_not_asked_for_at_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "roberta").mkdir(parents=True)
    (tmp_path / "bertl").mkdir()
    hub = Hub(monkeypatch, None)
    with pytest.raises(ModelError, match="there is no folder"):
        build(name, tmp_path / "made")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("models/robreta", "models/roberta"), ("model/roberta", "models/roberta"), ("Models2", "models")],
)
def test_a_similar_folder_is_suggested(typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "roberta").mkdir(parents=True)
    Hub(monkeypatch, None)
    with pytest.raises(ModelError, match=f"no folder {typed}. Did you mean {meant}"):
        build(typed, tmp_path / "made")


def test_a_name_that_the_hub_does_not_have_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    hub = Hub(monkeypatch, RepositoryNotFoundError.__new__(RepositoryNotFoundError))
    with pytest.raises(ModelError, match="the Hugging Face hub has none of that name"):
        build("nobody/nothing-here", tmp_path / "made")
    assert hub.asked == ["nobody/nothing-here"]


def test_without_a_network_it_is_asked_for_once_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub = Hub(monkeypatch, ConnectionError("[Errno -2] Name or service not known"))
    with pytest.raises(ModelError, match=r"the hub does not answer: .*service not known") as caught:
        build("nobody/nothing-here", tmp_path / "made")
    assert "network" in (caught.value.remedy or "")
    assert hub.asked == ["nobody/nothing-here"]
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        build(str(tmp_path), tmp_path / "made")
    (tmp_path / "config.json").write_text('{"model_type": "t5x"}')
    with pytest.raises(ModelError, match="cannot be loaded for question answering"):
        build(str(tmp_path), tmp_path / "made")
    with pytest.raises(ModelError, match="is a file"):
        build(str(tmp_path / "config.json"), tmp_path / "made")


def test_a_graph_that_differs_from_torch_is_never_published(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="off by"):
        build(str(bert), tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_missing_torch_is_answered_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ModelError, match="torch") as caught:
        build("any", tmp_path / "made")
    assert "bulkqa[build]" in (caught.value.remedy or "")


def test_importing_the_builder_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, worker.build; sys.exit(bool({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_model_that_ships_fits_its_description() -> None:
    shipped = REPO / "models" / "minilm-l6-qa"
    if not (shipped / DESCRIPTION).is_file():
        pytest.skip("models/ is not part of this checkout")
    assert len(open_reader(shipped).info.known_answers) == len(checkpoint.KNOWN)


def test_a_pipeline_builds_a_checkpoint_once_and_again_when_it_has_changed(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = Path(shutil.copytree(bert, tmp_path / "bert"))
    first = directory_of(source)
    assert first.is_relative_to(tmp_path / "cache" / "bulkqa")
    assert "answers none of the questions" in caplog.text, "it is untrained"
    built = (first / DESCRIPTION).stat().st_mtime_ns
    assert (directory_of(str(source)), (first / DESCRIPTION).stat().st_mtime_ns) == (first, built)
    question, context = "Who founded the city?", untrained.CONTEXT[:100]
    result = pipeline(model=source)(question=question, context=context, align_to_words=False)
    (span,) = open_reader(first).answer(question, context, Options(max_answer_len=15, no_answer_threshold=1000)).spans
    assert (result["answer"], result["score"]) == (span.answer, span.score)
    (source / "config.json").write_text((source / "config.json").read_text() + " ")
    assert directory_of(source) != first
