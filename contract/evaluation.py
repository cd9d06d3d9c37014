"""The quality of a job whose file says what the answers should be: row by row, part by part, summed up. Pure.

A worker judges the rows of a chunk as it writes their part; the part's footer carries sums, so that a job's quality is
known from its footers. What a single answer is worth is `contract.squad`'s.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable
from typing import Any

from contract import squad
from contract.format import nesting
from contract.format.job import Row

#: Equal slices of [0, 1] by which scores are compared with how often they are right.
BINS = 10


def references(value: Any) -> tuple[str, ...] | None:
    """The reference answers that a cell of the answers column holds. None: it says nothing of this row.

    A list of strings, empty where the context has no answer; in text its JSON, or one answer as it is. SQuAD's own
    {"text": [...]} and [{"text": ...}] are understood too.
    """
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
        found = _parsed(text.strip())
        if found is not None and (listed := references(found)) is not None:
            return listed
    return None if unreadable(text) else (text,)


def unreadable(value: Any) -> bool:
    """Whether a cell is the text of a list or a dict that cannot be read, such as one that was printed in part."""
    if not isinstance(value, str) or not _STRUCTURE.match(text := value.strip()) or text[-1] not in "]})":
        return False
    if text.count("[") + text.count("{") > nesting.LIMIT:
        return False  # no list of answers
    found = _parsed(text)
    return found is None or references(found) is None


#: How Python begins to print an array of NumPy.
_PRINTED = re.compile(r"(?:np\.|numpy\.)?array\(")
_STRUCTURE = re.compile(r"""\{\s*['"]|[\[(]\s*['"{\[]|(?:np\.|numpy\.)?array\(""")
_ARRAYS = frozenset({"array", "np.array", "numpy.array", "np.str_", "numpy.str_", "list", "tuple"})
_LONGEST = 100_000


def _parsed(text: str) -> Any:
    """A list or dict of texts: JSON, or as Python, NumPy and pandas print it. None if it is neither."""
    try:
        found = nesting.loads(text)
    except nesting.TooDeepError:
        return None
    except ValueError:
        found = _literal(text)
    return found if isinstance(found, list | dict) else None


def _literal(text: str) -> Any:
    if len(text) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            tree = ast.parse(_with_commas(text), mode="eval")
        return _value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _with_commas(text: str) -> str:
    """Texts of an array on their own, ['a' 'b'], which to Python were one."""
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
    """Of literals, and of array(...), whatever is said of its type. Raises ValueError for anything else."""
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
    predictions: Iterable[dict[str, Any]], rows: Iterable[Row], column: str | None
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Predictions with `exact_match` and `f1`, 0 to 1, where their row has references; and their sums.

    A row that failed is worth 0, one that was cancelled is not judged.
    """
    if column is None:
        return list(predictions), None
    sums = _nothing()
    judged = [
        _judged(p, references(row.passthrough.get(column)), sums) for p, row in zip(predictions, rows, strict=True)
    ]
    return judged, sums


def _judged(prediction: dict[str, Any], gold: tuple[str, ...] | None, sums: dict[str, Any]) -> dict[str, Any]:
    error = prediction.get("error")
    if gold is None or (error and error["code"] == "job_cancelled"):
        return prediction
    answer = prediction["answer"]
    exact, overlap = (0.0, 0.0) if error else (squad.exact_match(answer, gold), round(squad.f1(answer, gold), 6))
    sums["rows"] += 1
    sums["failed"] += error is not None
    sums["exact_match"] += exact
    sums["f1"] += overlap
    if not squad.answerable(gold):
        sums["unanswerable"] += 1
        sums["no_answer_right"] += exact
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


def _nothing() -> dict[str, Any]:
    return {
        "rows": 0,
        "failed": 0,
        "exact_match": 0.0,
        "f1": 0.0,
        "unanswerable": 0,
        "no_answer_right": 0.0,
        "bins": [[0, 0.0, 0.0] for _ in range(BINS)],
    }


def summary(parts: Iterable[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The quality of a job from the sums of its parts, in percent under the names of `worker evaluate`, and in `bins`
    how far scores can be trusted: count, mean score and rate of exact matches (0 to 1) by score. None if nothing was
    judged."""
    sums = total(parts)
    return _in_percent(sums) if sums and sums["rows"] else None


def total(parts: Iterable[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The sums of several parts, None if none has any."""
    found: dict[str, Any] | None = None
    for sums in parts:
        if sums:
            found = {name: _added(value, sums[name]) for name, value in (found or _nothing()).items()}
    return found


def _in_percent(total: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"rows": total["rows"], "failed": total["failed"]}
    result |= _percent(total["rows"], exact_match=total["exact_match"], f1=total["f1"])
    if impossible := total["unanswerable"]:
        right = total["no_answer_right"]  # there exact match and F1 are one
        result |= {"unanswerable": impossible} | _percent(impossible, no_answer_accuracy=right)
        possible = total["rows"] - impossible
        result |= _percent(
            possible, answerable_exact_match=total["exact_match"] - right, answerable_f1=total["f1"] - right
        )
    return result | {"bins": [_bin(number, *sums) for number, sums in enumerate(total["bins"])]}


def _added(one: Any, other: Any) -> Any:
    return [_added(a, b) for a, b in zip(one, other, strict=True)] if isinstance(one, list) else one + other


def _percent(count: int, **sums: float) -> dict[str, float]:
    return {name: round(100 * value / count, 2) for name, value in sums.items()} if count else {}


def _bin(number: int, count: int, score: float, exact: float) -> dict[str, Any]:
    mean = (round(score / count, 4), round(exact / count, 4)) if count else (None, None)
    return {
        "from": number / BINS,
        "to": (number + 1) / BINS,
        "count": count,
        "mean_score": mean[0],
        "exact_match": mean[1],
    }
