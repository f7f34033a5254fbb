"""Exercise: the table of sinusoids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Flag,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    has_shape,
    named_case,
)
from tftutor.exercises.values import number_text, same
from tftutor.positions import sinusoids


def sinusoid_table(n_positions: int, d_model: int) -> Tensor:
    """The table of sinusoidal positions.

    Pair i = 0, 1, ... holds sine and cosine of p / 10000 ** (2 i / d_model).
    n_positions: rows; row p is position p = 0, 1, ...
    d_model: columns, an even number.
    Returns (n_positions, d_model): sines in even columns, cosines in odd ones.
    """
    place = torch.arange(n_positions)[:, None]
    angle = place / 10000 ** (torch.arange(0, d_model, 2) / d_model)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def _truth(n_positions: int, d_model: int) -> Tensor:
    return sinusoids(torch.arange(n_positions), d_model)


def _cases(_generator: torch.Generator) -> list[Case]:
    sizes = ((1, 2), (3, 2), (5, 4), (4, 6), (9, 16), (20, 10))
    return [named_case(n_positions=n, d_model=d) for n, d in sizes]


def _starts_at_zero(trial: Trial) -> Mismatch | None:
    half = trial.args[1] // 2
    return compare(torch.tensor([0.0] * half + [1.0] * half), trial.output[0].sort().values)


def _constant_norm(trial: Trial) -> Mismatch | None:
    n, d = trial.args
    return compare(torch.full((n,), math.sqrt(d / 2)), trial.output.double().norm(dim=-1))


def _depends_on_offset(trial: Trial) -> Mismatch | None:
    table = trial.output.double()
    products = table @ table.T
    for offset in range(len(products)):
        diagonal = products.diagonal(offset)
        if (diagonal - diagonal[0]).abs().max() > 1e-3:
            j = int((diagonal - diagonal[0]).abs().argmax())
            expected = f"row 0 times row {offset} to equal row {j} times row {j + offset}"
            return Mismatch(expected, f"{number_text(float(diagonal[0]))} and {number_text(float(diagonal[j]))}")
    return None


def _frequencies(trial: Trial) -> Mismatch | None:
    """The values of the formula, whatever the order of the columns."""
    return compare(_truth(*trial.args).sort(dim=-1).values, trial.output.double().sort(dim=-1).values)


def _variant(
    *, exponent: Callable[[Tensor, int], Tensor] = lambda i, d: 2 * i / d, first: int = 0, base: float = 10_000.0,
    layout: str = "interleaved", combine: Callable[[Tensor, Tensor], Tensor] = lambda p, wave: p / wave,
) -> Callable[[int, int], Tensor]:  # fmt: skip
    """The table with one slip."""

    def variant(n_positions: int, d_model: int) -> Tensor:
        place = torch.arange(first, first + n_positions)[:, None].double()
        angle = combine(place, base ** exponent(torch.arange(d_model // 2).double(), d_model))
        sin, cos = angle.sin(), angle.cos()
        if layout == "halves":
            return torch.cat([sin, cos], dim=-1)
        if layout == "cosines first":
            sin, cos = cos, sin
        if layout == "sines twice":
            cos = sin
        if layout == "overwritten":
            table = torch.zeros(n_positions, d_model, dtype=torch.float64)
            table[:, : d_model // 2] = sin
            table[:, 1::2] = cos
            return table
        return torch.stack([sin, cos], dim=-1).flatten(-2)

    return variant


def _from_angles(angle: Tensor) -> Tensor:
    """(n, D / 2) -> (n, D): sine and cosine of each angle, side by side."""
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def _angle_per_column(step: int) -> Callable[[int, int], Tensor]:
    """Column j has the angle p / 10000 ** (step * j / d) of its own: sine where j is even, cosine where it is odd."""

    def variant(n_positions: int, d_model: int) -> Tensor:
        column = torch.arange(d_model)
        angle = torch.arange(n_positions)[:, None] / 10_000.0 ** (step * column / d_model)
        return torch.where(column % 2 == 0, angle.sin(), angle.cos())

    return variant


def _is_halves(answer: Any, cases: Sequence[Case]) -> bool:
    return all(same(answer(*case.args), _variant(layout="halves")(*case.args)) for case in cases[2:])


SINUSOIDS = Exercise(
    id="positions/sinusoids",
    title="The table of sinusoids",
    answer="sinusoid_table",
    solution=sinusoid_table,
    cases=_cases,
    properties=(
        has_shape("there is one row per position and one column per feature", lambda n, d: (n, d)),
        Property(
            sentence="row 0 holds the sine and cosine of zero: as many zeros as ones",
            test=_starts_at_zero,
            hint="at position 0 all angles are 0: which values do its sines and cosines have?",
        ),
        Property(
            sentence="every row has length sqrt(D / 2), for each pair adds sin^2 + cos^2 = 1",
            test=_constant_norm,
            hint="sine and cosine of a pair have to take the same angle",
        ),
        Property(
            sentence="the product of two rows depends on their offset only",
            test=_depends_on_offset,
            hint="a pair contributes cos a cos b + sin a sin b = cos(a - b), if the angles are multiples of the "
            "position",
        ),
        Property(
            sentence="the values are those of the formula, in whatever order of columns",
            test=_frequencies,
            hint="print the angles of position 1: they start at 1 and fall by the factor 10000 ** (2 / D) from pair to "
            "pair",
        ),
    ),
    wrong=(
        Wrong(
            name="exponent i / D",
            answer=_variant(exponent=lambda i, d: i / d),
            hint="the waves grow too slowly: i counts pairs, of which there are D / 2, so what has to stand over D for "
            "the last wave to come near 10000?",
        ),
        Wrong(
            name="exponent 4 i / D",
            answer=_variant(exponent=lambda i, d: 4 * i / d),
            hint="the 2 i of the formula is the number of the even column; is it doubled once more in your code?",
        ),
        Wrong(
            name="an angle for each column, 2 j / D",
            answer=_angle_per_column(2),
            hint="two neighbours share one angle, and i counts pairs, not columns: yours gives sine and cosine "
            "different ones and runs through twice as many waves",
        ),
        Wrong(
            name="an angle for each column, j / D",
            answer=_angle_per_column(1),
            hint="the cosine of a pair has to take the angle of its sine; yours takes that of its own column",
        ),
        Wrong(
            name="sines only",
            answer=_variant(layout="sines twice"),
            hint="with sines alone a shift is no rotation, and 0 and half a turn look alike: what does the other "
            "column of a pair hold?",
        ),
        Wrong(
            name="halves written over each other",
            answer=_variant(layout="overwritten"),
            hint="the sines went to the first half of the columns and the cosines to every second one: some are "
            "overwritten, some stay zero",
        ),
        Wrong(
            name="multiplied instead of divided",
            answer=_variant(combine=lambda p, wave: p * wave),
            hint="the angles of the later pairs should grow more slowly with the position, yours grow faster",
        ),
        Wrong(
            name="rounded down",
            answer=_variant(combine=lambda p, wave: (p / wave).floor()),
            hint="all angles are whole numbers: a division that rounds down leaves nothing of the slow waves",
        ),
        Wrong(
            name="counted from one",
            answer=_variant(first=1),
            hint="the first row belongs to position 0",
        ),
        Wrong(
            name="sines with a minus",
            answer=_variant(combine=lambda p, wave: -p / wave),
            hint="your sines fall where they should rise: angles grow with the position",
        ),
        Wrong(
            name="base 1000",
            answer=_variant(base=1000.0),
            hint="the waves are right in kind and too short: look at the base once more",
        ),
        Wrong(
            name="rows of length one",
            answer=lambda n, d: _truth(n, d) / math.sqrt(d / 2),
            hint="nothing is normalised here: a row may be longer than 1",
        ),
        Wrong(
            name="one angle for all pairs",
            answer=_variant(exponent=lambda i, d: 0 * i),
            hint="all pairs have the same angle: does your exponent differ from pair to pair? (A division with // "
            "rounds it down to 0.)",
        ),
        Wrong(
            name="a product instead of a power",
            answer=lambda n, d: _from_angles(torch.arange(n)[:, None] / (10_000 * torch.arange(0, d, 2) / d)),
            hint="the formula has 10000 to the power of 2 i / D; yours multiplies, and divides by 0 in the first pair",
        ),
        Wrong(
            name="divided after the sine",
            answer=lambda n, d: (
                _from_angles(torch.arange(n)[:, None].expand(-1, d // 2).double())
                / (10_000 ** (torch.arange(0, d, 2) / d)).repeat_interleave(2)
            ),
            hint="your waves get smaller from pair to pair instead of longer: what has to be divided, the angle or its "
            "sine?",
        ),
        Wrong(
            name="the last wave exactly 10000",
            answer=_variant(exponent=lambda i, d: i / max(d // 2 - 1, 1)),
            hint="your exponents run from 0 to 1; in the formula the last one stays a little below 1 (some published "
            "code differs from the paper here)",
        ),
        Wrong(
            name="whole turns",
            answer=_variant(combine=lambda p, wave: 2 * math.pi * p / wave),
            hint="there is no 2 pi in the formula: position 1 has the angle 1 in the first pair, in radians",
        ),
        Wrong(
            name="pairs counted from one",
            answer=_variant(exponent=lambda i, d: 2 * (i + 1) / d),
            hint="pair 0 comes first, and its angle is the position itself",
        ),
        Wrong(
            name="sines before cosines, then cut into rows",
            answer=lambda n, d: torch.stack([_truth(n, d)[:, 0::2], _truth(n, d)[:, 1::2]]).reshape(n, d),
            hint="the numbers are right and stand in the wrong rows: you join sines and cosines along a new first "
            "axis, so what does the reshape cut up?",
        ),
        Wrong(
            name="one row per feature",
            answer=lambda n, d: _truth(n, d).T,
            hint="your table lies on its side: positions are rows",
        ),
    ),
    flags=(
        Flag(
            applies=_is_halves,
            remark="Your columns hold all sines first, then all cosines: as good, if nobody mixes it with the other "
            "order.",
            example=_variant(layout="halves"),
        ),
    ),
    notice="Two of the properties, constant length and products that depend on the offset, hold for any wavelengths at "
    "all.",
)
