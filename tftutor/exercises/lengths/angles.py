"""Exercises: position interpolation, and the base that slows the slowest pair."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    equals,
    has_shape,
    named_case,
)
from tftutor.exercises.values import read_number
from tftutor.positions import frequencies


def interpolated_angles(positions: Tensor, d_head: int, factor: float) -> Tensor:
    """RoPE's angles under position interpolation.

    positions: whole numbers (T,), where the tokens stand in the long text.
    d_head: width of a head, an even number; pair i turns by
        10000 ** (-2 i / d_head) radians per position.
    factor: how many times longer the text is than those of training.
    Returns (T, d_head / 2): the angle of each pair at each position.
    """
    speed = 10000 ** (-torch.arange(0, d_head, 2) / d_head)
    return positions[:, None] / factor * speed


def _plain(positions: Tensor, d_head: int, base: float = 10_000.0) -> Tensor:
    return (positions[:, None] * frequencies(d_head, base)).float()


def _angle_cases(generator: torch.Generator) -> list[Case]:
    def draw(n: int, d_head: int, factor: float) -> Case:
        positions = torch.randint(3, 400, (n,), generator=generator).sort().values
        return named_case(positions=positions, d_head=d_head, factor=factor)

    first = named_case(positions=torch.tensor([0, 3]), d_head=4, factor=2.0)
    return [first, draw(3, 8, 4.0), draw(5, 6, 8.0), draw(7, 16, 2.5), draw(2, 10, 1.0)]


def _no_longer(trial: Trial) -> Mismatch | None:
    positions, d_head, _ = trial.args
    return compare(_plain(positions, d_head), trial.call(positions, d_head, 1.0))


def _same_at_the_end(trial: Trial) -> Mismatch | None:
    positions, d_head, _ = trial.args
    return compare(_plain(positions, d_head), trial.call(4 * positions, d_head, 4.0))


def _whole(positions: Tensor, d_head: int, factor: float) -> Tensor:
    return _plain(torch.div(positions, factor, rounding_mode="floor"), d_head)


INTERPOLATE = Exercise(
    id="lengths/interpolate",
    title="Position interpolation",
    answer="interpolated_angles",
    solution=interpolated_angles,
    cases=_angle_cases,
    properties=(
        has_shape("a row for each position, a column for each pair", lambda positions, d_head, factor:
                  (len(positions), d_head // 2)),
        Property(sentence="a factor of 1 leaves RoPE as it is", test=_no_longer,
                 hint="set the factor to 1 in your formula: is it the ordinary RoPE of the docstring, pair by pair?"),
        Property(sentence="position 4 p of a text four times as long has the angles of position p in training",
                 test=_same_at_the_end,
                 hint="what was position p in training stands at factor times p now: which number brings it back?"),
        equals("the angles are those of RoPE at positions divided by the factor",
               lambda positions, d_head, factor: _plain(positions, d_head) / factor,
               hint="take one position and one pair, and work its angle out by hand"),
    ),
    wrong=(
        Wrong(name="multiplied", answer=lambda p, d, s: _plain(p, d) * s,
              hint="these angles are larger than before: the text has to be squeezed into the range of training, not "
                   "stretched further out of it"),
        Wrong(name="unchanged", answer=lambda p, d, s: _plain(p, d),
              hint="the factor changes nothing here: positions beyond those of training keep angles beyond those of "
                   "training"),
        Wrong(name="base times factor", answer=lambda p, d, s: _plain(p, d, 10_000.0 * s),
              hint="a larger base slows the slow pairs and leaves the fast ones: interpolation treats all pairs alike"),
        Wrong(name="ntk", answer=lambda p, d, s: _plain(p, d, 10_000.0 * s ** (d / max(d - 2, 1))),
              hint="that is NTK-aware scaling, the next exercise: interpolation slows every pair by the same factor"),
        Wrong(name="base divided by factor", answer=lambda p, d, s: _plain(p, d, 10_000.0 / s),
              hint="a smaller base makes the slow pairs faster, and the fastest pair knows no base at all: leave the "
                   "base alone"),
        Wrong(name="whole positions", answer=_whole,
              hint="positions are rounded to whole numbers, so that neighbours share a place: interpolation means "
                   "standing between two whole positions"),
        Wrong(name="rounded positions", answer=lambda p, d, s: _plain((p / s).round(), d),
              hint="the squeezed positions are rounded: neighbours then fall on one place; fractions are what "
                   "makes it an interpolation"),
        Wrong(name="rounded up", answer=lambda p, d, s: _plain((p / s).ceil(), d),
              hint="the squeezed positions are rounded up to whole ones: keep their fractions"),
        Wrong(name="slow pairs only",
              answer=lambda p, d, s: _plain(p, d) / torch.where(torch.arange(d // 2) >= d // 4, s, 1.0),
              hint="only some of the pairs are slowed: interpolation makes no difference between fast and slow ones"),
        Wrong(name="divided twice", answer=lambda p, d, s: _plain(p, d) / s**2,
              hint="squeezed twice: divide the positions or the speeds, not both"),
        Wrong(name="turns", answer=lambda p, d, s: _plain(p, d) / s / (2 * math.pi),
              hint="these are full turns: the docstring gives the speeds in radians, and angles are asked in radians"),
        Wrong(name="turns for radians", answer=lambda p, d, s: _plain(p, d) / s * (2 * math.pi),
              hint="too large by the same number everywhere: the speeds are radians per position already, not turns"),
        Wrong(name="rows numbered", answer=lambda p, d, s: _plain(torch.arange(len(p)), d) / s,
              hint="these are the angles of positions 0, 1, 2, ...: the tokens stand where `positions` says"),
        Wrong(name="from the first token", answer=lambda p, d, s: _plain(p - p[0], d) / s,
              hint="positions are counted from the first token given: take them as they stand in the text"),
        Wrong(name="subtracted", answer=lambda p, d, s: _plain(p - s, d),
              hint="taking something off the positions moves the text along: it has to be squeezed"),
        Wrong(name="an angle for every feature",
              answer=lambda p, d, s: (p[:, None] / s * 10_000.0 ** (-torch.arange(d).double() / d)).float(),
              hint="there is an angle for every feature here: pairs turn, and there are d_head / 2 of them"),
        Wrong(name="pair number doubled twice", answer=lambda p, d, s: _plain(p, d, 10_000.0**2) / s,
              hint="the speeds fall too fast from pair to pair: is a 2 in your exponent twice?"),
        Wrong(name="only beyond training", answer=lambda p, d, s: _plain(torch.where(p > 64, p / s, p), d),
              hint="near positions are left alone and far ones squeezed, so that two places share an angle: squeeze "
                   "the whole text"),
        Wrong(name="counted from one", answer=lambda p, d, s: _plain(p + 1, d) / s,
              hint="positions are counted from 0: the first token does not turn at all"),
        Wrong(name="slowest first", answer=lambda p, d, s: _plain(p, d).flip(1) / s,
              hint="the columns run the other way: pair 0 is the fastest"),
        Wrong(name="the other base", answer=lambda p, d, s: (p[:, None] / s * torch.exp(-torch.arange(0, d, 2) / d)),
              hint="the pairs differ too little in speed: which number is raised to the power?"),
        Wrong(name="wrapped round", answer=lambda p, d, s: _plain(p % math.ceil(max(int(p.max()) / s, 1)), d),
              recognise=lambda answer: _is_wrapped(answer),
              hint="positions start again from 0 here: two far tokens then stand on the same place"),
        Wrong(name="d_head wide", answer=lambda p, d, s: (_plain(p, d) / s).repeat(1, 2),
              hint="each pair is there twice: one angle turns two features, so there are half as many angles as "
                   "features"),
        Wrong(name="pair number not doubled",
              answer=lambda p, d, s: (p[:, None] / s * 10_000.0 ** (-torch.arange(d // 2).double() / d)).float(),
              hint="the speeds fall too slowly from pair to pair: the exponent counts features, two for each pair"),
        Wrong(name="divided by the root", answer=lambda p, d, s: _plain(p, d) / s**0.5,
              hint="half of the way, on a logarithmic scale: what was the last position of training must get back "
                   "its own angle"),
        Wrong(name="turned round", answer=lambda p, d, s: -_plain(p, d) / s,
              hint="the angles have the wrong sign: later tokens turn further, not backwards"),
        Wrong(name="each twice, side by side", answer=lambda p, d, s: (_plain(p, d) / s).repeat_interleave(2, dim=1),
              hint="every angle stands there twice: a pair has two features and one angle"),
        Wrong(name="cosines", answer=lambda p, d, s: (_plain(p, d) / s).cos(),
              hint="these are cosines of the angles: hand in the angles themselves"),
        Wrong(name="full turns taken off", answer=lambda p, d, s: (_plain(p, d) / s) % (2 * math.pi),
              hint="whole turns have been taken off: they do no harm to a rotation, but asked are the angles as they "
                   "grow"),
        Wrong(name="degrees", answer=lambda p, d, s: torch.rad2deg(_plain(p, d) / s),
              hint="these angles are in degrees: the speeds are in radians per position"),
        Wrong(name="exponent without its sign",
              answer=lambda p, d, s: (p[:, None] / s / frequencies(d)).float(),
              hint="the later pairs turn faster here: look at the sign in the exponent"),
        Wrong(name="pairs counted from one",
              answer=lambda p, d, s: (p[:, None] / s * frequencies(d + 2)[1:] ** ((d + 2) / d)).float(),
              hint="even the first pair is slowed: pairs are counted from 0, and the first turns one radian per "
                   "position of training"),
        Wrong(name="speeds only", answer=lambda p, d, s: (frequencies(d) / s).float(),
              hint="these are the speeds of the pairs: where have the positions gone?"),
        Wrong(name="clamped", answer=lambda p, d, s: _plain(p.clamp(max=int(p.max() / s)), d),
              hint="far positions all get the angles of one place: squeeze the whole text, do not cut it off"),
        Wrong(name="factor in the exponent",
              answer=lambda p, d, s: (p[:, None] * frequencies(d) ** s).float(),
              hint="the factor has got into the power of the base, so that each pair is slowed by another amount"),
        Wrong(name="transposed", answer=lambda p, d, s: (_plain(p, d) / s).T,
              hint="one row per position, one column per pair: your two axes are the other way round"),
    ),
    notice="Neighbours are now 1/s of a position apart. No distance in training was smaller than 1, so the model needs "
    "a little training.",
)  # fmt: skip


def _is_wrapped(answer: Any) -> bool:
    """Whether some far position gets the angles of a near one, of 0 among others."""
    angles = answer(torch.arange(0, 64), 8, 4.0)
    return angles.shape == (64, 4) and any(torch.equal(angles[0], angles[n]) for n in range(8, 64))


def ntk_base(base: float, factor: float, d_head: int) -> float:
    """The base of RoPE with which the slowest pair turns `factor` times slower.

    base: the base of training; pair i = 0 .. d_head / 2 - 1 turns by
        base ** (-2 i / d_head) radians per position.
    factor: how many times longer the text is than those of training.
    d_head: width of a head, an even number, at least 4.
    Returns a number: the new base.
    """
    return base * factor ** (d_head / (d_head - 2))


def _base_cases(generator: torch.Generator) -> list[Case]:
    settings = ((10_000.0, 2.0, 4), (10_000.0, 8.0, 128), (500.0, 4.0, 16), (1e6, 1.0, 64), (20_000.0, 3.5, 32))
    return [named_case(base=base, factor=factor, d_head=d_head) for base, factor, d_head in settings]


def _identity(trial: Trial) -> Mismatch | None:
    base, _, d_head = trial.args
    return compare(base, trial.call(base, 1.0, d_head))


def _slowest(trial: Trial) -> Mismatch | None:
    base, factor, d_head = trial.args
    new = trial.output
    if new <= 0:
        return Mismatch("a base greater than 0", f"{new:.3g}")
    slower = float(frequencies(d_head, base)[-1] / frequencies(d_head, new)[-1])
    if math.isclose(slower, factor, rel_tol=1e-3):
        return None
    return Mismatch(f"the slowest pair {factor:g} times slower", f"{slower:.3g} times")


NTK_BASE = Exercise(
    id="lengths/ntk-base",
    title="The base of NTK-aware scaling",
    answer="ntk_base",
    solution=ntk_base,
    cases=_base_cases,
    read=read_number,
    properties=(
        Property(sentence="a factor of 1 leaves the base as it is", test=_identity,
                 hint="put 1 for the factor: whatever power it is raised to, the base should come out"),
        Property(sentence="the slowest pair turns `factor` times slower", test=_slowest,
                 hint="write down the speed of the last pair, i = d_head / 2 - 1, with both bases, and divide"),
    ),
    wrong=(
        Wrong(name="times factor", answer=lambda b, s, d: b * s,
              hint="nearly: the slowest pair, i = d_head / 2 - 1, does not have the base itself in its speed, but a "
                   "power of it"),
        Wrong(name="exponent turned over", answer=lambda b, s, d: b * s ** ((d - 2) / d),
              hint="the exponent is upside down: you have solved for the factor where the base was asked"),
        Wrong(name="divided", answer=lambda b, s, d: b / s ** (d / (d - 2)),
              hint="a smaller base makes slow pairs faster; they have to be slower"),
        Wrong(name="base divided by factor", answer=lambda b, s, d: b / s,
              hint="this base is smaller, with which every pair but the first turns faster than in training"),
        Wrong(name="pairs for features", answer=lambda b, s, d: b * s ** ((d / 2) / (d / 2 - 2)) if d > 4 else b * s**3,
              hint="the exponent counts features, d_head of them, and you have counted pairs"),
        Wrong(name="squared", answer=lambda b, s, d: b * s**2,
              hint="the exponent does not depend on the width here: how far from 1 is 2 i / d_head for the last pair?"),
        Wrong(name="minus one", answer=lambda b, s, d: b * s ** (d / (d - 1)),
              hint="the last pair has the exponent 2 i / d_head with i = d_head / 2 - 1: how far is that from 1?"),
        Wrong(name="base to the power", answer=lambda b, s, d: b**s if s * math.log(b) < 600 else 1e300,
              hint="the base is raised to the power of the factor: the slow pairs would stand still"),
        Wrong(name="plus in the exponent", answer=lambda b, s, d: b * s ** (d / (d + 2)),
              hint="the exponent should come out greater than 1: is a sign turned round in the last pair's number?"),
        Wrong(name="exponent doubled", answer=lambda b, s, d: b * s ** (2 * d / (d - 2)),
              hint="the slowest pair gets the square of what was asked: is there a 2 too many in the exponent?"),
        Wrong(name="exponent halved", answer=lambda b, s, d: b * s ** (d / 2 / (d - 2)),
              hint="the slowest pair gets the square root of what was asked: has a 2 got lost in the exponent?"),
        Wrong(name="whole quotient", answer=lambda b, s, d: b * s ** (d // (d - 2)),
              hint="// drops the fraction of the exponent, and it is the fraction that matters in wide heads"),
        Wrong(name="added", answer=lambda b, s, d: b + s ** (d / (d - 2)),
              hint="the power of the factor is added to the base: multiply"),
        Wrong(name="not solved to the end", answer=lambda b, s, d: b ** ((d - 2) / d) * s,
              hint="this is the slowness of the last pair, one over its speed: one step is left to the base that "
                   "belongs to it"),
        Wrong(name="a speed", answer=lambda b, s, d: b ** (-(d - 2) / d) / s,
              hint="this is the new speed of the slowest pair: which base gives it?"),
        Wrong(name="always 10,000", answer=lambda b, s, d: 10_000 * s ** (d / (d - 2)),
              hint="the base of training is an argument: it is not always 10,000"),
        Wrong(name="without the base", answer=lambda b, s, d: s ** (d / (d - 2)),
              hint="this is what the base has to be multiplied by: with a factor of 1 the old base should come out"),
        Wrong(name="the factor itself", answer=lambda b, s, d: s,
              hint="the factor says how much longer the text is; asked for is a base, the large number under the "
                   "power"),
        Wrong(name="unchanged", answer=lambda b, s, d: b,
              hint="with the base of training the slowest pair is as fast as ever"),
        Wrong(name="times d over d minus 2", answer=lambda b, s, d: b * s * d / (d - 2),
              hint="right ingredients, but d_head / (d_head - 2) does not multiply: speeds are powers of the base"),
        Wrong(name="precedence", answer=lambda b, s, d: b * s**d / (d - 2),
              hint="the power is taken before the division: put brackets round the exponent"),
        Wrong(name="base to the exponent", answer=lambda b, s, d: b ** (d / (d - 2)),
              hint="the right exponent, on the wrong number: what is raised to it, the base or the factor?"),
        Wrong(name="both to the exponent", answer=lambda b, s, d: (b * s) ** (d / (d - 2)),
              hint="the old base is raised to the power as well: with a factor of 1 it must come out unchanged"),
        Wrong(name="to the width", answer=lambda b, s, d: b * float(s) ** d,
              hint="far too large: the exponent should be a little more than 1 for wide heads"),
        Wrong(name="a million", answer=lambda b, s, d: 1e6,
              hint="a fixed new base is another recipe: here it has to depend on factor and width"),
    ),
    notice="10,000 becomes 82,685 for a factor of 8 and heads of width 128. The first pair knows no base and keeps its "
    "speed; those between are slowed by powers of the factor.",
)  # fmt: skip
