"""Exercise: a mask full of NaN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Flag, Mismatch, Property, Trial, Wrong, has_shape, named_case
from tftutor.exercises.masks.convert import read_any_mask
from tftutor.exercises.values import show


def additive_causal(n: int) -> Tensor:
    """The causal mask to be added to scores: 0 = may look, -inf = hidden.

    Returns float (n, n), without a single NaN.
    """
    return torch.full((n, n), float("-inf")).triu(1)


def _scores(n: int) -> Tensor:
    return torch.randn(n, n, generator=torch.Generator().manual_seed(n))


def _future_gets_nothing(trial: Trial) -> Mismatch | None:
    (n,) = trial.args
    weights = (_scores(n) + trial.output).softmax(dim=-1)
    if bool(weights.isnan().any()):
        return Mismatch("weights after the softmax", f"NaN in row {int(weights.isnan().any(dim=-1).nonzero()[0])}")
    most = float(weights.triu(1).max())
    return None if most == 0 else Mismatch("weight 0 on the future", f"up to {most:.2f}")


def _past_is_untouched(trial: Trial) -> Mismatch | None:
    (n,) = trial.args
    here = torch.ones(n, n, dtype=torch.bool).tril()
    wrong = trial.output[here]
    return None if bool((wrong == 0).all()) else Mismatch("0 where one may look", show(wrong[wrong != 0][0].item()))


def _is_float(trial: Trial) -> Mismatch | None:
    return None if trial.output.is_floating_point() else Mismatch("floats", str(trial.output.dtype))


def _is_finite(answer: Callable[..., Any], cases: Sequence[Case]) -> bool:
    return bool(torch.as_tensor(answer(*cases[-1].args)).isfinite().all())


def _subtracts_a_little(answer: Callable[[int], Tensor]) -> bool:
    """Whether the future gets a finite penalty that a softmax in float32 still notices."""
    mask = answer(3)
    penalty = mask[torch.ones(3, 3, dtype=torch.bool).triu(1)]
    return bool((penalty < 0).all()) and bool((penalty > -104).all()) and not bool(mask.tril().any())


NAN_HUNT = Exercise(
    id="masks/nan-hunt",
    title="Where do the NaN come from?",
    answer="additive_causal",
    solution=additive_causal,
    cases=lambda _generator: [named_case(n=n) for n in (2, 1, 3, 6)],
    read=read_any_mask,
    properties=(
        has_shape("there is one row and one column per token", lambda n: (n, n)),
        Property(sentence="the mask holds floats", test=_is_float, hint="an additive mask is added to scores"),
        Property(
            sentence="scores that may be used stay as they are",
            test=_past_is_untouched,
            hint="what is added to the score of a key that may be seen?",
        ),
        Property(
            sentence="after the softmax the future has weight 0, in every row",
            test=_future_gets_nothing,
            hint="add your mask to some scores, take the softmax and look at each row",
        ),
    ),
    wrong=(
        Wrong(
            name="triangle of ones times infinity",
            answer=lambda n: torch.ones(n, n).triu(1) * float("-inf"),
            hint="below the diagonal stands 0 times infinity, which is NaN: put the infinities in before you cut the "
            "triangle out",
        ),
        Wrong(
            name="lower triangle of ones times infinity",
            answer=lambda n: torch.ones(n, n).tril() * float("-inf"),
            hint="two mistakes in one: the triangle that is multiplied is the one that may be seen, and the rest is 0 "
            "times infinity, which is NaN",
        ),
        Wrong(
            name="diagonal included",
            answer=lambda n: torch.full((n, n), float("-inf")).triu(0),
            hint="no NaN yet, but the first row is -inf from end to end, and its softmax is 0/0: may a token see "
            "itself?",
        ),
        Wrong(
            name="lower triangle",
            answer=lambda n: torch.full((n, n), float("-inf")).tril(-1),
            hint="this hides the past and shows the future: which triangle has to go?",
        ),
        Wrong(
            name="ones",
            answer=lambda n: torch.ones(n, n).tril(),
            hint="1 and 0 are made for keeping and hiding by multiplication; added to scores they hide nothing",
        ),
        Wrong(
            name="a small penalty",
            answer=lambda n: torch.full((n, n), -10.0).triu(1),
            hint="a finite penalty of this size leaves a hidden key some weight: small is not zero",
            recognise=_subtracts_a_little,
        ),
        Wrong(
            name="lower triangle with the diagonal",
            answer=lambda n: torch.full((n, n), float("-inf")).tril(),
            hint="the -inf stands exactly where one may look: the two cases are exchanged",
        ),
        Wrong(
            name="ones on the future",
            answer=lambda n: torch.ones(n, n).triu(1),
            hint="a 1 that is added to the score of a later token favours it: which number leaves nothing of it?",
        ),
        Wrong(
            name="ones on the past",
            answer=lambda n: torch.ones(n, n).tril().masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf")),
            hint="adding 1 to every visible score of a row happens to change no weight, but the number for 'may look' "
            "is another one",
        ),
        Wrong(
            name="one too far",
            answer=lambda n: torch.full((n, n), float("-inf")).triu(2),
            hint="each token still sees the next one, which is its answer: where does the triangle begin?",
        ),
        Wrong(
            name="everything",
            answer=lambda n: torch.full((n, n), float("-inf")),
            hint="here nobody may look at anything, and every row becomes 0/0",
        ),
        Wrong(
            name="booleans",
            answer=lambda n: torch.ones(n, n, dtype=torch.bool).tril(),
            hint="this is a boolean mask: added to scores, True would count as 1",
            recognise=lambda answer: answer(3).dtype == torch.bool,
        ),
        Wrong(
            name="plus infinity",
            answer=lambda n: torch.full((n, n), float("inf")).triu(1),
            hint="plus infinity makes a key irresistible: which sign hides it?",
        ),
    ),
    flags=(
        Flag(
            applies=_is_finite,
            remark="It fills with a finite number, which hides as well as -inf in float32 where something else is "
            "visible; a row in which everything is hidden gets weights as if it were not, and -1e9 is -inf in float16.",
            example=lambda n: torch.full((n, n), -1e9).triu(1),
        ),
    ),
    notice="The logarithm of a triangle of ones is the same mask: log 1 = 0 and log 0 = -inf.",
)
