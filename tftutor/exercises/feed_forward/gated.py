"""Exercises: a gated feed-forward layer, and the width at which it costs as much as a plain one."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Wrong, distinct_sizes, equals, has_shape, named_case
from tftutor.exercises.values import read_number


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """The gated feed-forward layer with SiLU, silu(z) = z * sigmoid(z).

    x: (B, T, D).  w_gate, w_up: (D, F).  w_down: (F, D).
    Returns (B, T, D). No biases, no residual connection.
    """
    gate = x @ w_gate
    hidden = gate * torch.sigmoid(gate) * (x @ w_up)
    return hidden @ w_down


def _swiglu_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for high in (4, 7, 10):
        b, t, d, f = distinct_sizes(generator, 4, 2, high + 2)
        sizes = {"x": (b, t, d), "w_gate": (d, f), "w_up": (d, f), "w_down": (f, d)}
        cases.append(named_case(**{name: torch.randn(*size, generator=generator) for name, size in sizes.items()}))
    return cases


SWIGLU = Exercise(
    id="feed-forward/swiglu",
    title="A gated layer",
    answer="swiglu",
    solution=swiglu,
    cases=_swiglu_cases,
    properties=(
        has_shape("the result is as wide as x", lambda x, *_: tuple(x.shape)),
        equals("the hidden features are silu(gate) times up", swiglu,
               hint="two projections of x, one of them through SiLU; they meet number by number"),
    ),
    wrong=(
        Wrong(
            name="GLU",
            answer=lambda x, g, u, d: (torch.sigmoid(x @ g) * (x @ u)) @ d,
            hint="this gate is a plain sigmoid, the original GLU; SiLU multiplies the sigmoid by its own input",
        ),
        Wrong(
            name="roles exchanged",
            answer=lambda x, g, u, d: ((x @ g) * F.silu(x @ u)) @ d,
            hint="the activation is on the wrong one of the two projections: which is called the gate?",
        ),
        Wrong(
            name="activation behind the product",
            answer=lambda x, g, u, d: F.silu((x @ g) * (x @ u)) @ d,
            hint="the gate goes through the activation before the two meet, not their product afterwards",
        ),
        Wrong(
            name="no activation",
            answer=lambda x, g, u, d: ((x @ g) * (x @ u)) @ d,
            hint="this is the bilinear variant: the gate has no activation here",
        ),
        Wrong(
            name="activation on both",
            answer=lambda x, g, u, d: (F.silu(x @ g) * F.silu(x @ u)) @ d,
            hint="only the gate has an activation; the other projection stays linear",
        ),
        Wrong(
            name="ReGLU",
            answer=lambda x, g, u, d: (F.relu(x @ g) * (x @ u)) @ d,
            hint="this gate is a ReLU (ReGLU); SiLU is smooth, and slightly negative left of zero",
        ),
        Wrong(
            name="GEGLU",
            answer=lambda x, g, u, d: (F.gelu(x @ g) * (x @ u)) @ d,
            hint="this gate is a GELU (GEGLU), which looks much alike; SiLU uses the logistic sigmoid",
        ),
        Wrong(
            name="sum",
            answer=lambda x, g, u, d: (F.silu(x @ g) + x @ u) @ d,
            hint="a gate multiplies: at zero it lets nothing through, and a sum cannot do that",
        ),
        Wrong(
            name="no gate",
            answer=lambda x, g, u, d: F.silu(x @ u) @ d,
            hint="this is a plain layer with SiLU: w_gate is not used",
        ),
        Wrong(
            name="gate only",
            answer=lambda x, g, u, d: F.silu(x @ g) @ d,
            hint="this is a plain layer with SiLU: w_up is not used",
        ),
        Wrong(
            name="tanh",
            answer=lambda x, g, u, d: (torch.tanh(x @ g) * (x @ u)) @ d,
            hint="this gate is a tanh; SiLU grows without bound on the right",
        ),
        Wrong(
            name="scaled",
            answer=lambda x, g, u, d: swiglu(x, g, u, d) / x.shape[-1] ** 0.5,
            hint="the root of the width belongs to the scores of attention: nothing is scaled here",
        ),
        Wrong(
            name="gated by itself",
            answer=lambda x, g, u, d: (F.silu(x @ u) * (x @ u)) @ d,
            hint="the same projection twice: the gate has a matrix of its own, w_gate",
        ),
        Wrong(
            name="hidden features",
            answer=lambda x, g, u, d: F.silu(x @ g) * (x @ u),
            hint="these are the hidden features: they still have to get back to the width of x",
        ),
        Wrong(
            name="with the residual",
            answer=lambda x, g, u, d: x + swiglu(x, g, u, d),
            hint="the layer itself is right; adding x back is the block's business, not the layer's",
        ),
        Wrong(
            name="softmax gate",
            answer=lambda x, g, u, d: ((x @ g).softmax(dim=-1) * (x @ u)) @ d,
            hint="a softmax makes the hidden features compete; each gate opens by itself",
        ),
        Wrong(
            name="sigmoid of the other projection",
            answer=lambda x, g, u, d: ((x @ g) * torch.sigmoid(x @ u)) @ d,
            hint="silu(z) is z times the sigmoid of the same z, and then the other projection comes in: three factors",
        ),
        Wrong(
            name="sigmoid turned",
            answer=lambda x, g, u, d: ((x @ g) * torch.sigmoid(-(x @ g)) * (x @ u)) @ d,
            hint="the sigmoid runs the wrong way: 1 / (1 + exp(-z)) is near 1 for large z, and yours near 0",
        ),
        Wrong(
            name="sigmoid of the SiLU",
            answer=lambda x, g, u, d: (torch.sigmoid(F.silu(x @ g)) * (x @ u)) @ d,
            hint="there is a sigmoid inside SiLU already; nothing comes around it",
        ),
        Wrong(
            name="sigmoid of x",
            answer=lambda x, g, u, d: ((x * torch.sigmoid(x)) @ g * (x @ u)) @ d,
            hint="the activation bends the gate's projection; here it bends x, before anything is projected",
        ),
        Wrong(
            name="both from a bent x",
            answer=lambda x, g, u, d: ((F.silu(x) @ g) * (F.silu(x) @ u)) @ d,
            hint="the activation bends x here, before the projections; it belongs behind one of the two",
        ),
        Wrong(
            name="gate twice",
            answer=lambda x, g, u, d: (F.silu(x @ g) * (x @ g) * (x @ u)) @ d,
            hint="one factor too many: SiLU brings its z along, and you multiply by the gate once more",
        ),
        Wrong(
            name="sum in front of the bend",
            answer=lambda x, g, u, d: F.silu(x @ g + x @ u) @ d,
            hint="the sum of two projections is one projection: this is a plain layer. A gate multiplies",
        ),
        Wrong(
            name="down before they meet",
            answer=lambda x, g, u, d: (F.silu(x @ g) @ d) * ((x @ u) @ d),
            hint="the two meet among the F hidden features, and go down together, once",
        ),
        Wrong(
            name="highway",
            answer=lambda x, g, u, d: (torch.sigmoid(x @ g) * (x @ u) + (1 - torch.sigmoid(x @ g)) * (x @ g)) @ d,
            hint="this gate chooses between two things, as in an LSTM; here it only opens and closes one",
        ),
        Wrong(
            name="softplus",
            answer=lambda x, g, u, d: (F.softplus(x @ g) * (x @ u)) @ d,
            hint="this gate is a softplus, log(1 + exp(z)), which is never negative; SiLU is z * sigmoid(z)",
        ),
        Wrong(
            name="activation at the end",
            answer=lambda x, g, u, d: F.silu(((x @ g) * (x @ u)) @ d),
            hint="the activation stands behind the last matrix here: what leaves the layer may be anything, positive "
            "or negative",
        ),
    ),
    notice="Left of zero the gate is slightly open the wrong way round: SiLU is negative there, down to -0.28.",
)  # fmt: skip


def matched_width(d_model: int, multiple: int) -> int:
    """How wide must a gated layer be to cost what the plain one costs?

    The plain layer: two matrices, 4 * d_model hidden features.
    The gated layer: three matrices. No biases in either.
    Returns the width for the same number of parameters, rounded up to a
    multiple of `multiple`.
    """
    multiples = -(-8 * d_model // (3 * multiple))  # rounded up
    return multiples * multiple


def _width_cases(_generator: torch.Generator) -> list[Case]:
    sizes = ((96, 64), (64, 8), (4096, 256), (100, 16), (512, 128), (5120, 256), (250, 32), (50, 19))
    return [named_case(d_model=d, multiple=m) for d, m in sizes]


def _up(width: float, multiple: int) -> int:
    return math.ceil(width / multiple) * multiple


MATCHED_WIDTH = Exercise(
    id="feed-forward/matched-width",
    title="The same number of parameters",
    answer="matched_width",
    solution=matched_width,
    cases=_width_cases,
    read=read_number,
    properties=(equals("the width is right", matched_width, hint="write both counts down and make them equal"),),
    wrong=(
        Wrong(
            name="four times, as before",
            answer=lambda d, m: _up(4 * d, m),
            hint="at this width the gated layer has half as many parameters again: it has a matrix more",
        ),
        Wrong(
            name="half of it",
            answer=lambda d, m: _up(2 * d, m),
            hint="the gated layer has three matrices where the plain one has two, not four",
        ),
        Wrong(
            name="three quarters",
            answer=lambda d, m: _up(3 * d, m),
            hint="two matrices of width 4 D against three of width F: what is F?",
        ),
        Wrong(
            name="two thirds of D",
            answer=lambda d, m: _up(2 * d / 3, m),
            hint="two thirds is right, but of the plain layer's hidden width, not of the model's",
        ),
        Wrong(
            name="a third of it",
            answer=lambda d, m: _up(4 * d / 3, m),
            hint="three matrices share what two had: how much is left for each of them, a third of one or of both?",
        ),
        Wrong(
            name="three halves",
            answer=lambda d, m: _up(6 * d, m),
            hint="more matrices, and each of them wider? The total is to stay the same",
        ),
        Wrong(
            name="not rounded",
            answer=lambda d, m: 8 * d / 3,
            hint="the proportion is right; round up to a multiple of the second argument",
            recognise=lambda answer: answer(64, 8) is not None and 170 <= answer(64, 8) <= 171,
        ),
        Wrong(
            name="cut first",
            answer=lambda d, m: -(-(8 * d // 3) // m) * m,
            hint="nearly: for d_model = 50 the width is 133.3, and you make that 133, a multiple of 19 as it is. "
            "Round once, and up",
        ),
        Wrong(
            name="number of multiples",
            answer=lambda d, m: math.ceil(8 * d / 3 / m),
            hint="this is how many multiples it takes: the width itself is asked for",
        ),
        Wrong(
            name="times the multiple",
            answer=lambda d, m: 8 * d / 3 * m,
            hint="the proportion is right; a multiple is where the width is rounded to, not what it is multiplied by",
        ),
        Wrong(
            name="upside down",
            answer=lambda d, m: _up(3 * d / 8, m),
            hint="the fraction is upside down: the hidden width is larger than d_model",
        ),
        Wrong(
            name="power of two",
            answer=lambda d, m: 2 ** math.ceil(math.log2(8 * d / 3)),
            hint="the proportion is right; you round up to a power of two instead of a multiple of the second argument",
        ),
        Wrong(
            name="rounded down",
            answer=lambda d, m: 8 * d // 3 // m * m,
            hint="the proportion is right; you round down, so that the layer gets smaller than the plain one",
        ),
        Wrong(
            name="rounded to the nearest",
            answer=lambda d, m: round(8 * d / 3 / m) * m,
            hint="the proportion is right; round up always, not to the nearest multiple",
        ),
        Wrong(
            name="one multiple too many",
            answer=lambda d, m: (8 * d // 3 // m + 1) * m,
            hint="what if the width is a multiple already? Try d_model = 96 with multiple = 64",
        ),
        Wrong(
            name="width rounded before the factor",
            answer=lambda d, m: _up(_up(d, m) * 8 / 3, m),
            hint="you round d_model before anything is multiplied: a multiple of it is asked for at the end only",
        ),
    ),
    notice="matched_width(4096, 256) is 11,008: the odd number in every LLaMA-7B configuration.",
)
