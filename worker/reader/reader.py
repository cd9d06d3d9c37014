"""A model directory, opened: question and context in, answer out.

Joins `encode`, `session` and `decode`, and refuses a directory whose parts do not fit each other
or whose model gives wrong answers. Knows no chunk, no job and no storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np

from contract.errors import ModelError
from contract.format.job import Answer, Options, RowError
from worker.reader import batch
from worker.reader.decode import Logits, RowFailure, Scored, Window, decode
from worker.reader.encode import Encoded, Encoder
from worker.reader.model import TOKENIZER, ModelInfo, describe, digest
from worker.reader.session import CUDA, Session, providers_for

Result = TypeVar("Result")

#: About ten rows of an encyclopedia, 2,000 tokens: six seconds of a BERT-large on one core, which a stop waits for.
MICRO_BATCH = 8_000

_REMEDY = "Make the model directory again: worker build SOURCE DEST"


@dataclass(frozen=True, slots=True)
class Spent:
    """What rows that were answered together took, in seconds of their thread."""

    encode: float
    score: float
    decode: float
    windows: int
    tokens: int


class Reader:
    """The extractive reader that one model directory describes. Safe to call from several threads.

    The answer to a row depends on that row, the model and the options only.
    """

    def __init__(self, info: ModelInfo, encoder: Encoder, session: Session) -> None:
        self.info = info
        self._encoder = encoder
        self._session = session
        self._after_batch: Callable[[Spent], None] = lambda _: None

    @classmethod
    def open(cls, directory: Path, provider: str = "cpu") -> Reader:
        """Load, check and warm up. Raises ModelError: better no worker than one with wrong answers.

        `provider`: cpu, cuda or auto, as the setting BULKQA_PROVIDER.
        """
        directory = Path(directory)
        info = describe(directory)
        if (found := digest(directory, info.graph)) != info.digest:
            raise ModelError(f"{directory} has the digest {found}, its description says {info.digest}", _REMEDY)
        session = Session(directory, info, providers_for(provider))
        if provider == "cuda" and session.provider != CUDA:
            raise ModelError(
                "onnxruntime has CUDA and cannot use it here",
                "Look at its lines above. It needs a GPU and the libraries of its own version of CUDA and cuDNN: "
                "pip install 'onnxruntime-gpu[cuda,cudnn]'. Or start with --provider cpu.",
            )
        reader = cls(info, Encoder(directory / TOKENIZER, info), session)
        reader._check()
        reader.warm_up()
        return reader

    @property
    def batched(self) -> bool:
        """Whether windows of several rows share a run."""
        return self._session.batched

    @property
    def micro_batch(self) -> int:
        """Characters of text that `answer_many` is best given at a time."""
        return batch.MICRO_BATCH if self.batched else MICRO_BATCH

    @property
    def provider(self) -> str:
        """The execution provider that the model runs on, by onnxruntime's name."""
        return self._session.provider

    def on_progress(self, after_run: Callable[[], None], after_batch: Callable[[Spent], None] = lambda _: None) -> None:
        """Register what is called after every run of the model, and after every `answer_many`, each from the thread
        that did it."""
        self._session.after_run = after_run
        self._after_batch = after_batch

    def answer(self, question: str, context: str, options: Options) -> Answer:
        """Raises RowFailure for what is wrong with this row. Not the row's fault are MemoryError, and ModelError: the
        model answers nothing any more, as when a GPU was lost.
        """
        try:
            return _guarded(partial(self._answer, question, context, options))
        except RowFailure as failure:
            if failure.error.code == "inference_error":
                self._check_known()
            raise

    def answer_many(self, pairs: Sequence[tuple[str, str]], options: Options) -> list[Answer | RowError]:
        """Answers to questions and contexts, encoded and decoded together; for a row that fails, its own error.

        Raises what the run of all raises: whose fault that is shows when each is asked alone.
        """
        began = perf_counter()
        encoded = [_or_error(partial(self._encoder.encode, *pair, options)) for pair in pairs]
        windows = [window for each in encoded if isinstance(each, Encoded) for window in each.windows]
        ready = perf_counter()
        logits = iter(self._session.run_many(windows))
        scored = perf_counter()
        answers: list[Answer | RowError] = []
        for (_, context), each in zip(pairs, encoded, strict=True):
            if isinstance(each, RowError):
                answers.append(each)
            else:
                own = list(islice(logits, len(each.windows)))
                answers.append(_or_error(partial(self._decode, context, each, own, options)))
        tokens = sum(len(window.input_ids) for window in windows)
        spent = Spent(ready - began, scored - ready, perf_counter() - scored, len(windows), tokens)
        self._after_batch(spent)
        return answers

    def _answer(self, question: str, context: str, options: Options) -> Answer:
        encoded = self._encoder.encode(question, context, options)
        logits = [self._session.run(window) for window in encoded.windows]
        return self._decode(context, encoded, logits, options)

    def _decode(
        self, context: str, encoded: Encoded, logits: Sequence[tuple[Logits, Logits]], options: Options
    ) -> Answer:
        scored = [Scored(window, *own) for window, own in zip(encoded.windows, logits, strict=True)]
        return decode(context, encoded.offsets, scored, options, self._threshold(options), encoded.flags)

    def warm_up(self) -> None:
        """Run the longest window the model takes, then ask what it is known to answer. Raises ModelError.

        The long window first: memory grows to its highest now, when a container too small for it is noticed.
        """
        filler = np.full(self.info.max_positions, self.info.template.suffix[0], np.int64)
        try:
            self._session.run(Window(filler, 1, 0, 1))
        except Exception as error:
            raise ModelError(f"the model takes no {self.info.max_positions} tokens: {error}", _REMEDY) from error
        self._check_known()

    def _check_known(self) -> None:
        """Ask what the model is known to answer. Raises ModelError."""
        for known in self.info.known_answers:
            try:
                spans = _guarded(partial(self._answer, known.question, known.context, Options())).spans
            except RowFailure as failure:
                raise ModelError(f"the model cannot answer {known.question!r}: {failure}", _REMEDY) from failure
            got = spans[0].answer if spans else None
            if got != known.answer:
                asked = f"to {known.question!r} the model answers {got!r}, not {known.answer!r}"
                raise ModelError(f"{asked}: it does not work here as it did when it was made", _REMEDY)

    def _threshold(self, options: Options) -> float | None:
        """The job's own threshold, else the model's if its null score was trained: noise decides nothing."""
        if options.no_answer_threshold is not None:
            return options.no_answer_threshold
        return self.info.no_answer_threshold if self.info.null_trained else None

    def _check(self) -> None:
        """What the parts must agree on, before a row finds out. The graph's inputs are checked in Session."""
        info, template = self.info, self.info.template
        try:
            self._encoder.encode("what?", "One word, and another.", Options())
        except RowFailure as failure:
            raise ModelError(f"the tokenizer cannot be used: {failure}", _REMEDY) from failure
        highest = max(self._encoder.highest_id, *template.prefix, *template.middle, *template.suffix)
        if highest >= info.vocab_size:
            raise ModelError(f"the tokenizer gives ids to {highest}, the model knows {info.vocab_size}", _REMEDY)
        if not template.prefix or not template.suffix or info.max_positions < template.size + 2:
            raise ModelError(f"windows of {info.max_positions} tokens do not go with the template {template}", _REMEDY)


def _guarded(work: Callable[[], Result]) -> Result:
    """Do work on one row, whose failures are RowFailures, except for want of memory."""
    try:
        return work()
    except (RowFailure, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # KeyboardInterrupt and its like; a panic of the Rust tokenizer has BaseException for its base
        raise RowFailure("inference_error", f"{type(error).__name__}: {error}") from error


def _or_error(work: Callable[[], Result]) -> Result | RowError:
    try:
        return _guarded(work)
    except RowFailure as failure:
        return failure.error
