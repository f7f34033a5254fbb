"""Exercise: the output as a sum over heads."""

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
    named_case,
)


def head_terms(heads: Tensor, w_o: Tensor) -> Tensor:
    """What each head adds to the layer's output.

    heads: what the heads computed, (B, H, T, Dh).
    w_o: (H * Dh, D); it is applied to the heads side by side, head 0 first.
    Returns the terms (B, H, T, D), whose sum over the heads is that product.
    """
    return heads @ w_o.unflatten(0, (heads.shape[1], -1))  # (B, H, T, Dh) @ (H, Dh, D)


def _terms_cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, h: int, t: int, d_head: int, d: int) -> Case:
        heads = torch.randn(b, h, t, d_head, generator=generator)
        return named_case(heads=heads, w_o=torch.randn(h * d_head, d, generator=generator))

    # the last ones are square: wrong cuts of W_O give numbers there
    return [draw(1, 2, 1, 1, 3), draw(1, 2, 3, 4, 5), draw(2, 3, 5, 4, 7), draw(2, 3, 4, 2, 6), draw(3, 2, 5, 4, 8)]


def _adds_up(trial: Trial) -> Mismatch | None:
    heads, w_o = trial.args
    return compare(heads.transpose(1, 2).flatten(2) @ w_o, trial.output.sum(dim=1))


def _own_head_only(trial: Trial) -> Mismatch | None:
    heads, w_o = trial.args
    alone = torch.zeros_like(heads)
    alone[:, -1] = heads[:, -1]
    return compare(trial.output[:, -1], trial.call(alone, w_o)[:, -1])


def _is_linear_without_rest(trial: Trial) -> Mismatch | None:
    heads, w_o = trial.args
    silent = heads.clone()
    silent[:, 0] = 0
    return compare(torch.zeros_like(trial.output[:, 0]), trial.call(silent, w_o)[:, 0])


def _rows(h: int, w_o: Tensor) -> Tensor:
    return w_o.unflatten(0, (h, -1))


TERMS = Exercise(
    id="heads/terms",
    title="The output is a sum over heads",
    answer="head_terms",
    solution=head_terms,
    cases=_terms_cases,
    properties=(
        has_shape(
            "there is one term per head, as wide as the model",
            lambda heads, w_o: (*heads.shape[:3], w_o.shape[1]),
        ),
        Property(
            sentence="the terms add up to (heads side by side) W_O",
            test=_adds_up,
            hint="write the product of a row that consists of H pieces with a matrix: which of its rows meet piece h?",
        ),
        Property(
            sentence="a head that is silent (all zeros) adds nothing",
            test=_is_linear_without_rest,
            hint="a term may hold nothing but its own head's part",
        ),
        Property(
            sentence="the term of a head does not change when the others fall silent",
            test=_own_head_only,
            hint="the terms should tell the heads apart, and yours mix them",
        ),
    ),
    wrong=(
        Wrong(
            name="columns instead of rows",
            answer=lambda heads, w_o: heads @ w_o.T.unflatten(0, (heads.shape[1], -1)),
            hint="you cut W_O by its columns, which number the features of the result: a head meets some of the rows",
        ),
        Wrong(
            name="every H-th row",
            answer=lambda heads, w_o: heads @ w_o.unflatten(0, (-1, heads.shape[1])).transpose(0, 1),
            hint="the heads stand side by side, each in one piece: the rows of a head are neighbours",
        ),
        Wrong(
            name="the first rows for all",
            answer=lambda heads, w_o: heads @ w_o[: heads.shape[-1]],
            hint="all of your heads use the rows of head 0; W_O has rows for each of them",
        ),
        Wrong(
            name="the last rows for all",
            answer=lambda heads, w_o: heads @ w_o[-heads.shape[-1] :],
            hint="all of your heads use the rows of the last one; is there a loop variable that no longer moves?",
        ),
        Wrong(
            name="moved on by one row per head",
            answer=lambda heads, w_o: torch.stack(
                [heads[:, h] @ w_o[h : h + heads.shape[-1]] for h in range(heads.shape[1])], dim=1
            ),
            hint="the pieces overlap: from one head to the next you move on by one row, not by the width of a head",
        ),
        Wrong(
            name="running sum",
            answer=lambda heads, w_o: head_terms(heads, w_o).cumsum(dim=1),
            hint="these are running sums: each term holds those before it as well",
        ),
        Wrong(
            name="blocks of W_O added",
            answer=lambda heads, w_o: heads @ _rows(heads.shape[1], w_o).sum(dim=0),
            hint="the blocks of W_O were added up, so that every head meets all of them: each has a block of its own",
        ),
        Wrong(
            name="blocks of W_O averaged",
            answer=lambda heads, w_o: heads @ _rows(heads.shape[1], w_o).mean(dim=0),
            hint="the blocks of W_O were averaged, and all heads write in the same way: each has a block of its own",
        ),
        Wrong(
            name="the whole sum for each head",
            answer=lambda heads, w_o: head_terms(heads, w_o).sum(1, keepdim=True).expand(-1, heads.shape[1], -1, -1),
            hint="you give every head the whole sum; together they would make it H times as large",
        ),
        Wrong(
            name="heads first",
            answer=lambda heads, w_o: head_terms(heads, w_o).transpose(0, 1),
            hint="the terms are right; stacked along the first axis they stand before the batch",
        ),
        Wrong(
            name="reversed",
            answer=lambda heads, w_o: heads @ _rows(heads.shape[1], w_o).flip(0),
            hint="the pieces of W_O are right and go to the wrong heads: which rows stand on top?",
        ),
        Wrong(
            name="mean",
            answer=lambda heads, w_o: head_terms(heads, w_o) / heads.shape[1],
            hint="this would make the output an average of the heads; it is their sum",
        ),
        Wrong(
            name="equal shares of the total",
            answer=lambda heads, w_o: (
                head_terms(heads, w_o).sum(1, keepdim=True).expand(-1, heads.shape[1], -1, -1) / heads.shape[1]
            ),
            hint="the total is right, but every head gets the same share of it, whatever it computed",
        ),
        Wrong(
            name="summed",
            answer=lambda heads, w_o: heads.transpose(1, 2).flatten(2) @ w_o,
            hint="this is the sum already; the terms are asked for, with an axis for the heads",
        ),
        Wrong(
            name="heads after tokens",
            answer=lambda heads, w_o: head_terms(heads, w_o).transpose(1, 2),
            hint="the terms are right, the order of two axes is not: heads come before tokens",
        ),
    ),
    notice="So W_O is one matrix per head, written on top of one another: taking a head out leaves the others alone.",
)
