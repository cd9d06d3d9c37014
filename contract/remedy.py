"""What to do about an error, as data: texts, options and commands, which each surface spells in its own words.

`Remedy("Read it with: ", Set(encoding="UTF-16"))` is `--encoding UTF-16` in a terminal, `encoding="UTF-16"` in Python,
`"encoding": "UTF-16"` over HTTP, and on the page the field itself. Options have the names of `producer.request`, and of
`contract.settings` if they are settings; commands are those of `producer`. Pure.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self


class Set:
    """Options to set together: `Set(question="q", context="text")`. `Set("encoding")` names an option whose value only
    the user knows."""

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
    """A command, with or without a job: `Call("repair", job)`, `Call("delete", job, ("cancel",))`."""

    verb: str
    job: str = ""
    flags: tuple[str, ...] = ()  #: names of boolean flags: "cancel"


Part = str | Set | Call


class Words(Protocol):
    """How a surface spells options and commands."""

    def option(self, name: str, value: object) -> str:
        """An option with its value, or its name alone if the value is None."""
        ...

    def call(self, call: Call) -> str:
        """A command."""
        ...

    #: What separates options that are set together.
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
    """Quoted for a shell. A tab is `\\t`, and a punctuation mark has quotes even where a shell needs none."""
    text = "\\t" if value == "\t" else str(value)
    return f"'{text}'" if len(text) == 1 and not text.isalnum() and text != "'" else shlex.quote(text)


TERMINAL = Terminal()


class Remedy(str):
    """A sentence that says what to do. As a `str` it is in the words of the terminal; `render` gives it in those of
    another surface, from its `parts`."""

    __slots__ = ("parts",)
    parts: tuple[Part, ...]

    def __new__(cls, *parts: Part) -> Self:
        """Join texts, options and commands. Parts of a remedy among them become its own; empty texts are left out."""
        nested = (part.parts if isinstance(part, Remedy) else (part,) for part in parts)
        flat = tuple(part for group in nested for part in group if part)
        remedy = super().__new__(cls, _render(flat, TERMINAL))
        remedy.parts = flat
        return remedy

    def render(self, words: Words) -> str:
        """The sentence in the words of a surface."""
        return _render(self.parts, words)

    def and_(self, *parts: Part) -> Remedy:
        """The remedy followed by another sentence."""
        return Remedy(*self.parts, " ", *parts)

    @property
    def settings(self) -> dict[str, object]:
        """The options that it sets, with their values."""
        sets = [part for part in self.parts if isinstance(part, Set)]
        return {name: value for part in sets for name, value in part.values.items() if value is not None}

    def to_json(self) -> list[Any]:
        """The parts as JSON values."""
        return [_part_to_json(part) for part in self.parts]

    @classmethod
    def from_json(cls, parts: Sequence[Any]) -> Remedy:
        """The remedy that `to_json` was called on. Raises ValueError if this is not a list of parts."""
        return cls(*(_part_from_json(part) for part in parts))


def _render(parts: Sequence[Part], words: Words) -> str:
    return "".join(_render_part(part, words) for part in parts)


def _render_part(part: Part, words: Words) -> str:
    if isinstance(part, Set):
        return words.separator.join(words.option(name, value) for name, value in part.values.items())
    return words.call(part) if isinstance(part, Call) else str(part)


def _part_to_json(part: Part) -> Any:
    if isinstance(part, Set):
        return {"set": part.values}
    if isinstance(part, Call):
        return {"call": part.verb, "job": part.job, "flags": list(part.flags)}
    return str(part)


def _part_from_json(part: Any) -> Part:
    match part:
        case str():
            return part
        case {"set": Mapping() as values}:
            return Set(**values)
        case {"call": str(verb), "job": str(job), "flags": list(flags)}:
            return Call(verb, job, tuple(map(str, flags)))
    raise ValueError(f"not a part of a remedy: {json.dumps(part)[:100]}")


#: What to do about a job that does not exist.
LIST_JOBS = Remedy("List the jobs with: ", Call("list"))
