"""Numbers that look random and are the same every time: by which rows are drawn. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: By which consecutive numbers are set apart before they are mixed: 2**64 by the golden ratio.
STEP = 0x9E3779B97F4A7C15


def mixed(numbers: NDArray[np.uint64]) -> NDArray[Any]:
    """Numbers of 64 bits, of any shape, each of whose bits depends on all bits of the given one. Different ones stay
    different (the finalizer of splitmix64: Steele, Lea & Flood 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a sample is drawn of numbered things: those with the lowest keys are in it. So a larger one includes a
    smaller one of the same seed."""

    rows: int  #: requested
    seed: int = 1

    def keys(self, numbers: NDArray[np.uint64]) -> NDArray[Any]:
        """A key for each number."""
        return mixed(numbers + np.uint64(self.seed * STEP % 2**64))

    def key(self, number: int) -> int:
        """The key of one."""
        return int(self.keys(np.array([number], np.uint64))[0])
