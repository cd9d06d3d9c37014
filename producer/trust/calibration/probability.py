"""From judged answers to the probability that an answer is right: an estimate, no promise. Pure.

`score` compares the answers of one model; how often answers of a score are right depends on the rows. A calibration
maps the margin of an answer, `raw_score - null_score`, to a probability: a sigmoid (Platt 1999) of some hundred labels,
and from a thousand on the rising steps that fit best (isotonic regression), with lines between them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contract.errors import UsageError
from contract.format import codec
from contract.remedy import Call, Remedy

#: Labels, and wrong ones among them, that a calibration needs; labels from which on it is isotonic.
LABELS, WRONG, ISOTONIC = 100, 15, 1000


@dataclass(frozen=True, slots=True)
class Calibration:
    """How margins become probabilities, and what it was made of. Of a sigmoid `values` are its slope and its offset; of
    steps, the probabilities at the margins `at`."""

    job: str
    method: Literal["platt", "isotonic"]
    at: tuple[float, ...]
    values: tuple[float, ...]
    labels: int
    wrong: int
    by: Literal["people", "references"]
    labels_sha256: str

    def to_bytes(self) -> bytes:
        """The record: the same bytes for the same labels."""
        return codec.dump(self)

    @property
    def sha256(self) -> str:
        """The digest of the record, by which a file of predictions names it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def of(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probabilities of answers with these margins."""
        if self.method == "isotonic":
            return np.interp(margins, self.at, self.values)
        slope, offset = self.values
        return _sigmoid(slope * margins + offset)

    def of_frame(self, frame: Any) -> NDArray[np.float64]:
        """The probabilities of predictions in a DataFrame: NaN where there is no answer."""
        margins = (frame["raw_score"] - frame["null_score"]).to_numpy(np.float64)
        return np.round(self.of(margins), 6)

    def lines(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Predictions with their probabilities, as JSON lines, in the same blocks of whole ones."""
        for block in blocks:
            added = (self.add(json.loads(line)) for line in block.splitlines())
            lines = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in added)
            yield "".join(f"{line}\n" for line in lines).encode()

    def add(self, prediction: dict[str, Any]) -> dict[str, Any]:
        """A prediction with its `probability` after its score: None if there is no answer."""
        if "score" not in prediction:
            return prediction
        known = float(self.of(np.array([margin_of(prediction)]))[0]) if prediction["status"] == "answered" else None
        probability = known if known is None else round(known, 6)
        return {
            name: value
            for key, of_key in prediction.items()
            for name, value in ([(key, of_key), ("probability", probability)] if key == "score" else [(key, of_key)])
        }


def margin_of(prediction: dict[str, Any]) -> float:
    """How far an answer beats "no answer"."""
    return float(prediction["raw_score"] - prediction["null_score"])


def calibrated(
    job: str,
    margins: Sequence[float],
    right: Sequence[bool],
    by: Literal["people", "references"],
    labels_sha256: str,
) -> Calibration:
    """The calibration of a job by its judged answers. Raises UsageError if they are too few, or too few are wrong."""
    wrong = list(right).count(False)
    if len(right) < LABELS or wrong < WRONG or wrong == len(right):
        raise UsageError(
            f"a probability needs {LABELS} judged answers, {WRONG} of them wrong: job {job} has {len(right):,} and "
            f"{wrong:,}",
            Remedy("Judge more, also of lower scores: draw a sample with a lower precision: ", Call("sample", job)),
        )
    x, y = np.asarray(margins, np.float64), np.asarray(right, np.bool_)
    if len(y) >= ISOTONIC:
        return Calibration(job, "isotonic", *isotonic(x, y), len(y), wrong, by, labels_sha256)
    return Calibration(job, "platt", (), platt(x, y), len(y), wrong, by, labels_sha256)


def platt(x: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of the sigmoid that fits best, by Newton's method with halved steps (Lin, Lin and Weng 2007).
    Labels count as a little less than certain, so that the slope is finite where margins tell right from wrong."""
    positive, negative = int(y.sum()), int((~y).sum())
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    features = np.stack([x, np.ones_like(x)], 1)
    weights = np.array([0.0, math.log((positive + 1) / (negative + 1))])

    def loss(weights: NDArray[np.float64]) -> float:
        z = features @ weights
        return float((np.logaddexp(0, z) - target * z).sum())

    now = loss(weights)
    for _ in range(100):
        p = _sigmoid(features @ weights)
        gradient = features.T @ (p - target)
        if np.abs(gradient).max() < 1e-6:
            break
        hessian = (features * (p * (1 - p))[:, None]).T @ features + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (after := loss(weights - size * step)) > now and size > 1e-10:
            size /= 2
        weights, now = weights - size * step, after
    return float(weights[0]), float(weights[1])


def isotonic(x: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The rising probabilities that fit best (pool adjacent violators), at the mean margin of each step. The first and
    the last step are no more certain than the number of their labels allows."""
    order = np.argsort(x, kind="stable")
    steps: list[list[float]] = []  # of each: labels, right ones, sum of margins
    for margin, is_right in zip(x[order].tolist(), y[order].tolist(), strict=True):
        steps.append([1.0, float(is_right), margin])
        while len(steps) > 1 and steps[-2][1] * steps[-1][0] >= steps[-1][1] * steps[-2][0]:
            last = steps.pop()
            steps[-1] = [a + b for a, b in zip(steps[-1], last, strict=True)]
    values = [min(max(right / count, 1 / (count + 2)), 1 - 1 / (count + 2)) for count, right, _ in steps]
    values = np.maximum.accumulate(values).tolist()
    return tuple(margins / count for count, _, margins in steps), tuple(values)


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -z))
