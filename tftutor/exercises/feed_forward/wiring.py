"""Exercise: the parallel block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Wrong, distinct_sizes, equals, has_shape

Layer = Callable[[Tensor], Tensor]


class _Mix(nn.Module):
    """Stands for attention: every token gets a mixture of all of them."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return (x @ x.mT).softmax(dim=-1) @ x @ self.weight


class _Map(nn.Module):
    """Stands for a feed-forward layer."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return (x @ self.weight).relu()


class _Norm(nn.Module):
    """Every vector divided by its root mean square, and each feature multiplied by a gain."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(gain, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * self.gain


def parallel_block(x: Tensor, attend: Layer, feed_forward: Layer, norm: Layer) -> Tensor:
    """A block whose two sub-layers read the same input.

    x: (B, T, D).  attend, feed_forward, norm: (B, T, D) to (B, T, D).
    One norm serves both sub-layers; the stream itself is not normalised.
    Returns (B, T, D).
    """
    h = norm(x)
    return x + attend(h) + feed_forward(h)


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for high in (4, 6, 9):
        b, t, d = distinct_sizes(generator, 3, 2, high)
        x = 2 * torch.randn(b, t, d, generator=generator)
        mix, change = torch.randn(2, d, d, generator=generator)
        cases.append(Case((x, _Mix(mix), _Map(change), _Norm(torch.linspace(0.5, 2, d))), f"x {(b, t, d)}"))
    return cases


PARALLEL_BLOCK = Exercise(
    id="feed-forward/parallel-block",
    title="Side by side",
    answer="parallel_block",
    solution=parallel_block,
    cases=_cases,
    properties=(
        has_shape("the stream keeps its shape", lambda x, *_: tuple(x.shape)),
        equals("the output is the stream plus what both sub-layers make of its norm", parallel_block,
               hint="draw the arrows: what goes into each sub-layer, and what is added to what?"),
    ),
    wrong=(
        Wrong(
            name="serial",
            answer=lambda x, a, f, n: (h := x + a(n(x))) + f(n(h)),
            hint="this is the serial block: the feed-forward layer waits for attention here",
        ),
        Wrong(
            name="serial without the second norm",
            answer=lambda x, a, f, n: (h := x + a(n(x))) + f(h),
            hint="the feed-forward layer waits for attention here, and reads a stream that nobody normalised",
        ),
        Wrong(
            name="one inside the other",
            answer=lambda x, a, f, n: x + f(a(n(x))),
            hint="the feed-forward layer reads what attention made: give it what attention itself reads",
        ),
        Wrong(
            name="the same, the other way round",
            answer=lambda x, a, f, n: x + a(f(n(x))),
            hint="attention reads what the feed-forward layer made: both have the same input",
        ),
        Wrong(
            name="no residual",
            answer=lambda x, a, f, n: a(n(x)) + f(n(x)),
            hint="the stream is gone: nothing of x itself reaches the next block",
        ),
        Wrong(
            name="residual twice",
            answer=lambda x, a, f, n: x + a(n(x)) + (x + f(n(x))),
            hint="each sub-layer brings its own copy of x: the stream would double in every block",
        ),
        Wrong(
            name="residual of the norm",
            answer=lambda x, a, f, n: (h := n(x)) + a(h) + f(h),
            hint="what is added back is the normalised stream: sub-layers read the norm, the stream itself passes by",
        ),
        Wrong(
            name="no norm",
            answer=lambda x, a, f, n: x + a(x) + f(x),
            hint="norm is not used: both sub-layers read the raw stream",
        ),
        Wrong(
            name="norm for attention only",
            answer=lambda x, a, f, n: x + a(n(x)) + f(x),
            hint="attention reads the normalised stream, the feed-forward layer the raw one",
        ),
        Wrong(
            name="norm for the feed-forward layer only",
            answer=lambda x, a, f, n: x + a(x) + f(n(x)),
            hint="the feed-forward layer reads the normalised stream, attention the raw one",
        ),
        Wrong(
            name="norm at the end",
            answer=lambda x, a, f, n: n(x + a(x) + f(x)),
            hint="the norm belongs in front of the sub-layers; here it stands in the way of the stream",
        ),
        Wrong(
            name="norm in front and at the end",
            answer=lambda x, a, f, n: n(x + a(n(x)) + f(n(x))),
            hint="nearly: the last norm changes the stream itself, which is to pass by untouched",
        ),
        Wrong(
            name="norm of the norm",
            answer=lambda x, a, f, n: x + a(n(x)) + f(n(n(x))),
            hint="the feed-forward layer's input is normalised twice: one norm serves both sub-layers, once",
        ),
        Wrong(
            name="serial, feed-forward first",
            answer=lambda x, a, f, n: (h := x + f(n(x))) + a(n(h)),
            hint="this is a serial block with its sub-layers exchanged: attention waits for the other one here",
        ),
        Wrong(
            name="contributions normalised",
            answer=lambda x, a, f, n: x + n(a(x)) + n(f(x)),
            hint="what the sub-layers give is normalised here, and what they read is not: it is the other way round",
        ),
        Wrong(
            name="mean",
            answer=lambda x, a, f, n: x + (a(n(x)) + f(n(x))) / 2,
            hint="both contributions are added as they are, not averaged",
        ),
        Wrong(
            name="product",
            answer=lambda x, a, f, n: x + a(n(x)) * f(n(x)),
            hint="the two contributions are added, not multiplied",
        ),
        Wrong(
            name="serial without the first norm",
            answer=lambda x, a, f, n: (h := x + a(x)) + f(n(h)),
            hint="attention reads the raw stream, and the feed-forward layer waits for it here",
        ),
        Wrong(
            name="post-norm",
            answer=lambda x, a, f, n: n((h := n(x + a(x))) + f(h)),
            hint="this is the serial block of 2017, with its norms behind the sums",
        ),
        Wrong(
            name="two blocks of one layer, added",
            answer=lambda x, a, f, n: n(x + a(x)) + n(x + f(x)),
            hint="the norm belongs in front of each sub-layer, and the stream is added once, as it is",
        ),
        Wrong(
            name="attention read twice",
            answer=lambda x, a, f, n: x + (h := a(n(x))) + f(h),
            hint="what is added is added well; but one of the two reads the other's result, not the norm",
        ),
        Wrong(
            name="norm added",
            answer=lambda x, a, f, n: x + (h := n(x)) + a(h) + f(h),
            hint="one term too many: the norm is read by the sub-layers, and not itself added to the stream",
        ),
        Wrong(
            name="norm of the sum",
            answer=lambda x, a, f, n: x + n(a(x) + f(x)),
            hint="what is added is normalised here, and what the sub-layers read is not: it is the other way round",
        ),
        Wrong(
            name="norm before and behind",
            answer=lambda x, a, f, n: x + n(a(n(x)) + f(n(x))),
            hint="nearly: what both contribute is normalised once more before it is added; leave it as it is",
        ),
        Wrong(
            name="subtracted",
            answer=lambda x, a, f, n: x - a(n(x)) - f(n(x)),
            hint="the contributions are added to the stream",
        ),
        Wrong(
            name="side by side, not added",
            answer=lambda x, a, f, n: torch.cat([x + a(n(x)), x + f(n(x))], dim=-1),
            hint="two streams come out; there is one, to which both contribute",
        ),
        Wrong(
            name="feed-forward only",
            answer=lambda x, a, f, n: x + f(n(x)),
            hint="one of the two sub-layers is missing: attend is not used",
        ),
        Wrong(
            name="attention only",
            answer=lambda x, a, f, n: x + a(n(x)),
            hint="one of the two sub-layers is missing: feed_forward is not used",
        ),
    ),
    notice="Six products in a row have become four, and both sub-layers' first products can be one larger product.",
)  # fmt: skip
