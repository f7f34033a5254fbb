"""Exercise: an attention matrix that nothing of low rank comes near."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, read_matrix, shape_text

N = 8


def _read(value: Any) -> Tensor:
    matrix = read_matrix(value)
    if tuple(matrix.shape) != (N, N):
        raise Trouble("has the wrong shape", f"{N} queries and {N} keys", expected=f"shape ({N}, {N})",
                      got=f"shape {shape_text(matrix)}")  # fmt: skip
    return matrix


def _rank_90(weights: Tensor) -> int:
    """Directions that hold 90 % of the sum of squared singular values."""
    energy = torch.linalg.svdvals(weights).square()
    return int((energy.cumsum(0) < 0.9 * energy.sum() - 1e-9).sum()) + 1


def _weights(trial: Trial) -> Mismatch | None:
    rows, low = trial.output.sum(dim=1), float(trial.output.min())
    if low < -1e-9:
        return Mismatch("no negative weight", f"a weight of {low:.3g}")
    off = int((rows - 1).abs().argmax())
    if abs(rows[off] - 1) < 1e-4:
        return None
    return Mismatch("rows that add up to 1", f"{float(rows[off]):.3g} in row {off}")


def _full(trial: Trial) -> Mismatch | None:
    rank = _rank_90(trial.output)
    return None if rank == N else Mismatch(f"{N} directions for 90 % of the energy", str(rank))


def _tensor(value: Any) -> Tensor:
    return _read(value)


def _columns_used(value: Any) -> int:
    """Keys that somebody looks at, in a matrix of weights."""
    return int((_tensor(value).amax(dim=0) > 1e-6).sum())


def _is_weights(value: Any) -> bool:
    matrix = _tensor(value)
    return bool((matrix >= -1e-9).all() and ((matrix.sum(dim=1) - 1).abs() < 1e-4).all())


_EYE = torch.eye(N)
_AVERAGE = torch.full((N, N), 1 / N)
_PAST = torch.ones(N, N).tril() / torch.arange(1, N + 1)[:, None]
_PAIRS = torch.eye(N // 2).repeat_interleave(2, dim=0).repeat_interleave(2, dim=1) / 2
_PREVIOUS = torch.eye(N)[[0, *range(N - 1)]]

BREAK_RANK = Exercise(
    id="efficient/break-rank",
    title="Break it: attention that is not low rank",
    answer="weights",
    solution=_EYE.roll(1, dims=0).tolist(),
    takes="value",
    read=_read,
    properties=(
        Property(sentence="it is a matrix of attention weights", test=_weights,
                 hint="no weight is negative, and each query's weights add up to 1"),
        Property(sentence="all 8 directions are needed for 90 % of the energy", test=_full,
                 hint="the more alike two rows are, the fewer directions are needed: how unlike can they be?"),
    ),
    wrong=(
        Wrong(name="everywhere alike", answer=_AVERAGE,
              hint="all rows are equal: one direction holds everything. This is the easiest matrix there is"),
        Wrong(name="all at one key", answer=torch.eye(N)[[0] * N], recognise=lambda value: _columns_used(value) == 1,
              hint="sharp, and yet one direction: all queries look at the same key, like a head that rests on [CLS]"),
        Wrong(name="average of the past", answer=_PAST,
              hint="its rank is 8, as for every triangle with no zero on the diagonal, and yet few directions hold 90 "
                   "% of the energy: neighbouring rows are nearly equal"),
        Wrong(name="pairs", answer=_PAIRS,
              hint="two and two rows are equal: 4 directions do it"),
        Wrong(name="previous token, twice the first", answer=_PREVIOUS,
              hint="very near: a previous-token head. The first query has no predecessor, and looks where the second "
                   "one looks: whom could it look at instead?"),
        Wrong(name="two rows alike", answer=torch.eye(N)[[0, 1, 2, 3, 4, 5, 6, 6]],
              recognise=lambda value: _is_weights(value) and _columns_used(value) == N - 1,
              hint="one key is looked at by nobody, so that two rows have to share: give every query a key of its own"),
        Wrong(name="some keys unused", answer=torch.eye(N)[[0, 1, 2, 3, 0, 1, 2, 3]],
              recognise=lambda value: _is_weights(value) and _columns_used(value) < N - 1,
              hint="some keys are looked at by nobody: the rank is at most the number of keys in use"),
        Wrong(name="not weights: twice the identity", answer=2 * _EYE,
              hint="the right pattern; but each query hands out 1 in all"),
        Wrong(name="not weights: negative", answer=-_EYE,
              hint="the right pattern; but a softmax never gives a negative weight"),
        Wrong(name="two keys each", answer=0.5 * _EYE + 0.5 * _EYE.roll(1, dims=1),
              hint="near: but each row shares a key with the next, and what rows have in common saves directions"),
        Wrong(name="identity below the diagonal", answer=torch.diag(torch.ones(N - 1), -1),
              hint="the first row is empty: the first query has no predecessor, and still hands out a weight of 1"),
        Wrong(name="full rank, but blurred", answer=0.5 * _EYE + 0.5 * _AVERAGE,
              recognise=lambda value: _is_weights(value) and bool(torch.linalg.matrix_rank(_tensor(value)) == N)
              and _rank_90(_tensor(value)) < N,
              hint="its rank is 8, but what the rows have in common holds most of the energy: make them share less"),
    ),
    notice="A sharp head that gives every token its own target is a permutation: as far from low rank as a matrix of "
    "weights can be. MiniLM has one.",
)  # fmt: skip
