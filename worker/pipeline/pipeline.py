"""transformers' question-answering pipeline, which ended with its version 5.3: the same calls, the same results.

What differs is in docs/from-transformers.md. Importing this loads nothing heavy: a reader is opened with the first
`pipeline(...)`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import tee
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.pipeline import arguments
from worker.pipeline.words import to_words

if TYPE_CHECKING:
    from contract.format.job import Answer, Options, RowError
    from worker.pipeline.engine import Engine
    from worker.pipeline.table import Data

Result = dict[str, Any]

_TASK = "question-answering"
#: Options of a call, with the defaults of transformers.
_DEFAULTS: dict[str, Any] = {
    "top_k": 1, "doc_stride": None, "max_answer_len": 15, "max_seq_len": 384, "max_question_len": 64,
    "handle_impossible_answer": False, "align_to_words": True,
}  # fmt: skip
#: What the answer does not depend on here.
_IGNORED = ("batch_size", "framework", "num_workers", "padding", "truncation")
#: An answer is given whatever the null score.
_ALWAYS = 1000.0
#: Tokens of a window beside question and context, at most.
_SPECIAL = 8

_engines: dict[tuple[str, str, int], Engine] = {}
_lock = threading.Lock()


def pipeline(
    task: str = _TASK,
    model: str | os.PathLike[str] | None = None,
    *,
    tokenizer: Any = None,
    device: Any = None,
    num_workers: int | None = None,
    **options: Any,
) -> QuestionAnswering:
    """A reader in this process, called as transformers' `pipeline("question-answering")` was.

    `model`: a model directory; a checkpoint, as a folder or an id at the Hugging Face hub, which is built once (needs
    the extra [build]); by default the reader that ships. `tokenizer`: nothing, or the same as `model`. `device`: None
    or "cpu"; a number from 0 or "cuda" for a GPU. `num_workers`: threads, by default one for each CPU. `options`: of a
    call, as defaults. Raises ValueError for another task or an unknown option, ModelError if the model cannot be used.
    """
    if task != _TASK:
        raise ValueError(f"bulkqa answers questions: the task is {_TASK!r}, not {task!r}")
    if not isinstance(model, str | os.PathLike | None):
        raise ValueError(f"model is the name of a checkpoint or its folder, not a {type(model).__name__}")
    if tokenizer is not None and str(tokenizer) != str(model):
        raise ValueError("a model has its own tokenizer here: leave tokenizer out, or give the same name as for model")
    _check(options)
    from worker.pipeline.models import directory_of

    return QuestionAnswering(directory_of(model), _provider(device), num_workers or 0, options)


def _provider(device: Any) -> str:
    """The provider for a device as transformers names it: None, a number, a text or torch's own. Raises ValueError."""
    name = str(getattr(device, "type", device)).partition(":")[0]
    if name in ("None", "-1", "cpu"):
        return "cpu"
    if name == "cuda" or name.isdecimal():
        return "cuda"
    raise ValueError(f"device is None, 'cpu', 'cuda' or a number, not {device!r}")


def _check(options: dict[str, Any]) -> None:
    if unknown := sorted(options.keys() - _DEFAULTS.keys() - {*_IGNORED, "topk"}):
        raise ValueError(f"the pipeline has no option {', '.join(unknown)}; there are: {', '.join(_DEFAULTS)}")


class QuestionAnswering:
    """A pipeline: call it. It may be called from several threads, in a forked process, and be pickled."""

    task = _TASK

    def __init__(self, directory: Path, provider: str, threads: int, options: dict[str, Any]) -> None:
        self._about = (Path(directory), provider, threads, options)
        self._engine()

    def __reduce__(self) -> tuple[Any, ...]:
        return QuestionAnswering, self._about

    def __repr__(self) -> str:
        return f"pipeline({_TASK!r}, model={str(self._about[0])!r})"

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The best answer to a question on a context: `score`, `start`, `end` (in code points of the context) and
        `answer`. With `top_k` > 1 a list of answers, best first. Lists and generators: see `worker.pipeline.arguments`.

        Options: `top_k` (1); `max_answer_len` (15), `max_seq_len` (384), `doc_stride` (128) and `max_question_len` (64)
        in tokens; `handle_impossible_answer` (False): whether "no answer", the empty text, may be an answer;
        `align_to_words` (True): answers are whole words. Raises ValueError or KeyError for arguments that cannot be
        understood, and ValueError for a row that cannot be answered.
        """
        call = arguments.read(args, options)
        _check(options)
        values = _DEFAULTS | self._about[3] | options
        if "topk" in values:
            values["top_k"] = values.pop("topk")
        settings = _options(values)
        if call.kind == "one":
            pair = next(iter(call.pairs))
            return self._result(pair, self._engine().answer(pair, settings), settings, values)
        results = self._results(call, settings, values)
        return results if call.kind == "iterator" else list(results)

    predict = transform = __call__

    def table(self, data: Data, *, question: str = "question", context: str = "context", **options: Any) -> Data:
        """An Arrow table, or record batch, with the answers to its rows beside its own columns: those of a job's
        results, and the same answers, a row that fails with its error. Missing texts count as empty.

        `options`: of a job, such as `top_k` (the best answer is given all the same) or `no_answer_threshold`. Raises
        ValueError for an unknown option or column.
        """
        from contract.errors import UsageError
        from contract.format.job import Options
        from worker.pipeline.table import answered

        try:
            settings = Options(**options)
        except (TypeError, UsageError) as error:
            raise ValueError(str(error)) from None
        result: Data = answered(data, self._engine(), settings, question, context)
        return result

    def _results(self, call: arguments.Call, settings: Options, values: dict[str, Any]) -> Iterator[Any]:
        # Not more pairs are held than are under way: the engine takes them before their outcomes are asked for.
        shown, scored = tee(call.pairs)
        for pair, outcome in zip(shown, self._engine().answers(scored, settings), strict=True):
            yield self._result(pair, outcome, settings, values)

    def _result(
        self, pair: arguments.Pair, outcome: Answer | RowError, settings: Options, values: dict[str, Any]
    ) -> Any:
        """What is given for a row. Raises ValueError if it failed."""
        from contract.format.job import RowError

        null = None
        if isinstance(outcome, RowError):
            raise ValueError(f"{outcome.message} ({outcome.code}), for the question {pair[0][:80]!r}")
        if values["handle_impossible_answer"]:
            null = _null_share(outcome) if outcome.spans else outcome.score
            if not outcome.spans and values["top_k"] > 1:  # no answer is the best; the others are wanted too
                again = self._engine().answer(pair, replace(settings, no_answer_threshold=_ALWAYS))
                outcome = outcome if isinstance(again, RowError) else again
        return _result(pair, outcome, null, values)

    def _engine(self) -> Engine:
        """The engine of this model in this process: equal pipelines share it. A fork has its parent's."""
        directory, provider, threads, _ = self._about
        key = str(directory.resolve()), provider, threads
        with _lock:
            if key not in _engines:
                from worker.reader.open import open_reader

                reader = open_reader(directory, provider, longest=False)  # the first answer is not kept waiting for it
                from worker.pipeline.engine import Engine

                _engines[key] = Engine(reader, threads)
            return _engines[key]


def _options(values: dict[str, Any]) -> Options:
    """The options of a call in the reader's terms. Raises ValueError."""
    from contract.errors import UsageError
    from contract.format.job import Options

    length = values["max_seq_len"]
    room = length - values["max_question_len"] - _SPECIAL
    stride = values["doc_stride"] if values["doc_stride"] is not None else min(length // 2, 128)
    try:
        return Options(
            max_seq_len=length,
            doc_stride=max(1, min(stride, room)),
            max_question_len=values["max_question_len"],
            max_answer_len=values["max_answer_len"],
            top_k=values["top_k"],
            n_best=max(values["top_k"], Options().n_best),
            no_answer_threshold=0.0 if values["handle_impossible_answer"] else _ALWAYS,
        )
    except UsageError as error:
        raise ValueError(f"{error.message}. {error.remedy or ''}".strip()) from None


def _result(pair: arguments.Pair, answer: Answer, null: float | None, values: dict[str, Any]) -> Any:
    """What is given for a row: its answers, and "no answer" if that may be one, whose probability is `null`."""
    results: list[Result] = []
    for span in answer.spans:
        start, end = to_words(pair[1], span.start, span.end) if values["align_to_words"] else (span.start, span.end)
        if not any((start, end) == (other["start"], other["end"]) for other in results):
            results.append({"score": span.score, "start": start, "end": end, "answer": pair[1][start:end]})
    if null is not None:
        results.append({"score": null, "start": 0, "end": 0, "answer": ""})
        results.sort(key=lambda result: -result["score"])
    return results[0] if values["top_k"] == 1 or len(results) == 1 else results[: values["top_k"]]


def _null_share(answer: Answer) -> float:
    """The probability of no answer, less than that of the first answer: in the softmax of its score, null has its
    margin less."""
    best = answer.spans[0]
    margin = best.margin if best.margin is not None else best.raw_score - answer.null_score
    return round(best.score * exp(-max(margin, 0.0)), 6)
