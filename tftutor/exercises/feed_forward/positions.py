"""Exercise: which of these layers are position-wise? Black boxes, to be tried and not to be read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Wrong, equals
from tftutor.exercises.values import read_bool

WIDTH = 6


def _feed_forward(x: Tensor, w: Tensor) -> Tensor:
    return (x @ w[0]).relu() @ w[1]


def _attention(x: Tensor, w: Tensor) -> Tensor:
    return (x @ w[0] @ x.mT).softmax(dim=-1) @ x @ w[1]


def _past_mean(x: Tensor, w: Tensor) -> Tensor:
    count = torch.arange(1, x.shape[1] + 1)[:, None]
    return (x @ w[0]).relu() + 0.3 * x.cumsum(dim=1) / count


def _numbered(x: Tensor, w: Tensor) -> Tensor:
    return (x @ w[0]).relu() * torch.linspace(1, 2, 20)[: x.shape[1], None]


def _norm_per_token(x: Tensor, w: Tensor) -> Tensor:
    return (x - x.mean(dim=-1, keepdim=True)) / x.std(dim=-1, keepdim=True) @ w[0]


def _norm_over_all(x: Tensor, w: Tensor) -> Tensor:
    return x / x.square().mean(dim=(1, 2), keepdim=True).sqrt() @ w[0]


def _look_ahead(x: Tensor, w: Tensor) -> Tensor:
    return (x @ w[0]).relu() + 0.3 * torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], dim=1)


def _leaky(x: Tensor, w: Tensor) -> Tensor:
    return (x @ w[0]).relu() + 0.01 * x.mean(dim=1, keepdim=True)


def _shift(x: Tensor, w: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1) @ w[0]


def _in_pairs(x: Tensor, w: Tensor) -> Tensor:
    neighbour = torch.arange(x.shape[1]) ^ 1  # 1, 0, 3, 2, ...; the last of an odd number is its own
    return (x @ w[0]).relu() + 0.3 * x[:, neighbour.clamp(max=x.shape[1] - 1)]


KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "feed-forward": (_feed_forward, True),
    "attention": (_attention, False),  # mixes, but does not care about order
    "mean of the past": (_past_mean, False),
    "numbered": (_numbered, False),  # mixes nothing, but treats positions differently
    "norm per token": (_norm_per_token, True),
    "norm over all": (_norm_over_all, False),  # mixes a little
    "look-ahead": (_look_ahead, False),
    "leaky": (_leaky, False),  # mixes a hundredth part
    "in pairs": (_in_pairs, False),  # mixes 0 with 1, 2 with 3, and nothing across
    "shift": (_shift, False),  # an output does not even depend on its own input
}


class Suspect(nn.Module):
    """A layer, (B, T, 6) to (B, T, 6)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(2, WIDTH, WIDTH, generator=generator), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Some function of x."""
        return KINDS[self._kind][0](x, self.weight)


def is_position_wise(layer: nn.Module, x: Tensor) -> bool:
    """Does the layer treat each position by itself, and all of them alike?

    layer: (B, T, D) to (B, T, D), for any T.  x: (B, T, D) to try it on.
    Returns True if output t is computed from input t alone, by one function
    for all t. Try it, do not read it.
    """
    alone = [layer(x[:, t : t + 1]) for t in range(x.shape[1])]
    return torch.allclose(torch.cat(alone, dim=1), layer(x), atol=1e-4)


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for i, kind in enumerate(KINDS):
        x = torch.randn(2, 4 + i % 3, WIDTH, generator=generator)
        cases.append(Case((Suspect(kind), x), f"layer {i + 1} of {len(KINDS)}, x {tuple(x.shape)}"))
    return cases


def _truth(layer: Suspect, _x: Tensor) -> bool:
    return KINDS[layer._kind][1]


def _bump(x: Tensor, t: int) -> Tensor:
    """Another vector at t, the others as they are."""
    return torch.where((torch.arange(x.shape[1]) == t)[:, None], 1 - 2 * x, x)


def _others_stay(layer: nn.Module, x: Tensor, changed: int, looked_at: list[int]) -> bool:
    moved = layer(_bump(x, changed))
    return torch.allclose(moved[:, looked_at], layer(x)[:, looked_at], atol=1e-4)


def _all_but(x: Tensor, t: int) -> list[int]:
    return [s for s in range(x.shape[1]) if s != t]


def _pairs_only(layer: nn.Module, x: Tensor) -> bool:
    return all(_others_stay(layer, x, t, _all_but(x, t)) for t in range(x.shape[1]))


def _halves(layer: nn.Module, x: Tensor) -> bool:
    halves = torch.cat([layer(x[:, :2]), layer(x[:, 2:])], dim=1)
    return torch.allclose(halves, layer(x), atol=1e-4)


def _same_everywhere(layer: nn.Module, x: Tensor) -> bool:
    out = layer(x[:, :1].expand_as(x))
    return torch.allclose(out, out[:, :1].expand_as(out), atol=1e-4)


def _acquitted(answer: Callable[[nn.Module, Tensor], bool]) -> set[str]:
    return {kind for kind in KINDS if answer(Suspect(kind), _TRY) is True}


def _lets_weak_mixtures_pass(answer: Callable[[nn.Module, Tensor], bool]) -> bool:
    return _acquitted(answer) == {"feed-forward", "norm per token", "leaky"}


def _permutes(answer: Callable[[nn.Module, Tensor], bool]) -> bool:
    found = _acquitted(answer)
    return found >= {"feed-forward", "norm per token", "leaky", "attention"} and "numbered" not in found


def _alone(layer: nn.Module, x: Tensor, tolerance: float) -> bool:
    alone = [layer(x[:, t : t + 1]) for t in range(x.shape[1])]
    return torch.allclose(torch.cat(alone, dim=1), layer(x), atol=tolerance)


def _permute(layer: nn.Module, x: Tensor) -> bool:
    order = torch.arange(x.shape[1]).roll(1)
    return torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-4)


def _change_last(layer: nn.Module, x: Tensor) -> bool:
    return _others_stay(layer, x, x.shape[1] - 1, list(range(x.shape[1] - 1)))


def _change_first(layer: nn.Module, x: Tensor) -> bool:
    return _others_stay(layer, x, 0, list(range(1, x.shape[1])))


def _own_output_moves(layer: nn.Module, x: Tensor) -> bool:
    return all(not _others_stay(layer, x, t, [t]) for t in range(x.shape[1]))


def _last_alone(layer: nn.Module, x: Tensor) -> bool:
    return torch.allclose(layer(x[:, -1:]), layer(x)[:, -1:], atol=1e-4)


_TRY = torch.linspace(-2, 2, 60).view(2, 5, WIDTH).sin()

POSITION_WISE = Exercise(
    id="feed-forward/position-wise",
    title="Each by itself, and all alike",
    answer="is_position_wise",
    solution=is_position_wise,
    cases=_cases,
    read=read_bool,
    properties=(
        equals(
            "the verdict is right: position-wise or not",
            _truth,
            hint="two things are asked for: no output may need another position's input, and every position must be "
            "treated by the same function. Which inputs tell?",
        ),
    ),
    wrong=(
        Wrong(
            name="permutation test",
            answer=_permute,
            hint="reordering the positions is a test for 'all alike' only: attention without positions passes it, "
            "although it mixes everything",
            recognise=_permutes,
        ),
        Wrong(
            name="change one, look at the others",
            answer=_pairs_only,
            hint="you test that positions do not see each other; a layer that treats position 3 otherwise than "
            "position 0 gets away",
        ),
        Wrong(
            name="change the last",
            answer=_change_last,
            hint="you look for signals that run backwards in time only; a layer may look at its past",
        ),
        Wrong(
            name="change the first",
            answer=_change_first,
            hint="you look for signals from the first position only; a layer may look ahead",
        ),
        Wrong(
            name="own output moves",
            answer=_own_output_moves,
            hint="you test that an output depends on its own input; nearly every layer passes. Does it depend on "
            "anything else?",
        ),
        Wrong(
            name="only the last position alone",
            answer=_last_alone,
            hint="the last position by itself tells about the last only; what about those that have something ahead?",
        ),
        Wrong(
            name="the same token everywhere",
            answer=_same_everywhere,
            hint="you test that equal inputs give equal outputs: all mixtures of equal vectors are equal too. Feed "
            "something that tells the positions apart",
        ),
        Wrong(
            name="two halves",
            answer=_halves,
            hint="nothing passes between your two parts; what if neighbours within one of them mix?",
        ),
        Wrong(
            name="some position",
            answer=lambda layer, x: any(
                torch.allclose(layer(x[:, t : t + 1]), layer(x)[:, t : t + 1], atol=1e-4) for t in range(x.shape[1])
            ),
            hint="one position that needs no company is enough for you here; all of them have to do without",
        ),
        Wrong(
            name="shape",
            answer=lambda layer, x: layer(x).shape == x.shape,
            hint="this acquits every layer: all of them keep the shape, give the same twice, and treat each sequence "
            "of a batch by itself. What would attention betray itself by?",
        ),
        Wrong(
            name="wide tolerance",
            answer=lambda layer, x: _alone(layer, x, 0.05),
            hint="your tolerance lets a weak mixture pass: rounding makes differences of a millionth, not more",
            recognise=_lets_weak_mixtures_pass,
        ),
        Wrong(
            name="never",
            answer=lambda layer, x: False,
            hint="this suspects every layer: a norm over each token's own features is position-wise too. If you "
            "compare floats, allow for rounding",
        ),
    ),
    notice="A feed-forward layer cannot even tell where in the sentence it is: that it must read in the vector.",
)
