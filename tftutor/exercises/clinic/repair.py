"""Exercise: a Transformer with eight planted bugs. Each is looked for by what it does, whatever else is still wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.exercises.clinic.patient import NAMES, Transformer, build, source, variant
from tftutor.exercises.clinic.probes import N_TOKENS, draw_ids, failing, fed_to, scaled_by, weights_of, why
from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, show

METHODS = ("split", "attend", "step", "forward", "loss")
SENTENCES = {
    "split": "split gives each head its own features of every token",
    "scale": "scores are divided so that their spread does not depend on widths",
    "polarity": "a query gives weight to exactly the keys at which the mask is True",
    "axis": "the weights of each query sum to 1",
    "positions": "a text read in parts, with a past, gives the logits of a single pass",
    "shift": "what the model reads at t is the target at t - 1, BOS at the start",
    "softmax": "the loss is the cross-entropy of the logits",
    "padding": "the loss is the mean over the real tokens, whatever stands at padding",
}
HINTS = {
    "split": "give tokens numbers that tell you their place and feature, print what head 0 gets: reshaping alone deals "
    "out the numbers in the order in which they lie in memory",
    "scale": "over how many products does one score add up? Those of one head, or those of all heads",
    "polarity": "the class says what True means in its masks; masked_fill writes where its argument is True",
    "axis": "print the sums of the weights along rows and along columns: whose attention is being shared out?",
    "positions": "the first part is right, what follows a past is not: at which place does the first new token stand, "
    "and which keys may it see?",
    "shift": "print what the model reads beside what it has to predict at the same place. Could it simply copy?",
    "softmax": "the loss of a model that is sure and right should be near 0. What does cross_entropy do to what it is "
    "given?",
    "padding": "put different numbers at padded places and watch the loss; then count by how many tokens it divides",
}


def _read_class(value: Any) -> type[nn.Module]:
    if isinstance(value, nn.Module):
        raise Trouble("is a model, not its class", "hand in the class itself, without calling it",
                      expected="a class", got=show(value))  # fmt: skip
    if not (isinstance(value, type) and issubclass(value, nn.Module)):
        raise Trouble("is not the class", "write `repaired = Transformer` below the class",
                      expected="a subclass of nn.Module", got=show(value))  # fmt: skip
    missing = [name for name in METHODS if not callable(getattr(value, name, None))]
    if missing:
        raise Trouble("has lost a method", "keep the names and the arguments of all methods",
                      expected=", ".join(METHODS), got=f"no {', '.join(missing)}")  # fmt: skip
    return value


def _all_hold(trial: Trial) -> Mismatch | None:
    found = failing(trial.output)
    if not found:
        return None
    listed = "; ".join(f"{SENTENCES[name]}{why(trial.output, name)}" for name in found)
    return Mismatch("all of 8 properties", f"{8 - len(found)} of 8. Still failing: {listed}")


def _is_the_reference(trial: Trial) -> Mismatch | None:
    torch.manual_seed(0)
    mine, right = trial.output(N_TOKENS), Transformer(N_TOKENS)
    try:
        mine.load_state_dict(right.state_dict())
    except RuntimeError:
        return Mismatch("the parameters of the original", "others, or others' names")
    tokens, real = draw_ids(2, 9), torch.ones(2, 9, dtype=torch.bool)
    real[1, 5:] = False
    with torch.no_grad():
        gap = (mine(tokens) - right(tokens)).abs().max() if mine(tokens).shape == right(tokens).shape else math.inf
        loss_gap = (mine.loss(tokens, real) - right.loss(tokens, real)).abs()
    if gap < 1e-4 and loss_gap < 1e-4:
        return None
    return Mismatch("the logits and the loss of the original", f"others, by up to {float(max(gap, loss_gap)):.2g}")


def _feeds(make: Callable[[Tensor], Tensor]) -> Callable[[Any], bool]:
    """Whether the model is fed with `make(targets)`, and everything before the loss is right."""

    def recognise(answer: Any) -> bool:
        fed, wanted = fed_to(_read_class(answer), draw_ids(2, 6)), make(draw_ids(2, 6))
        return fed.dtype == wanted.dtype and torch.equal(fed, wanted) and failing(answer)[:1] == ["shift"]

    return recognise


def _overwrites_targets(answer: Any) -> bool:
    targets = draw_ids(2, 6)
    fed_to(_read_class(answer), targets)
    return not torch.equal(targets, draw_ids(2, 6)) and failing(answer)[:1] == ["softmax"]


def _weighs(name: str, test: Callable[[Tensor], bool]) -> Callable[[Any], bool]:
    """Whether `name` is the first bug left, and the weights (B, H, 4, 4) are as `test` says."""
    return lambda answer: bool(test(weights_of(_read_class(answer))[1])) and failing(answer)[:1] == [name]


def _scales(factor: float) -> Callable[[Any], bool]:
    return lambda answer: scaled_by(_read_class(answer), factor) and failing(answer)[:1] == ["scale"]


def _shares_between_heads(answer: Any) -> bool:
    totals = weights_of(_read_class(answer))[1].nan_to_num().sum(dim=1)
    shared = bool(((totals - 1).abs() < 1e-6).logical_or(totals == 0).all())
    return shared and failing(answer)[:1] == ["scale"]


SHIFT = "inputs = F.pad(targets[:, :-1], (1, 0), value=1)"


def _rewritten(right: str, wrong: str) -> type[nn.Module]:
    return build(source().replace(right, wrong))


def _first(name: str) -> Callable[[Any], bool]:
    """Whether `name` is the first bug that is left, and shows in results, not in an error."""
    return lambda answer: failing(_read_class(answer))[:1] == [name] and not why(answer, name)


REPAIR = Exercise(
    id="clinic/repair",
    title="Repair a Transformer with eight planted bugs",
    answer="repaired",
    solution=Transformer,
    takes="value",
    read=_read_class,
    properties=(
        Property(sentence="each of the eight is repaired", test=_all_hold,
                 hint="a method stops with an error or returns nothing: call it yourself on a small tensor and read "
                      "the last line of the traceback"),
        Property(sentence="with the same weights it computes what the healthy model does", test=_is_the_reference,
                 hint="the eight places are right, and something else has changed: compare with the original text line "
                      "by line"),
    ),
    wrong=(
        Wrong(name="as it came", answer=variant(*NAMES),
              recognise=lambda answer: len(failing(_read_class(answer))) == len(NAMES),
              hint="nothing is repaired yet: take the method that depends on no other, split, and try it on a tensor "
                   "that you can read"),
        Wrong(name="the first target dropped", recognise=_feeds(lambda targets: targets[:, :-1]),
              answer=_rewritten(SHIFT, "inputs, targets, real = targets[:, :-1], targets[:, 1:], real[:, 1:]"),
              hint="every target has to be predicted, the first one too: what does the model read before it?"),
        Wrong(name="no mark of the beginning", recognise=_feeds(lambda targets: F.pad(targets[:, :-1], (1, 0))),
              answer=_rewritten("value=1", "value=0"),
              hint="shifted, and the first input is not the one that the docstring names"),
        Wrong(name="shifted the other way", recognise=_feeds(lambda targets: F.pad(targets[:, 1:], (0, 1), value=1)),
              answer=_rewritten(SHIFT, "inputs = F.pad(targets[:, 1:], (0, 1), value=1)"),
              hint="at t the model reads what comes after the target that it has to predict: which way should the "
                   "inputs move?"),
        Wrong(name="one input too many", recognise=_feeds(lambda targets: F.pad(targets, (1, 0), value=1)),
              answer=_rewritten(SHIFT, "inputs = F.pad(targets, (1, 0), value=1)"),
              hint="the model reads one token more than there are targets: behind which of them is nothing left to "
                   "predict?"),
        Wrong(name="BOS as a decimal",
              recognise=lambda answer: fed_to(_read_class(answer), draw_ids(2, 6)).is_floating_point()
              and failing(answer)[:1] == ["shift"],
              answer=_rewritten(SHIFT, "inputs = torch.cat([torch.ones(len(targets), 1), targets[:, :-1]], dim=1)"),
              hint="tokens are whole numbers: of which dtype is what you put in front of them?"),
        Wrong(name="targets overwritten", recognise=_overwrites_targets,
              answer=_rewritten(SHIFT, "inputs = targets; inputs[:, 1:] = targets[:, :-1].clone(); inputs[:, 0] = 1"),
              hint="after the shift print the targets too: two names, and how many tensors?"),
        Wrong(name="multiplied by the scale", recognise=_scales(math.sqrt(8)),
              answer=_rewritten("q @ k.mT / scale", "q @ k.mT * scale"),
              hint="the scores have become larger than q k^T, and should become smaller"),
        Wrong(name="not scaled", recognise=_scales(1.0), answer=_rewritten("q @ k.mT / scale", "q @ k.mT"),
              hint="the scores are q k^T as they come: how does their spread grow with the width of a head?"),
        Wrong(name="divided by the width", recognise=_scales(1 / 8), answer=_rewritten("math.sqrt(q.shape[-1])",
                                                                                     "q.shape[-1]"),
              hint="divided too much: what grows with the width of a head, the variance of a score or its spread?"),
        Wrong(name="softmax over the heads", recognise=_shares_between_heads,
              answer=_rewritten("softmax(dim=-1)", "softmax(dim=1)"),
              hint="scores have four axes (B, H, T, S): over which of them do your weights sum to 1?"),
        Wrong(name="hidden scores are 0", recognise=_weighs("polarity", lambda w: (w > 1e-9).all()),
              answer=_rewritten('float("-inf")', "0.0"),
              hint="hidden keys still get weight: which score becomes a weight of 0 in a softmax?"),
        Wrong(name="mask after the softmax",
              recognise=_weighs("axis", lambda w: (w.sum(dim=-2) - 1).abs().max() > 1e-3),
              answer=build(source().replace('scores = scores.masked_fill(~mask, float("-inf"))\n', "\n")
                           .replace("weights = scores.softmax(dim=-1)", "weights = scores.softmax(dim=-1) * mask")),
              hint="the weights that are left sum to less than 1: hidden keys took their share before they were "
                   "hidden"),
        *(Wrong(name=name, answer=variant(name), recognise=_first(name), hint=HINTS[name]) for name in NAMES),
    ),
    notice="None of the eight raised an error. That is why one looks for them by properties, each of which must hold "
    "whatever the rest does.",
)  # fmt: skip
