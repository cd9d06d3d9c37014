"""A probability from judged answers: the sigmoid and the steps, when there are labels enough, and what is written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import UsageError
from contract.format import codec
from producer.trust.calibration.probability import Calibration, calibrated, isotonic, platt


def truth(margins: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(0.7 * margins - 1)))


def sampled(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    margins = chance.normal(3, 3, count)
    return margins, chance.random(count) < truth(margins)


def of(count: int) -> Calibration:
    margins, right = sampled(count)
    return calibrated("job", margins.tolist(), right.tolist(), "people", "abc")


@pytest.mark.parametrize(("labels", "method"), [(400, "platt"), (999, "platt"), (1000, "isotonic"), (4000, "isotonic")])
def test_probabilities_are_near_how_often_answers_are_right(labels: int, method: str):
    calibration = of(labels)
    assert (calibration.method, calibration.labels) == (method, labels)
    margins, _ = sampled(20_000, seed=2)
    assert np.abs(calibration.of(margins) - truth(margins)).mean() < 0.03
    assert (np.diff(calibration.of(np.sort(margins))) >= 0).all()


def test_the_sigmoid_is_where_its_loss_is_least():
    margins, right = sampled(300)
    slope, offset = platt(margins, right)
    positive, negative = int(right.sum()), int((~right).sum())
    target = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    p = 1 / (1 + np.exp(-(slope * margins + offset)))
    assert abs((p - target).sum()) < 1e-4
    assert abs(((p - target) * margins).sum()) < 1e-4


def test_the_sigmoid_of_margins_that_tell_right_from_wrong_is_finite():
    margins = np.linspace(-50, 50, 200)
    slope, offset = platt(margins, margins > 0)
    assert 0 < slope < 10
    assert abs(offset) < 1


@given(st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=1, max_size=60))
def test_steps_rise_and_are_means_of_their_labels(labels: list[tuple[int, bool]]):
    x, y = np.array([each[0] for each in labels], float), np.array([each[1] for each in labels])
    at, values = isotonic(x, y)
    assert list(at) == sorted(at)
    assert list(values) == sorted(values)
    assert 0 < values[0] <= values[-1] < 1, "nothing is certain of some labels"


def test_steps_of_a_known_case():
    at, values = isotonic(np.arange(8.0), np.array([0, 0, 1, 0, 1, 1, 1, 1], bool))
    assert at == (0.5, 2.5, 5.5)
    assert values == pytest.approx((1 / 4, 1 / 2, 5 / 6))


@pytest.mark.parametrize(("labels", "wrong"), [(99, 40), (300, 14), (300, 0), (300, 300)])
def test_too_few_labels_are_refused(labels: int, wrong: int):
    right = [False] * wrong + [True] * (labels - wrong)
    with pytest.raises(UsageError, match=f"100 judged answers, 15 of them wrong: job J has {labels} and {wrong}"):
        calibrated("J", list(range(labels)), right, "people", "abc")


def prediction(status: str, **more: Any) -> dict[str, Any]:
    head = {"row": 1, "status": status, "answer": "Müller"}
    scored = {"score": 0.4, "raw_score": None, "null_score": -1.5, "margin": None, "passthrough": {"score": "x"}}
    return head | (scored if status != "error" else {"error": {"code": "x"}}) | more


def test_a_prediction_has_its_probability_behind_the_score_which_stays():
    calibration = of(400)
    rows = [prediction("answered", raw_score=2.5), prediction("no_answer"), prediction("error")]
    block = b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)
    (added,) = calibration.lines([block])
    answered, silent, failed = added.splitlines(keepends=True)
    found = json.loads(answered)
    assert found["probability"] == pytest.approx(float(calibration.of(np.array([4.0]))[0]), abs=1e-6)
    assert list(found).index("probability") == list(found).index("score") + 1
    assert answered.replace(f'"probability":{found["probability"]},'.encode(), b"") == block.splitlines(True)[0]
    assert json.loads(silent)["probability"] is None
    assert failed == block.splitlines(keepends=True)[2]


@pytest.mark.parametrize("labels", [400, 1500])
def test_a_record_is_read_as_it_was_written_and_named_by_its_digest(labels: int):
    calibration = of(labels)
    read = codec.read(Calibration, calibration.to_bytes())
    assert read == calibration
    assert read.sha256 == calibration.sha256 == of(labels).sha256 != of(labels + 1).sha256
