"""The meter counts what is alive at once, not what was ever made."""

from __future__ import annotations

import torch

from tftutor.meter import PeakMemory, peak_bytes


def test_what_is_gone_does_not_count() -> None:
    def one_after_another() -> torch.Tensor:
        for _ in range(5):
            x = torch.zeros(1000)
            del x
        return torch.zeros(10)

    assert peak_bytes(one_after_another) == 4000


def test_what_is_kept_adds_up() -> None:
    assert peak_bytes(lambda: [torch.zeros(1000, dtype=torch.float64) for _ in range(5)]) == 40_000


def test_views_and_edits_in_place_take_no_memory() -> None:
    x = torch.zeros(6, 7)
    assert peak_bytes(lambda: x.T.reshape(6, 7)[2:].add_(1.0) is None) == 6 * 7 * 4  # reshape copies, once
    assert peak_bytes(lambda: x[2:].view(-1).add_(1.0)) == 0


def test_the_meter_stops_counting_outside() -> None:
    with PeakMemory() as meter:
        x = torch.zeros(100)
    assert (meter.now, meter.peak) == (400, 400)
    torch.zeros(1000)
    del x
    assert (meter.now, meter.peak) == (0, 400)
