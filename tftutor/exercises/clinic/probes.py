"""What each of the eight bugs of the repair exercise does, whatever else is still wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.exercises.clinic.patient import NAMES, Transformer

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


def draw_ids(*shape: int, seed: int = 0) -> Tensor:
    """Random tokens that are neither padding nor a mark."""
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


def weights_of(answer: type[nn.Module]) -> tuple[Tensor, Tensor]:
    """Raw scores q k^T and the weights that `attend` makes of them, (B, H, 4, 4): values are the identity."""
    q, k = _draw(2, N_HEADS, 4, 8), _draw(2, N_HEADS, 4, 8, seed=1)
    values = torch.eye(4, dtype=torch.float64).expand(2, N_HEADS, 4, 4)
    return q @ k.mT, _made(answer).attend(q, k, values, MASK)


def _polarity_fails(answer: type[nn.Module]) -> bool:
    return bool(((weights_of(answer)[1] > 1e-30) != MASK).any())


def _axis_fails(answer: type[nn.Module]) -> bool:
    totals = weights_of(answer)[1].sum(dim=-1)
    return _far(totals, torch.ones_like(totals))


def _scale_fails(answer: type[nn.Module]) -> bool:
    return not scaled_by(answer, 1 / math.sqrt(8))


def scaled_by(answer: type[nn.Module], factor: float) -> bool:
    """Whether the weights are those of the raw scores times `factor`, under any polarity and along either axis."""
    # ln (w00 w11 / w01 w10) is free of what a softmax divides by, along rows as along columns. It is taken in the
    # corner that is visible, under whichever polarity.
    scores, weights = weights_of(answer)

    def odds(x: Tensor, keys: slice) -> Tensor:
        corner = x[..., :2, keys]
        return corner[..., 0, 0] + corner[..., 1, 1] - corner[..., 0, 1] - corner[..., 1, 0]

    keys = slice(0, 2) if bool((weights[..., :2, :2] > 1e-30).all()) else slice(2, 4)
    return not _far(odds(weights.log(), keys), odds(scores, keys) * factor)


def _positions_fail(answer: type[nn.Module]) -> bool:
    model = _made(answer, split=Transformer.split, attend=Transformer.attend)
    tokens = draw_ids(2, 7)
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
    targets = draw_ids(2, 6)
    wanted = torch.cat([torch.ones(2, 1, dtype=torch.int64), targets[:, :-1]], dim=1)
    fed = fed_to(answer, targets)
    return fed.dtype != wanted.dtype or not torch.equal(fed, wanted)


def fed_to(answer: type[nn.Module], targets: Tensor) -> Tensor:
    """What the loss gives to the model to read; `targets` may be written to, if the learner's class does so."""
    _, (fed,) = _heard(answer, targets, torch.ones_like(targets, dtype=torch.bool), _draw(2, 6, N_TOKENS))
    return fed


def _softmax_fails(answer: type[nn.Module]) -> bool:
    # The same logits and the same target everywhere, so that the mean over any of the tokens is the same; and as a
    # share of the loss of even logits, so that a sum in the place of a mean is not taken for this bug.
    targets, logits = torch.full((2, 6), 4), 3 * _draw(1, 1, N_TOKENS).expand(2, 6, N_TOKENS)
    real = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
    nats, even = (_heard(answer, targets, real, x)[0] for x in (logits, torch.zeros_like(logits)))
    return _far(nats / even, F.cross_entropy(logits.transpose(1, 2), targets) / math.log(N_TOKENS))


def _padding_fails(answer: type[nn.Module]) -> bool:
    targets, logits, real = draw_ids(3, 6), _draw(3, 6, N_TOKENS), torch.ones(3, 6, dtype=torch.bool)
    real[0, 4:], real[2, 1:] = False, False
    padded = targets.masked_fill(~real, 0)
    loss, _ = _heard(answer, padded, real, logits)
    other, _ = _heard(answer, padded, real, logits + _draw(3, 6, N_TOKENS, seed=1) * ~real[..., None])
    even, _ = _heard(answer, padded, real, torch.zeros_like(logits))
    unlike, _ = _heard(answer, targets, real, logits)  # padding with other ids in it
    if _far(loss, other) or _far(loss, unlike) or _far(even, torch.full_like(even, math.log(N_TOKENS))):
        return True
    # All real tokens in one row, where nothing is padded: the same sum, the same count.
    alone, _ = _heard(answer, targets[real][None], torch.ones(1, int(real.sum()), dtype=torch.bool), logits[real][None])
    return _far(loss, alone)


TESTS: dict[str, Callable[[type[nn.Module]], bool]] = {
    "split": _split_fails, "scale": _scale_fails, "polarity": _polarity_fails, "axis": _axis_fails,
    "positions": _positions_fail, "shift": _shift_fails, "softmax": _softmax_fails, "padding": _padding_fails,
}  # fmt: skip


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


def why(answer: type[nn.Module], name: str) -> str:
    """The exception with which a property fails, if it does."""
    try:
        TESTS[name](answer)
    except Exception as error:
        return f" ({type(error).__name__}: {' '.join(str(error).split())[:90]})"
    return ""
