"""Tables of awkward text for writers, by seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

Cell = str | int | None

_WORDS = [
    "the", "Seine", "flows", "through", "Paris", "where", "does", "it", "rise", "near", "Dijon", "1", "889", "metres",
]  # fmt: skip
_MARKS = [
    '| "', ', "', '; "',
    '"', '""', "'", "''", "\u201c\u201d", "|", ",", ";", "\t", "^", ":", "\\", '\\"', "\\n", "\\\\", "#", "`", "$", "%",
]  # fmt: skip
_BREAKS = ["\n", "\n", "\r\n", "\r", "\n\n", "\r\r\n", "\n\r", "\v", "\f", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"]
_CONTROLS = ["\x01", "\x08", "\x1b", "\x1f", "\x7f", "\x9f"]
_LETTERS = [
    "caf\u00e9", "cafe\u0301", "\ufdd0",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7",
    "\u0645\u0631\u062d\u0628\u0627",
    "\u05e9\u05dc\u05d5\u05dd\u200f", "\u6771\u4eac", "\ufeff", "\u00a0", "\u3000", "\u200b", "\ufffd", "\U0010ffff",
    "\u20ac", "\ud55c\uad6d",
]  # fmt: skip
_WHOLE = [
    "NA", "null", "NULL", "None", "NaN", "nan", "N/A", "#N/A", "-", "TRUE", "false", "0012", "1e5", "1.0", "-0", "1,5",
    "=SUM(A1:A2)", "@cmd", "+1", "-1", "<b>bold</b><br/>", "&amp;&#10;", '{"a": 1}', "[1, 2]", "sep=;", "2024-01-02",
    '"', '""', '"quoted"', '" blank', 'end "', "\\", "\\N", "\\.", "question", "_x000D_", "'text",
    " lead", "trail ", "\ttab",
]  # fmt: skip
_NAMES = [
    "title",
    "Title of it",
    "gr\u00f6\u00dfe",
    "a,b",
    "a;b",
    'a "b"',
    "a|b",
    "n",
    "0",
    "tags",
    "line\nbreak",
    "x.y",
]


@dataclass(frozen=True)
class Table:
    """Columns of text, except `number`, which holds integers; `columns` has all names in order."""

    question: str
    context: str
    id: str | None
    columns: dict[str, list[Cell]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.columns[self.question])

    @property
    def others(self) -> list[str]:
        return [name for name in self.columns if name not in (self.question, self.context, self.id)]

    def cells(self) -> list[str]:
        """All texts, names included."""
        return [*self.columns, *(cell for cells in self.columns.values() for cell in cells if isinstance(cell, str))]

    def mapped(self, change: dict[str, str]) -> Table:
        """The table with texts that a format cannot hold replaced by others."""

        def changed(text: str) -> str:
            for old, new in change.items():
                text = text.replace(old, new)
            return text

        columns = {
            changed(name): [changed(cell) if isinstance(cell, str) else cell for cell in cells]
            for name, cells in self.columns.items()
        }
        return Table(changed(self.question), changed(self.context), changed(self.id) if self.id else None, columns)


def made(dice: random.Random) -> Table:
    """A table of a few rows, sometimes of many, with all kinds of awkward text or with one."""
    question, context = dice.choice([("question", "context")] * 4 + [("Question", "context "), ("Frage", "Text, ganz")])
    id_ = dice.choice(["id", "id", "key, own", None])
    names = [question, context, *([id_] if id_ else []), *dice.sample(_NAMES, dice.choice([0, 0, 1, 2, 4]))]
    if dice.random() < 0.3:
        names.append("number")
    dice.shuffle(names)
    rows = dice.choice([1, 2, 3, 5, 8, 13, 30, 30, 400, 2500] if dice.random() < 0.2 else [1, 2, 3, 5, 8, 13, 30])
    kinds = dice.sample([_MARKS, _BREAKS, _CONTROLS, _LETTERS], dice.choice([0, 1, 1, 2, 4]))
    pieces = [piece for kind in kinds for piece in kind]
    columns: dict[str, list[Cell]] = {name: _column(name, id_, rows, pieces, dice) for name in names}
    return Table(question, context, id_, columns)


def _column(name: str, id_: str | None, rows: int, pieces: list[str], dice: random.Random) -> list[Cell]:
    if name == "number":
        return [dice.choice([0, 1, -5, 2**53 + 1, None, None]) for _ in range(rows)]
    if name == id_:
        start = dice.choice(["", "00", "r-", "r ", 'r"', "r,"])
        return [f"{start}{number}" for number in range(rows)]
    rare = dice.choice([0.0, 0.05, 0.2])
    return [None if dice.random() < rare / 2 else text(pieces, dice, rare) for _ in range(rows)]


def text(pieces: list[str], dice: random.Random, rare: float) -> str:
    """Words with some of the pieces between them; sometimes one word that has a meaning in some format."""
    if dice.random() < rare:
        return dice.choice([*_WHOLE, "", " ", "\n"])
    length = dice.choice([1, 3, 6, 6, 12, 40])
    if dice.random() < 0.005:
        length = 8000
    words: list[str] = []
    for _ in range(length):
        words.append(dice.choice(_WORDS))
        if pieces and dice.random() < min(0.3, 20 / length):
            words.append(dice.choice(pieces))
    whole = dice.choice(["", " ", " ", " "]).join(words) if len(words) < 100 else " ".join(words)
    if pieces and dice.random() < 0.1:
        whole = dice.choice(pieces) + whole
    if pieces and dice.random() < 0.1:
        whole += dice.choice(pieces)
    return whole
