"""Exercises: what a matrix does to a token: a W_Q by hand, a zero, a change of basis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, compare, is_option
from tftutor.exercises.values import number_text, read_choice, read_matrix

_APPLE = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
_RED = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
_TARGET = torch.tensor([[0.0, 5.0, 0.0]], dtype=torch.float64)
_NOTHING = torch.zeros(1, 3, dtype=torch.float64)


def _makes(token: Tensor, query: Tensor) -> Callable[[Trial], Mismatch | None]:
    """Whether the answer turns `token` into `query`."""

    def test(trial: Trial) -> Mismatch | None:
        w_q = trial.output
        if w_q.shape != (3, 3):
            return Mismatch("shape (3, 3)", f"shape {tuple(w_q.shape)}")
        return compare(query, token @ w_q)

    return test


def _is_transposed(answer: Any) -> bool:
    w_q = read_matrix(answer)
    return compare(_TARGET.T, w_q @ _APPLE.T) is None and compare(_NOTHING.T, w_q @ _RED.T) is None


def _hits_other_coordinate(answer: Any) -> bool:
    result = (_APPLE @ read_matrix(answer)).flatten()
    return bool((result.abs() > 1e-6).sum() == 1 and (result - 5).abs().min() < 1e-3 and result[1].abs() < 1e-6)


def _counts_both_rows_in_full(answer: Any) -> bool:
    return compare(torch.tensor([[0.0, 15.0, 0.0]], dtype=torch.float64), _APPLE @ read_matrix(answer)) is None


def _feeds_the_zero(answer: Any) -> bool:
    w_q = read_matrix(answer)
    return bool(w_q[1, 1] != 0) and bool((_APPLE @ w_q)[0, 1].abs() < 1e-6)


def _forgets_red(answer: Any) -> bool:
    w_q = read_matrix(answer)
    return compare(_TARGET, _APPLE @ w_q) is None and compare(_NOTHING, _RED @ w_q) is not None


DESIGN_W_Q = Exercise(
    id="qkv/design-w-q",
    title="Design a W_Q by hand",
    answer="w_q",
    solution=torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 2.0, 0.0]]),
    takes="value",
    read=read_matrix,
    properties=(
        Property(
            sentence="[1, 0, 2] @ w_q is [0, 5, 0]",
            test=_makes(_APPLE, _TARGET),
            hint="the result is 1 times the first row of w_q plus 2 times its third row",
        ),
        Property(
            sentence="[1, 1, 0] @ w_q is [0, 0, 0]",
            test=_makes(_RED, _NOTHING),
            hint="the result is the sum of two rows of w_q: what must the second row be, once the first is chosen?",
        ),
    ),
    wrong=(
        Wrong(
            name="the result itself",
            answer=torch.tensor([[0.0, 5.0, 0.0]]),
            hint="this is the query that should come out; w_q is the table that makes it, with one row per feature of "
            "the token and one column per feature of the query",
            recognise=lambda answer: read_matrix(answer).shape == (1, 3),
        ),
        Wrong(
            name="a column",
            answer=torch.tensor([[0.0], [5.0], [0.0]]),
            hint="w_q has a row for each of the token's three features and a column for each of the query's three",
            recognise=lambda answer: read_matrix(answer).shape not in ((1, 3), (3, 3)),
        ),
        Wrong(
            name="a function with a constant",
            answer=lambda x: x * 0 + torch.tensor([0.0, 5.0, 0.0]),
            hint="a matrix has no constant to add: whatever w_q is, [0, 0, 0] has to stay [0, 0, 0]",
            recognise=lambda answer: callable(answer) and not isinstance(answer, Tensor),
        ),
        Wrong(
            name="transposed",
            answer=torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 2.0], [0.0, 0.0, 0.0]]),
            hint="w_q @ x would give [0, 5, 0], but tokens are rows here and multiply from the left: x @ w_q",
            recognise=_is_transposed,
        ),
        Wrong(
            name="another coordinate",
            answer=torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]),
            hint="the 5 comes out in another place: which column of w_q makes the second feature of the query?",
            recognise=_hits_other_coordinate,
        ),
        Wrong(
            name="5 in the middle",
            answer=torch.tensor([[0.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]),
            hint="the middle row is multiplied by apple's second feature, which is 0: the 5 has to come from the "
            "features that are not",
            recognise=_feeds_the_zero,
        ),
        Wrong(
            name="5 in both rows",
            answer=torch.tensor([[0.0, 5.0, 0.0], [0.0, -5.0, 0.0], [0.0, 5.0, 0.0]]),
            hint="both rows are added up, the third one twice: 1 * 5 + 2 * 5 is 15",
            recognise=_counts_both_rows_in_full,
        ),
        Wrong(
            name="red asks as well",
            answer=torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
            hint="apple asks the right question, but red should ask nothing: what it asks is the first row plus the "
            "second",
            recognise=_forgets_red,
        ),
    ),
    notice="Many matrices do it: each token pins down one combination of rows, and three tokens would pin down all.",
)


PREDICT_ZERO_VECTOR = Exercise(
    id="qkv/predict-zero-vector",
    title="Predict: what becomes of a zero?",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: training can make any 0 a 5",
            answer="a",
            hint="a single feature that is 0 can become 5, through the other features; when all of them are 0, what is "
            "there to multiply?",
        ),
        Wrong(
            name="c: a zero feature stays zero",
            answer="c",
            hint="a matrix mixes features: the second entry of [1, 0, 2] @ w_q is made from the 1 and the 2",
        ),
        Wrong(
            name="d: it depends on W_Q",
            answer="d",
            hint="take a row of zeros through any matrix: every product in the sum has a factor 0",
        ),
    ),
    notice="A zero vector stays zero under every matrix; a zero feature does not. A bias term would change the former.",
)


def _changes_scores(trial: Trial) -> Mismatch | None:
    a = trial.output
    if a.shape != (2, 2):
        return Mismatch("shape (2, 2)", f"shape {tuple(a.shape)}")
    change = float((a @ a.T - torch.eye(2, dtype=a.dtype)).abs().max())
    return None if change > 0.05 else Mismatch("some score changes by more than 0.05", f"at most {number_text(change)}")


def _has_inverse(trial: Trial) -> Mismatch | None:
    a = trial.output
    if a.shape != (2, 2):
        return Mismatch("shape (2, 2)", f"shape {tuple(a.shape)}")
    volume = float(torch.linalg.det(a))
    return None if abs(volume) > 1e-9 else Mismatch("a determinant other than 0", number_text(volume))


BREAK_BASIS = Exercise(
    id="qkv/break-basis",
    title="Break it: which change of basis does attention notice?",
    answer="a",
    solution=torch.tensor([[2.0, 0.0], [0.0, 1.0]]),
    takes="value",
    read=read_matrix,
    properties=(
        Property(
            sentence="a is a change of basis: it has an inverse",
            test=_has_inverse,
            hint="a change of basis can be undone, so no vector but 0 may become 0",
        ),
        Property(
            sentence="(q @ a) @ (k @ a).T differs from q @ k.T for q = k = the unit vectors",
            test=_changes_scores,
            hint="(q a)(k a)^T = q (a a^T) k^T: what must a a^T not be?",
        ),
    ),
    wrong=(
        Wrong(
            name="identity",
            answer=torch.eye(2),
            hint="this a changes nothing at all: try one that does something to a vector",
        ),
        Wrong(
            name="rotation",
            answer=torch.tensor([[0.6, 0.8], [-0.8, 0.6]]),
            hint="a rotation or a reflection turns queries and keys alike: lengths and angles survive, and so do "
            "scores. What does not keep lengths and angles?",
            recognise=lambda answer: (
                compare(torch.eye(2).double(), read_matrix(answer) @ read_matrix(answer).T) is None
            ),
        ),
        Wrong(
            name="all ones",
            answer=torch.ones(2, 2),
            hint="scores do change, but this a throws a direction away, and nothing could undo it: a basis change "
            "has an inverse",
            recognise=lambda answer: bool(torch.linalg.det(read_matrix(answer)).abs() <= 1e-9),
        ),
        Wrong(
            name="three by three",
            answer=torch.diag(torch.tensor([2.0, 2.0, 2.0])),
            hint="queries have two features here: a is 2 by 2",
            recognise=lambda answer: read_matrix(answer).shape != (2, 2),
        ),
        Wrong(
            name="too small a change",
            answer=torch.diag(torch.tensor([1.01, 1.01])),
            hint="the scores do change, but hardly: be bolder",
            recognise=lambda answer: read_matrix(answer).shape == (2, 2),
        ),
    ),
    notice="Only products of W_Q and W_K are seen: undo a on the keys with its inverse, and nothing changes again.",
)
