"""Exercise: hide letters the way BERT does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    equals,
    has_shape,
    named_case,
)
from tftutor.exercises.values import Trouble, fresh, read_tensor


def corrupt(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    """What a masked language model gets to read.

    tokens: ids (B, T).
    ordinary: bool (B, T), True = may be chosen (no padding, no mark).
    draw: uniform in [0, 1), (B, T): a token is chosen where it is below 0.15.
    fate: uniform in [0, 1), (B, T): of the chosen, below 0.8 become mask_id,
    from there to below 0.9 the id in other, the rest stay.
    other: random ids (B, T).
    Returns ids (B, T).
    """
    chosen = ordinary & (draw < 0.15)
    hidden = torch.where(chosen & (fate < 0.8), mask_id, tokens)
    return torch.where(chosen & (fate >= 0.8) & (fate < 0.9), other, hidden)


def _read_ids(value: Any) -> Tensor:
    ids = read_tensor(value)
    if ids.dtype == torch.bool or ids.is_floating_point():
        kind = str(ids.dtype).removeprefix("torch.")
        hint = "an embedding takes whole numbers: where does a float come in?"
        if kind == "bool":
            hint = "True and False say which tokens are chosen; the model reads ids"
        raise Trouble("returns no ids", hint, expected="whole numbers", got=kind)
    return ids


def _corrupt_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for rows, length in ((3, 8), (5, 40), (40, 60)):
        tokens = torch.randint(3, 30, (rows, length), generator=generator)
        ordinary = torch.rand(rows, length, generator=generator) < 0.8
        tokens = torch.where(ordinary, tokens, torch.randint(0, 3, (rows, length), generator=generator))
        draw = torch.rand(rows, length, generator=generator)
        draw = torch.where(torch.rand(rows, length, generator=generator) < 0.4, draw * 0.15, draw)  # often chosen
        fate = torch.rand(rows, length, generator=generator)
        fate = torch.where(torch.rand(rows, length, generator=generator) < 0.4, 0.8 + 0.2 * fate, fate)
        other = torch.randint(3, 30, (rows, length), generator=generator)
        cases.append(named_case(tokens=tokens, ordinary=ordinary, draw=draw, fate=fate, other=other, mask_id=32))
    return cases


def _marks_stay(trial: Trial) -> Mismatch | None:
    tokens, ordinary = trial.args[:2]
    return compare(torch.where(ordinary, trial.output, tokens), trial.output)


def _unchosen_stay(trial: Trial) -> Mismatch | None:
    tokens, _, draw = trial.args[:3]
    return compare(torch.where(draw < 0.15, trial.output, tokens), trial.output)


def _slip(
    *, rate: float = 0.15, masked: float = 0.8, swapped: float = 0.9, anywhere: bool = False, turned: bool = False,
    everywhere: bool = False,
) -> Callable[..., Tensor]:  # fmt: skip
    """The corruption with one slip."""

    def variant(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
        low = draw >= rate if turned else draw < rate
        chosen = low if anywhere else low & ordinary
        hidden = torch.where(chosen & (fate < masked), mask_id, tokens)
        second = (fate >= masked) & (fate < swapped)
        return torch.where(second if everywhere else chosen & second, other, hidden)

    return variant


def _overwritten(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    chosen = ordinary & (draw < 0.15)
    return torch.where(chosen & (fate < 0.9), other, torch.where(chosen & (fate < 0.8), mask_id, tokens))


def _exchanged(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    turned = torch.where(fate >= 0.8, 1.8 - fate, fate)  # the last two tenths mirrored
    return corrupt(tokens, ordinary, draw, turned, other, mask_id)


def _other_fate(which: str) -> Callable[..., Tensor]:
    """Right for the chosen; something else where nothing should happen."""

    def variant(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
        rest = other if which == "other" else torch.full_like(tokens, mask_id)
        return torch.where(ordinary & (draw < 0.15), corrupt(tokens, ordinary, draw, fate, other, mask_id), rest)

    return variant


def _either(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    chosen = ordinary | (draw < 0.15)
    return corrupt(tokens, chosen, torch.where(chosen, 0.0, draw), fate, other, mask_id)


def _careless(*, mask: bool, swap: bool) -> Callable[..., Tensor]:
    """`ordinary` is forgotten for one of the two fates."""

    def variant(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
        drawn = draw < 0.15
        hidden = torch.where(drawn & (ordinary | mask) & (fate < 0.8), mask_id, tokens)
        return torch.where(drawn & (ordinary | swap) & (fate >= 0.8) & (fate < 0.9), other, hidden)

    return variant


def _one_draw(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    return corrupt(tokens, ordinary, draw, draw / 0.15, other, mask_id)


def _draws_itself(answer: Callable[..., Tensor]) -> bool:
    """Whether the same arguments give different results as torch's random numbers go on."""
    args = _corrupt_cases(torch.Generator().manual_seed(1))[2].args
    torch.manual_seed(1)
    first = answer(*fresh(args))
    torch.manual_seed(2)
    second = answer(*fresh(args))
    return first is not None and first.shape == second.shape and not torch.equal(first, second)


def _lowest(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    """15 % of each row, rounded, whatever the draws."""
    count = max(1, int(0.15 * tokens.shape[1]))
    border = draw.masked_fill(~ordinary, 2.0).kthvalue(count, dim=1, keepdim=True).values
    return corrupt(tokens, ordinary, (draw > border).to(draw.dtype), fate, other, mask_id)


def _mask_other(tokens: Tensor, ordinary: Tensor, draw: Tensor, fate: Tensor, other: Tensor, mask_id: int) -> Tensor:
    chosen = ordinary & (draw < 0.15)
    return torch.where(chosen & (fate < 0.8), other, torch.where(chosen & (fate < 0.9), mask_id, tokens))


CORRUPT = Exercise(
    id="pretraining/corrupt",
    title="Hide letters as BERT does",
    answer="corrupt",
    solution=corrupt,
    cases=_corrupt_cases,
    read=_read_ids,
    properties=(
        has_shape("there is one id for each token", lambda tokens, *_: tuple(tokens.shape)),
        Property(sentence="padding and marks are never touched", test=_marks_stay,
                 hint="which tokens may be chosen at all?"),
        Property(sentence="tokens that are not chosen stay what they are", test=_unchosen_stay,
                 hint="a token's fate only matters once it has been chosen"),
        equals("of the chosen, 80 % are masked, 10 % replaced, 10 % kept", corrupt,
               hint="take one row, write down draw and fate for each token, and decide by hand"),
    ),
    wrong=(
        Wrong(name="always the mask", answer=_slip(masked=1.1, swapped=1.1),
              hint="all chosen tokens become the mask: which number decides their fate, and is it the one that chose?"),
        Wrong(name="masked or kept", answer=_slip(swapped=0.8),
              hint="no token is replaced by a random one: where does `other` go?"),
        Wrong(name="masked or replaced", answer=_slip(swapped=1.1),
              hint="a tenth of the chosen tokens should stay as they are"),
        Wrong(name="marks chosen too", answer=_slip(anywhere=True),
              hint="the beginning, the end and the padding were hidden as well: only ordinary tokens may be chosen"),
        Wrong(name="the other 85 %", answer=_slip(turned=True),
              hint="the comparison is the wrong way round: you hide the tokens that should have been left alone"),
        Wrong(name="15 of 100 hidden in all", answer=_slip(rate=1.1, masked=0.15, swapped=0.165),
              hint="two draws are needed: one that chooses a token, and one that decides what becomes of it"),
        Wrong(name="everybody replaced", answer=_slip(everywhere=True),
              hint="replacing happens to chosen tokens only"),
        Wrong(name="masks overwritten", answer=_overwritten,
              hint="the second replacement covers the first: which fates belong to the random tokens alone?"),
        Wrong(name="80/20/10", answer=_slip(masked=0.7, swapped=0.9),
              hint="the border between masked and replaced is in the wrong place"),
        Wrong(name="chosen ones only", answer=lambda *args: corrupt(*args)[args[1] & (args[2] < 0.15)],
              hint="you return the chosen tokens alone; the model reads the whole row, with changes here and there"),
        Wrong(name="replaced and kept exchanged", answer=_exchanged,
              hint="the two last tenths have changed places: which one comes first?"),
        Wrong(name="mostly replaced", answer=_slip(masked=0.1),
              hint="the large share belongs to the mask, not to the random tokens"),
        Wrong(name="draw and fate exchanged", answer=lambda t, o, d, f, x, m: corrupt(t, o, f, d, x, m),
              hint="draw and fate have changed places: which one chooses, which one decides what becomes of it?"),
        Wrong(name="only the marks", answer=lambda t, o, d, f, x, m: corrupt(t, ~o, d, f, x, m),
              hint="ordinary is True where a token may be chosen; you choose among the others"),
        Wrong(name="all chosen", answer=_slip(rate=1.1),
              hint="draw is never used: how many tokens should be chosen?"),
        Wrong(name="all others masked", answer=_other_fate("mask"),
              hint="tokens that were not chosen become the mask: what belongs in the last place of your where?"),
        Wrong(name="all others random", answer=_other_fate("other"),
              hint="tokens that were not chosen become random ones: what stands in the last place of your where?"),
        Wrong(name="chosen or ordinary", answer=_either,
              hint="a token has to be ordinary and drawn; in your answer one of the two is enough"),
        Wrong(name="marks replaced", answer=_careless(mask=False, swap=True),
              hint="masking looks at ordinary, replacing does not: work out once which tokens are chosen"),
        Wrong(name="marks masked", answer=_careless(mask=True, swap=False),
              hint="replacing looks at ordinary, masking does not: work out once which tokens are chosen"),
        Wrong(name="one draw for all", answer=_one_draw,
              hint="you cut the draw into three; `fate`, a second number, decides what becomes of a chosen token"),
        Wrong(name="its own draw", answer=lambda t, o, d, f, x, m: corrupt(t, o, torch.rand_like(d), f, x, m),
              recognise=_draws_itself, hint="you draw new random numbers: draw and fate have been drawn already"),
        Wrong(name="exactly one in seven", answer=_lowest,
              hint="the number of chosen tokens is left to chance: each is chosen where its draw is below 0.15"),
        Wrong(name="masks for random tokens", answer=lambda t, o, d, f, x, m: corrupt(t, o, d, f, t * 0 + m, m),
              hint="both fates become the mask: where does `other` go?"),
        Wrong(name="mask and other exchanged", answer=_mask_other,
              hint="the large share, below 0.8, should get the mask and the small one the random tokens; yours is the "
              "other way round"),
        Wrong(name="shares from the top", answer=lambda t, o, d, f, x, m: corrupt(t, o, d, 1.0 - f, x, m),
              hint="the shares are right, their places are not: masked is below 0.8, not above 0.2"),
        Wrong(name="kept first", answer=lambda t, o, d, f, x, m: corrupt(t, o, d, (f + 0.8) % 1.0, x, m),
              hint="the shares are right, their places are not: masked begins at 0"),
        Wrong(name="nothing done", answer=lambda t, o, d, f, x, m: t,
              hint="the tokens come back as they were; torch.where returns a new tensor, keep it"),
        Wrong(name="nothing but the chosen", answer=lambda t, o, d, f, x, m: torch.where(
                  o & (d < 0.15), corrupt(t, o, d, f, x, m), 0),
              hint="tokens that were not chosen have become 0; the model reads them as they are"),
        Wrong(name="above instead of below", answer=lambda t, o, d, f, x, m: torch.where(
                  o & (d < 0.15) & (f < 0.8), t, m),
              hint="torch.where(condition, a, b) takes a where the condition holds: yours hides all the others"),
        Wrong(name="every row", answer=lambda t, o, d, f, x, m: torch.where(
                  (o & (d < 0.15)).any(1, True) & (f < 0.8), m, t),
              hint="whole rows are chosen: no any(), each token has its own draw"),
    ),
    notice="The loss must count the kept and the replaced tokens too; that is the next exercise.",
)  # fmt: skip
