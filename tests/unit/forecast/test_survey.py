"""The work of an input that is added up while it is read, beside that of its rows one by one."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from contract.forecast.work import Cost, Work
from contract.format.job import Options
from producer.forecast import survey as module
from producer.forecast.survey import Count, Survey, Surveyed
from producer.input.open import open_input
from tests.unit.forecast.test_windows import SHIPPED
from worker.reader.encode import Encoder
from worker.reader.model import describe

COST = Cost()


def words(count: int, seed: int) -> str:
    """A text in which some words take more tokens than others."""
    pick = random.Random(seed)
    return " ".join(
        pick.choice(["the", "bridge", "Skarvholmsfyr", "of", "1874", "unvereinbarkeit"]) for _ in range(count)
    )


def chunks(rows: list[dict[str, str]], each: int) -> Iterator[pa.Table]:
    data = "\n".join(json.dumps(row) for row in rows).encode()
    with open_input(io.BytesIO(data)) as source:
        yield from source.tables(each, 1 << 26)


def surveyed(rows: list[dict[str, str]], count: Count | None, each: int = 50, cost: Cost = COST) -> Surveyed:
    survey = Survey(Options(), cost, 512, count)
    for chunk in chunks(rows, each):
        survey.add(chunk)
    return survey.finish()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(SHIPPED / "tokenizer.json", describe(SHIPPED))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    pick = random.Random(1)
    rows = [{"question": words(8, row), "context": words(int(pick.lognormvariate(5, 1)), row)} for row in range(700)]
    return sorted(rows, key=lambda row: len(row["context"]))


@pytest.fixture(scope="module")
def scored(rows: list[dict[str, str]], encoder: Encoder) -> list[Work]:
    """The work of each row."""
    cut = (encoder.encode(row["question"], row["context"], Options()).windows for row in rows)
    return [Work.of(len(window.input_ids) for window in windows) for windows in cut]


def test_a_sample_of_the_texts_is_enough(rows: list[dict[str, str]], encoder: Encoder, scored: list[Work]):
    """Also where a byte is worth something else than was believed, and rows get longer towards the end."""
    tokenizer = encoder._tokenizer
    count: Count = lambda texts: [len(each.ids) for each in tokenizer.encode_batch(texts, add_special_tokens=False)]  # noqa: E731
    found, true = surveyed(rows, count), sum(scored, Work())
    for name in ("windows", "tokens", "squares"):
        assert getattr(found.total, name) == pytest.approx(getattr(true, name), rel=0.03), name
    for number, chunk in enumerate(found.chunks):
        own = sum(scored[number * 50 : number * 50 + 50], Work())
        assert COST.seconds(chunk) == pytest.approx(COST.seconds(own), rel=0.1), number


def test_without_a_tokenizer_bytes_are_counted(rows: list[dict[str, str]], encoder: Encoder, scored: list[Work]):
    text = "".join(row["context"] for row in rows)
    true = len(encoder._tokenizer.encode(text, add_special_tokens=False).ids)
    found = surveyed(rows, None, cost=Cost(bytes_per_token=len(text) / true))
    assert found.total.tokens == pytest.approx(sum(scored, Work()).tokens, rel=0.1)


def test_rejected_rows_take_nothing():
    good = {"question": "Who?", "context": words(100, 1)}
    some = surveyed([good, {"question": "", "context": words(5000, 2)}, good], None)
    assert some.rows == 2
    assert some.chunks == surveyed([good, good], None).chunks


def test_rows_that_are_not_scored_are_taken_off():
    whole = surveyed([{"question": "Who?", "context": words(100, row)} for row in range(100)], None)
    rest = whole.without([0.0, 0.5])
    assert rest.chunks[0] == whole.chunks[0]
    assert rest.total.tokens == pytest.approx(whole.chunks[0].tokens + whole.chunks[1].tokens / 2)


def test_rows_whose_text_came_before_take_nothing():
    row = {"question": "Who?", "context": words(100, 1)}
    others = [{"question": f"Who was {n}?", "context": words(100, n)} for n in range(60)]
    once, often = surveyed([row, *others], None), surveyed([row] * 140 + others, None)
    assert often.rows == 200
    assert often.total.tokens == pytest.approx(once.total.tokens, rel=0.01)
    assert [round(chunk.windows) for chunk in often.chunks] == [1, 0, 10, 50]


def test_of_many_texts_a_share_shows_how_many_come_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_LOOKED_AT", 500)
    repeats, pick = module._Repeats(), np.random.default_rng(1)
    texts = pick.integers(0, 1 << 63, 10_000, np.uint64)
    shares = [repeats.new(pick.choice(texts, 2000)) for _ in range(20)]
    assert shares[0] == pytest.approx(0.91, abs=0.03)
    assert shares[-1] == pytest.approx(0.02, abs=0.03)
    assert len(repeats._seen) <= 500
