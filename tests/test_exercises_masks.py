"""Exercises on masks: other right answers are accepted, and hints fit the mistake."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tftutor import masks
from tftutor.exercises import find_exercise
from tftutor.exercises.engine import examine
from tftutor.exercises.masks.leaks import KINDS, Suspect
from tftutor.properties import leak_change


def test_suspects_are_what_their_names_say() -> None:
    tokens = torch.randint(11, (2, 7), generator=torch.Generator().manual_seed(3))
    for kind, (_, sees_the_future) in KINDS.items():
        assert (leak_change(Suspect(kind), tokens) > 0) == sees_the_future, kind


def test_other_detectors_are_accepted() -> None:
    exercise = find_exercise("masks/find-leak")

    def by_prefixes(model: nn.Module, tokens: Tensor) -> bool:
        full = model(tokens)
        parts = [model(tokens[:, : t + 1])[:, -1] for t in range(tokens.shape[1])]
        return not torch.allclose(torch.stack(parts, dim=1), full, atol=1e-5)

    assert examine(exercise, lambda model, tokens: leak_change(model, tokens) > 1e-7)
    assert examine(exercise, by_prefixes)


def test_padding_rows_may_hold_anything() -> None:
    exercise = find_exercise("masks/decoder-mask")

    def no_rows(valid: Tensor) -> Tensor:
        pos = masks.count_positions(valid)
        return masks.causal_mask(pos, pos)

    def all_rows(valid: Tensor) -> Tensor:
        return exercise.solution(valid) | ~valid[:, None, :, None]

    assert examine(exercise, no_rows)
    assert examine(exercise, all_rows)


def test_other_ways_to_write_an_additive_mask_are_accepted() -> None:
    exercise = find_exercise("masks/nan-hunt")
    for answer in (
        lambda n: torch.ones(n, n).tril().log(),
        lambda n: nn.Transformer.generate_square_subsequent_mask(n),
        lambda n: torch.where(torch.arange(n)[:, None] >= torch.arange(n), 0.0, -torch.inf),
        lambda n: torch.triu(torch.ones(n, n) * -torch.inf, diagonal=1).double(),
    ):
        report = examine(exercise, answer)
        assert report
        assert "finite" not in str(report)
    report = examine(exercise, lambda n: torch.full((n, n), torch.finfo(torch.float32).min).triu(1))
    assert report
    assert exercise.flags[0].remark in str(report)


@pytest.mark.parametrize(
    ("valid", "right"),
    [
        ([False, True], True), (torch.tensor([0, 0, 1]), True), ([0, 1, 0, 1], True), ((False, True, False), True),
        ([True], False), ([True, False, True], False), ([False], False), ([], False), ([2, 1], False),
        ([[False, True]], False), ("ftt", False), (None, False), (torch.ones(17), False),
    ],
)  # fmt: skip
def test_every_padding_that_leaves_a_row_empty_is_accepted_and_no_other(valid, right) -> None:
    assert bool(examine(find_exercise("masks/break-empty-row"), valid)) == right


def test_hints_of_the_broken_row_fit() -> None:
    exercise = find_exercise("masks/break-empty-row")
    hints = {wrong.name: wrong.hint for wrong in exercise.wrong}
    for valid, name in (
        ([True, False], "padding on the right"), ([True, False, True, True], "padding on the right"),
        ([True] * 5, "no padding"), ([0, 0], "nothing but padding"),
    ):  # fmt: skip
        assert examine(exercise, valid).hint == hints[name]


def test_convert_takes_finite_fills_and_any_number_of_axes() -> None:
    exercise = find_exercise("masks/convert")

    def through_the_package(mask: Tensor, source: str, target: str) -> Tensor:
        there = {"allowed": lambda m: m, "blocked": masks.to_blocked, "additive": masks.to_additive}
        back = {"allowed": lambda m: m, "blocked": masks.from_blocked, "additive": masks.from_additive}
        return there[target](back[source](mask))

    assert examine(exercise, through_the_package)


def test_hints_of_finite_masks_fit() -> None:
    exercise = find_exercise("masks/nan-hunt")
    hints = {wrong.name: wrong.hint for wrong in exercise.wrong}
    for size in (-1.0, -50.0, -100.0):
        assert examine(exercise, lambda n, size=size: torch.full((n, n), size).triu(1)).hint == hints["a small penalty"]
    assert examine(exercise, lambda n: torch.ones(n, n, dtype=torch.bool).triu(1)).hint == hints["booleans"]
    exercise = find_exercise("masks/convert")
    hints = {wrong.name: wrong.hint for wrong in exercise.wrong}

    def filled(mask: Tensor, source: str, target: str) -> Tensor:
        result = exercise.solution(mask, source, target)
        return result.clamp(min=-1e9) if target == "additive" else result

    assert examine(exercise, filled).hint == hints["a finite fill"]
