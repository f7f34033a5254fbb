"""The benchmarks' stopwatch is fair: both sides run equally often, in turn, and the warm-up does not count."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import ratio


def test_both_sides_run_in_turn(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(ratio.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    result = ratio.compare(lambda: (calls.append("ours"), next(clock)), lambda: calls.append("theirs"), pairs=4, warm=2)
    assert calls == ["ours", "theirs"] * 6
    assert (result.ours, result.theirs, result.middle) == (2.0, 1.0, 2.0)


def test_the_warm_up_does_not_count(monkeypatch):
    seconds = iter([100.0, 1.0] + [1.0, 1.0] * 4)
    monkeypatch.setattr(ratio, "_seconds", lambda function: next(seconds))
    assert ratio.compare(int, int, pairs=4, warm=1).high == 1.0
