"""Exercise: a loss on the target part of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import read_number

_PAD = 0


def target_loss(logits: Tensor, tokens: Tensor, prompt: Tensor) -> Tensor:
    """Mean loss, in nats, of the target tokens of a batch.

    logits: (B, T, V), after each of the tokens.
    tokens: int64 (B, T): prompt, separator, target, end mark; then id 0, padding.
    prompt: int64 (B,), tokens before the separator; it stands at this place.
    Returns a scalar; the end mark belongs to the target.
    """
    answers = tokens[:, 1:]  # answers[:, i] is asked of logits[:, i]
    each = F.cross_entropy(logits[:, :-1].mT, answers, reduction="none")
    asked = (torch.arange(answers.shape[1]) >= prompt[:, None]) & (answers != 0)
    return (each * asked).sum() / asked.sum()


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for prompt, target, n in (((1, 2), (2, 1), 5), ((3, 1, 2), (1, 4, 2), 7), ((2, 4, 1, 3), (3, 1, 5, 2), 9)):
        length = max(p + 1 + t + 1 for p, t in zip(prompt, target, strict=True))
        tokens = torch.zeros(len(prompt), length, dtype=torch.int64)
        for row, p, t in zip(tokens, prompt, target, strict=True):
            row[: p + t + 2] = torch.randint(3, n, (p + t + 2,), generator=generator)
            row[p], row[p + t + 1] = 1, 2  # separator and end
        logits = 2 * torch.randn(len(prompt), length, n, generator=generator)
        cases.append(named_case(logits=logits, tokens=tokens, prompt=torch.tensor(prompt)))
    return cases


def _each(z: Tensor, y: Tensor) -> Tensor:
    """Loss of each next token, (B, T - 1)."""
    return F.cross_entropy(z[:, :-1].mT, y[:, 1:], reduction="none")


def _asked(y: Tensor, p: Tensor, *, shift: int = 0) -> Tensor:
    return (torch.arange(y.shape[1] - 1) >= p[:, None] + shift) & (y[:, 1:] != _PAD)


def _mean(each: Tensor, asked: Tensor) -> Tensor:
    return (each * asked).sum() / asked.sum()


def _row_means(z: Tensor, y: Tensor, p: Tensor) -> Tensor:
    each, asked = _each(z, y), _asked(y, p)
    return ((each * asked).sum(1) / asked.sum(1)).mean()


def _marks_unshifted(z: Tensor, y: Tensor, p: Tensor) -> Tensor:
    each = F.cross_entropy(z.mT, y.roll(-1, dims=1), reduction="none")
    return _mean(each, (torch.arange(y.shape[1]) > p[:, None]) & (y != _PAD))


def _prompt_ignored(trial: Trial) -> Mismatch | None:
    logits, tokens, prompt = trial.args
    before = torch.arange(tokens.shape[1]) < prompt[:, None]
    other = torch.where(before[..., None], logits.flip(-1) + 1.0, logits)
    return compare(trial.output, trial.call(other, tokens, prompt))


def _padding_ignored(trial: Trial) -> Mismatch | None:
    logits, tokens, prompt = trial.args
    more = torch.cat([logits, logits[:, :2].flip(-1)], dim=1)
    return compare(trial.output, trial.call(more, F.pad(tokens, (0, 2)), prompt))


def _value(logits: Tensor, tokens: Tensor, prompt: Tensor) -> float:
    return float(target_loss(logits, tokens, prompt))


def _loss(name: str, hint: str, answer: Callable[[Tensor, Tensor, Tensor], Any]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


TARGET_LOSS = Exercise(
    id="decoder-only/target-loss",
    title="A loss on the target alone",
    answer="target_loss",
    solution=target_loss,
    cases=_cases,
    read=read_number,
    properties=(
        Property(sentence="what the model says inside the prompt does not matter", test=_prompt_ignored,
                 hint="logits at places before the separator ask for letters of the prompt: leave them out"),
        Property(sentence="padding does not matter", test=_padding_ignored,
                 hint="add two columns of padding by hand: which of your sums or counts changes?"),
        equals("the loss is the mean of -log p over the target tokens and the end", _value,
               hint="for a row of five tokens write down which place is asked for which token; cross out the others"),
    ),
    wrong=(
        _loss("everything", "letters and separator are asked for too: only what comes after the separator counts",
              lambda z, y, p: _mean(_each(z, y), y[:, 1:] != _PAD)),
        _loss("the separator asked", "your first question is the separator itself: the place before it is not asked",
              lambda z, y, p: _mean(_each(z, y), _asked(y, p, shift=-1))),
        _loss("first target left out", "the first target token is asked for at the separator: you begin one place too "
              "late", lambda z, y, p: _mean(_each(z, y), _asked(y, p, shift=1))),
        _loss("no shift", "logits at a place answer for the next token; yours are compared with the token they have "
              "just read", lambda z, y, p: _mean(
                  F.cross_entropy(z.mT, y, reduction="none"), (torch.arange(y.shape[1]) > p[:, None]) & (y != _PAD))),
        _loss("no shift, from the separator", "no shift, and the separator is asked for as well: logits at a place "
              "answer for the next token", lambda z, y, p: _mean(
                  F.cross_entropy(z.mT, y, reduction="none"), (torch.arange(y.shape[1]) >= p[:, None]) & (y != _PAD))),
        _loss("no end", "the end mark is left out: a model that is never asked for it never stops",
              lambda z, y, p: _mean(_each(z, y), _asked(y, p) & (y[:, 1:] != 2))),
        _loss("padding counted", "padding behind the end is counted: it is nobody's answer",
              lambda z, y, p: _mean(_each(z, y), torch.arange(y.shape[1] - 1) >= p[:, None])),
        _loss("padding in the divisor", "the sum is right; the divisor counts padding as well",
              lambda z, y, p: (_each(z, y) * _asked(y, p)).sum() / (torch.arange(y.shape[1] - 1) >= p[:, None]).sum()),
        _loss("divided by all", "the sum is right; it is divided by all real tokens, those of the prompt too",
              lambda z, y, p: (_each(z, y) * _asked(y, p)).sum() / (y[:, 1:] != _PAD).sum()),
        _loss("divided by places", "the sum is right; it is divided by all places of the batch",
              lambda z, y, p: (_each(z, y) * _asked(y, p)).mean()),
        _loss("divided by rows", "divide by the number of target tokens, not by the number of rows",
              lambda z, y, p: (_each(z, y) * _asked(y, p)).sum() / len(y)),
        _loss("a sum", "a sum grows with the batch: divide it by the number of target tokens",
              lambda z, y, p: (_each(z, y) * _asked(y, p)).sum()),
        _loss("mean of means", "targets have unequal lengths, so a mean over rows weighs their tokens unequally",
              _row_means),
        _loss("the prompt alone", "that is the loss of the prompt: you count the places that should be left out",
              lambda z, y, p: _mean(_each(z, y), (torch.arange(y.shape[1] - 1) < p[:, None]) & (y[:, 1:] != _PAD))),
        _loss("the first row's prompt", "all rows are cut where the first one is: prompts differ in length",
              lambda z, y, p: _mean(_each(z, y), _asked(y, p[:1].expand(len(p))))),
        _loss("sign", "a loss has to fall as the right token becomes likelier",
              lambda z, y, p: -target_loss(z, y, p)),
        _loss("softmax first", "cross_entropy takes logits and does the softmax itself; yours is applied twice",
              lambda z, y, p: target_loss(z.softmax(-1), y, p)),
        _loss("one each", "one number for each place: add up those that count, and divide by how many they are",
              lambda z, y, p: _each(z, y) * _asked(y, p)),
        _loss("logits set to zero", "logits of zero still cost log V each: leave the other places out altogether",
              lambda z, y, p: F.cross_entropy((z[:, :-1] * _asked(y, p)[..., None]).mT, y[:, 1:])),
        _loss("last token only", "only the end is asked for: every token of the target counts",
              lambda z, y, p: _mean(_each(z, y), y[:, 1:] == 2)),
        _loss("shifted the other way", "the logits of a place answer for the token before it: turn the shift round",
              lambda z, y, p: _mean(F.cross_entropy(z[:, 1:].mT, y[:, :-1], reduction="none"),
                                    (torch.arange(y.shape[1] - 1) > p[:, None]) & (y[:, :-1] != _PAD))),
        _loss("bits", "that is in bits: nats come from the natural logarithm",
              lambda z, y, p: target_loss(z, y, p) / math.log(2)),
        _loss("perplexity", "that is the perplexity, exp of the loss", lambda z, y, p: target_loss(z, y, p).exp()),
        _loss("first target only", "only the first target token of each row is asked for: all of them count",
              lambda z, y, p: _each(z, y)[torch.arange(len(y)), p].mean()),
        _loss("probabilities", "minus the probability is not minus its logarithm", lambda z, y, p: _mean(
            -z.softmax(-1)[:, :-1].gather(-1, y[:, 1:, None])[..., 0], _asked(y, p))),
        _loss("logits taken for logs", "logits are no log-probabilities: a softmax has to come before the logarithm",
              lambda z, y, p: _mean(-z[:, :-1].gather(-1, y[:, 1:, None])[..., 0], _asked(y, p))),
        _loss("softmax over time", "the softmax runs over the places; the probabilities of one place should add up to "
              "1 over the vocabulary", lambda z, y, p: _mean(
                  -z.log_softmax(1)[:, :-1].gather(-1, y[:, 1:, None])[..., 0], _asked(y, p))),
        _loss("the longest prompt", "all rows are cut after the longest prompt, so shorter rows lose target tokens",
              lambda z, y, p: _mean(_each(z, y), _asked(y, p.max().expand(len(p))))),
        _loss("two late", "you begin two places too late: the separator stands at place `prompt` and is asked first",
              lambda z, y, p: _mean(_each(z, y), _asked(y, p, shift=2))),
        _loss("targets set to 0", "answers that are not asked are set to 0, and then asked for: leave the places out",
              lambda z, y, p: F.cross_entropy(z[:, :-1].mT, y[:, 1:].masked_fill(~_asked(y, p), 0))),
        _loss("accuracy", "that is the share of right guesses; a loss falls as the model improves",
              lambda z, y, p: (z[:, :-1].argmax(-1) == y[:, 1:])[_asked(y, p)].double().mean()),
        _loss("a median", "the middle one of the losses: the mean is asked for",
              lambda z, y, p: _each(z, y)[_asked(y, p)].quantile(0.5)),
        _loss("everything, padding too", "every place is asked for, prompt and padding too: which answers belong to "
              "the target?", lambda z, y, p: _each(z, y).mean()),
        _loss("everything, no shift", "every token is asked for at its own place, where it has just been read: shift, "
              "then keep the target alone", lambda z, y, p: F.cross_entropy(z.mT, y, ignore_index=_PAD)),
        _loss("everything, no shift, padding too", "nothing is shifted and nothing left out: which token do the logits "
              "of a place answer for, and which of these belong to the target?",
              lambda z, y, p: F.cross_entropy(z.mT, y)),
        _loss("the shortest prompt", "all rows are cut after the shortest prompt, so longer prompts are asked for in "
              "part", lambda z, y, p: _mean(_each(z, y), _asked(y, p.min().expand(len(p))))),
        _loss("reshaped", "reshape cuts places and vocabulary up anew; cross_entropy wants the axis of the vocabulary "
              "second, so transpose", lambda z, y, p: _mean(F.cross_entropy(
                  z[:, :-1].reshape(len(y), z.shape[2], -1), y[:, 1:], reduction="none"), _asked(y, p))),
        _loss("mask not shifted", "the answers are shifted, and the marks of what counts are not: the first target "
              "token is lost and the place behind the end is asked", _marks_unshifted),
        _loss("log of the mean", "you average probabilities and take the logarithm of that; take it of each, then "
              "average", lambda z, y, p: -_each(z, y)[_asked(y, p)].neg().exp().mean().log()),
    ),
    notice="In our dictionary that is half of the tokens; the chapter measures whether the other half helps.",
)  # fmt: skip
