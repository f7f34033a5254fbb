"""Exercises: which tables of scores tied queries and keys allow, and which scores a gradient step raises."""

from __future__ import annotations

import math

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
    distinct_sizes,
    has_shape,
    named_case,
)
from tftutor.exercises.values import read_bool, read_mask, show


def realisable_with_tied_qk(scores: Tensor) -> bool:
    """Can these scores arise when queries and keys are the same vectors?

    scores: (N, N), the score of token i (as a query) with token j (as a key).
    Returns True if there are vectors a_1 ... a_N, of any width, with
    scores[i, j] = a_i . a_j (up to rounding: allow errors of 1e-4).
    """
    symmetric = torch.allclose(scores, scores.T, atol=1e-4)
    return symmetric and bool(torch.linalg.eigvalsh(scores).min() > -1e-4)


def _tied_cases(generator: torch.Generator) -> list[Case]:
    def gram(n: int, width: int) -> Tensor:
        a = torch.randn(n, width, generator=generator)
        return a @ a.T / math.sqrt(width)

    cycle = torch.tensor([[1.0, 0.9, 0.2], [0.2, 1.0, 0.9], [0.9, 0.2, 1.0]])
    loud = torch.tensor([[1.0, 3.0], [3.0, 9.0]])  # of a_1 = 1, a_2 = 3: the first token prefers the second
    rounded = gram(5, 2)  # rank 2: three eigenvalues are 0 up to rounding
    rounded[0, 1] += 3e-6
    noise = torch.randn(4, 4, generator=generator).triu(1) * 0.2
    tables = [
        torch.tensor([[0.0]]),
        torch.tensor([[1.0, 2.0], [2.0, 1.0]]),  # symmetric, no cycle, and impossible: |a_1 . a_2| > |a_1| |a_2|
        torch.tensor([[1.0, 0.5], [0.2, 1.0]]),
        loud,
        torch.tensor([[2.0, -1.0], [-1.0, 2.0]]),
        cycle,
        gram(3, 4),
        rounded,
        gram(4, 6) + 3 * torch.eye(4) + noise - noise.T,  # asymmetric, each token prefers itself
        gram(7, 3) - 0.5 * torch.eye(7),
        gram(6, 9),
        torch.tensor([[-1.0]]),
        torch.tensor([[0.0, 0.0], [0.0, -1.0]]),  # no leading minor is negative
        torch.tensor([[-1.0, 0.0], [0.0, -2.0]]),  # nor the determinant here
        torch.tensor([[1.0, -0.9, -0.9], [-0.9, 1.0, -0.9], [-0.9, -0.9, 1.0]]),  # any two vectors exist, not all three
    ]
    return [named_case(scores=table)._replace(label=f"scores = {show(table)}") for table in tables]


def _prefers_in_a_cycle(s: Tensor) -> bool:
    """Whether tokens a, b, c exist with s(a,b) > s(a,c), s(b,c) > s(b,a) and s(c,a) > s(c,b)."""
    n, margin = len(s), 1e-4
    return any(
        len({a, b, c}) == 3
        and s[a, b] > s[a, c] + margin and s[b, c] > s[b, a] + margin and s[c, a] > s[c, b] + margin
        for a in range(n) for b in range(n) for c in range(n)
    )  # fmt: skip


def _right_verdict(trial: Trial) -> Mismatch | None:
    truth = realisable_with_tied_qk(trial.args[0])
    if trial.output == truth:
        return None
    reason = "there are such vectors" if truth else "there are no such vectors"
    return Mismatch(f"{truth} ({reason})", str(trial.output))


def _symmetric(s: Tensor) -> bool:
    return torch.allclose(s, s.T, atol=1e-4)


def _two_at_a_time(s: Tensor) -> bool:
    diagonal = s.diagonal()
    fits = s.square() <= diagonal[:, None] * diagonal + 1e-3
    return _symmetric(s) and bool((diagonal >= -1e-4).all()) and bool(fits.all())


def _leading_minors(s: Tensor) -> bool:
    return _symmetric(s) and all(torch.linalg.det(s[:n, :n]) >= -1e-4 for n in range(1, len(s) + 1))


def _no_negative_direction(s: Tensor) -> bool:
    return bool(torch.linalg.eigvalsh(s).min() > -1e-4)


TIED_SCORES = Exercise(
    id="qkv/tied-scores",
    title="Which score tables can tied queries and keys produce?",
    answer="realisable_with_tied_qk",
    solution=realisable_with_tied_qk,
    cases=_tied_cases,
    read=read_bool,
    properties=(
        Property(
            sentence="the verdict on this table is right",
            test=_right_verdict,
            hint="write s_ij = a_i . a_j: what follows when i and j change places, and what is the sign of |c_1 a_1 "
            "+ ... + c_N a_N|^2, whatever the numbers c?",
        ),
    ),
    wrong=(
        Wrong(
            name="only symmetry",
            answer=_symmetric,
            hint="symmetry is necessary and not enough: [[1, 2], [2, 1]] would need two vectors of length 1 whose "
            "product is 2",
        ),
        Wrong(
            name="only eigenvalues",
            answer=_no_negative_direction,
            hint="eigenvalues do not tell whether the table is its own mirror image (eigvalsh reads one triangle "
            "only): check that first",
        ),
        Wrong(
            name="symmetry and a diagonal that is not negative",
            answer=lambda s: _symmetric(s) and bool((s.diagonal() >= -1e-4).all()),
            hint="no length is negative, but that is not all: two vectors of length 1 cannot have the product 2",
        ),
        Wrong(
            name="two at a time",
            answer=_two_at_a_time,
            hint="every two of the vectors may exist without all of them existing together: three arrows cannot all "
            "point away from one another",
        ),
        Wrong(
            name="determinant",
            answer=lambda s: _symmetric(s) and bool(torch.linalg.det(s) >= -1e-4),
            hint="a determinant is the product of all eigenvalues, and two negative ones make a positive product",
        ),
        Wrong(
            name="leading minors",
            answer=_leading_minors,
            hint="leading determinants decide when all of them are positive; with zeros among them, as in "
            "[[0, 0], [0, -1]], they do not",
        ),
        Wrong(
            name="diagonal dominance",
            answer=lambda s: _symmetric(s) and bool((s.diagonal() >= s - 1e-4).all()),
            hint="a token need not prefer itself: with a_1 = 1 and a_2 = 3 the first token's largest score is with the "
            "second",
        ),
        Wrong(
            name="sum of the row on the diagonal",
            answer=lambda s: _symmetric(s) and bool((2 * s.diagonal() >= s.abs().sum(1) - 1e-4).all()),
            hint="a dominant diagonal is sufficient and not necessary: the products of 1 and 3 with each other are "
            "[[1, 3], [3, 9]]",
        ),
        Wrong(
            name="only cycles",
            answer=lambda s: not _prefers_in_a_cycle(s),
            hint="a cycle of preferences rules tied vectors out, but a table without one can still be impossible: what "
            "about s(a, b) and s(b, a)?",
        ),
        Wrong(
            name="exact equality",
            answer=lambda s: torch.equal(s, s.T) and _no_negative_direction(s),
            hint="scores are computed in floating point: two equal numbers may differ in the last digit",
        ),
        Wrong(
            name="strictly positive eigenvalues",
            answer=lambda s: _symmetric(s) and bool(torch.linalg.eigvalsh(s).min() > 1e-4),
            hint="N vectors of width less than N leave eigenvalues of exactly 0, which rounding may push below",
        ),
        Wrong(
            name="non-negative eigenvalues without tolerance",
            answer=lambda s: _symmetric(s) and bool(torch.linalg.eigvalsh(s).min() >= 0),
            hint="an eigenvalue of 0 is often computed as -1e-7: allow for rounding",
        ),
    ),
    notice="Symmetric without negative eigenvalues: that is all, and it rules out every one-way preference.",
)


def rises(p: Tensor, g: Tensor) -> Tensor:
    """Which scores does a small step of gradient descent raise?

    p: attention weights (T, S), rows sum to 1.
    g: (T, S), g[i, j] = dL/do_i . v_j: how much the loss grows when query i
    takes more of value j.
    Returns bool (T, S): True where descent on the scores themselves raises s_ij.
    """
    return g < (p * g).sum(dim=-1, keepdim=True)


def _rises_cases(generator: torch.Generator) -> list[Case]:
    def draw(t: int, s: int, sharpness: float, shift: float) -> Case:
        p = (torch.randn(t, s, generator=generator) * sharpness).softmax(dim=-1)
        return named_case(p=p, g=torch.randn(t, s, generator=generator) + shift)

    p, g = torch.tensor([[0.7, 0.3]]), torch.tensor([[-1.0, -2.0]])
    sizes = [distinct_sizes(generator, 2, 3, 9) for _ in range(3)]
    cases = [named_case(p=p, g=g), draw(2, 3, 1.0, 0.0), draw(5, 3, 1.5, 2.0), draw(4, 4, 1.5, -1.0)]
    return cases + [draw(t, s, 2.0, shift) for (t, s), shift in zip(sizes, (-2.0, 0.5, 0.0), strict=True)]


def _agrees_with_autograd(trial: Trial) -> Mismatch | None:
    p, g = trial.args
    scores = p.log().requires_grad_()
    (gradient,) = torch.autograd.grad((scores.softmax(dim=-1) * g).sum(), scores)
    return compare(gradient < 0, trial.output)


def _not_all_rise(trial: Trial) -> Mismatch | None:
    rows = trial.output.all(dim=-1) | (~trial.output).all(dim=-1)
    return Mismatch("both True and False", f"all alike in row {int(rows.nonzero()[0])}") if rows.any() else None


RISES = Exercise(
    id="qkv/rises",
    title="Which scores does a gradient step raise?",
    answer="rises",
    solution=rises,
    cases=_rises_cases,
    read=read_mask,
    properties=(
        has_shape("there is one answer per score", lambda p, g: tuple(p.shape)),
        Property(
            sentence="in every row some scores rise and some fall, for the weights must still sum to 1",
            test=_not_all_rise,
            hint="attention is a competition: a value is compared with what the query gets at present",
        ),
        Property(
            sentence="the signs agree with autograd's gradient of the scores",
            test=_agrees_with_autograd,
            hint="dL/ds_ij = p_ij (g_ij - what the query gets on average)",
        ),
    ),
    wrong=(
        Wrong(
            name="sign of g alone",
            answer=lambda p, g: g < 0,
            hint="a helpful value can still lose: what counts is whether it helps more than the query's current "
            "mixture",
        ),
        Wrong(
            name="positive g",
            answer=lambda p, g: g > 0,
            hint="positive g means that the loss grows with more of this value; and is the sign of g enough at all?",
        ),
        Wrong(
            name="only the best value",
            answer=lambda p, g: g == g.min(dim=-1, keepdim=True).values,
            hint="the best value always wins, but not alone: every value that beats the current mixture gains",
        ),
        Wrong(
            name="unweighted mean",
            answer=lambda p, g: g < g.mean(dim=-1, keepdim=True),
            hint="the current mixture weights the values by p; a plain mean treats keys nobody looks at like the "
            "others",
        ),
        Wrong(
            name="mean over everything",
            answer=lambda p, g: g < (p * g).sum() / p.sum(),
            hint="each query has its own softmax, so its own average: one per row",
        ),
        Wrong(
            name="mean over the queries",
            answer=lambda p, g: g < (p * g).sum(dim=0, keepdim=True),
            hint="the competition is among the keys of one query: sum along the other axis",
        ),
        Wrong(
            name="sum that lost its axis",
            answer=lambda p, g: g < (p * g).sum(dim=-1),
            hint="without keepdim the averages are laid out along the keys: it only runs when T equals S, and then it "
            "compares with another query's average",
        ),
        Wrong(
            name="sign of the gradient",
            answer=lambda p, g: g > (p * g).sum(dim=-1, keepdim=True),
            hint="descent goes against the gradient: a score rises where the loss falls",
        ),
        Wrong(
            name="p times g compared with the average",
            answer=lambda p, g: p * g < (p * g).sum(dim=-1, keepdim=True),
            hint="the factor p_ij stands in front of the whole difference, so it cannot change its sign",
        ),
    ),
    notice="A value that helps loses score all the same when the others help more.",
)
