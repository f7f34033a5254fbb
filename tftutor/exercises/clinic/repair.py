"""Exercise: a Transformer with eight planted bugs. Each is looked for by what it does, whatever else is still wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.exercises.clinic.patient import NAMES, Transformer, build, source, variant
from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, show

METHODS = ("split", "attend", "step", "forward", "loss")
TOLERANCE = 1e-6  # everything is computed in float64
N_TOKENS, N_HEADS = 11, 3


def _made(answer: type[nn.Module], **right: Callable[..., Any]) -> nn.Module:
    """A model of the learner's class with random weights, in float64; `right` replaces some of its methods."""
    cls = type("Probe", (answer,), right) if right else answer
    torch.manual_seed(0)
    model = cls(N_TOKENS, 24, N_HEADS, 2, 32).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(3, N_TOKENS, shape, generator=torch.Generator().manual_seed(seed))


def _far(a: Tensor, b: Tensor) -> bool:
    """Whether two results differ in shape or anywhere in value; NaN differs from everything."""
    return a.shape != b.shape or not bool(((a - b).abs() < TOLERANCE).all())


def _split_fails(answer: type[nn.Module]) -> bool:
    x = _draw(2, 5, 24)
    return _far(_made(answer).split(x), Transformer.split(_made(Transformer), x))


# A mask that shows and hides something in every row and every column, so that nothing is empty under either polarity
# and along either axis. Queries 0 and 1 see keys 0 and 1 and not keys 2 and 3; queries 2 and 3 see keys 2 and 3.
MASK = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]).bool()


def _weights(answer: type[nn.Module]) -> tuple[Tensor, Tensor]:
    """Raw scores q k^T and the weights that `attend` makes of them, (B, H, 4, 4): values are the identity."""
    q, k = _draw(2, N_HEADS, 4, 8), _draw(2, N_HEADS, 4, 8, seed=1)
    values = torch.eye(4, dtype=torch.float64).expand(2, N_HEADS, 4, 4)
    return q @ k.mT, _made(answer).attend(q, k, values, MASK)


def _polarity_fails(answer: type[nn.Module]) -> bool:
    return bool(((_weights(answer)[1] > 1e-9) != MASK).any())


def _axis_fails(answer: type[nn.Module]) -> bool:
    totals = _weights(answer)[1].sum(dim=-1)
    return _far(totals, torch.ones_like(totals))


def _scale_fails(answer: type[nn.Module]) -> bool:
    # ln (w00 w11 / w01 w10) is free of what a softmax divides by, along rows as along columns. It is taken in the
    # corner that is visible, under whichever polarity.
    scores, weights = _weights(answer)

    def odds(x: Tensor, keys: slice) -> Tensor:
        corner = x[..., :2, keys]
        return corner[..., 0, 0] + corner[..., 1, 1] - corner[..., 0, 1] - corner[..., 1, 0]

    keys = slice(0, 2) if bool((weights[..., :2, :2] > 1e-9).all()) else slice(2, 4)
    return _far(odds(weights.log(), keys), odds(scores, keys) / math.sqrt(8))


def _positions_fail(answer: type[nn.Module]) -> bool:
    model = _made(answer, split=Transformer.split, attend=Transformer.attend)
    tokens = _ids(2, 7)
    with torch.no_grad():
        full = model.step(tokens)[0]
        first, past = model.step(tokens[:, :4])
        second, past = model.step(tokens[:, 4:6], past)
        third, _ = model.step(tokens[:, 6:], past)
    return _far(torch.cat([first, second, third], dim=1), full)


def _heard(answer: type[nn.Module], targets: Tensor, real: Tensor, logits: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The loss that the learner's class computes when its model always says `logits`, and what the model was fed."""
    fed: list[Tensor] = []

    def step(self: nn.Module, tokens: Tensor, past: Any = None) -> tuple[Tensor, list]:
        fed.append(tokens.clone())
        return logits[:, : tokens.shape[1]], []

    model = _made(answer, step=step, forward=lambda self, tokens: step(self, tokens)[0])
    return model.loss(targets, real), fed


def _shift_fails(answer: type[nn.Module]) -> bool:
    targets = _ids(2, 6)
    _, fed = _heard(answer, targets, torch.ones(2, 6, dtype=torch.bool), _draw(2, 6, N_TOKENS))
    wanted = torch.cat([torch.ones(2, 1, dtype=torch.int64), targets[:, :-1]], dim=1)
    return len(fed) != 1 or not torch.equal(fed[0], wanted)


def _softmax_fails(answer: type[nn.Module]) -> bool:
    # As a share of the loss of even logits, so that a sum in the place of a mean is not taken for this bug.
    targets, logits, real = _ids(2, 6), 3 * _draw(2, 6, N_TOKENS), torch.ones(2, 6, dtype=torch.bool)
    nats, even = (_heard(answer, targets, real, x)[0] for x in (logits, torch.zeros_like(logits)))
    return _far(nats / even, F.cross_entropy(logits.transpose(1, 2), targets) / math.log(N_TOKENS))


def _padding_fails(answer: type[nn.Module]) -> bool:
    targets, logits, real = _ids(3, 6), _draw(3, 6, N_TOKENS), torch.ones(3, 6, dtype=torch.bool)
    real[0, 4:], real[2, 1:] = False, False
    padded = targets.masked_fill(~real, 0)
    loss, _ = _heard(answer, padded, real, logits)
    other, _ = _heard(answer, padded, real, logits + _draw(3, 6, N_TOKENS, seed=1) * ~real[..., None])
    even, _ = _heard(answer, padded, real, torch.zeros_like(logits))
    if _far(loss, other) or _far(even, torch.full_like(even, math.log(N_TOKENS))):
        return True
    # All real tokens in one row, where nothing is padded: the same sum, the same count.
    alone, _ = _heard(answer, targets[real][None], torch.ones(1, int(real.sum()), dtype=torch.bool), logits[real][None])
    return _far(loss, alone)


TESTS: dict[str, Callable[[type[nn.Module]], bool]] = {
    "split": _split_fails, "scale": _scale_fails, "polarity": _polarity_fails, "axis": _axis_fails,
    "positions": _positions_fail, "shift": _shift_fails, "softmax": _softmax_fails, "padding": _padding_fails,
}  # fmt: skip

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


def failing(answer: type[nn.Module]) -> list[str]:
    """The names of the bugs whose property still fails."""
    found = []
    for name in NAMES:
        try:
            bad = TESTS[name](answer)
        except Exception:  # a repair that does not run
            bad = True
        if bad:
            found.append(name)
    return found


def _why(answer: type[nn.Module], name: str) -> str:
    """The exception with which a property fails, if it does."""
    try:
        TESTS[name](answer)
    except Exception as error:
        return f" ({type(error).__name__}: {' '.join(str(error).split())[:90]})"
    return ""


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
    listed = "; ".join(f"{SENTENCES[name]}{_why(trial.output, name)}" for name in found)
    return Mismatch("all of 8 properties", f"{8 - len(found)} of 8. Still failing: {listed}")


def _is_the_reference(trial: Trial) -> Mismatch | None:
    torch.manual_seed(0)
    mine, right = trial.output(N_TOKENS), Transformer(N_TOKENS)
    try:
        mine.load_state_dict(right.state_dict())
    except RuntimeError:
        return Mismatch("the parameters of the original", "others, or others' names")
    tokens, real = _ids(2, 9), torch.ones(2, 9, dtype=torch.bool)
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
        found = failing(_read_class(answer))
        _, fed = _heard(answer, _ids(2, 6), torch.ones(2, 6, dtype=torch.bool), _draw(2, 6, N_TOKENS))
        return found[:1] == ["shift"] and torch.equal(fed[0], make(_ids(2, 6)))

    return recognise


def _weighs(name: str, test: Callable[[Tensor], bool]) -> Callable[[Any], bool]:
    """Whether `name` is the first bug left, and the weights (B, H, 4, 4) are as `test` says."""
    return lambda answer: failing(_read_class(answer))[:1] == [name] and bool(test(_weights(answer)[1]))


def _rewritten(right: str, wrong: str) -> type[nn.Module]:
    return build(source().replace(right, wrong))


def _first(name: str) -> Callable[[Any], bool]:
    """Whether `name` is the first bug that is left, and shows in results, not in an error."""
    return lambda answer: failing(_read_class(answer))[:1] == [name] and not _why(answer, name)


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
              answer=_rewritten("inputs = F.pad(targets[:, :-1], (1, 0), value=1)",
                                "inputs, targets, real = targets[:, :-1], targets[:, 1:], real[:, 1:]"),
              hint="every target has to be predicted, the first one too: what does the model read before it?"),
        Wrong(name="no mark of the beginning", recognise=_feeds(lambda targets: F.pad(targets[:, :-1], (1, 0))),
              answer=_rewritten("value=1", "value=0"),
              hint="shifted, and the first input is not the one that the docstring names"),
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
