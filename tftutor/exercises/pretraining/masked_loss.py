"""Exercise: the loss of a masked language model counts what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import read_number


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
        chosen[2:3] = False  # and, but for the first case, an empty one
        cases.append(named_case(logits=2 * torch.randn(rows, length, n, generator=generator),
                                tokens=torch.randint(0, n, (rows, length), generator=generator),
                                chosen=chosen))  # fmt: skip
    return cases


def _each(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits.mT, tokens, reduction="none")


def _picked(values: Tensor, tokens: Tensor) -> Tensor:
    """The entry of each token: (B, T, V) -> (B, T)."""
    return values.gather(-1, tokens[..., None])[..., 0]


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
              lambda z, y, c: -_picked(z.softmax(-1), y)[c].mean()),
        _loss("softmax first", "cross_entropy takes logits and does the softmax itself; yours is applied twice",
              lambda z, y, c: F.cross_entropy(z.softmax(-1)[c], y[c])),
        _loss("logits set to zero", "logits of zero still cost log V each: leave the other positions out altogether",
              lambda z, y, c: F.cross_entropy(z.masked_fill(~c[..., None], 0.0).flatten(0, 1), y.flatten())),
        _loss("logits taken for logs", "logits are no log-probabilities: a softmax has to come before the logarithm",
              lambda z, y, c: -_picked(z, y)[c].mean()),
        _loss("share of errors", "that is the share of wrong guesses: it has no gradient to learn from",
              lambda z, y, c: (z.argmax(-1) != y)[c].double().mean()),
        _loss("sign", "a loss has to fall as the right answer becomes likelier",
              lambda z, y, c: -_each(z, y)[c].mean()),
        _loss("softmax over time", "the softmax runs over the positions; the probabilities of one position should add "
              "up to 1 over the vocabulary", lambda z, y, c: -_picked(z.log_softmax(1), y)[c].mean()),
        _loss("softmax over the batch", "the softmax runs over the rows of the batch; it belongs on the last axis",
              lambda z, y, c: -_picked(z.log_softmax(0), y)[c].mean()),
        _loss("targets set to 0", "id 0 is a target like any other: the places that were not asked now count as "
              "questions with the answer 0", lambda z, y, c: F.cross_entropy(z.mT, y.masked_fill(~c, 0))),
        _loss("0 ignored", "id 0 is a token like any other, and sometimes the right answer: leave out places, not a "
              "token", lambda z, y, c: F.cross_entropy(z.mT, y.masked_fill(~c, 0), ignore_index=0)),
        _loss("logits set to zero, right divisor", "the divisor is right, but logits of zero still cost log V each: "
              "drop those places before you sum", lambda z, y, c: _each(z * c[..., None], y).sum() / c.sum()),
        _loss("bits", "that is in bits: nats come from the natural logarithm",
              lambda z, y, c: F.cross_entropy(z[c], y[c]) / math.log(2)),
        _loss("perplexity", "that is the perplexity, exp of the loss",
              lambda z, y, c: F.cross_entropy(z[c], y[c]).exp()),
        _loss("one each", "there is one number for each chosen token; the mean of them is asked for",
              lambda z, y, c: F.cross_entropy(z[c], y[c], reduction="none")),
        _loss("a table", "one number for each position, zero where nothing was asked: add them up, and divide by how "
              "many were asked", lambda z, y, c: _each(z, y) * c),
        _loss("divided by length", "divide by the number of chosen tokens, not by the length of the rows",
              lambda z, y, c: (_each(z, y) * c).sum() / z.shape[1]),
        _loss("divided by 15 %", "15 % is the share on average; divide by how many were chosen in this batch",
              lambda z, y, c: (_each(z, y) * c).sum() / (0.15 * c.numel())),
        _loss("mean of means, empty rows too", "rows hold unequal numbers of chosen tokens, some none at all, and a "
              "mean over rows weighs them all alike", lambda z, y, c: (
                  (_each(z, y) * c).sum(1) / c.sum(1).clamp(min=1)).mean()),
        _loss("shifted, asked at the left", "that is the shift of a causal model, and it asks for what comes after a "
              "chosen token: here position t answers for token t itself",
              lambda z, y, c: _each(z[:, :-1], y[:, 1:])[c[:, :-1]].mean()),
        _loss("shifted back", "the logits of a position answer for the token before it: no shift is needed here",
              lambda z, y, c: _each(z[:, 1:], y[:, :-1])[c[:, 1:]].mean()),
        _loss("accuracy", "that is the share of right guesses; a loss falls as the model improves, and has a gradient",
              lambda z, y, c: (z.argmax(-1) == y)[c].double().mean()),
        _loss("squares", "squared differences of probabilities: the loss here is -log p of the right token",
              lambda z, y, c: F.mse_loss(z.softmax(-1)[c], F.one_hot(y[c], z.shape[-1]).to(z.dtype))),
        _loss("logarithm of the mean", "you average the probabilities and take the logarithm afterwards: first the "
              "logarithm, then the mean", lambda z, y, c: -_picked(z.softmax(-1), y)[c].mean().log()),
        _loss("axes mixed", "a reshape of the transposed logits mixes positions with the vocabulary: flatten (B, T) "
              "and leave the last axis alone",
              lambda z, y, c: F.cross_entropy(z.mT.reshape(-1, z.shape[-1])[c.flatten()], y[c])),
        _loss("axes mixed, everywhere", "a reshape of the transposed logits mixes positions with the vocabulary; and "
              "only the chosen places count",
              lambda z, y, c: F.cross_entropy(z.mT.reshape(-1, z.shape[-1]), y.flatten())),
        _loss("a median", "the middle one of the losses: the mean is asked for",
              lambda z, y, c: _each(z, y)[c].median()),
        _loss("the first", "only one chosen token is looked at: all of them count",
              lambda z, y, c: _each(z, y)[c][0]),
    ),
    notice="With 15 % chosen, a sentence of 100 tokens gives about 15 answers to learn from; a causal model gets 100.",
)  # fmt: skip
