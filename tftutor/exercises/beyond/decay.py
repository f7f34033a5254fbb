"""Exercises: what retention remembers of each token, and steps that make a selective memory choose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case
from tftutor.exercises.values import Trouble, show


def decay_mask(decay: Tensor, length: int) -> Tensor:
    """What query i still has of key j.

    That is decay ** (i - j) for keys up to the query, and 0 for later ones.

    decay: (H,), a factor between 0 and 1 for each head.
    Returns (H, length, length): heads, queries, keys.
    """
    place = torch.arange(length)
    steps = place[:, None] - place
    return torch.where(steps >= 0, decay[:, None, None] ** steps.clamp(min=0), 0.0)


def _mask_cases(_generator: torch.Generator) -> list[Case]:
    cases = (([0.5], 2), ([0.9, 0.25], 3), ([0.75, 0.5, 0.96875], 5), ([0.3, 0.6], 6))
    return [named_case(decay=torch.tensor(decay), length=length) for decay, length in cases]


def _ones(trial: Trial) -> Mismatch | None:
    diagonal = trial.output.diagonal(dim1=-2, dim2=-1)
    return None if torch.allclose(diagonal, torch.ones_like(diagonal)) else Mismatch("ones", show(diagonal[0]))


def _no_future(trial: Trial) -> Mismatch | None:
    most = float(trial.output.triu(1).abs().max())
    return None if most == 0 else Mismatch("0 above the diagonal", f"{most:.3g}")


def _long(trial: Trial) -> Mismatch | None:
    try:
        trial.call(torch.tensor([0.5, 0.9]), 400)
    except Trouble as trouble:
        return Mismatch("finite numbers for 400 tokens as well", trouble.got)
    return None


def _from(entry: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """A mask whose entries are made from the decay (H, 1, 1) and the steps i - j (T, T)."""

    def variant(decay: Tensor, length: int) -> Tensor:
        place = torch.arange(length)
        return entry(decay[:, None, None], place[:, None] - place)

    return variant


def _split(decay: Tensor, length: int) -> Tensor:
    """Right on paper: the power of the difference as a quotient of powers."""
    powers = decay[:, None] ** torch.arange(length)
    return (powers[:, :, None] / powers[:, None, :]).tril()


def _fails_when_long(answer: Callable[[Tensor, int], Tensor]) -> Tensor | None:
    """The mask of 400 tokens by an answer that is right for 5, where it is not finite."""
    decay = torch.tensor([0.5])
    if not torch.allclose(answer(decay, 5).float(), decay_mask(decay, 5)):
        return None
    mask = answer(decay, 400)
    return None if mask.isfinite().all() else mask[0]


def _divides(answer: Callable[[Tensor, int], Tensor]) -> bool:
    mask = _fails_when_long(answer)
    return mask is not None and not bool(mask.tril().isfinite().all())


def _multiplies(answer: Callable[[Tensor, int], Tensor]) -> bool:
    mask = _fails_when_long(answer)
    return mask is not None and bool(mask.tril().isfinite().all())


DECAY_MASK = Exercise(
    id="beyond/decay-mask",
    title="A mask that fades",
    answer="decay_mask",
    solution=decay_mask,
    cases=_mask_cases,
    properties=(
        has_shape("there is a square for every head", lambda decay, length: (len(decay), length, length)),
        Property(sentence="a token has all of itself", test=_ones,
                 hint="no step has passed between a token and itself: which power is that?"),
        Property(sentence="no query has anything of a later key", test=_no_future,
                 hint="a power with a negative exponent is not 0: what stands above the diagonal?"),
        equals("every step back is one more factor", decay_mask,
               hint="write the row of the third query by hand: what does it keep of keys 1, 2 and 3?"),
        Property(sentence="long texts are no problem", test=_long,
                 hint="somewhere on the way to your mask stands a power that is too large for a float, or one that has "
                      "become 0 and divides: which exponents do you take?"),
    ),
    wrong=(
        Wrong(name="future not cut", answer=_from(lambda g, steps: g ** steps.clamp(min=0)),
              hint="later keys count in full: clamping the exponent made their entries 1, not 0"),
        Wrong(name="negative powers", answer=_from(lambda g, steps: g**steps),
              hint="above the diagonal the exponent is negative, and the entries are larger than 1"),
        Wrong(name="distance", answer=_from(lambda g, steps: g ** steps.abs()),
              hint="symmetric: a query looks ahead as well as back here. Retention is causal"),
        Wrong(name="transposed", answer=_from(lambda g, steps: torch.where(steps <= 0, g ** (-steps).clamp(min=0),
                                                                          0.0)),
              hint="the triangle is the wrong one: rows are queries, columns are keys"),
        Wrong(name="one step too many", answer=_from(lambda g, steps: torch.where(steps >= 0,
                                                                                 g ** (steps + 1).clamp(min=0), 0.0)),
              hint="everything has faded by one step too many: what remains of a token at the moment it is written?"),
        Wrong(name="own token hidden", answer=_from(lambda g, steps: torch.where(steps > 0, g ** steps.clamp(min=0),
                                                                                0.0)),
              hint="the past is right; the diagonal is 0, and there a token meets itself"),
        Wrong(name="starts after itself", answer=_from(lambda g, steps: torch.where(
            steps > 0, g ** (steps - 1).clamp(min=0), 0.0)),
              hint="the power 0 belongs to the token itself, and here it stands one place further back"),
        Wrong(name="product", answer=_from(lambda g, steps: torch.where(steps >= 0, g * steps, 0.0)),
              hint="a factor for each step makes a power: here the decay is multiplied by the number of steps"),
        Wrong(name="minus the product", answer=_from(lambda g, steps: torch.where(steps >= 0, -g * steps, 0.0)),
              hint="a slope times the distance is a bias on scores, as ALiBi has it; retention multiplies by a power"),
        Wrong(name="linear", answer=_from(lambda g, steps: torch.where(steps >= 0, (1 - (1 - g) * steps).clamp(min=0),
                                                                      0.0)),
              hint="each step takes the same amount here; it should take the same share of what is left"),
        Wrong(name="exponential of the decay", answer=_from(lambda g, steps: torch.where(steps >= 0,
                                                                                        (-g * steps).exp(), 0.0)),
              hint="decay is the factor itself, not a rate: after one step exactly decay is left"),
        Wrong(name="the same at every distance", answer=_from(lambda g, steps: torch.where(steps >= 0, g, 0.0)),
              hint="every key has faded by one factor, however far back it stands: where do the steps come in?"),
        Wrong(name="power of the key's place", answer=lambda decay, length: (
            decay[:, None, None] ** torch.arange(length)).expand(-1, length, -1).tril(),
              hint="the power is the key's place in the text: it is the distance to the query that counts"),
        Wrong(name="power of the query's place", answer=lambda decay, length: (
            decay[:, None, None] ** torch.arange(length)[:, None]).expand(-1, -1, length).tril(),
              hint="the power is the query's place in the text: subtract the key's"),
        Wrong(name="rows add up to 1", answer=lambda decay, length: decay_mask(decay, length)
              / decay_mask(decay, length).sum(dim=-1, keepdim=True),
              hint="the powers are right; nothing is divided by their sum here"),
        Wrong(name="split into two powers", answer=_split,
              hint="right on paper: but with length 400 the power of the key's place alone is 0 or infinite, before it "
                   "meets the other. Take the power of the difference", recognise=_divides),
        Wrong(name="cut by multiplying", answer=_from(lambda g, steps: g**steps * (steps >= 0)),
              hint="for long texts the powers above the diagonal are infinite, and infinity times 0 is no number",
              recognise=_multiplies),
        Wrong(name="minus infinity", answer=_from(lambda g, steps: torch.where(
            steps >= 0, g ** steps.clamp(min=0), -math.inf)),
              hint="minus infinity hides scores from a softmax; there is none here, and the mask is multiplied"),
        Wrong(name="logarithms", answer=_from(lambda g, steps: torch.where(steps >= 0, steps * g.log(), 0.0)),
              hint="these are the logarithms of the mask: one step is missing"),
        Wrong(name="base and exponent exchanged", answer=_from(lambda g, steps: torch.where(
            steps >= 0, steps.clamp(min=0).float() ** g, 0.0)),
              hint="the number of steps is raised to the power of the decay: it is the other way round"),
        Wrong(name="the number of steps", answer=lambda decay, length: (
            torch.arange(length)[:, None] - torch.arange(length)).clamp(min=0).float().expand(len(decay), -1, -1),
              hint="these are the distances: what does each of them do to the decay?"),
        Wrong(name="share that is lost", answer=_from(lambda g, steps: torch.where(
            steps >= 0, (1 - g) ** steps.clamp(min=0), 0.0)),
              hint="the decay is the share that stays, not the share that is lost"),
        Wrong(name="decay squared", answer=_from(lambda g, steps: torch.where(
            steps >= 0, g ** (2 * steps).clamp(min=0), 0.0)),
              hint="every step counts twice here: after one step as much is gone as after two"),
        Wrong(name="decay on the diagonal", answer=_from(lambda g, steps: torch.where(steps == 0, g, 0.0)),
              hint="nothing but the diagonal is left, with the decay on it: earlier keys have faded, and are not gone"),
        Wrong(name="one step back only", answer=_from(lambda g, steps: torch.where(
            steps == 0, 1.0, torch.where(steps == 1, g, 0.0))),
              hint="after one step you are right; after two nothing is left, and there should be a decay of a decay"),
        Wrong(name="the identity", answer=_from(lambda g, steps: torch.where(steps == 0, 1.0, 0.0 * g)),
              hint="each query keeps itself and nothing else: was the wrong triangle cut off?"),
        Wrong(name="oldest key fresh", answer=lambda decay, length: (
            decay[:, None, None] ** torch.arange(length)).expand(-1, length, -1).flip(-1).tril(),
              hint="the distance is taken to the last token of the text: each query has its own distance to a key"),
        Wrong(name="powers counted from the left edge", answer=lambda decay, length: (
            decay[:, None, None].expand(-1, length, length).cumprod(dim=2)).tril(),
              hint="the power grows from the left edge to the right: the oldest key has faded least here"),
        Wrong(name="powers counted from the top", answer=lambda decay, length: (
            decay[:, None, None].expand(-1, length, length).cumprod(dim=1)).tril(),
              hint="the power counts rows from the top: it should start where a key is written"),
        Wrong(name="true and false", answer=lambda decay, length: (
            torch.ones(len(decay), length, length).tril().bool()),
              hint="true and false say whether a key may be seen; asked is how much of it is left"),
        Wrong(name="one over the distance", answer=_from(lambda g, steps: torch.where(
            steps >= 0, 1 / (1 + steps.clamp(min=0)) + 0 * g, 0.0)),
              hint="this fades, but by the distance alone: where does the decay come in?"),
        Wrong(name="mean decay", answer=lambda decay, length: decay_mask(decay.mean().expand(len(decay)), length),
              hint="all heads forget at the mean rate: each has its own"),
        Wrong(name="power of the head", answer=lambda decay, length: decay_mask(
            decay ** torch.arange(1, len(decay) + 1), length),
              hint="the number of the head has got into the exponent: decay holds a factor for each head already"),
        Wrong(name="heads in the middle", answer=lambda decay, length: decay_mask(decay, length).transpose(0, 1),
              hint="all numbers are there; the axis of heads comes before that of the queries"),
        Wrong(name="plain causal mask", answer=lambda decay, length: torch.ones(len(decay), length, length).tril(),
              hint="that is the causal mask alone: nothing fades in it"),
        Wrong(name="one decay for all", answer=lambda decay, length: decay_mask(decay[:1].expand(len(decay)), length),
              hint="all heads forget at the rate of the first: each has its own"),
        Wrong(name="no axis of heads", answer=lambda decay, length: decay_mask(decay, length)[0],
              hint="that is one head's square: the result has an axis of heads in front"),
        Wrong(name="heads last", answer=lambda decay, length: decay_mask(decay, length).permute(1, 2, 0),
              hint="all numbers are there; the axis of heads comes first"),
    ),
    notice="With a decay of 31/32 half of a token is gone after 22 steps; RetNet gives every head another rate.",
)  # fmt: skip


WRITTEN = (3.0, -1.0, 5.0, 2.0, -4.0)  # what the tokens offer
WANTED = 5.0


def _read_steps(value: Any) -> list[float]:
    try:
        steps = [float(item) for item in value]
    except Exception:  # anything else
        raise Trouble("is no list of numbers", "write it as [0.5, 0.5, 0.5, 0.5, 0.5]", expected="five numbers",
                      got=show(value)) from None  # fmt: skip
    if len(steps) != 5:
        raise Trouble("has the wrong length", "there are five tokens, and a step for each", expected="five numbers",
                      got=show(value))  # fmt: skip
    if not all(math.isfinite(step) and 0 <= step <= 100 for step in steps):
        raise Trouble("is out of range", "a step is 0 or more, and at most 100 here", expected="0 to 100 each",
                      got=show(value))  # fmt: skip
    return steps


def remembered(steps: list[float]) -> float:
    """What one memory cell holds at the end: h = exp(-step) * h + (1 - exp(-step)) * token."""
    h = 0.0
    for step, token in zip(steps, WRITTEN, strict=True):
        h = math.exp(-step) * h + (1 - math.exp(-step)) * token
    return h


def _holds_five(trial: Trial) -> Mismatch | None:
    h = remembered(trial.output)
    return None if abs(h - WANTED) < 0.05 else Mismatch("5.00, up to 0.05", f"{h:.2f}")


def _large(step: float) -> bool:
    return step > 2


DESIGN_STEPS = Exercise(
    id="beyond/design-steps",
    title="Design a memory that chooses",
    answer="steps",
    solution=[0, 0, 10, 0, 0],
    takes="value",
    read=_read_steps,
    properties=(
        Property(sentence="the cell holds 5 at the end", test=_holds_five,
                 hint="go from the end backwards: what must the last two tokens not do, and what must the third do?"),
    ),
    wrong=(
        Wrong(name="nothing", answer=[0, 0, 0, 0, 0],
              recognise=lambda answer: max(_read_steps(answer)) == 0,
              hint="with a step of 0 a token is skipped, and here all are: the cell stays empty"),
        Wrong(name="all the same", answer=[1, 1, 1, 1, 1],
              recognise=lambda answer: len(set(_read_steps(answer))) == 1,
              hint="the same step for all tokens is a running average, which no constant makes end at 5: let the "
                   "steps differ"),
        Wrong(name="upside down", answer=[10, 10, 0, 10, 10],
              recognise=lambda answer: [_large(step) for step in _read_steps(answer)]
              == [True, True, False, True, True],
              hint="the other way round: a large step forgets what was there and takes the new token, 0 leaves all as "
                   "it is"),
        Wrong(name="last overwrites", answer=[0, 0, 10, 0, 10],
              recognise=lambda answer: _large(_read_steps(answer)[4]),
              hint="the last token has a large step and overwrites whatever was there before it"),
        Wrong(name="fourth overwrites", answer=[0, 0, 10, 10, 0],
              recognise=lambda answer: _large(_read_steps(answer)[3]),
              hint="the fourth token comes after the 5 and replaces it"),
        Wrong(name="first token", answer=[10, 0, 0, 0, 0],
              recognise=lambda answer: _read_steps(answer)[2] == 0 and max(_read_steps(answer)) > 0,
              hint="the 5 stands in third place, and its step is 0: the cell never hears of it"),
        Wrong(name="too timid", answer=[0, 0, 1, 0, 0],
              recognise=lambda answer: _read_steps(answer)[3:] == [0, 0] and 0 < _read_steps(answer)[2] <= 5,
              hint="the right token is written, but not all of it: how much of the new one does a step of this size "
                   "take?"),
        Wrong(name="later tokens leak in", answer=[0, 0, 10, 0.2, 0.1],
              recognise=lambda answer: max(_read_steps(answer)[3:]) > 0,
              hint="tokens after the 5 wear down what was written: which step makes a token pass without a trace?"),
    ),
    notice="That is selection: the step is computed from the token, so that a layer writes what matters and lets the "
    "rest pass.",
)  # fmt: skip
