"""Which columns of an input are what: question, context, id, answers, others; and what to do where one is not there."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from contract.errors import InputError
from contract.format import errorfile

#: Columns of ours, in error files. They are no data, so that such a file can be submitted again.
OURS = errorfile.PREFIX

#: Tables of embeddings have a few thousand columns. Beyond this, each row costs more than the answer to it, and it is
#: more likely that rows and columns were taken for each other.
COLUMNS_LIMIT = 10_000
_SHOWN = 50
_PLURAL = {"id": "ids", "answers": "answers"}


class Wanted(Protocol):
    """The names that were asked for (`producer.reader.ReadOptions`)."""

    @property
    def question(self) -> str:
        """The column of the questions."""
        ...

    @property
    def context(self) -> str:
        """The column of the contexts."""
        ...

    @property
    def id(self) -> str | None:
        """The column of the ids: None for the usual one, "" for none."""
        ...

    @property
    def answers(self) -> str | None:
        """The column of reference answers, likewise."""
        ...


class Names:
    """The columns of an input. Raises InputError if one is not to be found, or is to be found twice."""

    def __init__(self, label: str, found: Iterable[str], wanted: Wanted, *, trailing: bool = False) -> None:
        self._label = label
        self.trailing = trailing  # each line ends with a delimiter, behind which there is nothing
        self.found = list(found)
        self._places = {name: place for place, name in reversed(list(enumerate(self.found)))}
        self._check(wanted.question, wanted.context)
        self.question = near(wanted.question, self.found) or wanted.question
        self.context = near(wanted.context, self.found) or wanted.context
        self.id = self._one("id", wanted.id)
        self.answers = self._one("answers", wanted.answers)

    def index(self, name: str) -> int:
        """The place of a column in a record."""
        return self._places[name]

    @property
    def width(self) -> int:
        """How many fields a record has."""
        return len(self.found) + self.trailing

    def place(self, name: str) -> int | None:
        """Where a column is, None if it is not there."""
        return self._places.get(name)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns but ours."""
        return tuple(name for name in self.found if not name.startswith(OURS))

    @property
    def others(self) -> list[str]:
        """Those that are passed through."""
        own = {self.question, self.context, self.id}
        return [name for name in self.columns if name not in own]

    def _check(self, *wanted: str) -> None:
        if any(near(name, self.found) is None for name in wanted):
            missing = [name for name in dict.fromkeys(wanted) if name not in self._places]
            raise self._missing(missing, f"Name them: {self._flags(wanted)}")
        twice = [name for name, count in Counter(self.found).items() if count > 1]
        if twice:
            message = f"{self._label}: several columns of one name: {listed(twice)}"
            raise InputError("duplicate_column", message, "Rename or remove all but one.")

    def _missing(self, names: list[str], remedy: str) -> InputError:
        message = f"{self._label}: {no_column(names)}. Columns found: {listed(self.found)}"
        return InputError("missing_column", message, remedy, {"columns": list(self.found)})

    def _flags(self, wanted: tuple[str, ...]) -> str:
        """Filled in where a name differs in its capitals only."""
        question, context = (near(name, self.found) or "NAME" for name in wanted)
        return f"--question {shlex.quote(question)} --context {shlex.quote(context)}"

    def _one(self, usual: str, wanted: str | None) -> str | None:
        """A column that there may be: the one that is wanted, else the one of the usual name; "" for none."""
        same = near(wanted or usual, self.found)
        if wanted is None:
            return same
        if wanted and same is None:
            raise self._missing([wanted], f"Name it: --{usual} NAME, or go without {_PLURAL[usual]}: --{usual} ''")
        return same if wanted else None


def near(wanted: str, names: Sequence[str]) -> str | None:
    """The column of a name, else the only one that differs from it in capitals and blanks alone."""
    if wanted in names:
        return wanted
    same = [name for name in names if _plain(name) == _plain(wanted)]
    return same[0] if len(same) == 1 else None


def _plain(name: str) -> str:
    return "".join(name.casefold().split())


def refuse_wide(label: str, count: int) -> None:
    """Raise InputError for a table of more columns than are read."""
    if count > COLUMNS_LIMIT:
        message = f"{label}: {count:,} columns, and {COLUMNS_LIMIT:,} is the most"
        raise InputError("unsupported_format", message, "Leave out columns, or put several into one as JSON.")


def no_column(names: list[str]) -> str:
    """That columns are missing, in words."""
    return "there is no column " + " and no column ".join(map(repr, names))


def listed(names: Iterable[str]) -> str:
    """Names for a message, fifty at most."""
    shown = [repr(name) for name in islice(names, _SHOWN + 1)]
    return ", ".join([*shown[:_SHOWN], "..."] if len(shown) > _SHOWN else shown)
