"""Exercises: hide letters the way BERT does, and count the loss where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
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
from tftutor.exercises.values import read_number


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


CORRUPT = Exercise(
    id="pretraining/corrupt",
    title="Hide letters as BERT does",
    answer="corrupt",
    solution=corrupt,
    cases=_corrupt_cases,
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
    ),
    notice="The loss must count the kept and the replaced tokens too; that is the next exercise.",
)  # fmt: skip


def masked_loss(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    """The loss of a masked language model, in nats per chosen token.

    logits: (B, T, V).
    tokens: the original ids (B, T).
    chosen: bool (B, T), True = was chosen, whatever became of it.
    Returns a scalar.
    """
    return F.cross_entropy(logits[chosen], tokens[chosen])


def _loss_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for rows, length, n in ((2, 3, 4), (4, 7, 5), (5, 11, 9)):
        chosen = torch.rand(rows, length, generator=generator) < 0.4
        chosen[0, 0], chosen[1, 1:] = True, False
        chosen[0, 1] = True  # rows of unequal counts
        cases.append(named_case(logits=2 * torch.randn(rows, length, n, generator=generator),
                                tokens=torch.randint(0, n, (rows, length), generator=generator),
                                chosen=chosen))  # fmt: skip
    return cases


def _each(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits.mT, tokens, reduction="none")


def _unasked_ignored(trial: Trial) -> Mismatch | None:
    logits, tokens, chosen = trial.args
    other = torch.where(chosen[..., None], logits, logits.flip(-1) + 1.0)
    return compare(trial.output, trial.call(other, tokens, chosen))


def _shifted(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    return _each(logits[:, :-1], tokens[:, 1:])[chosen[:, 1:]].sum() / chosen[:, 1:].sum().clamp(min=1)


def _row_means(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    each, counts = _each(logits, tokens) * chosen, chosen.sum(dim=1)
    return (each.sum(dim=1) / counts.clamp(min=1))[counts > 0].mean()


def _loss_value(logits: Tensor, tokens: Tensor, chosen: Tensor) -> float:
    return float(masked_loss(logits, tokens, chosen))


def _loss(name: str, hint: str, answer: Callable[[Tensor, Tensor, Tensor], Any]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


MASKED_LOSS = Exercise(
    id="pretraining/masked-loss",
    title="The loss counts what was asked",
    answer="masked_loss",
    solution=masked_loss,
    cases=_loss_cases,
    read=read_number,
    properties=(
        Property(sentence="logits where nothing was asked do not matter", test=_unasked_ignored,
                 hint="only chosen positions count; what is at the others should not move the result"),
        equals("the loss is the mean of -log p(token) over the chosen positions", _loss_value,
               hint="compute -log p for every position first; which of them are summed, divided by what?"),
    ),
    wrong=(
        _loss("everywhere", "you count every position: a visible token only has to be copied, and the loss falls to "
              "almost nothing without anything being learned", lambda z, y, c: _each(z, y).mean()),
        _loss("divided by all positions", "the sum is right; it is divided by all positions instead of those asked",
              lambda z, y, c: (_each(z, y) * c).mean()),
        _loss("a sum", "a sum grows with the number of hidden tokens: divide it", lambda z, y, c: _each(z, y)[c].sum()),
        _loss("divided by rows", "divide by the number of chosen tokens, not by the number of rows",
              lambda z, y, c: (_each(z, y) * c).sum() / len(z)),
        _loss("mean of means", "rows hold unequal numbers of chosen tokens, so a mean of row means weighs tokens "
              "unequally", _row_means),
        _loss("shifted", "that is the shift of a causal model: here position t answers for token t itself", _shifted),
        _loss("the others", "these are the positions that were not chosen", lambda z, y, c: _each(z, y)[~c].mean()),
        _loss("probabilities", "minus the probability is not minus its logarithm",
              lambda z, y, c: -z.softmax(-1).gather(-1, y[..., None])[..., 0][c].mean()),
        _loss("softmax first", "cross_entropy takes logits and does the softmax itself; yours is applied twice",
              lambda z, y, c: F.cross_entropy(z.softmax(-1)[c], y[c])),
        _loss("logits set to zero", "logits of zero still cost log V each: leave the other positions out altogether",
              lambda z, y, c: F.cross_entropy(z.masked_fill(~c[..., None], 0.0).flatten(0, 1), y.flatten())),
        _loss("logits taken for logs", "logits are no log-probabilities: a softmax has to come before the logarithm",
              lambda z, y, c: -z.gather(-1, y[..., None])[..., 0][c].mean()),
        _loss("share of errors", "that is the share of wrong guesses: it has no gradient to learn from",
              lambda z, y, c: (z.argmax(-1) != y)[c].double().mean()),
        _loss("sign", "a loss has to fall as the right answer becomes likelier",
              lambda z, y, c: -_each(z, y)[c].mean()),
    ),
    notice="With 15 % chosen, a sentence of 100 tokens gives about 15 answers to learn from; a causal model gets 100.",
)  # fmt: skip
