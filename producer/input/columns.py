"""Which column of an input holds what: question, context, id, answers, others; and what to do if one is missing."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from contract.errors import InputError
from contract.format import errorfile
from contract.remedy import Part, Remedy, Set
from producer.input.options import ReadOptions

#: Columns of bulkqa's own, in error files. They are not data, so that such a file can be submitted again.
OURS = errorfile.PREFIX

#: Tables of embeddings have a few thousand columns. Beyond this, each row costs more than its answer, and rows and
#: columns were probably swapped.
COLUMNS_LIMIT = 10_000
_SHOWN = 50
_PLURAL = {"id": "ids", "answers": "answers"}
#: Usual names of the columns of questions and contexts, the likeliest first.
_QUESTIONS = ("question", "query", "q")
_CONTEXTS = (
    "context", "passage", "paragraph", "text", "story", "review", "document", "article", "content", "body", "abstract",
)  # fmt: skip
#: What is in the names of columns that are not read for an answer, and at the end of those that hold no text.
_NOT_READ = ("question", "query", "answer")
_ABOUT = ("id", "ids", "type", "title", "url", "date", "language", "count", "number", "length")


class ColumnNames:
    """The columns of an input. Raises InputError if one is missing or there twice."""

    def __init__(self, label: str, names: Iterable[str], options: ReadOptions, *, trailing: bool = False) -> None:
        self.label = label
        self.trailing = trailing  # each line ends with a delimiter, behind which there is nothing
        self.names = list(names)
        self._places = {name: place for place, name in reversed(list(enumerate(self.names)))}
        self._check(options)
        self.question = near(options.question, self.names) or options.question
        self.context = near(options.context, self.names) or options.context
        self.id = self._optional("id", options.id)
        self.answers = self._optional("answers", options.answers)
        self.group = self._group(options.group_by)

    def index(self, name: str) -> int:
        """The place of a column in a record."""
        return self._places[name]

    @property
    def width(self) -> int:
        """How many fields a record has."""
        return len(self.names) + self.trailing

    def place(self, name: str) -> int | None:
        """The place of a column, None if it is missing."""
        return self._places.get(name)

    @property
    def data(self) -> tuple[str, ...]:
        """All columns but those of bulkqa."""
        return tuple(name for name in self.names if not name.startswith(OURS))

    @property
    def others(self) -> list[str]:
        """The columns that are passed through."""
        own = {self.question, self.context, self.id}
        return [name for name in self.data if name not in own]

    def _check(self, options: ReadOptions) -> None:
        question, context = expected = (options.question, options.context)
        if any(near(name, self.names) is None for name in expected):
            missing = [name for name in dict.fromkeys(expected) if name not in self._places]
            alone = Remedy("Name the column with ", Set("text" if question == options.text else "question"))
            raise self._missing(missing, alone if options.one_column else columns_remedy(self.names, expected))
        if near(question, self.names) == (name := near(context, self.names)) and not options.one_column:
            message = f"{self.label}: the column {name!r} cannot be both the question and the context"
            remedy = columns_remedy(self.names, expected)
            raise InputError("missing_column", message, remedy, {"columns": list(self.names)})
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            message = f"{self.label}: several columns of one name: {listed(twice)}"
            raise InputError("duplicate_column", message, "Rename or remove all but one.")

    def _missing(self, names: list[str], remedy: Remedy) -> InputError:
        message = f"{self.label}: {no_column(names)}. Columns found: {listed(self.names)}"
        return InputError("missing_column", message, remedy, {"columns": list(self.names)})

    def _optional(self, usual: str, name: str | None) -> str | None:
        """An optional column: the named one, else the one of the usual name; "" for none."""
        column = near(name or usual, self.names)
        if name is None:
            return column
        if name and column is None:
            without = Remedy(f", or go without {_PLURAL[usual]}: ", Set(**{usual: ""}))
            raise self._missing([name], Remedy("Name it with ", Set(usual), without))
        return column if name else None

    def _group(self, name: str | None) -> str | None:
        if not name:
            return errorfile.GROUP if errorfile.GROUP in self.names else None
        column = near(name, self.names)
        if column is None:
            raise self._missing([name], Remedy("Name it with ", Set("group_by"), ", or leave that out."))
        if column == self.context:
            message = f"{self.label}: the column {column!r} cannot be both the context and the group"
            remedy = Remedy("Name another with ", Set("group_by"), ": a group compares contexts.")
            raise InputError("missing_column", message, remedy, {"columns": list(self.names)})
        return column


def near(expected: str, names: Sequence[str]) -> str | None:
    """The column of a name, else the only one that differs from it in capitals, blanks and what cannot be seen alone:
    letters with their accent apart, marks of no width."""
    if expected in names:
        return expected
    same = [name for name in names if _plain(name) == _plain(expected)]
    return same[0] if len(same) == 1 else None


def _plain(name: str) -> str:
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return "".join(char for char in composed if not (char.isspace() or unicodedata.category(char) == "Cf"))


def columns_remedy(
    names: Sequence[str], expected: tuple[str, str], options: Mapping[str, object] | None = None
) -> Remedy:
    """What reads a file of these columns: `options`, and the names of the columns of questions and contexts, as far as
    they can be guessed. `expected` are the names that were asked for."""
    columns = guessed(names, expected)
    guesses = {} if columns == [*expected] else dict(zip(("question", "context"), columns, strict=True))
    known = {name: column for name, column in guesses.items() if column is not None}
    return options_remedy(
        "Read it with" if options else "Name them", {**(options or {}), **known}, [*guesses.keys() - known]
    )


def options_remedy(verb: str, options: Mapping[str, object], unknown: Sequence[str]) -> Remedy:
    """Options with their values, and the names of columns that the user has to name."""
    names = sorted(unknown, reverse=True)  # the question first
    last: list[Part] = [Set(names[0]), *(part for name in names[1:] for part in (" and ", Set(name)))] if names else []
    columns = "the column" if len(names) == 1 else "the columns"
    if not options:
        return Remedy(f"Name {columns} with ", *last)
    return Remedy(f"{verb}: ", Set(**options), *([f" and name {columns} with ", *last] if last else []))


def guessed(names: Sequence[str], expected: tuple[str, str]) -> list[str | None]:
    """The columns of questions and contexts: those that were asked for, else likely ones, else None. Never one column
    for both, nor one that is called a question for the contexts."""
    question, context = (near(name, names) for name in expected)
    if context == question:
        context = None
    if question is None:
        question = _likely([name for name in names if name != context], _QUESTIONS)
    if context is None:
        others = [name for name in names if name != question and not any(word in name.casefold() for word in _NOT_READ)]
        context = _likely(others, _CONTEXTS)
    return [question, context]


def header_place(records: Iterable[Sequence[str]], expected: tuple[str, str]) -> int | None:
    """Which of the first records is the header, below lines of a title: the first that has the columns that were asked
    for, if it has more fields than any above it. None if there is none."""
    most = 0
    for place, names in enumerate(records):
        fields = sum(map(bool, names))
        if fields > most and None not in (near(name, names) for name in expected):
            return place
        most = max(most, fields)
    return None


def above_header(count: int) -> str:
    """Says that title lines were skipped."""
    return f"{count} lines above the header were skipped" if count > 1 else "a line above the header was skipped"


def _likely(names: Sequence[str], usual: Sequence[str]) -> str | None:
    for word in usual:
        if (same := near(word, names)) is not None:
            return same
    for word in usual:
        for name in names:
            plain = name.casefold()
            if len(word) > 1 and word in plain and not plain.endswith(_ABOUT):
                return name
    return None


def refuse_wide(label: str, count: int) -> None:
    """Raise InputError for a table of too many columns."""
    if count > COLUMNS_LIMIT:
        message = f"{label}: {count:,} columns, and at most {COLUMNS_LIMIT:,} are allowed"
        raise InputError("unsupported_format", message, "Leave out columns, or put several into one as JSON.")


def no_column(names: list[str]) -> str:
    """Says that columns are missing."""
    return "there is no column " + " and no column ".join(map(repr, names))


def listed(names: Iterable[str]) -> str:
    """Names for a message, fifty at most."""
    shown = [repr(name) for name in islice(names, _SHOWN + 1)]
    return ", ".join([*shown[:_SHOWN], "..."] if len(shown) > _SHOWN else shown)
