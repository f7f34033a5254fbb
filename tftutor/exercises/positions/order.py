"""Exercises: what order means to a layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import read_bool, read_choice
from tftutor.positions import sinusoids

Layer = Callable[[Tensor], Tensor]


def is_equivariant(layer: Layer, x: Tensor) -> bool:
    """Does `layer` treat its tokens as a set?

    layer: a function from (B, T, D) to (B, T, D).
    x: an input to try it on, (B, T, D).
    Returns True if reordering the T tokens only reorders the outputs, up to
    rounding (1e-4), for whatever order; else False.
    """
    for _ in range(5):
        order = torch.randperm(x.shape[1])
        if not torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-4):
            return False
    return True


def _attention(x: Tensor, *, causal: bool = False) -> Tensor:
    scores = x @ x.mT
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(dim=-1) @ x


def _smooth(x: Tensor) -> Tensor:
    """Each token with half of each neighbour: the same from left to right and from right to left."""
    return x + 0.5 * (F.pad(x, (0, 0, 1, 0))[:, :-1] + F.pad(x, (0, 0, 0, 1))[:, 1:])


def _layers() -> list[tuple[bool, Layer]]:
    """Layers, and whether they are equivariant."""
    return [
        (True, torch.tanh),
        (False, _smooth),
        (True, _attention),
        (False, lambda x: _attention(x, causal=True)),
        (True, lambda x: x - x.mean(dim=1, keepdim=True)),
        (False, lambda x: x + x.roll(1, dims=1)),
        (False, lambda x: x.flip(1) * 2),
        (True, lambda x: x.mean(dim=1, keepdim=True).expand_as(x)),
        (False, lambda x: _attention(x + sinusoids(torch.arange(x.shape[1]), x.shape[2]).to(x))),
        (True, lambda x: F.layer_norm(x, x.shape[-1:])),
        (False, lambda x: x + x[:, -1:]),
        (True, lambda x: _attention(x).cumsum(dim=-1)),
        (False, lambda x: x + x[:, :1]),
        (True, lambda x: x + x[:1]),  # adds the first row of the batch to all rows
        (False, lambda x: x + 2e-3 * torch.arange(x.shape[1])[:, None]),  # knows its place, but only just
    ]


def _layer_cases(generator: torch.Generator) -> list[Case]:
    sizes = ((2, 5, 4), (3, 7, 6), (1, 6, 8), (4, 5, 2))
    cases = []
    for i, (_, layer) in enumerate(_layers()):
        shape = sizes[i % len(sizes)]
        label = f"layer {i + 1} of {len(_layers())}, x {shape}"
        cases.append(Case((layer, torch.randn(shape, generator=generator)), label))
    return [*cases, Case((_attention, torch.randn(3, 2, 4, generator=generator)), "layer 3, x (3, 2, 4)")]


def _right_verdict(trial: Trial) -> Mismatch | None:
    layer, x = trial.args
    truth = is_equivariant(layer, x)
    if trial.output == truth:
        return None
    reason = "every reordering goes through" if truth else "some reordering changes more than the order"
    return Mismatch(f"{truth} ({reason})", str(trial.output))


def _orders(x: Tensor, axis: int = 1) -> list[Tensor]:
    return [torch.randperm(x.shape[axis]) for _ in range(5)]


EQUIVARIANT = Exercise(
    id="positions/equivariant",
    title="Which layers treat their tokens as a set?",
    answer="is_equivariant",
    solution=is_equivariant,
    cases=_layer_cases,
    read=read_bool,
    properties=(
        Property(
            sentence="the verdict on this layer is right",
            test=_right_verdict,
            hint="reorder the tokens before the layer, reorder them the same way after it, compare; try several "
            "orders, and let each of them count",
        ),
    ),
    wrong=(
        Wrong(
            name="invariance",
            answer=lambda f, x: all(torch.allclose(f(x[:, o]), f(x), atol=1e-4) for o in _orders(x)),
            hint="the output may be reordered, if by the same order as the input: you compare it with the output as it "
            "was (that is invariance), or in another order",
        ),
        Wrong(
            name="pooled outputs",
            answer=lambda f, x: all(torch.allclose(f(x[:, o]).mean(1), f(x).mean(1), atol=1e-4) for o in _orders(x)),
            hint="averages over the tokens forget which output belongs to which token: compare token by token",
        ),
        Wrong(
            name="only turned round",
            answer=lambda f, x: torch.allclose(f(x.flip(1)), f(x).flip(1), atol=1e-4),
            hint="a layer that mixes both neighbours alike survives being turned round: try orders without symmetry",
        ),
        Wrong(
            name="only shifted in a ring",
            answer=lambda f, x: torch.allclose(f(x.roll(1, 1)), f(x).roll(1, 1), atol=1e-4),
            hint="a layer that looks one place back in a ring survives every shift: try orders that tear neighbours "
            "apart",
        ),
        Wrong(
            name="only the first two swapped",
            answer=lambda f, x: torch.allclose(f(_swapped(x)), _swapped(f(x)), atol=1e-4),
            hint="one swap at the front tells nothing about the tokens behind: move all of them",
        ),
        Wrong(
            name="only the last two swapped",
            answer=lambda f, x: torch.allclose(f(_swapped(x, last=True)), _swapped(f(x), last=True), atol=1e-4),
            hint="the order that you try leaves the first token where it is: move all of them, and in several orders",
        ),
        Wrong(
            name="sorted outputs",
            answer=lambda f, x: all(
                torch.allclose(f(x[:, o]).sort(1).values, f(x).sort(1).values, atol=1e-4) for o in _orders(x)
            ),
            hint="after sorting you no longer see which output stood where, and that is the question",
        ),
        Wrong(
            name="wide tolerance",
            answer=lambda f, x: all(torch.allclose(f(x[:, o]), f(x)[:, o], atol=0.1) for o in _orders(x)),
            hint="your tolerance lets a layer pass that adds a little more at each place: rounding is far smaller",
        ),
        Wrong(
            name="never",
            answer=lambda f, x: False,
            hint="it says no to every layer: are you comparing with the input, or with something that never agrees?",
        ),
        Wrong(
            name="features reordered",
            answer=lambda f, x: all(torch.allclose(f(x[..., o]), f(x)[..., o], atol=1e-4) for o in _orders(x, 2)),
            hint="the last axis holds features; tokens stand on another axis of (B, T, D)",
        ),
        Wrong(
            name="batch reordered",
            answer=lambda f, x: all(torch.allclose(f(x[o]), f(x)[o], atol=1e-4) for o in _orders(x, 0)),
            hint="rows of a batch never meet, so reordering them always goes through: reorder the tokens in each row",
        ),
        Wrong(
            name="the order is applied twice",
            answer=lambda f, x: all(torch.allclose(f(x[:, o])[:, o], f(x), atol=1e-4) for o in _orders(x)),
            hint="one side is reordered the wrong way: an order, taken twice, does not undo itself, and the outputs "
            "need the same order as the inputs",
        ),
        Wrong(
            name="exact equality",
            answer=lambda f, x: all(torch.equal(f(x[:, o]), f(x)[:, o]) for o in _orders(x)),
            hint="sums in another order round differently: allow for the last digits",
        ),
        Wrong(
            name="always",
            answer=lambda f, x: True,
            hint="it says yes to every layer: does what you compare depend on the order at all?",
        ),
    ),
    notice="No finite number of trials proves it; one that fails refutes it. Random orders without symmetry are good "
    "trials.",
)  # fmt: skip


def _swapped(x: Tensor, *, last: bool = False) -> Tensor:
    """The tokens of x with the first two, or the last two, exchanged."""
    if last:
        return _swapped(x.flip(1)).flip(1)
    return torch.cat([x[:, 1:2], x[:, :1], x[:, 2:]], dim=1)


# A causal model without positions reads "dog bites man ." and "man bites dog .". What comes out at the full stop is
# (a) equal after one layer and after two; (b) equal after one layer, different after two; (c) different after one layer
# already; (d) different after one layer, equal after two.
PREDICT_CAUSAL = Exercise(
    id="positions/predict-causal",
    title="Predict: two sentences, a causal mask, no positions",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: equal after both",
            answer="a",
            hint="what the full stop sees in the second layer are outputs of the first: had 'bites' seen the same "
            "tokens in both sentences?",
        ),
        Wrong(
            name="c: different after one",
            answer="c",
            hint="the full stop sees all four tokens in both sentences: what do their order and their keys have to do "
            "with each other, without positions?",
        ),
        Wrong(
            name="d: different, then equal",
            answer="d",
            hint="once two vectors differ, the next layer has no reason to make them equal; look at the first layer "
            "again",
        ),
    ),
    notice="One causal layer hands the last token a bag of words; the second compares bags of different prefixes.",
)
