"""The training recipe, on a tiny encoder made by the test: it learns what it is shown, and refuses what it must not."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from contract.format.job import Options
from worker.evaluate import load_squad

torch = pytest.importorskip("torch", reason="needs the extra [build]")
transformers = pytest.importorskip("transformers", reason="needs the extra [build]")

from tests.unit.test_build import SIZES, SPECIAL, _finish  # noqa: E402

pytestmark = pytest.mark.build

REPO = Path(__file__).resolve().parents[2]
SAMPLE = REPO / "samples" / "evaluation.json"


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return runpy.run_path(str(REPO / "models" / "train.py"), run_name="recipe")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder whose vocabulary has the words of the sample."""
    import tokenizers

    normalizer, split = tokenizers.normalizers.BertNormalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
    texts = [text for example in load_squad(SAMPLE) for text in (example.question, example.context)]
    words = {word for text in texts for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text))}
    # Sorted: what the library's trainer makes depends on the order of its hash table, and with it what is learned.
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *sorted(words)])}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token=SPECIAL[1]))
    made.normalizer, made.pre_tokenizer = normalizer, split
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=made.get_vocab_size(), **SIZES)
    transformers.BertModel(config).save_pretrained(folder)
    _finish(made, SPECIAL, 1, 1).save_pretrained(folder)
    return folder


def test_the_targets_of_a_question_are_the_tokens_of_its_answer(recipe: dict[str, Any], base: Path) -> None:
    _, tokenizer, info = recipe["load"](str(base))
    path = base / "tokenizer.json"
    tokenizer.backend_tokenizer.save(str(path))
    encoder = recipe["Encoder"](path, info)
    options = Options(max_seq_len=80, doc_stride=8)
    seen = 0
    for question in recipe["read_questions"](SAMPLE):
        found = list(recipe["targets"](question, encoder, options))
        assert found
        offsets = encoder.encode(question.question, question.context, options).offsets
        for target in found:
            if target.start:
                shift = target.window.begin - target.window.first
                begin, end = offsets[target.start + shift][0], offsets[target.end + shift][1]
                assert (begin, end) == question.span
                seen += 1
            else:
                assert (target.start, target.end) == (0, 0)
    assert seen >= 9, "nine of the ten questions have an answer, each in a window at least"


def test_the_recipe_learns_what_it_is_shown(recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)  # so small a model is slower with more, the more so beside other tests
    settings = ["--epochs", "80", "--lr", "3e-3", "--tokens", "128", "--mispaired", "0", "--max-seq-len", "128"]
    settings += ["--doc-stride", "16"]
    recipe["main"]([str(base), str(tmp_path / "out"), "--train", str(SAMPLE), *settings])
    model, tokenizer, info = recipe["load"](str(tmp_path / "out"))
    path = tmp_path / "tokenizer.json"
    tokenizer.backend_tokenizer.save(str(path))
    reader = recipe["TorchReader"](model.eval(), recipe["Encoder"](path, info), info)
    quality = recipe["evaluate"](reader, [e for e in load_squad(SAMPLE) if e.answers], Options())
    assert quality["exact_match"] >= 70


def test_what_is_measured_on_must_not_be_trained_on(recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are among those to train on"):
        recipe["main"]([str(base), str(tmp_path / "out"), "--train", str(SAMPLE), "--eval", str(SAMPLE)])
    assert not (tmp_path / "out").exists()


def test_a_file_of_another_format_is_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(UsageError, match=r"rows\.json is not in SQuAD's format"):
        recipe["read_questions"](tmp_path / "rows.json")
