"""Exercises: the derivative of the softmax, and a confident mistake."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    has_shape,
    is_option,
    named_case,
)
from tftutor.exercises.values import read_choice


def softmax_jacobian(p: Tensor) -> Tensor:
    """Derivatives of a softmax: how does weight i move when score j does?

    p: the weights (N,) that the softmax returned, positive, with sum 1.
    Returns J (N, N) with J[i, j] = dp_i / ds_j.
    """
    return torch.diag(p) - p[:, None] * p


def _jacobian_cases(generator: torch.Generator) -> list[Case]:
    rows = [torch.tensor([0.7, 0.3]), torch.tensor([0.5, 0.3, 0.2])]
    rows += [(sharpness * torch.randn(n, generator=generator)).softmax(dim=0) for n, sharpness in ((4, 1), (7, 2))]
    return [named_case(p=p) for p in rows]


def _nothing_is_lost(trial: Trial) -> Mismatch | None:
    return compare(torch.zeros_like(trial.args[0]), trial.output.sum(dim=0))


def _raising_a_score_raises_its_weight(trial: Trial) -> Mismatch | None:
    own = trial.output.diagonal()
    return None if bool((own > 0).all()) else Mismatch("a positive diagonal", f"{float(own.min()):.3g} on it")


def _agrees_with_autograd(trial: Trial) -> Mismatch | None:
    truth = torch.autograd.functional.jacobian(lambda s: s.softmax(dim=0), trial.args[0].log())
    return compare(truth, trial.output)


JACOBIAN = Exercise(
    id="scores/jacobian",
    title="The Jacobian of the softmax",
    answer="softmax_jacobian",
    solution=softmax_jacobian,
    cases=_jacobian_cases,
    properties=(
        has_shape("there is one row and one column per key", lambda p: (len(p), len(p))),
        Property(
            sentence="a raised score raises its own weight",
            test=_raising_a_score_raises_its_weight,
            hint="on the diagonal: the larger a score, the larger its share",
        ),
        Property(
            sentence="what one weight gains, the others lose: every column sums to 0",
            test=_nothing_is_lost,
            hint="the weights sum to 1 before and after, so their changes sum to 0",
        ),
        Property(
            sentence="the matrix agrees with autograd",
            test=_agrees_with_autograd,
            hint="take p_i = e^(s_i) / Z and use the quotient rule, once for j = i and once for j other than i",
        ),
    ),
    wrong=(
        Wrong(
            name="diagonal only",
            answer=torch.diag,
            hint="this would be a function that treats each score by itself; the scores share one denominator",
        ),
        Wrong(
            name="sigmoid's derivative on the diagonal",
            answer=lambda p: torch.diag(p * (1 - p)),
            hint="the diagonal is right; but a raised score also takes weight from all the others",
        ),
        Wrong(
            name="sign of the off-diagonal",
            answer=lambda p: torch.diag(p) + p[:, None] * p,
            hint="with these signs every weight would rise at once, and they could not sum to 1",
        ),
        Wrong(
            name="the other sign",
            answer=lambda p: p[:, None] * p - torch.diag(p),
            hint="everything has the wrong sign: here a raised score lowers its own weight",
        ),
        Wrong(
            name="product only",
            answer=lambda p: p[:, None] * p,
            hint="this is the second part of the quotient rule, without its sign; the first is missing, the one that "
            "holds where i = j",
        ),
        Wrong(
            name="identity instead of diag(p)",
            answer=lambda p: torch.eye(len(p)) - p[:, None] * p,
            hint="on the diagonal stands p_i (1 - p_i): a key with no weight gains none at first",
        ),
        Wrong(
            name="p - p^2, broadcast",
            answer=lambda p: p - p[:, None] * p,
            hint="p was subtracted from along a whole axis: its entries belong on the diagonal only",
        ),
        Wrong(
            name="p @ p.T",
            answer=lambda p: torch.diag(p) - p @ p,
            hint="for a vector, p @ p (with .T or without) is a single number, the sum of the squares; you want the "
            "table of all products p_i p_j",
        ),
        Wrong(
            name="product only, negative",
            answer=lambda p: -p[:, None] * p,
            hint="away from the diagonal this is right; a score also appears in the numerator of its own weight",
        ),
        Wrong(
            name="p on the diagonal",
            answer=lambda p: torch.diag(p) - p[:, None] * p * (1 - torch.eye(len(p))),
            hint="away from the diagonal all is right; for i = j the denominator moves too, so less than p_i is gained",
        ),
        Wrong(
            name="diagonal right, the others positive",
            answer=lambda p: torch.diag(p * (1 - p)) + p[:, None] * p * (1 - torch.eye(len(p))),
            hint="the diagonal is right; when one score rises, which way do the weights of the others go?",
        ),
        Wrong(
            name="log-softmax",
            answer=lambda p: torch.eye(len(p)) - p,
            hint="this is the derivative of log p_i; for that of p_i itself each row has to be weighed",
        ),
        Wrong(
            name="log-softmax, transposed",
            answer=lambda p: torch.eye(len(p)) - p[:, None],
            hint="this is the derivative of log p, transposed; for that of p itself one more factor is missing",
        ),
        Wrong(
            name="diag(p) - p",
            answer=lambda p: torch.diag(p) - p,
            hint="what is subtracted has to have two indices, i and j: a product of two weights",
        ),
        Wrong(
            name="p_i (1 - p_j) everywhere",
            answer=lambda p: p[:, None] * (1 - p),
            hint="the 1 of this formula stands for i = j only; elsewhere it is 0",
        ),
        Wrong(
            name="a row of derivatives",
            answer=lambda p: p * (1 - p),
            hint="one number per key is not enough: each weight depends on each score, so the derivatives fill a "
            "matrix",
        ),
        Wrong(
            name="softmax taken again",
            answer=lambda p: softmax_jacobian(p.softmax(dim=0)),
            hint="p already is the output of the softmax: what becomes of it when it goes through another one?",
        ),
    ),
    notice="Every entry has a factor p_i: when one weight is almost 1 and the rest almost 0, the whole matrix is.",
)


# A classifier gives the logits [1, 2, 100]; the right class is the first one. What is the gradient of the cross-entropy
# with respect to the logits, roughly?  (a) [0, 0, 0]: the softmax is saturated; (b) [-1, 0, 1]; (c) NaN: log of 0;
# (d) [-99, 0, 99]: as far as the logits are off.
PREDICT_CONFIDENT_MISTAKE = Exercise(
    id="scores/predict-confident-mistake",
    title="Predict: a saturated softmax that is wrong",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: saturated",
            answer="a",
            hint="the Jacobian is almost zero, and it is multiplied by the derivative of -log p: how large is that "
            "when p is almost 0?",
        ),
        Wrong(
            name="c: log of zero",
            answer="c",
            hint="log p need not be computed from p: it is the logit minus the logarithm of a sum, here 1 - 100",
        ),
        Wrong(
            name="d: as far as it is off",
            answer="d",
            hint="a gradient of 99 would be that of a squared error; here it is a difference of two probabilities",
        ),
    ),
    notice="The loss's 1 / p cancels the Jacobian's p: in the output layer saturation does not stop learning.",
)
