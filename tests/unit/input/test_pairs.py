"""Questions with their contexts are the same rows, with the same errors, as a file of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from contract.format import chunk
from contract.format.job import Row, RowError
from producer.input.checks.pairs import Pair, file_of, table_of
from producer.input.open import open_input

#: Any text, halves of characters too; and what is often not a row.
TEXTS = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    ["", " ", "\u2003\n", "question", "context", "id", "---", ":-:", "\0", "\ud83d\ude00", "\udc80", '"\\', "\r\n|"]
)
PAIRS = st.lists(st.builds(Pair, TEXTS, TEXTS, st.none() | TEXTS), min_size=1, max_size=6)


def read(pairs: list[Pair]) -> list[Row]:
    with open_input(file_of(pairs)) as source:
        return [_unhinted(row) for table in source.tables(0, 1 << 20) for row in chunk.rows(table)]


def _unhinted(row: Row) -> Row:
    """A row without the hint that its file may be in another encoding: nobody made the file."""
    if row.error is None:
        return row
    return replace(row, error=RowError(row.error.code, row.error.message.partition(" (if the file is")[0]))


@given(PAIRS)
@example([Pair("Who?", "Ann."), Pair("Who?", "Bob.", "1"), Pair("Who?", "Cid.", "1"), Pair("Who?", "Dan.", " ")])
@example([Pair("question", "context"), Pair("---", "---"), Pair("Who?", "Ann.")])
@example([Pair("\ud83d\ude00", "\ud83d"), Pair("Who?", "\ude00 \ud83d\ude00")])
def test_pairs_are_the_rows_of_their_file(pairs: list[Pair]):
    assert list(chunk.rows(table_of(pairs))) == read(pairs)
