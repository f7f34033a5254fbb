"""Exercise: the loss of a batch of unequal lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import number_text, read_number


def token_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Mean cross-entropy of the real tokens of a batch, in nats.

    logits: (B, T, V).
    targets: ids (B, T); at padding they may be anything.
    valid: bool (B, T), True = a real token, the end mark included.
    Returns one number, the same however the rows are padded.
    """
    log_p = logits.log_softmax(dim=-1)
    nats = -log_p.gather(-1, targets[..., None])[..., 0]
    return nats[valid].sum() / valid.sum()


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(lengths: Sequence[int], room: int, n_symbols: int) -> Case:
        return named_case(
            logits=torch.randn(len(lengths), room, n_symbols, generator=generator) * 2,
            targets=torch.randint(n_symbols, (len(lengths), room), generator=generator),
            valid=torch.arange(room) < torch.tensor(lengths)[:, None],
        )

    return [draw([3], 3, 5), draw([2, 4], 4, 7), draw([5, 1, 3], 6, 4), draw([2, 7, 4, 1], 8, 9)]


def _more_padding(trial: Trial) -> Mismatch | None:
    logits, targets, valid = trial.args
    wider = trial.call(F.pad(logits, (0, 0, 0, 2)), F.pad(targets, (0, 2)), F.pad(valid, (0, 2)))
    return compare(trial.output, wider)


def _other_padding(trial: Trial) -> Mismatch | None:
    logits, targets, valid = trial.args
    n_symbols = logits.shape[-1]
    other = torch.where(valid, targets, (targets + 1) % n_symbols)
    return compare(trial.output, trial.call(torch.where(valid[..., None], logits, logits.flip(-1)), other, valid))


def _splits(trial: Trial) -> Mismatch | None:
    """Of two parts of a batch, the mean weighted by tokens is the loss of the whole."""
    logits, targets, valid = trial.args
    if len(valid) == 1:
        return None
    parts = [trial.call(x, y, m) * float(m.sum())
             for x, y, m in zip(logits.split(1), targets.split(1), valid.split(1), strict=True)]
    whole = sum(parts) / float(valid.sum())
    got = f"{number_text(trial.output)}, where its rows, weighted by their tokens, make {number_text(whole)}"
    same = math.isclose(whole, trial.output, rel_tol=1e-4)
    return None if same else Mismatch("the same for the batch and its rows", got)


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    return -logits.log_softmax(dim=-1).gather(-1, targets[..., None])[..., 0]


def _without_the_last(valid: Tensor) -> Tensor:
    """The real tokens but the last of each row."""
    return valid & (torch.arange(valid.shape[1]) < valid.sum(dim=1, keepdim=True) - 1)


def _mean_of_rows(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    return ((_nats(logits, targets) * valid).sum(dim=1) / valid.sum(dim=1)).mean()


def _mean_of_columns(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    columns = valid.any(dim=0)
    return ((_nats(logits, targets) * valid).sum(dim=0)[columns] / valid.sum(dim=0)[columns]).mean()


def _no_end_mark(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    kept = _without_the_last(valid)
    return (_nats(logits, targets) * kept).sum() / kept.sum().clamp(min=1)


def _zeroed_logits(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    return _nats(logits * valid[..., None], targets).mean()


TOKEN_LOSS = Exercise(
    id="forcing/token-loss",
    title="The loss with the right mean",
    answer="token_loss",
    solution=token_loss,
    cases=_cases,
    read=read_number,
    properties=(
        Property(
            sentence="more padding changes nothing",
            test=_more_padding,
            hint="add two columns of padding to a batch of yours: which step notices them?",
        ),
        Property(
            sentence="what stands at padding does not matter",
            test=_other_padding,
            hint="only `valid` says what is padding; an id cannot, nor can a logit",
        ),
        Property(
            sentence="the loss of a batch is that of its rows, weighted by their tokens",
            test=_splits,
            hint="add up first, and divide once: by what?",
        ),
        equals(
            "the loss is the mean over real tokens of -log p(right token)",
            lambda logits, targets, valid: float(token_loss(logits, targets, valid)),
            hint="compute it for a batch with a single real token first",
        ),
    ),
    wrong=(
        Wrong(
            name="padding counted",
            answer=lambda logits, targets, valid: _nats(logits, targets).mean(),
            hint="padding is in the mean: it has a logit and an id like everything else, so it must be left out "
            "explicitly",
        ),
        Wrong(
            name="mean of means",
            answer=_mean_of_rows,
            hint="a token of a short row counts for more than one of a long row: a mean of means depends on who shares "
            "a row",
        ),
        Wrong(
            name="mean of columns",
            answer=_mean_of_columns,
            hint="the last positions, where few rows have a token, count as much as the first: average over tokens, "
            "not over positions",
        ),
        Wrong(
            name="divided by all positions",
            answer=lambda logits, targets, valid: (_nats(logits, targets) * valid).mean(),
            hint="padding adds nothing to the sum, but it is in the number you divide by",
        ),
        Wrong(
            name="divided by the rows",
            answer=lambda logits, targets, valid: (_nats(logits, targets) * valid).sum() / len(valid),
            hint="this is the loss per row: long rows make it large. Per token was asked",
        ),
        Wrong(
            name="divided by the length",
            answer=lambda logits, targets, valid: (_nats(logits, targets) * valid).sum() / valid.shape[1],
            hint="you divide by the number of columns, which grows with padding: how many real tokens are in the sum?",
        ),
        Wrong(
            name="padding in the sum",
            answer=lambda logits, targets, valid: _nats(logits, targets).sum() / valid.sum(),
            hint="the number of tokens is right, but the sum above it still holds the cost of padding",
        ),
        Wrong(
            name="the sum",
            answer=lambda logits, targets, valid: (_nats(logits, targets) * valid).sum(),
            hint="this is the sum; a mean over what?",
        ),
        Wrong(
            name="no end mark",
            answer=_no_end_mark,
            hint="the last real token of each row is missing: it is the end mark, and who never learns it never stops",
        ),
        Wrong(
            name="logits set to zero",
            answer=_zeroed_logits,
            hint="logits of 0 are no silence: they are a uniform guess, which costs ln V at each position of padding",
        ),
        Wrong(
            name="logits set to zero, divided by tokens",
            answer=lambda logits, targets, valid: _nats(logits * valid[..., None], targets).sum() / valid.sum(),
            hint="logits of 0 are no silence: they are a uniform guess, and its ln V per padded position is in the sum",
        ),
        Wrong(
            name="shifted again",
            answer=lambda logits, targets, valid: (
                (_nats(logits[:, :-1], targets[:, 1:]) * valid[:, 1:]).sum() / valid[:, 1:].sum().clamp(min=1)
            ),
            hint="you compare the logits at t with the target at t + 1: here targets and logits lie side by side "
            "already, shifting once more asks for two ahead",
        ),
        Wrong(
            name="padding only",
            answer=lambda logits, targets, valid: (_nats(logits, targets) * ~valid).sum() / (~valid).sum().clamp(min=1),
            hint="this is the loss of the padding: True marks a real token",
        ),
        Wrong(
            name="softmax twice",
            answer=lambda logits, targets, valid: _nats(logits.softmax(dim=-1), targets)[valid].mean(),
            hint="probabilities have been taken for logits: F.cross_entropy and log_softmax take a softmax themselves",
        ),
        Wrong(
            name="sign",
            answer=lambda logits, targets, valid: -_nats(logits, targets)[valid].mean(),
            hint="this is the mean log-probability, which training should raise: a loss has the other sign",
        ),
        Wrong(
            name="bits",
            answer=lambda logits, targets, valid: _nats(logits, targets)[valid].mean() / math.log(2),
            hint="these are bits: nats use the natural logarithm",
        ),
        Wrong(
            name="perplexity",
            answer=lambda logits, targets, valid: _nats(logits, targets)[valid].mean().exp(),
            hint="this is the perplexity; the loss is its logarithm",
        ),
        Wrong(
            name="probability",
            answer=lambda logits, targets, valid: 1 - (-_nats(logits, targets)[valid]).exp().mean(),
            hint="this is one minus the mean probability of the right token: where is the logarithm?",
        ),
        Wrong(
            name="logarithm of the mean",
            answer=lambda logits, targets, valid: -(-_nats(logits, targets)[valid]).exp().mean().log(),
            hint="you average probabilities and take the logarithm of the mean: the log-likelihood adds up logarithms",
        ),
        Wrong(
            name="mean probability",
            answer=lambda logits, targets, valid: (-_nats(logits, targets)[valid]).exp().mean(),
            hint="this is the mean probability of the right token: where is the logarithm, and the sign?",
        ),
        Wrong(
            name="the likeliest instead of the right one",
            answer=lambda logits, targets, valid: -logits.log_softmax(dim=-1).max(dim=-1).values[valid].mean(),
            hint="this is what the likeliest token costs: the targets are not used",
        ),
        Wrong(
            name="entropy",
            answer=lambda logits, targets, valid: (
                -(logits.softmax(dim=-1) * logits.log_softmax(dim=-1)).sum(dim=-1)[valid].mean()
            ),
            hint="this is how unsure the model is, whatever is right: the targets are not used",
        ),
        Wrong(
            name="first column dropped",
            answer=lambda logits, targets, valid: _nats(logits, targets)[:, 1:][valid[:, 1:]].mean(),
            hint="the first column is left out, but it is no begin mark: targets begin with the first answer",
        ),
        Wrong(
            name="cut to the shortest",
            answer=lambda logits, targets, valid: _nats(logits, targets)[:, : int(valid.sum(dim=1).min())].mean(),
            hint="only as many columns as the shortest row has are counted: long rows lose their ends",
        ),
        Wrong(
            name="targets set to zero",
            answer=lambda logits, targets, valid: _nats(logits, targets.masked_fill(~valid, 0)).mean(),
            hint="the targets of padding are now id 0, and the mean still asks for it: leave those positions out",
        ),
        Wrong(
            name="targets set to zero, divided by tokens",
            answer=lambda logits, targets, valid: _nats(logits, targets.masked_fill(~valid, 0)).sum() / valid.sum(),
            hint="the targets of padding are now id 0, and what id 0 costs there is still in the sum",
        ),
        Wrong(
            name="divided by the symbols as well",
            answer=lambda logits, targets, valid: _nats(logits, targets)[valid].mean() / logits.shape[-1],
            hint="this is divided by the size of the vocabulary too: it is a mean over tokens only",
        ),
        Wrong(
            name="label smoothing",
            answer=lambda logits, targets, valid: F.cross_entropy(logits[valid], targets[valid], label_smoothing=0.1),
            hint="this loss is smoothed: a useful one for training, but not the cost of the right token",
        ),
        Wrong(
            name="no softmax",
            answer=lambda logits, targets, valid: -logits.gather(-1, targets[..., None])[..., 0][valid].mean(),
            hint="a logit is not a log-probability yet: what makes the probabilities of all symbols sum to 1?",
        ),
        Wrong(
            name="softmax over time",
            answer=lambda logits, targets, valid: -(
                logits.log_softmax(dim=1).gather(-1, targets[..., None])[..., 0][valid].mean()
            ),
            hint="the softmax runs over the positions: which axis holds the symbols to choose from?",
        ),
        Wrong(
            name="padding told by its id",
            answer=lambda logits, targets, valid: F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=0
            ),
            hint="you leave out the id 0, but here padding may hold any id and 0 may be a symbol: `valid` tells which "
            "is which",
        ),
    ),
    notice="This is `sequence_loss` of the package, which returns sum and count apart, so that several batches or "
    "processors can add up first and divide once.",
)
