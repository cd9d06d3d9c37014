"""What to do about an error, as data: a sentence of texts, options and commands, which each surface says in its words.

`Remedy("Read it with: ", Set(encoding="UTF-16"))` is `--encoding UTF-16` in a terminal, `encoding="UTF-16"` in Python,
`"encoding": "UTF-16"` over HTTP, and on the page the field itself. Options have the names of `producer.request`, and of
`contract.settings` where they are a setting; commands are those of `producer`. Pure.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self


class Set:
    """Options to be set, together: `Set(question="q", context="text")`. `Set("encoding")` only names one: which value
    is for the user to know."""

    __slots__ = ("values",)

    def __init__(self, *names: str, **values: object) -> None:
        self.values: dict[str, object] = dict.fromkeys(names) | values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Set) and self.values == other.values

    def __hash__(self) -> int:
        return hash(tuple(self.values))

    def __repr__(self) -> str:
        return f"Set({self.values})"


@dataclass(frozen=True, slots=True)
class Call:
    """A command to be run on a job, or on none: `Call("repair", job)`, `Call("delete", job, cancel=True)`."""

    verb: str
    job: str = ""
    flags: tuple[str, ...] = ()  #: names of those that are given: "cancel"


Part = str | Set | Call


class Words(Protocol):
    """How a surface says an option with its value, and a command."""

    def option(self, name: str, value: object) -> str:
        """An option; with None for its value, its name alone."""
        ...

    def call(self, call: Call) -> str:
        """A command."""
        ...

    #: Between options that are set together.
    separator: str


class Terminal:
    """The words of the `producer` command."""

    separator = " "
    #: Options whose flag has another name.
    FLAGS = {"format": "--input-format", "output_format": "--format"}  # noqa: RUF012

    def option(self, name: str, value: object) -> str:
        """`--top-k 3`, `--no-header`, `--omit-context`."""
        if value is False:
            return f"--no-{name.replace('_', '-')}"
        flag = self.FLAGS.get(name, f"--{name.replace('_', '-')}")
        return flag if value is None or value is True else f"{flag} {_quoted(value)}"

    def call(self, call: Call) -> str:
        """`producer delete JOB --cancel`."""
        return " ".join(["producer", call.verb, *([call.job] if call.job else []), *(f"--{f}" for f in call.flags)])


def _quoted(value: object) -> str:
    """For a shell. A tab is spelled; a delimiter has quotes, though a shell needs none around a comma."""
    text = "\\t" if value == "\t" else str(value)
    return f"'{text}'" if len(text) == 1 and not text.isalnum() and text != "'" else shlex.quote(text)


TERMINAL = Terminal()


class Remedy(str):
    """A sentence that says what to do. As text it is in the words of the terminal; `said` gives those of another
    surface, and `parts` what it is made of."""

    __slots__ = ("parts",)
    parts: tuple[Part, ...]

    def __new__(cls, *parts: Part) -> Self:
        """Of texts, options and commands, one after the other. A remedy among them is taken apart, an empty text left
        out."""
        flat = tuple(each for part in parts for each in (part.parts if isinstance(part, Remedy) else (part,)) if each)
        made = super().__new__(cls, _said(flat, TERMINAL))
        made.parts = flat
        return made

    def said(self, words: Words) -> str:
        """The sentence in the words of a surface."""
        return _said(self.parts, words)

    def and_(self, *parts: Part) -> Remedy:
        """The same, and another sentence behind it."""
        return Remedy(*self.parts, " ", *parts)

    @property
    def settings(self) -> dict[str, object]:
        """All options that it gives a value."""
        sets = [part for part in self.parts if isinstance(part, Set)]
        return {name: value for part in sets for name, value in part.values.items() if value is not None}

    def to_json(self) -> list[Any]:
        """Its parts as JSON holds them."""
        return [_part_to_json(part) for part in self.parts]

    @classmethod
    def from_json(cls, parts: Sequence[Any]) -> Remedy:
        """What `to_json` gave. Raises ValueError for what is no list of parts."""
        return cls(*(_part_of_json(part) for part in parts))


def _said(parts: Sequence[Part], words: Words) -> str:
    return "".join(_part_said(part, words) for part in parts)


def _part_said(part: Part, words: Words) -> str:
    if isinstance(part, Set):
        return words.separator.join(words.option(name, value) for name, value in part.values.items())
    return words.call(part) if isinstance(part, Call) else str(part)


def _part_to_json(part: Part) -> Any:
    if isinstance(part, Set):
        return {"set": part.values}
    if isinstance(part, Call):
        return {"call": part.verb, "job": part.job, "flags": list(part.flags)}
    return str(part)


def _part_of_json(part: Any) -> Part:
    match part:
        case str():
            return part
        case {"set": Mapping() as values}:
            return Set(**values)
        case {"call": str(verb), "job": str(job), "flags": list(flags)}:
            return Call(verb, job, tuple(map(str, flags)))
    raise ValueError(f"no part of a remedy: {json.dumps(part)[:100]}")
