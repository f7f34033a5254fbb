"""Exercise: min-p. What it shares with top-p is in `filters`."""

from __future__ import annotations

import math

import torch

from tftutor.exercises.exercise import Exercise, Property, Wrong, equals
from tftutor.exercises.generation.filters import (
    _BEST,
    _SHAPE,
    _SUMS,
    _adds_up_to_one_in_all,
    _bar,
    _cases,
    _keep_where,
    _kept,
    _normal,
    min_p,
    top_p,
)

MIN_P = Exercise(
    id="generation/min-p",
    title="Min-p",
    answer="min_p",
    solution=min_p,
    cases=_cases((0.4, 0.3, 0.1, 0.7, 0.05, 0.2)),
    properties=(
        _SHAPE, _SUMS, _BEST,
        Property(sentence="the tokens kept are those near the best of their row", test=_kept(min_p),
                 hint="what is the bar of each row, as a number?"),
        equals("what is left keeps its proportions", min_p,
               hint="a token twice as likely as another before must be so afterwards"),
    ),
    wrong=(
        Wrong(name="an absolute bar", answer=_keep_where(lambda logits, probs, p: probs >= p),
              hint="the bar is p times the best probability of the row, not p itself"),
        Wrong(name="an absolute bar, nothing left", answer=_bar(lambda probs, p: probs >= p),
              hint="in unsure rows no token has p itself: the bar is p times the best probability of the row"),
        Wrong(name="log to another base", answer=_keep_where(
              lambda logits, probs, p: logits >= logits.max(dim=-1, keepdim=True).values + math.log10(p)),
              hint="a difference of logits is the natural logarithm of a ratio, and this is one to the base 10"),
        Wrong(name="log to the base 2", answer=_keep_where(
              lambda logits, probs, p: logits >= logits.max(dim=-1, keepdim=True).values + math.log2(p)),
              hint="a difference of logits is the natural logarithm of a ratio, and this is one to the base 2"),
        Wrong(name="logits set to zero", answer=lambda logits, p: logits.masked_fill(
              min_p(logits, p) == 0, 0.0).softmax(dim=-1),
              hint="a logit of 0 is no silence: which logit has probability 0?"),
        Wrong(name="against the second", answer=_keep_where(
              lambda logits, probs, p: probs >= p * probs.topk(2, dim=-1).values[:, 1:]),
              hint="the bar hangs on the likeliest token of the row, not on the second"),
        Wrong(name="against token 0", answer=_keep_where(lambda logits, probs, p: probs >= p * probs[:, :1]),
              hint="column 0 is token 0, not the best one: rows are not sorted"),
        Wrong(name="divided by the whole batch", answer=lambda logits, p: min_p(logits, p) / len(logits),
              recognise=lambda answer: _adds_up_to_one_in_all(answer),
              hint="all rows together add up to 1: every row is a distribution of its own"),
        Wrong(name="an absolute bar, or the best", answer=_keep_where(
              lambda logits, probs, p: (probs >= p) | (probs == probs.max(dim=-1, keepdim=True).values)),
              hint="keeping the best by force hides that the bar is in the wrong place: it depends on the best"),
        Wrong(name="a share of the best logit", answer=_keep_where(
              lambda logits, probs, p: logits >= p * logits.max(dim=-1, keepdim=True).values),
              hint="a logit may be negative and has no zero of its own: compare probabilities"),
        Wrong(name="one bar for all rows", answer=_keep_where(lambda logits, probs, p: probs >= p * probs.max()),
              hint="the best of the whole batch decides, and unsure rows lose everything: each row has its own"),
        Wrong(name="best over the batch", answer=_keep_where(
              lambda logits, probs, p: probs >= p * probs.max(dim=0, keepdim=True).values),
              hint="this compares a token with the same token in other rows"),
        Wrong(name="not renormalised", answer=_keep_where(
              lambda logits, probs, p: probs >= p * probs.max(dim=-1, keepdim=True).values, normal=False),
              hint="what is left adds up to less than 1: give the missing mass to those that stay"),
        Wrong(name="below the bar", answer=_keep_where(
              lambda logits, probs, p: probs < p * probs.max(dim=-1, keepdim=True).values),
              hint="this keeps the unlikely tokens and cuts off the likely ones"),
        Wrong(name="distance instead of ratio", answer=_keep_where(
              lambda logits, probs, p: probs >= probs.max(dim=-1, keepdim=True).values - p),
              hint="p is a factor, not a distance: half as likely as the best, not less likely by a half"),
        Wrong(name="difference of logits", answer=_keep_where(
              lambda logits, probs, p: logits >= logits.max(dim=-1, keepdim=True).values - p),
              hint="a ratio of probabilities is a difference of logits, but that difference is not p itself"),
        Wrong(name="times the mean", answer=_keep_where(
              lambda logits, probs, p: probs >= p * probs.mean(dim=-1, keepdim=True)),
              hint="the bar hangs on the best token of the row, not on the average one"),
        Wrong(name="1 - p", answer=_keep_where(
              lambda logits, probs, p: probs >= (1 - p) * probs.max(dim=-1, keepdim=True).values),
              hint="a small p cuts off little: here it cuts off nearly everything"),
        Wrong(name="softmax once more", answer=lambda logits, p: min_p(logits, p).masked_fill(
              min_p(logits, p) == 0, -1e9).softmax(dim=-1),
              hint="the softmax of probabilities is nearly even: divide by what is left instead"),
        Wrong(name="top-p", answer=top_p,
              hint="this collects mass p; here each token is compared with the best one"),
        Wrong(name="masked logits", answer=lambda logits, p: logits.masked_fill(min_p(logits, p) == 0, -torch.inf),
              hint="the right tokens are cut off; these are still logits, and probabilities are asked for"),
        Wrong(name="softmax over the batch", answer=lambda logits, p: min_p(logits.softmax(dim=0).log(), p),
              hint="the columns add up to 1 here, and the rows should"),
        Wrong(name="all alike", answer=lambda logits, p: _normal((min_p(logits, p) > 0).float()),
              hint="the set is right, and its members have lost their proportions: they are all alike"),
        Wrong(name="wrong sign", answer=_keep_where(
              lambda logits, probs, p: logits >= logits.max(dim=-1, keepdim=True).values + abs(math.log(p)) - 1e-9),
              hint="the bar is above the best token, and nobody reaches it: p is below 1 and its logarithm negative"),
        Wrong(name="a token", answer=lambda logits, p: logits.argmax(dim=-1),
              hint="nothing is to be drawn yet: hand back the probabilities to draw from"),
        Wrong(name="nothing is cut", answer=lambda logits, p: logits.softmax(dim=-1),
              hint="every token is still there: nothing was cut off"),
    ),
    notice="In logits the rule is one subtraction: keep what is at most ln(1/p) below the best.",
)  # fmt: skip
