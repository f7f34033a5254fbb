"""Exercises: a router that sends each token to one expert, and a balance that can be fooled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, named_case
from tftutor.exercises.values import Trouble, fresh, read_matrix, read_tensor, show

PARTS = ("experts", "weights", "balance")
Routed = tuple[Tensor, Tensor, Tensor]


def route(logits: Tensor) -> Routed:
    """Send each token to its most likely expert, and say how even the load is.

    logits: (N, E), one row for each token, one column for each expert.
    Returns three tensors: the chosen expert (N,), its probability (N,), and
    the balance (): E times the sum over experts of f * P, with f the share of
    tokens sent to an expert and P its mean probability.
    """
    probabilities = logits.softmax(dim=-1)
    weights, experts = probabilities.max(dim=-1)
    n_experts = logits.shape[-1]
    share = F.one_hot(experts, n_experts).float().mean(dim=0)
    balance = n_experts * (share * probabilities.mean(dim=0)).sum()
    return experts, weights, balance


def _cases(generator: torch.Generator) -> list[Case]:
    return [named_case(logits=2 * torch.randn(n, e, generator=generator)) for n, e in ((2, 3), (5, 4), (7, 2), (9, 6))]


def _read(value: Any) -> Routed:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Trouble("returns the wrong kind of thing", "return three tensors: experts, their probabilities, balance",
                      expected="experts, weights, balance", got=show(value))  # fmt: skip
    parts = tuple(torch.as_tensor(part) if isinstance(part, int | float) else part for part in value)
    return tuple(read_tensor(part) for part in parts)


def _part(i: int) -> Callable[[Trial], Mismatch | None]:
    def test(trial: Trial) -> Mismatch | None:
        return compare(route(*fresh(trial.args))[i], trial.output[i].squeeze() if i == 2 else trial.output[i])

    return test


def _variant(
    *,
    choose: Callable[[Tensor], Tensor] = lambda p: p.argmax(dim=-1),
    weigh: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda p, e, _x: p.gather(1, e[:, None])[:, 0],
    balance: Callable[[Tensor, Tensor], Tensor] = lambda p, share: p.shape[1] * (share * p.mean(dim=0)).sum(),
    axis: int = -1,
) -> Callable[[Tensor], Routed]:
    """`route` with a slip."""

    def variant(logits: Tensor) -> Routed:
        p = logits.softmax(dim=axis)
        experts = choose(p)
        share = F.one_hot(experts, p.shape[1]).float().mean(dim=0) if len(experts) == len(p) else p.mean(dim=0)
        return experts, weigh(p, experts, logits) if len(experts) == len(p) else experts.float(), balance(p, share)

    return variant


def _spread(p: Tensor, share: Tensor) -> Tensor:
    return p.shape[1] * (share**2).sum()


def _share(logits: Tensor) -> Tensor:
    """The share of tokens that each expert gets, (E,)."""
    return F.one_hot(logits.argmax(dim=-1), logits.shape[1]).float().mean(dim=0)


def _sigmoids(logits: Tensor) -> Routed:
    p = logits.sigmoid()
    return p.argmax(dim=-1), p.max(dim=-1).values, logits.shape[1] * (_share(logits) * p.mean(dim=0)).sum()


def _own_tokens(p: Tensor, share: Tensor) -> Tensor:
    chosen = F.one_hot(p.argmax(dim=1), p.shape[1]).float()
    return p.shape[1] * (share * (chosen * p).sum(dim=0) / chosen.sum(dim=0).clamp(min=1)).sum()


def _varies(answer: Callable[[Tensor], Routed]) -> bool:
    """Whether the answer sends tokens that are nearly undecided to other experts from call to call."""
    logits = 0.1 * torch.arange(24.0).reshape(6, 4).sin()
    return len({tuple(answer(logits)[0].tolist()) for _ in range(5)}) > 1


ROUTER = Exercise(
    id="beyond/router",
    title="A router for a mixture of experts",
    answer="route",
    solution=route,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="each token goes to its most likely expert", test=_part(0),
                 hint="one number per token: the column in which its probability is largest"),
        Property(sentence="its weight is the probability of that expert", test=_part(1),
                 hint="probabilities of a token add up to 1 over the experts: which of them is the weight?"),
        Property(sentence="the balance multiplies shares and mean probabilities", test=_part(2),
                 hint="two vectors with one number per expert: counted choices, and averaged probabilities"),
    ),
    wrong=(
        Wrong(name="softmax over tokens", answer=_variant(axis=0),
              hint="the experts share out each token here, no: your columns add up to 1, and rows should"),
        Wrong(name="first two exchanged", answer=lambda logits: (*reversed(route(logits)[:2]), route(logits)[2]),
              hint="all three are there, and the first two have changed places: experts come first"),
        Wrong(name="all probabilities", answer=lambda logits: (
            route(logits)[0], logits.softmax(dim=-1), route(logits)[2]),
              hint="the second result holds all probabilities: asked is that of the chosen expert only"),
        Wrong(name="experts choose", answer=_variant(choose=lambda p: p.argmax(dim=0)),
              hint="here each expert picks a token: it is the token that is sent, one choice for each row"),
        Wrong(name="worst expert", answer=_variant(choose=lambda p: p.argmin(dim=-1)),
              hint="these are the least likely experts"),
        Wrong(name="weight 1", answer=_variant(weigh=lambda p, _e, _x: torch.ones(len(p))),
              hint="with weight 1 the output does not depend on the router's numbers, and the router learns nothing"),
        Wrong(name="logit as weight", answer=_variant(weigh=lambda _p, e, x: x.gather(1, e[:, None])[:, 0]),
              hint="the weight is the expert's logit: it can be negative, and probabilities cannot"),
        Wrong(name="log of the probability", answer=_variant(
            weigh=lambda p, e, _x: p.gather(1, e[:, None])[:, 0].log()),
              hint="the weight is a logarithm here: negative for every token"),
        Wrong(name="no factor E", answer=_variant(balance=lambda p, share: (share * p.mean(dim=0)).sum()),
              hint="right up to a factor: with it an even load gives 1, whatever the number of experts"),
        Wrong(name="mean over experts", answer=_variant(balance=lambda p, share: (share * p.mean(dim=0)).mean()),
              hint="the mean divides by the number of experts where the formula multiplies by it"),
        Wrong(name="shares squared", answer=_variant(balance=_spread),
              hint="shares are counted, so that no gradient flows through them: one factor is a mean probability"),
        Wrong(name="probabilities squared", answer=_variant(
            balance=lambda p, _share: p.shape[1] * (p.mean(dim=0) ** 2).sum()),
              hint="both factors are mean probabilities here: one should count where tokens really went"),
        Wrong(name="counts", answer=_variant(
            balance=lambda p, share: p.shape[1] * (share * len(p) * p.mean(dim=0)).sum()),
              hint="this grows with the number of tokens: one of the two factors is a sum where it should be a mean"),
        Wrong(name="factor N", answer=_variant(balance=lambda p, share: len(p) * (share * p.mean(dim=0)).sum()),
              hint="the factor in front is the number of tokens here: it should be that of the experts"),
        Wrong(name="largest share", answer=_variant(balance=lambda p, share: p.shape[1] * share.max()),
              hint="that is the load of the busiest expert, a useful number that cannot be trained on"),
        Wrong(name="shares only", answer=_variant(balance=lambda _p, share: share.sum()),
              hint="shares add up to 1 by themselves: they say something only beside the probabilities"),
        Wrong(name="top 1 with its axis", answer=lambda logits: (
            route(logits)[0][:, None], route(logits)[1][:, None], route(logits)[2]),
              hint="the numbers are right; topk keeps an axis of length 1 that should be gone"),
        Wrong(name="one-hot rows", answer=lambda logits: (
            F.one_hot(route(logits)[0], logits.shape[1]), *route(logits)[1:]),
              hint="a row of zeros and a one names the expert too; asked is its number"),
        Wrong(name="counted from one", answer=lambda logits: (route(logits)[0] + 1, *route(logits)[1:]),
              hint="experts are counted from 0, as columns are"),
        Wrong(name="drawn at random", answer=lambda logits: (
            _variant(choose=lambda p: torch.multinomial(p, 1)[:, 0])(logits)[0], *route(logits)[1:]),
              recognise=_varies,
              hint="two calls give different experts: the most likely one is asked, not a draw"),
        Wrong(name="no softmax", answer=lambda logits: (
            logits.argmax(dim=-1), logits.max(dim=-1).values,
            logits.shape[1] * (_share(logits) * logits.mean(dim=0)).sum()),
              hint="these are logits all the way: turn them into probabilities first"),
        Wrong(name="sigmoids", answer=_sigmoids,
              hint="sigmoids do not add up to 1 over the experts: which function makes them compete?"),
        Wrong(name="weights that add up to 1", answer=_variant(
            weigh=lambda p, e, _x: F.normalize(p.gather(1, e[:, None])[:, 0], p=1, dim=0)),
              hint="your weights add up to 1 over the tokens: each token's probability stands for itself"),
        Wrong(name="weights times E", answer=_variant(
            weigh=lambda p, e, _x: p.shape[1] * p.gather(1, e[:, None])[:, 0]),
              hint="the number of experts belongs to the balance, not to the weights"),
        Wrong(name="experts nobody chose left out", answer=_variant(
            balance=lambda p, _share: p.shape[1] * (p.argmax(dim=1).bincount().float() / len(p)
                                                    * p.mean(dim=0)).sum()),
              hint="when the last experts are chosen by nobody, your count of choices is too short: say how many "
                   "experts there are"),
        Wrong(name="mean over its own tokens", answer=_variant(balance=_own_tokens),
              hint="the mean probability of an expert is taken over the tokens that chose it: take it over all"),
        Wrong(name="weights of the chosen", answer=_variant(balance=lambda p, share: p.shape[1] * (
            share * (F.one_hot(p.argmax(dim=1), p.shape[1]) * p).mean(dim=0)).sum()),
              hint="probabilities count only where an expert was chosen here; an expert's mean is over all tokens, "
                   "also those it lost"),
        Wrong(name="softmax of the mean", answer=lambda logits: (
            *route(logits)[:2], logits.shape[1] * (_share(logits) * logits.mean(dim=0).softmax(dim=0)).sum()),
              hint="the softmax of mean logits is not the mean of the probabilities: which comes first?"),
        Wrong(name="mean logits", answer=lambda logits: (
            *route(logits)[:2], logits.shape[1] * (_share(logits) * logits.mean(dim=0)).sum()),
              hint="the second factor averages logits: probabilities are asked"),
        Wrong(name="E squared", answer=_variant(balance=lambda p, share: p.shape[1]**2 * (share * p.mean(dim=0)).sum()),
              hint="the number of experts is in it twice"),
        Wrong(name="probability lost", answer=_variant(
            balance=lambda p, share: p.shape[1] * (share * (1 - p.mean(dim=0))).sum()),
              hint="the second factor is what an expert did not get"),
        Wrong(name="even load at zero", answer=_variant(
            balance=lambda p, share: p.shape[1] * (share * p.mean(dim=0)).sum() - 1),
              hint="1 is taken away: an even load should give 1, not 0"),
        Wrong(name="spread of the shares", answer=_variant(balance=lambda _p, share: share.std()),
              hint="a spread of shares measures the load as well, but no gradient flows through counts"),
        Wrong(name="entropy", answer=_variant(balance=lambda p, _share: -(p.mean(dim=0) * p.mean(dim=0).log()).sum()),
              hint="the entropy of the mean probabilities does not know which experts were chosen"),
        Wrong(name="probabilities only", answer=_variant(balance=lambda p, _share: p.shape[1] * p.mean(dim=0).sum()),
              hint="mean probabilities add up to 1 by themselves: where are the shares?"),
        Wrong(name="each vector", answer=_variant(balance=lambda p, share: p.shape[1] * share * p.mean(dim=0)),
              hint="one number for each expert: it is their sum that is asked"),
    ),
    notice="The share is counted and has no gradient; it is the probability beside it that training can lower where "
    "the load is high.",
)  # fmt: skip


def _read_probabilities(value: Any) -> Tensor:
    p = read_matrix(value)
    if p.shape[1] != 2 or not 2 <= len(p) <= 50:
        raise Trouble("has the wrong shape", "one row for each token, a column for each of the two experts",
                      expected="(2 to 50, 2)", got=show(tuple(p.shape)))  # fmt: skip
    if p.min() < 0 or (p.sum(dim=1) - 1).abs().max() > 1e-3:
        raise Trouble("holds no probabilities", "entries from 0 to 1, and the two of a row add up to 1",
                      expected="rows that add up to 1", got=show(p.sum(dim=1)))  # fmt: skip
    if ((p[:, 0] - p[:, 1]).abs() < 1e-6).any():
        raise Trouble("leaves a choice open", "two equal probabilities decide nothing: move one of them a little",
                      expected="no ties", got=show(p))  # fmt: skip
    return p


def balance_of(p: Tensor) -> float:
    """The balance of probabilities (N, 2)."""
    share = F.one_hot(p.argmax(dim=1), 2).double().mean(dim=0)
    return float(2 * (share * p.mean(dim=0)).sum())


def _busiest(p: Tensor) -> float:
    return float(F.one_hot(p.argmax(dim=1), 2).double().mean(dim=0).max())


def _below_one(trial: Trial) -> Mismatch | None:
    value = balance_of(trial.output)
    return None if value < 0.97 else Mismatch("a balance below 0.97", f"{value:.3f}")


def _uneven(trial: Trial) -> Mismatch | None:
    share = _busiest(trial.output)
    return None if share > 0.55 else Mismatch("more than 55 % of the tokens at one expert", f"{100 * share:.0f} %")


SURE, BARELY = [1.0, 0.0], [0.45, 0.55]
BREAK_BALANCE = Exercise(
    id="beyond/break-balance",
    title="Break it: an uneven load that looks better than even",
    answer="probabilities",
    solution=[[1.0, 0.0], [1.0, 0.0], [0.45, 0.55], [0.45, 0.55], [0.45, 0.55]],
    takes="value",
    read=_read_probabilities,
    properties=(
        Property(sentence="the load is uneven", test=_uneven,
                 hint="count the tokens of each expert: one of them should get more than half"),
        Property(sentence="the balance is below that of an even load", test=_below_one,
                 hint="the busy expert should have the smaller mean probability: can it win often and narrowly?"),
    ),
    wrong=(
        Wrong(name="even load", answer=[[0.9, 0.1], [0.1, 0.9]],
              recognise=lambda answer: abs(_busiest(_read_probabilities(answer)) - 0.5) < 1e-6,
              hint="both experts get half of the tokens: then the balance is 1, whatever the probabilities"),
        Wrong(name="collapse", answer=[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]],
              recognise=lambda answer: _busiest(_read_probabilities(answer)) == 1,
              hint="one expert gets everything, and its mean probability is above one half: the balance sees that"),
        Wrong(name="both sure", answer=[SURE, SURE, [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]],
              recognise=lambda answer: _read_probabilities(answer).max(dim=1).values.min() > 0.9
              and _busiest(_read_probabilities(answer)) < 1,
              hint="if every choice is sure, shares and probabilities are the same thing, and the balance is honest"),
        Wrong(name="both barely", answer=[[0.52, 0.48], [0.48, 0.52], [0.48, 0.52]],
              recognise=lambda answer: _read_probabilities(answer).max(dim=1).values.max() < 0.6
              and _busiest(_read_probabilities(answer)) < 1,
              hint="all choices are narrow, so that both mean probabilities are near one half: let one expert be sure"),
        Wrong(name="winner is sure", answer=[[0.55, 0.45], [0.55, 0.45], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]],
              recognise=lambda answer: balance_of(_read_probabilities(answer)) > 1.02,
              hint="the busy expert is also the one with the higher mean probability: turn that round"),
        Wrong(name="nearly", answer=[SURE, SURE, SURE, SURE, *[[0.3, 0.7]] * 5],
              recognise=lambda answer: 0.97 <= balance_of(_read_probabilities(answer)) < 1
              or 0.5 < _busiest(_read_probabilities(answer)) <= 0.55,
              hint="the right direction, not far enough: make the narrow wins narrower, or a few more of them"),
    ),
    notice="1 is the value of an even load, and no lower bound: choices that are won narrowly escape the statistic.",
)  # fmt: skip
