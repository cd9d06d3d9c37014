"""The training recipe, on a tiny encoder made by the test: it learns what it is shown, and refuses what it must not."""

from __future__ import annotations

import json
import random
import runpy
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import tokenizers

from contract.errors import UsageError
from contract.format.job import Options
from tests import REPO
from tests.untrained import SIZES, SPECIAL, finish
from worker.evaluate import load_squad

pytestmark = pytest.mark.build

SAMPLE = REPO / "samples" / "evaluation.json"
#: For a model and a file so small.
SMALL = ["--tokens", "128", "--mispaired", "0", "--cropped", "0", "--max-seq-len", "120", "--doc-stride", "16"]


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return runpy.run_path(str(REPO / "models" / "train.py"), run_name="recipe")


def _tokenizer(vocabulary: dict[str, int], middle: int) -> Any:
    """A fast tokenizer of whole words, with so many separators between question and context."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token=SPECIAL[1]))
    made.normalizer, made.pre_tokenizer = (
        tokenizers.normalizers.BertNormalizer(),
        tokenizers.pre_tokenizers.BertPreTokenizer(),
    )
    finished = finish(made, SPECIAL, middle, 1)
    finished.add_special_tokens({"mask_token": SPECIAL[4]})
    return finished


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder whose vocabulary has the words of the sample."""
    import torch
    import transformers

    normalizer, split = tokenizers.normalizers.BertNormalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
    texts = [text for example in load_squad(SAMPLE) for text in (example.question, example.context)]
    words = {word for text in texts for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text))}
    # Sorted: what the library's trainer makes depends on the order of its hash table, and with it what is learned.
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *sorted(words)])}
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(vocabulary), **SIZES)
    transformers.BertModel(config).save_pretrained(folder)
    _tokenizer(vocabulary, 1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(recipe: dict[str, Any], base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe makes of the base and the sample."""
    out = tmp_path_factory.mktemp("trained")
    recipe["main"]([str(base), str(out), "--train", str(SAMPLE), "--epochs", "80", "--lr", "3e-3", *SMALL])
    return out


def test_the_targets_of_a_question_are_the_tokens_of_its_answer(recipe: dict[str, Any], base: Path) -> None:
    reader, _ = recipe["opened"](str(base))
    options = Options(max_seq_len=80, doc_stride=8)
    seen = 0
    for question in recipe["read_questions"](SAMPLE):
        found = list(recipe["targets"](question, reader, options))
        assert found
        offsets = reader.encoder.encode(question.question, question.context, options).offsets
        for target in found:
            if target.start:
                shift = target.window.begin - target.window.first
                begin, end = offsets[target.start + shift][0], offsets[target.end + shift][1]
                assert (begin, end) == question.spans[0]
                seen += 1
            else:
                assert (target.start, target.end) == (0, 0)
    assert seen >= 9, "nine of the ten questions have an answer, each in a window at least"


def test_a_context_cut_short_keeps_its_answer_or_has_none(recipe: dict[str, Any]) -> None:
    words = [f"word{n}" for n in range(100)]
    context = " ".join(words)
    begin = context.index("word50")
    question = recipe["Question"]("Which?", context, ((begin, begin + len("word50 word51")),))
    kept = cut = 0
    for seed in range(200):
        made = recipe["cropped"](question, random.Random(seed))
        assert made.context in context
        assert 30 <= len(made.context.split()) <= 100
        assert set(made.context.split()) <= set(words), "words are not cut"
        for first, last in made.spans:
            assert made.context[first:last] == "word50 word51"
        assert bool(made.spans) == ("word50 word51" in made.context)
        kept, cut = kept + bool(made.spans), cut + (not made.spans)
    assert kept
    assert cut


def test_a_question_beside_a_context_not_its_own_has_no_answer(recipe: dict[str, Any]) -> None:
    questions = recipe["read_questions"](SAMPLE)
    arguments = recipe["parse"](["base", "out", "--train", "x", "--mispaired", "1", "--cropped", "0"])
    moved = 0
    for before, after in zip(questions, recipe["varied"](questions, arguments, random.Random(0)), strict=True):
        assert after.question == before.question
        if after.context != before.context:
            assert after.spans == ()
            moved += 1
        elif before.spans:
            assert after.spans[0] in before.spans
    assert moved


def test_the_recipe_learns_what_it_is_shown(recipe: dict[str, Any], trained: Path) -> None:
    reader, _ = recipe["opened"](str(trained))
    quality = recipe["evaluate"](reader, [e for e in load_squad(SAMPLE) if e.answers], Options())
    assert quality["exact_match"] >= 70


def _teacher(trained: Path, folder: Path, extra: list[str]) -> Path:
    """The trained reader with tokens added at the front of its vocabulary and two separators, as MPNet has."""
    import torch
    import transformers

    model = transformers.AutoModelForQuestionAnswering.from_pretrained(trained)
    made = json.loads((trained / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = sorted(made, key=made.__getitem__)
    vocabulary = {token: number for number, token in enumerate([*extra, *words])}
    rows = model.get_input_embeddings().weight.detach()
    wider = torch.nn.Embedding(len(vocabulary), rows.shape[1])
    wider.weight.data = torch.cat([rows[:1].expand(len(extra), -1), rows])
    model.set_input_embeddings(wider)
    model.config.vocab_size = len(vocabulary)
    model.save_pretrained(folder)
    _tokenizer(vocabulary, 2).save_pretrained(folder)
    return folder


def test_a_window_has_the_same_tokens_for_reader_and_teacher(
    recipe: dict[str, Any], base: Path, trained: Path, tmp_path: Path
) -> None:
    reader, _ = recipe["opened"](str(base))
    teacher, _ = recipe["opened"](str(_teacher(trained, tmp_path / "teacher", ["<one>", "<two>"])))
    options = Options(max_seq_len=80, doc_stride=8)
    windows = 0
    for question in recipe["read_questions"](SAMPLE):
        long = recipe["Question"](question.question, " ".join([question.context] * 3), question.spans)
        for target in recipe["targets"](long, reader, options, teacher):
            mine = target.window.input_ids[reader.places(target.window)]
            theirs = target.taught.input_ids[teacher.places(target.taught)]
            assert (theirs == mine + 2).all()
            windows += 1
    assert windows > 20, "contexts are longer than a window"


def test_a_student_learns_from_its_teacher(
    recipe: dict[str, Any], base: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = _teacher(trained, tmp_path / "teacher", ["<one>", "<two>"])
    taught, _ = recipe["opened"](str(teacher))
    # Without reference answers that are right: what it knows then, it knows from its teacher.
    wrong = json.loads(SAMPLE.read_text("utf-8"))
    for paragraph in (each for article in wrong["data"] for each in article["paragraphs"]):
        for asked in paragraph["qas"]:
            asked["answers"] = []
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    monkeypatch.setitem(recipe["train_epoch"].__globals__, "HARD", 0.0)
    monkeypatch.setitem(recipe["Teacher"].loss.__globals__, "HARD", 0.0)
    settings = ["--train", str(tmp_path / "wrong.json"), "--teacher", str(teacher), "--masked", "0.2", *SMALL]
    recipe["main"]([str(base), str(tmp_path / "out"), "--epochs", "40", "--lr", "3e-3", *settings])
    student, _ = recipe["opened"](str(tmp_path / "out"))
    examples = load_squad(SAMPLE)
    same = [_answer(student, each) == _answer(taught, each) for each in examples]
    assert sum(same) >= 0.7 * len(examples)


def _answer(reader: Any, example: Any) -> Any:
    return reader.answer(example.question, example.context, Options()).spans[0].answer


def test_a_teacher_that_cuts_texts_differently_has_nothing_to_teach(
    recipe: dict[str, Any], base: Path, trained: Path, tmp_path: Path
) -> None:
    import transformers

    model = transformers.AutoModelForQuestionAnswering.from_pretrained(trained)
    model.save_pretrained(tmp_path / "teacher")
    letters = {token: n for n, token in enumerate([*SPECIAL, *ascii_lowercase, *(f"##{a}" for a in ascii_lowercase)])}
    _tokenizer(letters, 1).save_pretrained(tmp_path / "teacher")
    with pytest.raises(UsageError, match="there is nothing to learn"):
        recipe["main"](
            [str(base), str(tmp_path / "out"), "--train", str(SAMPLE), "--teacher", str(tmp_path / "teacher"), *SMALL]
        )


def test_a_teacher_whose_layers_do_not_fit_is_refused(recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    config = transformers.BertConfig(vocab_size=len(tokenizer), **(SIZES | {"num_hidden_layers": 3}))
    transformers.BertForQuestionAnswering(config).save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    with pytest.raises(UsageError, match="cannot teach this reader"):
        recipe["main"](
            [str(base), str(tmp_path / "out"), "--train", str(SAMPLE), "--teacher", str(tmp_path / "teacher"), *SMALL]
        )


def test_masking_hides_tokens_of_both_but_never_cls(recipe: dict[str, Any], base: Path) -> None:
    reader, _ = recipe["opened"](str(base))
    options = Options(max_seq_len=80, doc_stride=8)
    batch = [t for q in recipe["read_questions"](SAMPLE) for t in recipe["targets"](q, reader, options)]
    windows = [target.window for target in batch]
    hits = recipe["drawn"](batch, reader, 1.0, random.Random(0))
    plain = recipe["batch_of"](windows, reader.info, "cpu")["input_ids"]
    covered = recipe["masked"](recipe["batch_of"](windows, reader.info, "cpu"), reader, windows, hits)["input_ids"]
    changed = covered != plain
    assert (covered[changed] == reader.mask).all()
    assert 0 < changed.sum().item() <= sum(hit.sum() for hit in hits)
    for row, (window, hit) in enumerate(zip(windows, hits, strict=True)):
        assert not hit[0]
        outside = sorted(set(range(plain.shape[1])) - set(reader.places(window)[1:].tolist()))
        assert not changed[row, outside].any(), "CLS, separators and padding stay"
    assert not any(hit.any() for hit in recipe["drawn"](batch, reader, 0, random.Random(0)))


def test_what_is_measured_on_must_not_be_trained_on(recipe: dict[str, Any], base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are in the training files"):
        recipe["main"]([str(base), str(tmp_path / "out"), "--train", str(SAMPLE), "--eval", str(SAMPLE)])
    assert not (tmp_path / "out").exists()


def test_a_file_of_another_format_is_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(UsageError, match=r"rows\.json is not in SQuAD's format"):
        recipe["read_questions"](tmp_path / "rows.json")
