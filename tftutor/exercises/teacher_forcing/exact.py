"""Exercise: what teacher forcing tells about greedy decoding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import read_tensor, show


def greedy_would_match(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Which rows would greedy decoding write without a mistake?

    logits: (B, T, V), from one teacher-forced pass over the right inputs.
    targets: ids (B, T), the right answers.
    valid: bool (B, T), True = a real token, the end mark included.
    Returns bool (B,).
    """
    right = logits.argmax(dim=-1) == targets
    return (right | ~valid).all(dim=1)


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(lengths: Sequence[int], mistakes: Sequence[Sequence[int]], room: int, n_symbols: int) -> Case:
        """Rows that are right at all real positions but those of `mistakes`, and mostly wrong at padding."""
        targets = torch.randint(n_symbols, (len(lengths), room), generator=generator)
        valid = torch.arange(room) < torch.tensor(lengths)[:, None]
        best = torch.where(valid, targets, (targets + 1) % n_symbols)
        for b, places in enumerate(mistakes):
            for t in places:
                best[b, t] = (targets[b, t] + 2) % n_symbols
        logits = torch.rand(len(lengths), room, n_symbols, generator=generator)
        logits.scatter_(-1, best[..., None], 1.05)  # the likeliest, by little: its probability is below one half
        return named_case(logits=logits - 0.5, targets=targets, valid=valid)

    return [
        draw([2, 4], [[], [1]], 4, 5),
        draw([4, 3, 5], [[3], [], [0]], 6, 7),
        draw([1, 6, 4, 2, 5], [[], [5], [], [0, 1], [2]], 7, 9),
        draw([4, 2, 3], [[], [0], [1]], 4, 6),
    ]


def _padding_does_not_matter(trial: Trial) -> Mismatch | None:
    logits, targets, valid = trial.args
    other = torch.where(valid, targets, (targets + 1) % logits.shape[-1])
    return compare(trial.output, trial.call(logits, other, valid))


def _shape(trial: Trial) -> Mismatch | None:
    want, got = (len(trial.args[0]),), tuple(trial.output.shape)
    return None if want == got else Mismatch(f"shape {want}, one verdict per row", f"shape {got}")


def _kind(trial: Trial) -> Mismatch | None:
    return None if trial.output.dtype == torch.bool else Mismatch("True or False for each row", show(trial.output))


def _right(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.argmax(dim=-1) == targets


def _without_the_end(valid: Tensor) -> Tensor:
    return valid & (torch.arange(valid.shape[1]) < valid.sum(dim=1, keepdim=True) - 1)


def _last_only(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    last = valid.sum(dim=1, keepdim=True) - 1
    return _right(logits, targets).gather(1, last)[:, 0]


EXACT = Exercise(
    id="forcing/greedy-would-match",
    title="Read greedy decoding off a teacher-forced pass",
    answer="greedy_would_match",
    solution=greedy_would_match,
    cases=_cases,
    read=read_tensor,
    properties=(
        Property(sentence="there is one verdict per row", test=_shape, hint="which axis has to go, and by what rule?"),
        Property(
            sentence="verdicts are True or False",
            test=_kind,
            hint="compare what is right with what is real; a share or a count is no verdict yet",
        ),
        Property(
            sentence="padding has no say",
            test=_padding_does_not_matter,
            hint="at padding there is nothing to get right, and nothing to get wrong",
        ),
        equals(
            "the verdict is right for every row",
            greedy_would_match,
            hint="greedy decoding leaves the right path at its first mistake: what must hold so that there is none?",
        ),
    ),
    wrong=(
        Wrong(
            name="padding counted",
            answer=lambda logits, targets, valid: _right(logits, targets).all(dim=1),
            hint="padding must be right too, in your version: greedy decoding has stopped long before",
        ),
        Wrong(
            name="no end mark",
            answer=lambda logits, targets, valid: (_right(logits, targets) | ~_without_the_end(valid)).all(dim=1),
            hint="the end mark is not looked at: a writer that does not stop there has written something else",
        ),
        Wrong(
            name="any",
            answer=lambda logits, targets, valid: (_right(logits, targets) & valid).any(dim=1),
            hint="one right symbol is enough in your version; how many does an exact match need?",
        ),
        Wrong(
            name="most",
            answer=lambda logits, targets, valid: (_right(logits, targets) & valid).sum(1) > valid.sum(1) / 2,
            hint="a majority of right symbols is not an exact match",
        ),
        Wrong(
            name="only the first",
            answer=lambda logits, targets, valid: _right(logits, targets)[:, 0],
            hint="you look at the first position only: mistakes may come later",
        ),
        Wrong(
            name="only the last",
            answer=_last_only,
            hint="you look at the last position only; with the right inputs it can be right after any number of "
            "mistakes",
        ),
        Wrong(
            name="confident",
            answer=lambda logits, targets, valid: (
                (logits.softmax(-1).gather(-1, targets[..., None])[..., 0] > 0.5) | ~valid
            ).all(dim=1),
            hint="greedy decoding does not ask for more than one half, only for more than any other symbol",
        ),
        Wrong(
            name="turned round",
            answer=lambda logits, targets, valid: ~(_right(logits, targets) | ~valid).all(dim=1),
            hint="True marks the rows with a mistake: the other way round",
        ),
        Wrong(
            name="one verdict per token",
            answer=lambda logits, targets, valid: _right(logits, targets) | ~valid,
            hint="this is a verdict for each token; a row matches when what holds of its tokens?",
        ),
        Wrong(
            name="one verdict per position",
            answer=lambda logits, targets, valid: (_right(logits, targets) | ~valid).all(dim=0),
            hint="you combine over the rows of the batch: axis 0 counts words, axis 1 counts time",
        ),
        Wrong(
            name="share of right tokens",
            answer=lambda logits, targets, valid: (_right(logits, targets) & valid).sum(dim=1) / valid.sum(dim=1),
            hint="this is the accuracy of each row; a match is all or nothing",
        ),
        Wrong(
            name="the whole batch",
            answer=lambda logits, targets, valid: (_right(logits, targets) | ~valid).all(),
            hint="this is one verdict for the whole batch; each row deserves its own",
        ),
        Wrong(
            name="shifted again",
            answer=lambda logits, targets, valid: (_right(logits[:, :-1], targets[:, 1:]) | ~valid[:, 1:]).all(dim=1),
            hint="you compare the logits at t with the target at t + 1: targets and logits lie side by side already",
        ),
        Wrong(
            name="all but the first",
            answer=lambda logits, targets, valid: (_right(logits, targets) | ~valid)[:, 1:].all(dim=1),
            hint="the first column is left out, but it is no begin mark: targets begin with the first symbol, which "
            "has to be right like all others",
        ),
        Wrong(
            name="any, padding excused",
            answer=lambda logits, targets, valid: (_right(logits, targets) | ~valid).any(dim=1),
            hint="one position of a row is enough in your version, and padding counts as right; how many does an exact "
            "match need?",
        ),
        Wrong(
            name="right where real, wrong where not",
            answer=lambda logits, targets, valid: (_right(logits, targets) == valid).all(dim=1),
            hint="this demands that the guess be *wrong* at padding; there it may be anything",
        ),
        Wrong(
            name="shifted the other way",
            answer=lambda logits, targets, valid: (_right(logits[:, 1:], targets[:, :-1]) | ~valid[:, :-1]).all(dim=1),
            hint="you compare the logits at t with the target at t - 1: targets and logits lie side by side already",
        ),
        Wrong(
            name="how far it gets",
            answer=lambda logits, targets, valid: _right(logits, targets).long().cumprod(dim=1).sum(dim=1),
            hint="this is how many symbols greedy decoding gets right before its first mistake: is that as many as "
            "there are?",
        ),
        Wrong(
            name="zeros and ones",
            answer=lambda logits, targets, valid: (_right(logits, targets) | ~valid).all(dim=1).long(),
            hint="the verdicts are right, as numbers: leave them True and False, as the comparison made them",
        ),
        Wrong(
            name="valid inverted",
            answer=lambda logits, targets, valid: (_right(logits, targets) | valid).all(dim=1),
            hint="real tokens are excused and padding has to be right: True marks what is real",
        ),
    ),
    notice="No decoding was needed. Exact match under greedy decoding is a teacher-forced measure in disguise.",
)
