"""Windows and offsets, with small tokenizers of the three kinds that readers use."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from contract.errors import ModelError
from contract.format.job import Options
from tests import REPO
from worker.reader.decode import RowFailure
from worker.reader.encode import CACHED_CONTEXTS, Encoded, Encoder
from worker.reader.model import ModelInfo, Template

SHIPPED = REPO / "models" / "minilm-l6-qa"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
CORPUS = [
    "The Eiffel Tower is in Paris, and it was built in 1889 by the engineers of Gustave Eiffel.",
    "Who built the tower? Where is it? The café in the Rue de l'Élysée, New York's finest.",
    "naïve façade résumé 東京タワー は 東京 に ある مرحبا بالعالم שלום עולם हिन्दी में लिखा 😀 👩‍👩‍👧",
] * 3
TRICKY = [
    "  leading and trailing \t\n",
    "cafe\u0301 noir, e\u0301\u0302.",
    "हिन्दी में लिखा",
    "👩‍👩‍👧 family ❤️ 😀😀",
    "İstanbul ẞ ﬁne",
    "東京タワーは東京にあります。\u3000全角",
    "مَرْحَبًا بالعالم",
    "שָׁלוֹם עולם",
    "a\u00a0b\u2003c\u200bd\u200e\ufeffe",
    "tabs\t\tand\r\nlines\n\n\nhere",
    "x\x00y\x07z",
    "[SEP] [CLS] </s> [MASK]",
    "\u0301 mark first",
    " ",
]


def wordpiece() -> Tokenizer:
    """BERT: lower case, accents stripped, punctuation apart."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_bpe() -> Tokenizer:
    """RoBERTa, but its post-processor does not trim offsets, as in DeBERTa: spaces are part of tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    """SentencePiece: spaces become part of the word after them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    unknown = {"unk_token": "[UNK]"}
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False, **unknown)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


KINDS = {"wordpiece": wordpiece, "byte_bpe": byte_bpe, "unigram": unigram}
MADE = {kind: make() for kind, make in KINDS.items()}
TEMPLATE = Template(prefix=(2,), middle=(3,), suffix=(3,))


def info(template: Template = TEMPLATE, max_positions: int = 512) -> ModelInfo:
    return ModelInfo("toy", "0" * 16, "fp32", "toy", ("input_ids",), max_positions, 1000, template, null_trained=False)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind, tokenizer in MADE.items():
        tokenizer.save(str(folder / f"{kind}.json"))
    return {kind: folder / f"{kind}.json" for kind in MADE}


@pytest.fixture(scope="module", params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoder(kind: str, paths: dict[str, Path]) -> Encoder:
    return Encoder(paths[kind], info())


def replace_info(encoder: Encoder, max_positions: int) -> Encoder:
    """The same tokenizer for a model with more positions."""
    other = copy(encoder)
    other._info = info(max_positions=max_positions)
    return other


def small() -> Options:
    return Options(max_seq_len=24, doc_stride=4, max_question_len=8)


def tokens_of(encoded: Encoded) -> list[int]:
    """The context's ids put together again from the windows."""
    ids = [0] * len(encoded.offsets)
    for window in encoded.windows:
        ids[window.begin : window.end] = window.input_ids[window.first :][: window.end - window.begin].tolist()
    return ids


# --- windows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [10, 17, 64, 1000])
@pytest.mark.parametrize("stride", [1, 4])
def test_windows_are_those_of_the_tokenizers_library(kind: str, encoder: Encoder, room: int, stride: int) -> None:
    """transformers calls that library's truncation of the second sequence for `only_second` with a stride."""
    question, context = "Who built it?", " ".join(CORPUS)
    own = Tokenizer.from_str(MADE[kind].to_str())
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    length = len(own.encode(question, add_special_tokens=False).ids)
    own.enable_truncation(length + 3 + room, stride=stride, strategy="only_second")
    whole = own.encode(question, context)
    options = Options(max_seq_len=length + 3 + room, doc_stride=stride, max_question_len=length)
    got = replace_info(encoder, max_positions=2000).encode(question, context, options)
    assert [window.input_ids.tolist() for window in got.windows] == [e.ids for e in (whole, *whole.overflowing)]
    assert {window.first for window in got.windows} == {length + 2}
    assert got.flags == ()


@settings(max_examples=150, deadline=None)
@given(words=st.integers(1, 200), size=st.integers(20, 80), stride=st.integers(1, 8), length=st.integers(1, 3))
def test_windows_cover_the_context_and_share_the_stride(
    encoder: Encoder, words: int, size: int, stride: int, length: int
) -> None:
    options = Options(max_seq_len=size, doc_stride=stride, max_question_len=4)
    context = " ".join(CORPUS[0].split()[i % 17] for i in range(words))
    got = encoder.encode("who " * length, context, options)
    assert tokens_of(got) == encoder._tokenizer.encode(context, add_special_tokens=False).ids
    assert (got.windows[0].begin, got.windows[-1].end) == (0, len(got.offsets))
    for left, right in pairwise(got.windows):
        assert left.end - right.begin == stride
        assert len(left.input_ids) == size
    assert len(got.windows[-1].input_ids) <= size
    for window in got.windows:
        assert window.input_ids.dtype == np.int64
        assert window.first + window.end - window.begin + 1 == len(window.input_ids)
        assert window.input_ids[[0, window.first - 1, -1]].tolist() == [2, 3, 3]


def test_top_windows_are_those_of_all_that_match_the_question_best(encoder: Encoder) -> None:
    text = "The tower is in Paris. " * 40
    context = f"{text} Gustave Eiffel built it. {text} The engineers of Eiffel. {text}"
    options = Options(max_seq_len=64, doc_stride=16, max_question_len=24)
    every = encoder.encode("Who are the engineers?", context, options).windows
    for count in (1, 3, len(every), len(every) + 1):
        got = encoder.encode("Who are the engineers?", context, replace(options, top_windows=count))
        windows = {window.begin: window.input_ids.tolist() for window in every}
        assert [windows[window.begin] for window in got.windows] == [w.input_ids.tolist() for w in got.windows]
        assert [window.begin for window in got.windows] == sorted({window.begin for window in got.windows})
        assert len(got.windows) == min(count, len(every))
        spans = [(got.offsets[window.begin, 0], got.offsets[window.end - 1, 1]) for window in got.windows]
        assert any("engineers" in context[start:end] for start, end in spans)


def test_the_template_of_the_model_is_put_around_question_and_context(paths: dict[str, Path]) -> None:
    roberta = Template(prefix=(0,), middle=(2, 2), suffix=(2,))
    encoder = Encoder(paths["byte_bpe"], info(roberta))
    question, context = (encoder._tokenizer.encode(text).ids for text in ("Who?", "The tower"))
    (window,) = encoder.encode("Who?", "The tower", Options()).windows
    assert window.input_ids.tolist() == [0, *question, 2, 2, *context, 2]


def test_the_question_is_truncated_and_says_so_and_the_context_is_not(encoder: Encoder) -> None:
    long = "where is the tower " * 30
    got = encoder.encode(long, CORPUS[0], small())
    assert got.flags == ("question_truncated",)
    assert {window.first for window in got.windows} == {1 + 8 + 1}
    question = encoder._tokenizer.encode(long, add_special_tokens=False).ids
    assert got.windows[0].input_ids[1:9].tolist() == question[:8]
    assert tokens_of(got) == encoder._tokenizer.encode(CORPUS[0], add_special_tokens=False).ids


def test_a_question_of_exactly_the_limit_is_not_truncated(encoder: Encoder) -> None:
    length = len(encoder._tokenizer.encode("where is it", add_special_tokens=False).ids)
    assert encoder.encode("where is it", "here", Options(max_question_len=length)).flags == ()
    assert encoder.encode("where is it", "here", Options(max_question_len=length - 1)).flags == ("question_truncated",)


def test_a_long_question_keeps_its_limit_when_options_leave_it_most_of_the_window(encoder: Encoder) -> None:
    options = Options(max_seq_len=100, max_question_len=82, doc_stride=10)
    got = encoder.encode("where is the tower " * 60, "here", options)
    assert got.windows[0].first == 1 + 82 + 1


@pytest.mark.parametrize("positions", [5, 6, 10, 16, 40])
@pytest.mark.parametrize("options", [Options(), Options(doc_stride=300), Options(max_question_len=200)])
def test_a_model_of_few_positions_caps_windows_and_still_covers_the_context(
    paths: dict[str, Path], positions: int, options: Options
) -> None:
    encoder = Encoder(paths["wordpiece"], info(max_positions=positions))
    got = encoder.encode("where is the tower?" * 9, CORPUS[0], options)
    assert max(len(window.input_ids) for window in got.windows) == positions
    assert tokens_of(got) == encoder._tokenizer.encode(CORPUS[0], add_special_tokens=False).ids
    begins = [window.begin for window in got.windows]
    assert begins == sorted(set(begins))
    room = positions - got.windows[0].first - 1
    assert room == 1 or all(left.end > right.begin for left, right in pairwise(got.windows))


def test_truncation_and_padding_in_the_file_are_not_applied(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(MADE["wordpiece"].to_str())
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    got = Encoder(tmp_path / "tokenizer.json", info()).encode("Who built it?", CORPUS[0], Options())
    assert len(got.offsets) == len(MADE["wordpiece"].encode(CORPUS[0], add_special_tokens=False).ids)
    assert 0 not in got.windows[0].input_ids


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"], scope="function")
def test_control_tokens_spelled_in_a_row_stay_text(paths: dict[str, Path], kind: str) -> None:
    encoder = Encoder(paths[kind], info())
    (window,) = encoder.encode("what is [SEP]?", "it is [SEP] and [CLS]", Options()).windows
    assert [np.count_nonzero(window.input_ids == token) for token in (2, 3)] == [1, 2]


# --- offsets -----------------------------------------------------------------------------------------------------


def check_spans(context: str, encoded: Encoded) -> None:
    """Every span is free of whitespace at both ends, and none ends before the last accent of a letter."""
    offsets = encoded.offsets
    assert (offsets.dtype, offsets.shape[1]) == (np.int32, 2)
    assert offsets.min() >= 0
    assert offsets.max() <= len(context)
    for i in range(len(offsets)):
        for j in range(i, min(len(offsets), i + 8)):
            begin, end = offsets[i, 0], offsets[j, 1]
            if begin < end:
                assert context[begin:end] == context[begin:end].strip() != ""
                assert end == len(context) or context[end] not in "\u0301\u0302\u0303\u094d\u093f\u064e\ufe0f"


@pytest.mark.parametrize("context", TRICKY[:-1])
def test_spans_of_tricky_texts(encoder: Encoder, context: str) -> None:
    check_spans(context, encoder.encode("who?", context, Options()))


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
@example(" ")
@example("\u0301")
@example("a \u0301")
def test_spans_of_any_text(encoder: Encoder, context: str) -> None:
    code = None
    try:
        check_spans(context, encoder.encode("who?", context, small()))
    except RowFailure as failure:
        code = failure.error.code
    assert code in (None, "empty_context")


def answer_of(encoder: Encoder, context: str, expected: str) -> str:
    """The text from the token that covers `expected`'s first character to that of its last."""
    offsets = encoder.encode("who?", context, Options()).offsets
    begin, end = context.index(expected), context.index(expected) + len(expected)
    first = max(i for i, (start, _) in enumerate(offsets) if start <= begin)
    last = min(j for j, (_, stop) in enumerate(offsets) if stop >= end)
    return context[offsets[first, 0] : offsets[last, 1]]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("Built by Eiffel in Paris.", "Paris"),
        ("Built  by\tEiffel\n in   Paris .", "Paris"),
        ("\U0001f600\U0001f600 hello Paris \U0001f600", "Paris"),
        ("le cafe\u0301 noir", "cafe\u0301"),
        ("le caf\u00e9 noir", "caf\u00e9"),
        ("\u5728\u6771\u4eac\u306b\u3042\u308b", "\u6771\u4eac"),
        ("\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0645\u0631\u062d\u0628\u0627"),
        ("in \u0130stanbul today", "\u0130stanbul"),
    ],
)
def test_words_are_found_where_they_are(encoder: Encoder, context: str, expected: str) -> None:
    try:
        found = answer_of(encoder, context, expected)
    except ValueError:
        pytest.fail("no tokens around the word")
    assert expected in found
    assert found == found.strip()


def test_a_space_that_belongs_to_its_word_is_not_part_of_the_answer(paths: dict[str, Path]) -> None:
    context = "  The tower  stood"
    for kind in ("byte_bpe", "unigram"):
        raw = Encoder(paths[kind], info())._tokenizer.encode(context, add_special_tokens=False).offsets
        assert any(context[begin:end] != context[begin:end].strip() for begin, end in raw), "nothing to trim"
        check_spans(context, Encoder(paths[kind], info()).encode("who?", context, Options()))


def test_accents_that_the_tokenizer_strips_stay_in_the_answer(paths: dict[str, Path]) -> None:
    encoder = Encoder(paths["wordpiece"], info())
    context = "cafe\u0301\u0323 noir"
    assert max(end for _, end in encoder._tokenizer.encode("cafe\u0301\u0323").offsets) == 4, "nothing to extend"
    assert answer_of(encoder, context, "cafe") == "cafe\u0301\u0323"


# --- rows that fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t \u00a0"])
def test_nothing_but_space_is_a_row_error(encoder: Encoder, text: str) -> None:
    with pytest.raises(RowFailure) as failure:
        encoder.encode("who?", text, Options())
    assert failure.value.error.code == "empty_context"
    with pytest.raises(RowFailure) as failure:
        encoder.encode(text, "he", Options())
    assert failure.value.error.code == "empty_question"


def test_control_characters_only_are_a_row_error_where_they_give_no_token(paths: dict[str, Path]) -> None:
    encoder = Encoder(paths["wordpiece"], info())
    with pytest.raises(RowFailure, match="empty_context"):
        encoder.encode("who?", "\x00\x07", Options())
    with pytest.raises(RowFailure, match="empty_question"):
        encoder.encode("\x00\x07", "he", Options())


@pytest.mark.parametrize("bad", ["a\ud800b", "\udfff", "\ud83d\ude00"])
def test_lone_surrogates_are_a_row_error(encoder: Encoder, bad: str) -> None:
    for question, context in ((bad, "he"), ("who?", bad)):
        with pytest.raises(RowFailure) as failure:
            encoder.encode(question, context, Options())
        assert failure.value.error.code == "bad_encoding"
        json.dumps(failure.value.error.message).encode("ascii")


def test_a_failure_leaves_the_next_row_alone(encoder: Encoder) -> None:
    before = encoder.encode("who?", CORPUS[0], Options())
    for bad in ("\ud800", "", " "):
        with pytest.raises(RowFailure):
            encoder.encode("who?", bad, Options())
    assert same(before, encoder.encode("who?", CORPUS[0], Options()))


def test_a_file_that_is_no_tokenizer_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        Encoder(tmp_path / "tokenizer.json", info())


# --- the cache ---------------------------------------------------------------------------------------------------


def same(one: Encoded, other: Encoded) -> bool:
    return (
        np.array_equal(one.offsets, other.offsets)
        and one.flags == other.flags
        and [w.input_ids.tolist() for w in one.windows] == [w.input_ids.tolist() for w in other.windows]
    )


def test_a_context_is_tokenized_once_for_its_questions(paths: dict[str, Path]) -> None:
    encoder = Encoder(paths["wordpiece"], info())
    for question in ("who?", "where?", "who built it?"):
        encoder.encode(question, CORPUS[0], Options())
    assert (encoder._context.cache_info().misses, encoder._context.cache_info().hits) == (1, 2)
    for number in range(50):
        encoder.encode("who?", f"{CORPUS[0]} {number}", Options())
    assert encoder._context.cache_info().currsize == CACHED_CONTEXTS


def test_what_is_cached_cannot_be_changed_by_a_caller(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="read-only"):
        encoder.encode("who?", CORPUS[0], Options()).offsets[0, 0] = 7


def test_threads_get_what_one_thread_gets(encoder: Encoder) -> None:
    rows = [(f"who is {i}?", CORPUS[i % 3] * (1 + i % 11)) for i in range(200)]
    alone = [encoder.encode(question, context, small()) for question, context in rows]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda row: encoder.encode(*row, small()), rows))
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


# --- the tokenizer that ships ------------------------------------------------------------------------------------


@pytest.mark.build
def test_windows_of_the_shipped_tokenizer_are_those_of_transformers() -> None:
    import transformers

    if not (SHIPPED / "tokenizer.json").exists():
        pytest.skip("models/minilm-l6-qa is not built")
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(SHIPPED / "tokenizer.json"), **special)
    ours = Encoder(SHIPPED / "tokenizer.json", info(Template((101,), (102,), (102,))))
    contexts = [*(text for text in TRICKY[:-1] if "[" not in text), " ".join(CORPUS) * 9, *squad_contexts()]
    for context in contexts:
        for size, stride in ((384, 128), (48, 16)):
            expected = theirs(
                "Where is the café?",
                context,
                max_length=size,
                stride=stride,
                truncation="only_second",
                return_overflowing_tokens=True,
                return_token_type_ids=True,
                return_offsets_mapping=True,
            )
            got = ours.encode("Where is the café?", context, Options(size, stride, max_question_len=16))
            assert [window.input_ids.tolist() for window in got.windows] == expected["input_ids"]
            for window, types, pairs in zip(
                got.windows, expected["token_type_ids"], expected["offset_mapping"], strict=True
            ):
                assert types.index(1) == window.first
                mine = got.offsets[window.begin : window.end]
                assert mine[:, 0].tolist() == [pair[0] for pair in pairs[window.first : -1]]


def squad_contexts() -> list[str]:
    path = REPO.parent / "shared" / "data" / "eval.json"
    if not path.exists():
        return []
    data = json.loads(path.read_text("utf-8"))["data"]
    return [paragraph["context"] for article in data for paragraph in article["paragraphs"]][:60]


def test_a_tokenizer_with_too_many_tokens_for_a_text_is_refused(tmp_path: Path) -> None:
    tokenizer = wordpiece()
    tokenizer.normalizer = normalizers.Replace("o", "a " * 1000)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(RowFailure, match="not one for text"):
        Encoder(tmp_path / "tokenizer.json", info()).encode("where?", "one word, or two", Options())


def test_a_worker_tokenizes_without_pythons_lock_to_the_same_windows(
    kind: str, encoder: Encoder, paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # as `worker start` does
    unlocked = Encoder(paths[kind], info())
    for context in [*CORPUS, *TRICKY[:-1], " ".join(CORPUS * 3)]:
        one, other = (each.encode("Who built it?", context, small()) for each in (encoder, unlocked))
        assert tokens_of(one) == tokens_of(other)
        assert one.offsets.tolist() == other.offsets.tolist()
