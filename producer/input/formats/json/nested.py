"""Rows that are a level down in their objects, as annotation tools, search engines and batch APIs write them. Pure.

An object is read if its rows can be in one place only: an object within it (`body`, `data`, `_source`, `inputs`) that
has both columns, alone or with the keys beside it; a list of questions; columns. What cannot be read as it is gets a
remedy, a filter of jq that makes the rows (`remedy_for`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from contract.remedy import Remedy, Set
from contract.squad import questions
from producer.input.columns import columns_remedy, guessed, near
from producer.input.formats.json.documents import rows_of
from producer.input.formats.json.values import NotJsonError, is_texts, parsed

Row = dict[str, Any]
_DEPTH = 5
#: So many rows are looked at for a remedy.
_SAMPLE = 20
_PLAIN = re.compile("[A-Za-z_][A-Za-z0-9_]*")
#: Keys of lists of questions about one text, and of the text of a question in them.
_LISTS = ("questions", "qas", "qa", "qa_pairs", "queries", "question", "question_answer_pairs")
_TEXTS = ("question", "input_text", "q", "query", "question_text", "text", "content")
#: The ends of the paths at which the requests of language models hold their prompts.
_PROMPT = re.compile(r"messages\[\]\.content(\[\]\.text)?$|contents\[\]\.parts\[\]\.text$|\w\.(prompt|input)$")
#: Keys of ids beside an object that is a row.
_IDS = ("id", "custom_id", "_id", "key", "uuid")


@dataclass(frozen=True, slots=True)
class Nesting:
    """How the objects of a file hold rows, given the columns that are asked for."""

    question: str
    context: str

    def rows(self, item: Row, depth: int = 0) -> list[Row]:
        """The rows in an object; the object itself if it is one, or if nothing tells where they are."""
        if self.is_row(item):
            return [item]
        squad = list(questions(item))
        if len(squad) != 1 or squad[0] is not item:
            return squad
        if listed := self._questions(item):
            return listed
        if depth >= _DEPTH:
            return [item]
        return self._within(item, depth) or self._as_document(item, depth) or [item]

    def is_needed(self, items: Sequence[Row]) -> bool:
        """Whether rows are a level down in any of these."""
        return any(len(rows := self.rows(item)) != 1 or rows[0] is not item for item in items)

    def is_row(self, item: Row) -> bool:
        """Whether an object has both columns itself. A context may be a list of texts."""
        names = [*item]
        question, context = (near(name, names) for name in (self.question, self.context))
        if question is None or context is None or isinstance(item[question], list | dict):
            return False
        return is_texts(item[context]) or not isinstance(item[context], list | dict)

    def _within(self, item: Row, depth: int) -> list[Row]:
        """The rows of the only object within that has any."""
        places = []
        for key, inner in item.items():
            if isinstance(inner, dict) and inner:
                outer = {name: value for name, value in item.items() if name != key}
                if "id" not in outer and (known := next((name for name in _IDS if name in outer), None)):
                    outer["id"] = outer[known]
                rows = [outer | row for row in self.rows(inner, depth + 1)]
                if rows and all(map(self.is_row, rows)):
                    places.append(rows)
        return places[0] if len(places) == 1 else []

    def _as_document(self, item: Row, depth: int) -> list[Row]:
        """The rows of an object that would be read if it were a file."""
        inner = rows_of(item)
        if inner is None or inner == [item]:
            return []
        rows = [row for each in inner for row in self.rows(each, depth + 1)]
        return rows if all(map(self.is_row, rows)) else []

    def _questions(self, item: Row) -> list[Row]:
        """A row for each question of a list, with what is beside it; answers that are a list of one length with it are
        told apart."""
        keys = [key for key in dict.fromkeys((self.question, *_LISTS)) if _is_list_of_questions(item.get(key))]
        if len(keys) != 1 or not any(isinstance(value, str) for value in item.values()):
            return []
        questions = item[keys[0]]
        outer = {key: value for key, value in item.items() if key != keys[0]}
        answers = outer.get("answers")
        paired = answers if isinstance(answers, list) and len(answers) == len(questions) > 1 else None
        rows = []
        for number, each in enumerate(questions):
            row = outer | ({self.question: each} if isinstance(each, str) else self._named(each))
            if paired and "answers" not in (each if isinstance(each, dict) else ()):
                row["answers"] = [_answer_text(paired[number])]
            if isinstance(outer.get("id"), str | int) and not (isinstance(each, dict) and "id" in each):
                row["id"] = f"{outer['id']}-{number}"
            rows.append(row)
        return rows

    def _named(self, question: Row) -> Row:
        """A question with its text under the name that is asked for."""
        if self.question in question:
            return question
        key = next(name for name in _TEXTS if isinstance(question.get(name), str))
        return {(self.question if name == key else name): value for name, value in question.items()}


def _is_list_of_questions(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and (
        all(isinstance(each, str) for each in value)
        or all(isinstance(each, dict) and any(isinstance(each.get(name), str) for name in _TEXTS) for each in value)
    )  # fmt: skip


def _answer_text(answer: Any) -> Any:
    """The text of an answer of CoQA, as its own script takes it."""
    return answer.get("input_text", answer.get("text")) if isinstance(answer, dict) else answer


def remedy_for(items: Sequence[Row], rows: Sequence[Row], expected: tuple[str, str], source: str) -> Remedy:
    """What to do if a column is missing: name columns that hold texts, of the first `rows` or a level down; else a
    filter of jq that makes rows of the `items` that a file holds. `source`: the filter that gives these."""
    texts = dict.fromkeys(key for row in rows[:_SAMPLE] for key, value in row.items() if isinstance(value, str))
    if None not in guessed([*texts], expected):
        return columns_remedy([*texts], expected)
    for item in items[:_SAMPLE]:
        for names in _merged(item, _DEPTH):
            question, context = guessed(names, expected)
            if question is None or context is None or question == context:
                continue
            nesting = Nesting(question, context)
            if all(map(nesting.is_row, nesting.rows(item))):
                return Remedy("Name them: ", Set(question=question, context=context))
    if words := _filter(items[:_SAMPLE], expected):
        return Remedy(f"Make rows of it: jq -c '{source} {words}' FILE > NEW")
    if any(_PROMPT.search(path) for item in items[:1] for path in _paths(item, "", _DEPTH + 2)):
        return Remedy(
            "Its questions and contexts are within prompts: submit the rows that these were made of, or split "
            "them into objects that have the question and the context as keys."
        )
    nested = {key for row in rows[:_SAMPLE] for key, value in row.items() if isinstance(value, list | dict)}
    if nested and (len(texts) < 2 or not nested.isdisjoint(expected)):
        return Remedy("Make rows that have the question and the context as keys, with jq for example.")
    return columns_remedy([*texts], expected)


def _merged(row: Row, depth: int) -> Iterator[list[str]]:
    """The names in each object within an object, and of those that it is in."""
    for key, inner in row.items():
        if isinstance(inner, dict) and depth:
            names = [name for name in row if name != key]
            yield from ([*names, *more] for more in ([*inner], *_merged(inner, depth - 1)))


def _filter(items: Sequence[Row], expected: tuple[str, str]) -> str | None:
    """The filter of jq that makes a row of each question and context of an item; None if nothing tells which."""
    everywhere = [dict.fromkeys(_paths(item, "", _DEPTH)) for item in items]
    paths = [path for path in everywhere[0] if all(path in each for each in everywhere)] if everywhere else []
    for key, value in items[0].items() if items else ():  # JSON within a text, as queues have it
        if isinstance(value, str) and _PLAIN.fullmatch(key) and None not in guessed([*_object_in(value)], expected):
            return f"| .{key} | fromjson"
    pair = _guessed_paths(paths, expected)
    if pair is None:
        return None
    question, context = pair
    levels = zip(question.split("[]")[:-1], context.split("[]")[:-1], strict=False)
    shared = "".join(f"{level}[]" for level, _ in takewhile(lambda pair: pair[0] == pair[1], levels))
    words, start = (f"$row{shared} as $item | ", "$item") if shared else ("", "$row")
    values = []
    for name, path in (("$question", question[len(shared) :]), ("$context", context[len(shared) :])):
        if "[]" in path:
            words += f"{start}{path} as {name} | "
        values.append(name if "[]" in path else start + path)
    if all("[]" in path[len(shared) :] for path in (question, context)):  # which belongs to which?
        return None
    names = ("question_id", "qid", *_IDS)
    known = next((name for name in names if all(isinstance(item.get(name), str | int) for item in items)), None)
    id_ = ""
    if known is not None:  # of several rows it is no id
        id_ = f"{'id' if not words else 'item' if known == 'id' else known}: $row.{known}, "
    return f"as $row | {words}{{{id_}question: {values[0]}, context: {values[1]}}}"


def _object_in(text: str) -> Row:
    """The object that a text is as JSON; an empty one for another text."""
    try:
        value = parsed(text) if text.startswith("{") else None
    except NotJsonError:
        value = None
    return value if isinstance(value, dict) else {}


def _guessed_paths(paths: list[str], expected: tuple[str, str]) -> tuple[str, str] | None:
    """Where the question and the context are, by the last names on the way there, else by all."""
    words = [re.findall(r"\w+", path) for path in paths]
    for names in ([each[-1] for each in words], [" ".join(each) for each in words]):
        question, context = guessed(list(dict.fromkeys(names)), expected)
        if question is not None and context is not None and question != context:
            pair = paths[names.index(question)], paths[names.index(context)]
            one_of_each = names.count(question) == names.count(context) == 1
            return pair if one_of_each or "[]" not in "".join(paths) else None
    return None


def _paths(value: Any, path: str, depth: int) -> Iterator[str]:
    """Where texts are, as jq says it. Not where lists are mixed, nor in objects that are lists by number."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, list) and len({type(item) for item in value}) == 1 and depth:
        yield from _paths(value[0], f"{path}[]", depth - 1)
    elif isinstance(value, dict) and depth:
        for key, inner in value.items():
            if key.isdecimal() or "'" in key:
                continue
            yield from _paths(
                inner, f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{json.dumps(key)}]", depth - 1
            )
