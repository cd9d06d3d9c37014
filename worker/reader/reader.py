"""An open model directory: question and context in, answer out.

Joins `encode`, `session` and `decode`. How a directory is opened is in `open`. Knows no chunk, no job and no storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TypeVar

import numpy as np

from contract.errors import ModelError
from contract.format.job import Answer, Options, RowError
from worker.reader import batch
from worker.reader.decode import Logits, RowFailure, Scored, Window, decode
from worker.reader.encode import Encoded, Encoder
from worker.reader.model import REBUILD, ModelInfo
from worker.reader.session import Session

Result = TypeVar("Result")

#: Characters of about ten encyclopedia rows, 2,000 tokens: six seconds of a BERT-large on one core, for which a stop
#: waits.
MICRO_BATCH = 8_000


@dataclass(frozen=True, slots=True)
class BatchStats:
    """The seconds that a row or micro-batch took in its thread, by stage, and its size."""

    encode: float
    score: float
    decode: float
    windows: int
    tokens: int
    squares: int  #: sum of the squares of the tokens of each window

    @property
    def sums(self) -> tuple[int, int, int]:
        """The windows, their tokens and the squares of these."""
        return self.windows, self.tokens, self.squares


class Reader:
    """The extractive reader that one model directory describes. Safe to call from several threads.

    The answer to a row depends on that row, the model and the options only.
    """

    def __init__(self, info: ModelInfo, encoder: Encoder, session: Session) -> None:
        self.info = info
        self._encoder = encoder
        self._session = session
        self._after_batch: Callable[[BatchStats], None] = lambda _: None

    @property
    def batched(self) -> bool:
        """Whether windows of several rows share a run."""
        return self._session.batched

    @property
    def micro_batch(self) -> int:
        """How many characters of text `answer_many` is fastest with."""
        return batch.MICRO_BATCH if self.batched else MICRO_BATCH

    @property
    def provider(self) -> str:
        """The execution provider that the model runs on, as onnxruntime names it."""
        return self._session.provider

    @property
    def numerics(self) -> str:
        """As `Session.numerics`."""
        return self._session.numerics

    def beside(self) -> Reader:
        """A reader of the same model in the same memory, with no callbacks."""
        return Reader(self.info, self._encoder, self._session.beside())

    def on_progress(
        self, after_run: Callable[[], None], after_batch: Callable[[BatchStats], None] = lambda _: None
    ) -> None:
        """Register callbacks, called from the thread that did the work: after every run of the model, and after every
        row or micro-batch that was answered."""
        self._session.after_run = after_run
        self._after_batch = after_batch

    def answer(self, question: str, context: str, options: Options) -> Answer:
        """The answer to one row. Raises RowFailure if this row cannot be answered; MemoryError; and ModelError if the
        model answers nothing any more, for example because a GPU was lost.
        """
        try:
            return _guarded(partial(self._answer, question, context, options))
        except RowFailure as failure:
            if failure.error.code == "inference_error":
                self.check_known()
            raise

    def window_lengths(self, question: str, context: str, options: Options) -> list[int]:
        """The tokens of each window of a row. Raises RowFailure."""
        return [len(window.input_ids) for window in self._encoder.encode(question, context, options).windows]

    def answer_many(self, pairs: Sequence[tuple[str, str]], options: Options) -> list[Answer | RowError]:
        """Answers to pairs of question and context, encoded and decoded together; for a row that fails, its error.

        Raises what a failed run of the model raises: which row causes it shows when each is answered alone.
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
        self._report(windows, began, ready, scored)
        return answers

    def _answer(self, question: str, context: str, options: Options) -> Answer:
        began = perf_counter()
        encoded = self._encoder.encode(question, context, options)
        ready = perf_counter()
        logits = [self._session.run(window) for window in encoded.windows]
        scored = perf_counter()
        answer = self._decode(context, encoded, logits, options)
        self._report(encoded.windows, began, ready, scored)
        return answer

    def _report(self, windows: Sequence[Window], began: float, ready: float, scored: float) -> None:
        lengths = [len(window.input_ids) for window in windows]
        sums = len(lengths), sum(lengths), sum(length * length for length in lengths)
        self._after_batch(BatchStats(ready - began, scored - ready, perf_counter() - scored, *sums))

    def _decode(
        self, context: str, encoded: Encoded, logits: Sequence[tuple[Logits, Logits]], options: Options
    ) -> Answer:
        scored = [Scored(window, *own) for window, own in zip(encoded.windows, logits, strict=True)]
        return decode(
            context, encoded.offsets, scored, options, self._threshold(options), encoded.flags,
            null_trained=self.info.null_trained,
        )  # fmt: skip

    def run_longest(self) -> None:
        """Run the longest window that the model takes. Raises ModelError."""
        filler = np.full(self.info.max_positions, self.info.template.suffix[0], np.int64)
        try:
            self._session.run(Window(filler, 1, 0, 1))
        except Exception as error:
            raise ModelError(f"the model cannot take {self.info.max_positions} tokens: {error}", REBUILD) from error

    def check_known(self) -> None:
        """Answer the known questions. Raises ModelError if one gets another answer."""
        for known in self.info.known_answers:
            try:
                spans = _guarded(partial(self._answer, known.question, known.context, Options())).spans
            except RowFailure as failure:
                raise ModelError(f"the model cannot answer {known.question!r}: {failure}", REBUILD) from failure
            answer = spans[0].answer if spans else None
            if answer != known.answer:
                answers = f"the model answers {known.question!r} with {answer!r}, not {known.answer!r}"
                raise ModelError(f"{answers}: it does not work here as it did when it was built", REBUILD)

    def _threshold(self, options: Options) -> float | None:
        """The job's threshold, else the model's if its null score was trained: an untrained one is noise."""
        if options.no_answer_threshold is not None:
            return options.no_answer_threshold
        return self.info.no_answer_threshold if self.info.null_trained else None


def _guarded(work: Callable[[], Result]) -> Result:
    """Do work on one row. Exceptions other than MemoryError become RowFailure."""
    try:
        return work()
    except (RowFailure, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # such as KeyboardInterrupt; a panic of the Rust tokenizer derives from BaseException too
        raise RowFailure("inference_error", f"{type(error).__name__}: {error}") from error


def _or_error(work: Callable[[], Result]) -> Result | RowError:
    try:
        return _guarded(work)
    except RowFailure as failure:
        return failure.error
