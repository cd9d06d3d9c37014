"""The quality of a job whose input has reference answers: row by row, summed by part and over the job. Pure.

A worker judges the rows of a chunk when it writes their part. The part's footer carries the sums, so a job's quality is
known from its footers. A single answer is scored by `contract.squad`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from contract import squad
from contract.format import nesting
from contract.format.job import Row

#: What is added up over judged rows, as a part's footer has it: `nothing` names its fields.
Sums = dict[str, Any]

#: Equal slices of [0, 1]: in each, scores are compared with how often the answers are right.
BINS = 10


#: What a text in the answers column is: one answer, or perhaps a list. It was settled when the job was submitted; "" in
#: jobs of earlier versions, and without such a column: perhaps a list.
AnswersForm = Literal["", "text", "lists"]


def references(value: Any, form: str = "lists") -> tuple[str, ...] | None:
    """The reference answers in a cell of the answers column, none where the context has no answer. None: the cell says
    nothing, and the row is not judged.

    A cell is a list of strings, or a text: one answer, or, unless the form is "text", a list in JSON or as Python
    prints it. SQuAD's {"text": [...]} and [{"text": ...}] are read too.
    """
    if form == "text" and isinstance(value, str):
        return (value,) if value.strip() else None
    while isinstance(value, dict):
        value = value.get("text")
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, list):
        items = [item.get("text") if isinstance(item, dict) else item for item in value]
        texts = tuple(item for item in items if isinstance(item, str))
        known = [item for item in items if item is not None]
        return texts if len(texts) == len(known) and (texts or not items) else None
    return (str(value),) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of_text(text: str) -> tuple[str, ...] | None:
    if not text.strip():
        return None
    if text.lstrip()[0] in "[{(" or _PRINTED.match(text.strip()):
        value = _parsed(text.strip())
        if value is not None and (texts := references(value)) is not None:
            return texts
    return None if unreadable(text) else (text,)


def unreadable(value: Any) -> bool:
    """Whether a cell is text that looks like a list or a dict and cannot be read, such as one that was printed cut."""
    if not isinstance(value, str) or not _STRUCTURE.match(text := value.strip()) or text[-1] not in "]})":
        return False
    if text.count("[") + text.count("{") > nesting.LIMIT:
        return False  # no list of answers
    value = _parsed(text)
    return value is None or references(value) is None


#: The beginning of a NumPy array as Python prints it.
_PRINTED = re.compile(r"(?:np\.|numpy\.)?array\(")
_STRUCTURE = re.compile(r"""\{\s*['"]|[\[(]\s*['"{\[]|(?:np\.|numpy\.)?array\(""")
_ARRAYS = frozenset({"array", "np.array", "numpy.array", "np.str_", "numpy.str_", "list", "tuple"})
_LONGEST = 100_000


def _parsed(text: str) -> Any:
    """A list or dict of texts, in JSON or as Python, NumPy and pandas print it; None if the text is neither."""
    try:
        value = nesting.loads(text)
    except nesting.TooDeepError:
        return None
    except ValueError:
        value = _literal(text)
    return value if isinstance(value, list | dict) else None


def _literal(text: str) -> Any:
    if len(text) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escape sequences
            tree = ast.parse(_with_commas(text), mode="eval")
        return _value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _with_commas(text: str) -> str:
    """With commas between the texts of an array, ['a' 'b'], which Python would join."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    out, last = [], None
    for token in tokens:
        if token.type == tokenize.STRING and last == tokenize.STRING:
            out.append(",")
        if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT):
            out.append(token.string)
            last = token.type
    return " ".join(out)


def _value(node: ast.expr) -> Any:
    """The value of a literal, or of array(...) with whatever dtype. Raises ValueError for anything else."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in _ARRAYS and node.args:
        return _value(node.args[0])
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_value(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.UnaryOp) or (isinstance(node, ast.Name) and node.id in ("nan", "NaN")):
        return None
    return ast.literal_eval(node)


def judge(
    predictions: Iterable[dict[str, Any]], rows: Iterable[Row], column: str | None, form: str = ""
) -> tuple[list[dict[str, Any]], Sums | None]:
    """Predictions with `exact_match` and `f1`, 0 to 1, where their row has references; and their sums.

    A row that failed scores 0; one that was cancelled is not judged.
    """
    if column is None:
        return list(predictions), None
    sums = nothing()
    predictions = [
        judged(prediction, references(row.passthrough.get(column), form), sums)
        for prediction, row in zip(predictions, rows, strict=True)
    ]
    return predictions, sums


def judged(prediction: dict[str, Any], gold: tuple[str, ...] | None, sums: Sums) -> dict[str, Any]:
    """The prediction of a row, or of a group, with `exact_match` and `f1` before what it passes through; without right
    answers, or if it was cancelled, as it is. Adds to `sums`."""
    error = prediction.get("error")
    if gold is None or (error and error["code"] == "job_cancelled"):
        return prediction
    exact, overlap = scores(None if error else prediction["answer"], gold)
    overlap = round(overlap, 6)
    count(sums, gold, exact, overlap, failed=error is not None)
    if not error:
        bin_ = sums["bins"][min(BINS - 1, int(prediction["score"] * BINS))]
        for place, value in enumerate((1, prediction["score"], exact)):
            bin_[place] += value
    passthrough = prediction["passthrough"]
    return {k: v for k, v in prediction.items() if k != "passthrough"} | {
        "exact_match": exact,
        "f1": overlap,
        "passthrough": passthrough,
    }


def scores(answer: str | None, gold: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 of an answer, "" for no answer, None for a row that failed: 0, even if none was right."""
    return (0.0, 0.0) if answer is None else (squad.exact_match(answer, gold), squad.f1(answer, gold))


def nothing() -> Sums:
    """The sums of no row."""
    return {
        "rows": 0,
        "failed": 0,
        "exact_match": 0.0,
        "f1": 0.0,
        "unanswerable": 0,
        "no_answer_right": 0.0,
        "bins": [[0, 0.0, 0.0] for _ in range(BINS)],
    }


def count(sums: Sums, gold: Sequence[str], exact: float, overlap: float, *, failed: bool) -> None:
    """Add the scores of a row to the sums, but for the bins."""
    sums["rows"] += 1
    sums["failed"] += failed
    sums["exact_match"] += exact
    sums["f1"] += overlap
    if not squad.answerable(gold):
        sums["unanswerable"] += 1
        sums["no_answer_right"] += exact


def summary(parts: Iterable[Sums | None]) -> dict[str, Any] | None:
    """The quality of a job from the sums of its parts; None if nothing was judged.

    Means in percent, as `worker evaluate` names them, and in `bins` how far scores can be trusted: by score, the
    count, the mean score and the rate of exact matches (0 to 1).
    """
    sums = total(parts)
    if not sums or not sums["rows"]:
        return None
    means = {name: round(value, 2) if isinstance(value, float) else value for name, value in quality(sums).items()}
    return means | {"bins": [_bin(number, *bin_) for number, bin_ in enumerate(sums["bins"])]}


def total(parts: Iterable[Sums | None]) -> Sums | None:
    """The sums of several parts together, None if none has any."""
    result: Sums | None = None
    for sums in parts:
        if sums:
            result = {name: _added(value, sums[name]) for name, value in (result or nothing()).items()}
    return result


def _added(one: Any, other: Any) -> Any:
    return [_added(a, b) for a, b in zip(one, other, strict=True)] if isinstance(one, list) else one + other


def quality(sums: Sums) -> dict[str, float]:
    """Counts of rows, and means over them in percent. If some questions are unanswerable: also how often those got "no
    answer", and the means over the other questions."""
    result: dict[str, float] = {"rows": sums["rows"], "failed": sums["failed"]}
    result |= _percent(sums["rows"], exact_match=sums["exact_match"], f1=sums["f1"])
    if unanswerable := sums["unanswerable"]:
        right = sums["no_answer_right"]  # exact match and F1 are the same for those
        result |= {"unanswerable": unanswerable} | _percent(unanswerable, no_answer_accuracy=right)
        result |= _percent(
            sums["rows"] - unanswerable,
            answerable_exact_match=sums["exact_match"] - right,
            answerable_f1=sums["f1"] - right,
        )
    return result


def _percent(rows: int, **sums: float) -> dict[str, float]:
    return {name: 100 * value / rows for name, value in sums.items()} if rows else {}


def _bin(number: int, count: int, score: float, exact: float) -> dict[str, Any]:
    mean = (round(score / count, 4), round(exact / count, 4)) if count else (None, None)
    return {
        "from": number / BINS,
        "to": (number + 1) / BINS,
        "count": count,
        "mean_score": mean[0],
        "exact_match": mean[1],
    }
