"""Medians, and the interval of a median without assuming any distribution.

Rounds are interleaved, so round i of one contestant is paired with round i of the other; what both
suffered in it (another process, a slower clock) cancels in the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

CONFIDENCE = 0.95


def figure(value: float) -> str:
    """Two digits behind the point, none from a hundred on: the rest is noise."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


@dataclass(frozen=True)
class Estimate:
    """A median with the interval that covers the true one at least 95 times in 100."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        """As in the table."""
        return f"{figure(self.value)} [{figure(self.low)} … {figure(self.high)}]"


def ranks(count: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The order statistics (from 0) that enclose the median with at least `confidence`.

    The number of samples below the true median is binomial(count, 1/2). With fewer than six
    samples no pair reaches 95 %, and the extremes are given.
    """
    low, tail = 0, 0.5**count
    while low + 1 <= (count - 1) // 2:
        tail += math.comb(count, low + 1) * 0.5**count
        if 2 * tail > 1 - confidence:
            break
        low += 1
    return low, count - 1 - low


def estimate(samples: Sequence[float]) -> Estimate:
    """The median of `samples` (at least one) with its interval."""
    ordered = sorted(samples)
    low, high = ranks(len(ordered))
    return Estimate(median(ordered), ordered[low], ordered[high])


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """How many times `over` is `under`, from the ratios of equally numbered rounds."""
    return estimate([a / b for a, b in zip(over, under, strict=True)])


def fitted_exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of log(y) over log(x), least squares; at least two different x, all positive."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle_x = sum(x for x, _ in logs) / len(logs)
    middle_y = sum(y for _, y in logs) / len(logs)
    spread = sum((x - middle_x) ** 2 for x, _ in logs)
    return sum((x - middle_x) * (y - middle_y) for x, y in logs) / spread
