"""Keys of rows, and the outcomes that rows carry: what was written is read back, whatever the texts are."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.format.job import Answer, Options, Row, RowError, Span, answered, failed
from contract.reuse import keys
from contract.reuse.carried import Carried, Way, decode, encode, outcome_of

WAY = Way(2, "onnxruntime 1.20.1, CPUExecutionProvider, x86_64 avx2", seconds=0.25)
OTHER = Way(2, "", batch_invariant=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def table(rows: list[tuple[str | None, str | None, str | None]], *, once: bool = False) -> pa.Table:
    question, context, code = (pa.array(column, pa.string()) for column in zip(*rows, strict=True))
    values = {"question": question, "context": context.dictionary_encode() if once else context, "code": code}
    return pa.table(values)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1), st.booleans(), st.data())
def test_a_table_and_its_rows_have_the_same_keys(pairs: list[tuple[str, str]], once: bool, data: st.DataObject):
    begin = data.draw(st.integers(0, len(pairs) - 1))
    rows = table([(*pair, None) for pair in pairs], once=once).slice(begin)
    made = keys.of_table(rows)
    assert made == b"".join(keys.of_texts(pairs[begin:]))
    each = [made[place : place + keys.SIZE] for place in range(0, len(made), keys.SIZE)]
    assert len(set(each)) == len(set(pairs[begin:]))


def test_where_a_question_ends_and_its_context_begins_is_part_of_the_key():
    assert len(set(keys.of_texts([("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("c", "ab")]))) == 5


@pytest.mark.parametrize("row", [("q", "c", "duplicate_id"), (None, "c", None), ("q", None, None)])
def test_rejected_rows_have_no_key(row: tuple[str | None, str | None, str | None]):
    assert keys.of_table(table([("q", "c", None), row]))[keys.SIZE :] == keys.NO_KEY


spans = st.builds(Span, TEXT, st.integers(0, 9), st.integers(0, 9), st.floats(0, 1), st.floats(-9, 9), st.floats(-9, 9))
answers = st.builds(
    lambda spans, null, flags: Answer(
        tuple(spans), null, spans[0].score if spans else 0.5, tuple(flags), spans[0].margin if spans else None
    ),
    st.lists(spans, max_size=3), st.floats(-9, 9), st.lists(st.sampled_from(["question_truncated"]), max_size=1),
)  # fmt: skip


@given(st.dictionaries(st.integers(0, 99), answers, max_size=5))
def test_outcomes_are_read_as_they_were(outcomes: dict[int, Answer]):
    """Through a prediction, as a part has it, and the file beside a chunk."""
    options = Options(top_k=3)
    carried = []
    for number, answer in outcomes.items():
        line = json.dumps(answered(Row(7, "q", "c", id="x"), answer, options), ensure_ascii=False)
        outcome = outcome_of(json.loads(line))
        assert outcome is not None
        carried.append((number, WAY if number % 2 else OTHER, outcome))
    found = decode(encode(carried))
    assert found == {n: Carried(answer, WAY if n % 2 else OTHER) for n, answer in outcomes.items()}


def test_errors_that_depend_on_the_row_alone_are_carried_and_no_others():
    def carried(code: str) -> bytes | None:
        return outcome_of(failed(Row(0, "q", "c"), RowError(code, "why"), Options()))

    outcome = carried("empty_context")
    assert outcome is not None
    assert decode(encode([(3, WAY, outcome)])) == {3: Carried(RowError("empty_context", "why"), WAY)}
    for code in ("inference_error", "worker_crash", "chunk_damaged", "job_cancelled", "parse_error"):
        assert carried(code) is None


def test_a_later_version_may_add_fields_and_nonsense_is_an_error():
    outcome = outcome_of(failed(Row(0, "q", "c"), RowError("empty_context", "why"), Options())) or b""
    head, line = encode([(3, WAY, outcome)]).splitlines()
    grown = json.loads(head) | {"more": 1}
    grown["ways"][0]["more"] = 1
    data = json.dumps(grown).encode() + b"\n" + line.replace(b'{"row"', b'{"more":1,"row"', 1) + b"\n"
    assert decode(data) == {3: Carried(RowError("empty_context", "why"), WAY)}
    with pytest.raises(ValueError, match="lacks"):
        decode(head + b'\n{"row":1,"way":5}\n')
