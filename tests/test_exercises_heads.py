"""Answers to the exercises on heads that come close."""

from __future__ import annotations

import pytest
import torch

from tftutor.exercises import find_exercise
from tftutor.exercises.engine import examine


@pytest.mark.parametrize("answer", [(1.5, 2), (1, 2.5), "1,4", 4, (0, 2), (1, 65), None])
def test_sizes_are_two_whole_numbers_in_range(answer) -> None:
    report = examine(find_exercise("heads/break-view"), answer)
    assert not report
    assert "pair of sizes" in str(report) or "out of range" in str(report)


@pytest.mark.parametrize("answer", [(1, 2), [1, 7], torch.tensor([1, 3])])
def test_one_token_hides_the_forgotten_transpose_with_any_heads(answer) -> None:
    assert examine(find_exercise("heads/break-view"), answer)


def test_a_head_exactly_at_the_threshold_keeps_its_name() -> None:
    exercise = find_exercise("heads/classify")
    [case] = [case for case in exercise.build_cases() if case.label == "a head exactly at the threshold"]
    assert exercise.solution(*case.args) == ["previous", "next"]
