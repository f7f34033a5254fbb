"""Time two functions in turn, so that both meet the same weather, and report the ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Median seconds of ours and of theirs, and the quartiles of ours / theirs over the pairs."""

    ours: float
    theirs: float
    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return (f"{1e3 * self.ours:8.1f} ms {1e3 * self.theirs:8.1f} ms   "
                f"{self.middle:5.2f}  [{self.low:.2f}, {self.high:.2f}]")  # fmt: skip


def compare(ours: Callable[[], object], theirs: Callable[[], object], *, pairs: int = 15, warm: int = 3) -> Ratio:
    """Run both once each, `pairs` times, after `warm` rounds that do not count."""
    times: list[tuple[float, float]] = []
    for round_ in range(warm + pairs):
        pair = _seconds(ours), _seconds(theirs)
        if round_ >= warm:
            times.append(pair)
    low, middle, high = statistics.quantiles([a / b for a, b in times], n=4)
    return Ratio(statistics.median(a for a, _ in times), statistics.median(b for _, b in times), low, middle, high)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
