"""Exercise: one mask in three conventions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, named_case
from tftutor.exercises.values import Trouble, read_tensor, show
from tftutor.masks import from_additive, from_blocked, to_additive, to_blocked

ALLOWED, BLOCKED, ADDITIVE = CONVENTIONS = ("allowed", "blocked", "additive")


def read_any_mask(value: Any) -> Tensor:
    """A tensor of booleans, or of floats among which -inf is welcome and NaN is not."""
    if isinstance(value, Tensor) and value.is_floating_point():
        n_bad = int(value.isnan().sum())
        if n_bad:
            raise Trouble("holds entries that are NaN", "which arithmetic with infinity has no result?",
                          expected="no NaN", got=f"{n_bad} of {value.numel()} entries NaN")  # fmt: skip
        read_tensor(value.nan_to_num(neginf=-1.0))
        return value.detach()
    return read_tensor(value)


def convert(mask: Tensor, source: str, target: str) -> Tensor:
    """The same mask in another convention.

    source, target: each "allowed" (bool, True = may look),
    "blocked" (bool, True = hidden) or "additive" (float32, 0 = may look,
    -inf = hidden). Additive masks that come in may use the smallest finite
    float32 in place of -inf.
    mask: of any shape. Returns a tensor of the same shape.
    """
    allowed = mask
    if source == "blocked":
        allowed = ~mask
    elif source == "additive":
        allowed = mask > torch.finfo(torch.float32).min
    if target == "blocked":
        return ~allowed
    if target == "additive":
        return torch.zeros(mask.shape).masked_fill(~allowed, float("-inf"))
    return allowed


def _convert_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for i, source in enumerate(CONVENTIONS):
        for j, target in enumerate(CONVENTIONS):
            allowed = torch.rand(2, 3 + i, 4 + j, generator=generator) < 0.6
            allowed[0, 0] = False  # a row in which everything is hidden
            ways = {ALLOWED: [allowed], BLOCKED: [to_blocked(allowed)],
                    ADDITIVE: [to_additive(allowed), to_additive(allowed, finite=True)]}  # fmt: skip
            cases += [named_case(mask=mask, source=source, target=target) for mask in ways[source]]
    return cases


def _means_the_same(trial: Trial) -> Mismatch | None:
    mask, source, target = trial.args
    read = {ALLOWED: lambda m: m, BLOCKED: from_blocked, ADDITIVE: from_additive}
    wanted, got = read[source](mask), trial.output
    if got.shape != mask.shape:
        return Mismatch(f"shape {tuple(mask.shape)}", f"shape {tuple(got.shape)}")
    if target == ADDITIVE and not bool(((got == 0) | (got == float("-inf"))).all()):
        return Mismatch("zeros and -inf only", "other numbers too")
    wrong = int((read[target](got) != wanted).sum())
    return None if wrong == 0 else Mismatch("all entries mean the same as before", f"{wrong} of {got.numel()} do not")


def _right_type(trial: Trial) -> Mismatch | None:
    wanted = torch.float32 if trial.args[2] == ADDITIVE else torch.bool
    return None if trial.output.dtype == wanted else Mismatch(str(wanted), str(trial.output.dtype))


def _comes_back(trial: Trial) -> Mismatch | None:
    mask, source, target = trial.args
    back = trial.call(trial.output, target, source)
    wanted = mask if source != ADDITIVE else to_additive(from_additive(mask))
    return None if torch.equal(back, wanted) else Mismatch("the mask that went out", show(back))


def _convert_variant(
    *, blocked_in: Callable[[Tensor], Tensor] = lambda m: ~m, blocked_out: Callable[[Tensor], Tensor] = lambda a: ~a,
    additive_in: Callable[[Tensor], Tensor] = from_additive, additive_out: Callable[[Tensor], Tensor] = to_additive,
) -> Callable[[Tensor, str, str], Tensor]:  # fmt: skip
    """A converter with some of its ways replaced."""

    def variant(mask: Tensor, source: str, target: str) -> Tensor:
        allowed = {ALLOWED: lambda m: m, BLOCKED: blocked_in, ADDITIVE: additive_in}[source](mask)
        return {ALLOWED: lambda a: a, BLOCKED: blocked_out, ADDITIVE: additive_out}[target](allowed)

    return variant


def _turned(mask: Tensor, kind: str) -> Tensor:
    """The opposite of a boolean mask; an additive one as it is."""
    return mask if kind == ADDITIVE else ~mask


def _fills_with_a_finite_number(answer: Callable[[Tensor, str, str], Tensor]) -> bool:
    """Whether a hidden key gets a negative finite number in an additive mask."""
    fill = answer(torch.tensor([True, False]), ALLOWED, ADDITIVE)[1]
    return bool(fill.isfinite() & (fill < 0))


CONVERT = Exercise(
    id="masks/convert",
    title="One mask, three conventions",
    answer="convert",
    solution=convert,
    cases=_convert_cases,
    read=read_any_mask,
    properties=(
        Property(
            sentence="the result has the type of the target: bool, or float32 for an additive mask",
            test=_right_type,
            hint="compare the type of what you return with the convention that was asked for",
        ),
        Property(
            sentence="the result hides what the input hides",
            test=_means_the_same,
            hint="say in words what True, or 0, means in the source, and what it means in the target",
        ),
        Property(
            sentence="converting back gives the mask that went out",
            test=_comes_back,
            hint="there and back again: one of the two ways is not the inverse of the other",
        ),
    ),
    wrong=(
        Wrong(
            name="polarity ignored",
            answer=_convert_variant(blocked_in=lambda m: m, blocked_out=lambda a: a),
            hint="allowed and blocked are both bool, and opposites: F.scaled_dot_product_attention takes the one, "
            "nn.MultiheadAttention the other",
        ),
        Wrong(
            name="polarity turned on the way in only",
            answer=_convert_variant(blocked_out=lambda a: a),
            hint="a blocked mask is read correctly, but what you return as blocked still says True for may look",
        ),
        Wrong(
            name="polarity turned on the way out only",
            answer=_convert_variant(blocked_in=lambda m: m),
            hint="you return blocked masks correctly, but a blocked mask that comes in is read as if True meant may "
            "look",
        ),
        Wrong(
            name="ones and zeros added",
            answer=_convert_variant(additive_out=lambda a: a.float()),
            hint="added to scores, 1 and 0 merely favour some keys by a factor e: which number has to be added so "
            "that nothing is left of a key?",
        ),
        Wrong(
            name="additive polarity",
            answer=_convert_variant(additive_out=lambda a: to_additive(~a)),
            hint="the -inf stands on the keys that may be seen",
        ),
        Wrong(
            name="zero times infinity",
            answer=_convert_variant(additive_out=lambda a: (~a).float() * float("-inf")),
            hint="0 times infinity is not 0 but NaN: choose between two numbers instead of multiplying",
        ),
        Wrong(
            name="additive read by truth",
            answer=_convert_variant(additive_in=lambda m: m.bool()),
            hint="as a truth value 0 is False, but in an additive mask 0 means may look",
        ),
        Wrong(
            name="only infinity counts",
            answer=_convert_variant(additive_in=lambda m: ~m.isinf()),
            hint="many libraries fill with the smallest finite number instead of -inf: it hides just as much",
        ),
        Wrong(
            name="a finite fill",
            answer=_convert_variant(additive_out=lambda a: to_additive(a, finite=True)),
            hint="a finite fill hides as long as something else is visible, but the task asks for -inf; and two "
            "smallest numbers that are added overflow",
            recognise=_fills_with_a_finite_number,
        ),
        Wrong(
            name="the same convention passed through",
            answer=lambda mask, source, target: mask if source == target else convert(mask, source, target),
            hint="source and target are the same here, and still there is something to do: an additive mask that came "
            "with a finite fill has to leave with -inf",
        ),
        Wrong(
            name="minus infinity read as visible",
            answer=_convert_variant(additive_in=lambda m: m == float("-inf")),
            hint="an additive mask is read the wrong way round: -inf stands where a key is hidden",
        ),
        Wrong(
            name="plus infinity",
            answer=_convert_variant(additive_out=lambda a: -to_additive(a)),
            hint="plus infinity makes a key irresistible instead of hiding it",
        ),
        Wrong(
            name="ones on the hidden",
            answer=_convert_variant(additive_out=lambda a: (~a).float()),
            hint="a 1 that is added to the score of a hidden key makes it a little more likely: which number hides it?",
        ),
        Wrong(
            name="allowed and blocked exchanged",
            answer=lambda mask, source, target: _turned(convert(_turned(mask, source), source, target), target),
            hint="you have the two boolean conventions the wrong way round: what does True mean in each?",
        ),
        Wrong(
            name="target ignored",
            answer=lambda mask, source, target: convert(mask, source, ALLOWED),
            hint="what comes back is always in one and the same convention: where does `target` enter?",
        ),
        Wrong(
            name="source ignored",
            answer=lambda mask, source, target: convert(mask != 0, ALLOWED, target),
            hint="the result does not depend on `source`: the same tensor means different things in different "
            "conventions",
        ),
    ),
    notice="Through one convention in the middle, n conventions need 2n small conversions instead of n times n.",
)
