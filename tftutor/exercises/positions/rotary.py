"""Exercise: rotate a vector by its position."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Flag,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    named_case,
)
from tftutor.exercises.values import same
from tftutor.positions import rope_rotation, rotate, sinusoids


def rope(x: Tensor, positions: Tensor) -> Tensor:
    """Turn each pair of features by an angle proportional to the position.

    x: queries or keys of one head, (T, Dh); feature i < Dh/2 and feature
        i + Dh/2 form pair i.
    positions: whole numbers (T,), one per row of x.
    Returns (T, Dh): pair i of row t turned counter-clockwise by
    positions[t] / 10000 ** (2 i / Dh) radians: (a, b) becomes
    (a cos - b sin, a sin + b cos).
    """
    half = x.shape[-1] // 2
    angle = positions[:, None] / 10000 ** (torch.arange(half) / half)
    a, b = x[:, :half], x[:, half:]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _truth(x: Tensor, positions: Tensor, layout: str = "halves") -> Tensor:
    return rotate(x, rope_rotation(positions, x.shape[-1], layout=layout))


def _rope_cases(generator: torch.Generator) -> list[Case]:
    def draw(positions: Sequence[int], width: int) -> Case:
        return named_case(x=torch.randn(len(positions), width, generator=generator), positions=torch.tensor(positions))

    cases = [draw([0], 4), draw([1], 2), draw([1, 0], 4), draw([0, 1, 2], 8), draw([5, 3, 11, 2, 7], 6)]
    return [*cases, draw(list(range(100, 107)), 16)]


def _norm_kept(trial: Trial) -> Mismatch | None:
    return compare(trial.args[0].norm(dim=-1), trial.output.float().norm(dim=-1))


def _identity_at_zero(trial: Trial) -> Mismatch | None:
    x, positions = trial.args
    return compare(x, trial.call(x, torch.zeros_like(positions)))


def _score_by_offset(trial: Trial) -> Mismatch | None:
    x, positions = trial.args
    first, last = x[:1].double(), x[-1:].double().flip(-1)
    scores = []
    for shift in (0, 9):
        q, k = (trial.call(v, positions[:1] + p + shift).double() for v, p in ((first, 4), (last, 1)))
        scores.append(float((q * k).sum()))
    if abs(scores[0] - scores[1]) > 1e-3 * (1 + abs(scores[0])):
        return Mismatch(f"the score {scores[0]:.3g} also when query and key stand 9 places later", f"{scores[1]:.3g}")
    return None


def _right_angles(trial: Trial) -> Mismatch | None:
    if same(trial.output, _truth(*trial.args, layout="pairs")):
        return None
    return compare(_truth(*trial.args), trial.output)


def _rope_variant(
    *, angles: Callable[[Tensor, int], Tensor] | None = None, signs: tuple[int, int] = (-1, 1), sin_of: str = "right",
) -> Callable[[Tensor, Tensor], Tensor]:  # fmt: skip
    """The rotation with one slip."""

    def variant(x: Tensor, positions: Tensor) -> Tensor:
        width = x.shape[-1]
        half = width // 2
        made = (angles or (lambda p, w: p[:, None] / 10_000 ** (torch.arange(0, w, 2) / w)))(positions.double(), width)
        cos, sin = made.cos().to(x.dtype), made.sin().to(x.dtype)
        if sin_of == "tables of the other layout":  # each angle twice in a row, on features half a vector apart
            turned = torch.cat([-x[:, half:], x[:, :half]], dim=-1)
            return x * cos.repeat_interleave(2, -1) + turned * sin.repeat_interleave(2, -1)
        if sin_of == "itself":
            return x * torch.cat([cos, cos], -1) + x * torch.cat([sin, sin], -1)
        a, b = x[:, :half], x[:, half:]
        return torch.cat([a * cos + signs[0] * b * sin, signs[1] * a * sin + b * cos], dim=-1)

    return variant


def _in_its_own_memory(x: Tensor, positions: Tensor) -> Tensor:
    out, half = x.clone(), x.shape[-1] // 2
    rotation = rope_rotation(positions, x.shape[-1])
    cos, sin = rotation.cos.to(x.dtype), rotation.sin.to(x.dtype)
    out[:, :half] = out[:, :half] * cos - out[:, half:] * sin
    out[:, half:] = out[:, :half] * sin + out[:, half:] * cos
    return out


def _angle_per_feature(x: Tensor, positions: Tensor) -> Tensor:
    width = x.shape[-1]
    angle = positions[:, None].double() / 10_000 ** (torch.arange(width) / width)
    turned = torch.cat([-x[:, width // 2 :], x[:, : width // 2]], dim=-1)
    return x * angle.cos().to(x.dtype) + turned * angle.sin().to(x.dtype)


def _is_pairs(answer: Any, cases: Sequence[Case]) -> bool:
    return all(same(answer(*case.args), _truth(*case.args, layout="pairs")) for case in cases[3:])


ROPE = Exercise(
    id="positions/rope",
    title="Rotate by position",
    answer="rope",
    solution=rope,
    cases=_rope_cases,
    properties=(
        Property(
            sentence="at position 0 nothing is turned",
            test=_identity_at_zero,
            hint="the angle is proportional to the position; at 0 the cosine is 1 and the sine 0: what is left then?",
        ),
        Property(
            sentence="a rotation keeps the length of each row",
            test=_norm_kept,
            hint="of (a cos - b sin, a sin + b cos) the squares add up to a^2 + b^2, if both use one angle",
        ),
        Property(
            sentence="the score of a query and a key depends on their distance only",
            test=_score_by_offset,
            hint="turning by p and by q leaves an angle p - q between them, if angles are multiples of the position",
        ),
        Property(
            sentence="each pair is turned by its own angle, counter-clockwise",
            test=_right_angles,
            hint="turn the rows of a unit matrix by position 1, and read off which features mix and by which angles",
        ),
    ),
    wrong=(
        Wrong(
            name="added instead of rotated",
            answer=lambda x, positions: x + sinusoids(positions, x.shape[-1]).to(x.dtype),
            hint="you add sines and cosines, as the 2017 model does to its embeddings; here they multiply: the vector "
            "is turned, not moved",
        ),
        Wrong(
            name="both signs plus",
            answer=_rope_variant(signs=(1, 1)),
            hint="this stretches some vectors: of the two mixed terms of a rotation, one carries a minus",
        ),
        Wrong(
            name="clockwise",
            answer=_rope_variant(signs=(1, -1)),
            hint="your pairs turn the other way: a quarter turn should take (1, 0) to (0, 1), so where does the minus "
            "stand?",
        ),
        Wrong(
            name="one angle for all pairs",
            answer=_rope_variant(angles=lambda p, w: p[:, None].expand(-1, w // 2)),
            hint="all pairs turn at the same speed: what became of 10000 and i?",
        ),
        Wrong(
            name="exponent i / Dh",
            answer=_rope_variant(angles=lambda p, w: p[:, None] / 10_000 ** (torch.arange(w // 2) / w)),
            hint="the later pairs turn too fast: there are Dh / 2 of them, so how large should the exponent of the "
            "last be?",
        ),
        Wrong(
            name="multiplied instead of divided",
            answer=_rope_variant(angles=lambda p, w: p[:, None] * 10_000 ** (torch.arange(0, w, 2) / w)),
            hint="pair 0 is the fastest: the later ones should turn by smaller angles, yours turn by larger ones",
        ),
        Wrong(
            name="angles of neighbours on halves",
            answer=_rope_variant(sin_of="tables of the other layout"),
            hint="feature i is mixed with i + Dh/2, but the two get different angles: your table of angles lists each "
            "angle twice in a row, as for pairs of neighbours",
        ),
        Wrong(
            name="mixed with itself",
            answer=_rope_variant(sin_of="itself"),
            hint="each feature is mixed with itself instead of with the other of its pair: that is no rotation",
        ),
        Wrong(
            name="only the cosine",
            answer=_rope_variant(signs=(0, 0)),
            hint="a rotation has four terms, two with a cosine and two with a sine: yours shrinks the vector",
        ),
        Wrong(
            name="counted by row",
            answer=lambda x, positions: _truth(x, torch.arange(len(x))),
            hint="you number the rows yourself: a row stands where `positions` says, and with a cache that is not its "
            "index",
        ),
        Wrong(
            name="nothing turned",
            answer=lambda x, positions: x,
            hint="the rows come back as they went in: where do the positions enter?",
        ),
        Wrong(
            name="positions from one",
            answer=lambda x, positions: _truth(x, positions + 1),
            hint="every row is turned one step too far: position 0 should stay where it is",
        ),
        Wrong(
            name="exponent 4 i / Dh",
            answer=_rope_variant(angles=lambda p, w: p[:, None] / 10_000 ** (2 * torch.arange(0, w, 2) / w)),
            hint="the later pairs turn too slowly: i counts pairs; is it doubled twice in your exponent?",
        ),
        Wrong(
            name="pairs counted from one",
            answer=_rope_variant(angles=lambda p, w: p[:, None] / 10_000 ** ((torch.arange(0, w, 2) + 2) / w)),
            hint="all pairs turn too slowly, by one pair: i begins at 0, so the first turns by one radian per position",
        ),
        Wrong(
            name="halves exchanged",
            answer=lambda x, positions: _truth(x, positions).roll(x.shape[-1] // 2, dims=-1),
            hint="the two halves come back in each other's place: which of them stood in front?",
        ),
        Wrong(
            name="halves in, neighbours out",
            answer=lambda x, positions: torch.stack(_truth(x, positions).chunk(2, dim=-1), dim=-1).flatten(-2),
            hint="turned correctly and put together differently: a feature has to come back to the column it came from",
        ),
        Wrong(
            name="neighbours in, halves out",
            answer=lambda x, positions: _truth(torch.cat([x[:, 0::2], x[:, 1::2]], dim=-1), positions),
            hint="you take neighbours apart and return two halves: the columns change their places on the way",
        ),
        Wrong(
            name="overwritten while it is needed",
            answer=_in_its_own_memory,
            hint="the second line already sees the turned first half: a slice is a view, so what does it hold after "
            "you wrote to it?",
        ),
        Wrong(
            name="an angle for each feature",
            answer=_angle_per_feature,
            hint="the two features of a pair are turned by different angles: there are Dh / 2 angles, and each serves "
            "two features",
        ),
        Wrong(
            name="sine and cosine exchanged",
            answer=_rope_variant(angles=lambda p, w: math.pi / 2 - p[:, None] / 10_000 ** (torch.arange(0, w, 2) / w)),
            hint="at position 0 you make a quarter turn: which of the two functions is 1 at angle 0?",
        ),
        Wrong(
            name="one half turned",
            answer=lambda x, positions: torch.cat(
                [_truth(x, positions)[:, : x.shape[-1] // 2], x[:, x.shape[-1] // 2 :]], dim=-1
            ),
            hint="the second half comes back as it went in: a rotation changes both members of a pair",
        ),
        Wrong(
            name="both halves returned",
            answer=lambda x, positions: _truth(x, positions).chunk(2, dim=-1),
            hint="the two halves are right: join them to one tensor",
            recognise=lambda answer: isinstance(answer(torch.ones(2, 4), torch.arange(2)), tuple | list),
        ),
    ),
    flags=(
        Flag(
            applies=_is_pairs,
            remark="You pair neighbours, as the RoFormer paper does: right as well, as long as queries and keys agree.",
            example=lambda x, positions: _truth(x, positions, layout="pairs"),
        ),
    ),
    notice="Nothing was learned and nothing added: the position is in the direction of the pairs, never in their "
    "length.",
)
