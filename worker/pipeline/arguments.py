"""The calls that transformers' question-answering pipeline understood, as pairs of question and context. Pure.

| call | gives |
|---|---|
| `qa(question="...", context="...")`, `qa("...", "...")`, `qa({...})`, or a list with one of these | one result |
| `qa(question=[...], context="...")`, `qa(question=[...], context=[...])`, `qa([{...}, ...])` | a list of results |
| `qa(generator)` of dicts | an iterator of results |

An example is a dict with `question` and `context`, or an object with `question_text` and `context_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Pair = tuple[str, str]


class Call(NamedTuple):
    """What a call asks."""

    pairs: Iterable[Pair]
    kind: str  #: "one", "list" or "iterator": what it gives


def read(args: tuple[Any, ...], named: dict[str, Any]) -> Call:
    """The pairs in the arguments of a call; takes its inputs out of `named`, the options stay. Raises KeyError or
    ValueError, as transformers did."""
    inputs = _inputs(args, named)
    if isinstance(inputs, Mapping) or _is_example(inputs):
        inputs = [inputs]
    if isinstance(inputs, Iterator):
        return Call(map(pair, inputs), "iterator")
    if isinstance(inputs, str) or not isinstance(inputs, Iterable):
        raise ValueError(f"{inputs!r} is not an example: give question= and context=, or dicts that have both")
    pairs = [pair(each) for each in inputs]
    return Call(pairs, "one" if len(pairs) == 1 else "list")


def _inputs(args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if len(args) == 1:
        return args[0]
    if args:
        both = len(args) == 2 and all(isinstance(each, str) for each in args)
        return {"question": args[0], "context": args[1]} if both else list(args)
    for name in ("X", "data"):
        if name in named:
            return named.pop(name)
    if "question" not in named or "context" not in named:
        raise ValueError("a call needs question= and context=")
    question, context = named.pop("question"), named.pop("context")
    if isinstance(question, str) and isinstance(context, str):
        return {"question": question, "context": context}
    if not isinstance(question, list) or not isinstance(context, str | list):
        kinds = f"not {type(question).__name__} and {type(context).__name__}"
        raise ValueError(f"question and context are texts, or lists, or a list of questions on one context; {kinds}")
    contexts = [context] * len(question) if isinstance(context, str) else context
    if len(question) != len(contexts):
        raise ValueError(f"there are {len(question)} questions and {len(contexts)} contexts")
    return [{"question": each, "context": its} for each, its in zip(question, contexts, strict=True)]


def _is_example(each: Any) -> bool:
    return hasattr(each, "question_text") and hasattr(each, "context_text")


def pair(example: Any) -> Pair:
    """Question and context of an example. Raises KeyError if it lacks one, ValueError if one is no text, or empty."""
    if _is_example(example):
        return example.question_text, example.context_text
    if not isinstance(example, Mapping):
        raise ValueError(f"{example!r} is not an example: a dict with question and context")
    for name in ("question", "context"):
        if name not in example:
            raise KeyError(f"an example needs question and context, and this one has {', '.join(map(repr, example))}")
        if not isinstance(example[name], str):
            raise ValueError(f"`{name}` must be text, not {example[name]!r}")
        if not example[name]:
            raise ValueError(f"`{name}` cannot be empty")
    return example["question"], example["context"]
