"""Label Studio: rows as its tasks, with the answers as predictions to correct, and its exports as verdicts.

An annotation is a verdict: marked words are the right answer, no marked words mean no answer, and skipped is
skipped. Pure except for the file that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.errors import InputError, UsageError
from contract.format import nesting
from contract.remedy import Call, Remedy
from producer.trust.export.squad import Labelled, right
from producer.trust.verdicts import Verdict

#: The labeling interface of a project, as Label Studio's settings take it; that of its template "Question Answering",
#: with the question above.
INTERFACE = """<View>
  <Header value="$question"/>
  <Labels name="answer" toName="text"><Label value="Answer"/></Labels>
  <Text name="text" value="$text" granularity="word"/>
</View>"""
_NOT_OURS = Remedy("Export as JSON the tasks that were made by: ", Call("labels", "JOB"))


def task(prediction: dict[str, Any], context: str, model: str, floor: float | None, verdict: Verdict | None) -> Any:
    """A row as a task. `floor` as in `Verdict`. With a verdict that says what is right, it has an annotation."""
    data = {name: prediction[name] for name in ("row", "id", "question")}
    data |= {"text": context, "predicted": prediction["answer"], "score": prediction["score"], "floor": floor}
    spans = [(prediction["start"], prediction["end"])] if prediction["status"] == "answered" else []
    made = {
        "data": data,
        "predictions": [{"model_version": model, "score": prediction["score"], "result": _result(spans, context)}],
    }
    if verdict and (spans_ := right(Labelled(verdict, prediction, context))) is not None:
        made["annotations"] = [{"result": _result(spans_, context), "was_cancelled": False}]
    return made


def _result(spans: list[tuple[int, int]], context: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"answer-{start}",
            "from_name": "answer",
            "to_name": "text",
            "type": "labels",
            "value": {"start": start, "end": end, "text": context[start:end], "labels": ["Answer"]},
        }
        for start, end in spans
    ]


def is_export(path: str) -> bool:
    """Whether a file is an export, not a table of verdicts."""
    try:
        return path.lower().endswith(".json") and b'"annotation' in Path(path).read_bytes()
    except OSError:
        return False


def read(path: str) -> list[Verdict]:
    """The verdicts in an export, JSON or JSON-MIN, in the order of its annotations. Raises InputError if it is not one,
    UsageError if nothing in it was annotated."""
    try:
        document = nesting.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise InputError("unreadable", f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError("unsupported_format", f"{path} is not JSON: {error}", _NOT_OURS) from error
    tasks = document if isinstance(document, list) else [document]
    try:
        verdicts = [verdict for each in tasks for verdict in _verdicts(each)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "unsupported_format", f"{path} is not an export from Label Studio of tasks made here: {error!r}", _NOT_OURS
        ) from error
    if not verdicts:
        raise UsageError(
            f"{path}: no task was annotated", "Judge some tasks in Label Studio, then export them as JSON."
        )
    return verdicts


def _verdicts(exported: dict[str, Any]) -> Iterator[Verdict]:
    if "data" in exported:
        for annotation in exported.get("annotations") or exported.get("completions") or ():
            spans = [each["value"] for each in annotation["result"] if "start" in each["value"]]
            skipped = bool(annotation.get("was_cancelled"))
            yield _verdict(exported["data"], spans, annotation.get("completed_by"), skipped=skipped)
    elif "annotation_id" in exported or "answer" in exported:  # JSON-MIN: an annotation a line
        yield _verdict(exported, exported.get("answer") or [], exported.get("annotator"))


def _verdict(data: dict[str, Any], spans: list[dict[str, Any]], by: Any, *, skipped: bool = False) -> Verdict:
    """The verdict in an annotation. Of several spans that count which is the answer, else the first."""
    text, answer = data["text"], data["predicted"]
    about: dict[str, Any] = {"row": int(data["row"]), "answer": answer, "floor": data.get("floor"), "by": _name(by)}
    places = [_place(text, span) for span in spans]
    if skipped:
        return Verdict(verdict="skipped", **about)
    if not places:
        return Verdict(verdict="no_answer" if answer else "right", **about)
    start, end = next(((start, end) for start, end in places if text[start:end] == answer), places[0])
    if text[start:end] == answer:
        return Verdict(verdict="right", **about)
    return Verdict(verdict="span", start=start, end=end, **about)


def _name(by: Any) -> str:
    """Who annotated: an e-mail address, or the number of a user."""
    by = by.get("email") or by.get("id") if isinstance(by, dict) else by
    return "" if by is None else by if isinstance(by, str) else f"annotator {by}"


def _place(context: str, span: dict[str, Any]) -> tuple[int, int]:
    """Where in the context a marked span is, in code points, without blanks around it. Its words are looked for where
    it says, or near there: old versions of Label Studio count in UTF-16, and line ends otherwise."""
    start, end = int(span["start"]), int(span["end"])
    words = str(span.get("text") or context[start:end]).strip()
    in_utf16 = len(context.encode("utf-16-le")[: 2 * start].decode("utf-16-le", "ignore"))
    for text in filter(None, (words, words.replace("\\n", "\n"))):
        places = [match.start() for match in re.finditer(re.escape(text), context)]
        if places:
            nearest = min(
                places, key=lambda place: (min(abs(place - start), abs(place - in_utf16)), abs(place - start))
            )
            return nearest, nearest + len(text)
    return start, end
