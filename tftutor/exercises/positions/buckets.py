"""Exercise: T5's buckets of distances."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Mismatch,
    Property,
    Trial,
    Wrong,
    equals,
    named_case,
)
from tftutor.exercises.values import shape_text
from tftutor.positions import t5_buckets


def t5_bucket(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    """The bucket of each distance, as in T5's decoder.

    distance: how many tokens back the key stands, whole numbers >= 0, (N,).
    n_buckets: an even number. The first half holds one distance each, the
        second half distances that grow by a constant factor.
    max_distance: from here on everything shares the last bucket.
    Returns whole numbers (N,). With h = n_buckets / 2, a distance d < h is in
    bucket d, another in h + floor(h * log(d / h) / log(max_distance / h)), but at
    most n_buckets - 1.
    """
    exact = n_buckets // 2
    growth = torch.log(distance.clamp(min=1) / exact) / math.log(max_distance / exact)
    wide = exact + (growth * (n_buckets - exact)).long()
    return torch.where(distance < exact, distance, wide.clamp(max=n_buckets - 1))


def _truth(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    return t5_buckets(-distance, n_buckets=n_buckets, max_distance=max_distance, bidirectional=False)


def _clear(n_buckets: int, max_distance: int, upto: int) -> Tensor:
    """The distances up to `upto` whose bucket does not hang on the last digit of a logarithm."""
    exact = n_buckets // 2
    distance = torch.arange(upto)
    place = torch.log(distance.clamp(min=1).double() / exact) / math.log(max_distance / exact) * (n_buckets - exact)
    return distance[((place - place.round()).abs() > 1e-3) | (distance <= exact) | (distance >= max_distance)]


def _cases(generator: torch.Generator) -> list[Case]:
    cases = [named_case(distance=torch.arange(3), n_buckets=8, max_distance=20)]
    for n, longest, upto in ((8, 20, 30), (12, 50, 90), (16, 64, 100), (32, 128, 300)):
        distance = _clear(n, longest, upto)
        cases.append(named_case(distance=distance, n_buckets=n, max_distance=longest))
        shuffled = distance[torch.randperm(len(distance), generator=generator)]
        cases.append(named_case(distance=shuffled, n_buckets=n, max_distance=longest))
    return cases


def _whole(trial: Trial) -> Mismatch | None:
    got = trial.output
    if got.is_floating_point() or got.dtype == torch.bool:
        return Mismatch("whole numbers: they index a table", str(got.dtype).removeprefix("torch."))
    return None


def _near_alone(trial: Trial) -> Mismatch | None:
    distance, n_buckets, _ = trial.args
    for d, bucket in zip(distance.tolist(), trial.output.tolist(), strict=True):
        if d < n_buckets // 2 and bucket != d:
            return Mismatch(f"distance {d} in bucket {d}", f"in bucket {bucket}")
    return None


def _monotone(trial: Trial) -> Mismatch | None:
    distance, _, _ = trial.args
    bucket = trial.output[distance.argsort()]
    fall = (bucket.diff() < 0).nonzero()
    if len(fall):
        d = distance.sort().values[int(fall[0]) + 1]
        return Mismatch("a farther key never in a lower bucket", f"a lower bucket at distance {int(d)}")
    return None


def _saturates(trial: Trial) -> Mismatch | None:
    distance, n_buckets, max_distance = trial.args
    far = trial.output[distance >= max_distance]
    if far.shape != distance[distance >= max_distance].shape:
        return Mismatch(f"shape {shape_text(distance)}", f"shape {shape_text(trial.output)}")
    if trial.output.max() > n_buckets - 1 or (far != n_buckets - 1).any():
        return Mismatch(f"nothing above {n_buckets - 1}, and that from {max_distance} on",
                        f"buckets up to {int(trial.output.max())}")  # fmt: skip
    return None


def _variant(
    *, exact: Callable[[int], int] = lambda n: n // 2, offset: Callable[[int, int], int] = lambda exact, n: exact,
    wide: Callable[[Tensor, int, int, int], Tensor] | None = None, last: Callable[[int], int | None] = lambda n: n - 1,
    snap: Callable[[Tensor], Tensor] = torch.floor,
) -> Callable[[Tensor, int, int], Tensor]:  # fmt: skip
    """The buckets with one slip."""

    def logarithm(distance: Tensor, near: int, n: int, longest: int) -> Tensor:
        return torch.log(distance / near) / math.log(longest / near) * (n - near)

    def variant(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
        near = exact(n_buckets)
        place = (wide or logarithm)(distance.clamp(min=1).double(), near, n_buckets, max_distance)
        far = offset(near, n_buckets) + snap(place).long()
        if last(n_buckets) is not None:
            far = far.clamp(max=last(n_buckets))
        return torch.where(distance < near, distance, far)

    return variant


def _share(distance: Tensor, n: int, longest: int) -> Tensor:
    """How much of the way from the exact half to `longest` a distance has come, on a logarithmic scale."""
    return torch.log(distance.clamp(min=1).double() / (n // 2)) / math.log(longest / (n // 2))


T5_BUCKET = Exercise(
    id="positions/t5-bucket",
    title="T5's buckets",
    answer="t5_bucket",
    solution=t5_bucket,
    cases=_cases,
    properties=(
        Property(
            sentence="buckets are whole numbers",
            test=_whole,
            hint="round down, then turn the floats into integers",
        ),
        Property(
            sentence="each distance below n_buckets / 2 has a bucket of its own",
            test=_near_alone,
            hint="half of the buckets hold one distance each: which half, and how far does it reach?",
        ),
        Property(
            sentence="a farther key never falls into a lower bucket",
            test=_monotone,
            hint="plot bucket against distance: where does the curve step down?",
        ),
        Property(
            sentence="everything from max_distance on shares the last bucket",
            test=_saturates,
            hint="the table has n_buckets rows, and the last one has the number n_buckets - 1",
        ),
        equals(
            "every distance is in its bucket", _truth,
            hint="compute one distance by hand: the smallest of the second half goes to bucket n_buckets / 2",
        ),
    ),
    wrong=(
        Wrong(
            name="equal widths",
            answer=_variant(wide=lambda d, near, n, longest: (d - near) / (longest - near) * (n - near)),
            hint="your wide buckets are equally wide: they should grow by a constant factor, which takes a logarithm",
        ),
        Wrong(
            name="no exact half",
            answer=_variant(exact=lambda n: 1, offset=lambda near, n: 0,
                            wide=lambda d, near, n, longest: torch.log(d) / math.log(longest) * n),
            hint="near distances share buckets: the logarithm should only begin where the exact half ends",
        ),
        Wrong(
            name="no last bucket",
            answer=_variant(last=lambda n: None),
            hint="far distances get numbers that the table does not have: where should they all end?",
        ),
        Wrong(
            name="last bucket n_buckets",
            answer=_variant(last=lambda n: n),
            hint="off by one: buckets are counted from 0, so which is the last?",
        ),
        Wrong(
            name="the second half starts at zero",
            answer=_variant(offset=lambda near, n: 0),
            hint="the logarithm counts from the beginning of the second half: which number does that half begin with?",
        ),
        Wrong(
            name="rounded to the nearest",
            answer=_variant(snap=torch.round),
            hint="some distances are one bucket too far: a bucket ends where the next whole number is reached, not "
            "halfway",
        ),
        Wrong(
            name="rounded up",
            answer=_variant(snap=torch.ceil),
            hint="most distances of the second half are one bucket too far: in which direction do you round?",
        ),
        Wrong(
            name="logarithm to base 2",
            answer=_variant(wide=lambda d, near, n, longest: torch.log2(d / near)),
            hint="doubling the distance moves one bucket on, whatever max_distance is: the curve has to be stretched "
            "so that it ends there",
        ),
        Wrong(
            name="all buckets in the second half",
            answer=_variant(wide=lambda d, near, n, longest: torch.log(d / near) / math.log(longest / near) * n),
            hint="the last bucket is reached long before max_distance: how many buckets are left for the second half?",
        ),
        Wrong(
            name="buckets as floats",
            answer=lambda *args: _truth(*args).double(),
            hint="the numbers are right, but a table cannot be indexed with floats",
            recognise=lambda answer: answer(torch.arange(40), 16, 64).is_floating_point()
            and torch.equal(answer(torch.arange(8), 16, 64), torch.arange(8).to(answer(torch.arange(8), 16, 64).dtype)),
        ),
        Wrong(
            name="offsets behind the query as negative numbers",
            answer=lambda distance, n, longest: _truth(-distance, n, longest),
            hint="everything ends in bucket 0: distances come as positive numbers here, did you turn their sign?",
        ),
        Wrong(
            name="rounded before it is stretched",
            answer=lambda distance, n, longest: torch.where(
                distance < n // 2, distance,
                (n // 2 + (_share(distance, n, longest)).long() * (n - n // 2)).clamp(max=n - 1),
            ),
            hint="between the exact half and the last bucket there is only one: do you round down before you multiply "
            "by the number of buckets?",
        ),
        Wrong(
            name="logarithm of the distance itself",
            answer=_variant(wide=lambda d, near, n, longest: torch.log(d) / math.log(longest) * (n - near)),
            hint="there is a gap where the second half begins: relative to which distance is the logarithm taken?",
        ),
        Wrong(
            name="logarithm not stretched",
            answer=_variant(wide=lambda d, near, n, longest: torch.log(d / near) * (n - near)),
            hint="the last bucket is reached when the distance has grown by a factor e: where does max_distance enter?",
        ),
        Wrong(
            name="stretched by the whole logarithm",
            answer=_variant(wide=lambda d, near, n, longest: torch.log(d / near) / math.log(longest) * (n - near)),
            hint="at max_distance the last bucket is not reached yet: do both logarithms begin at the same distance?",
        ),
        Wrong(
            name="halved twice",
            answer=lambda distance, n, longest: t5_buckets(
                -distance, n_buckets=n, max_distance=longest, bidirectional=True),
            hint="half of your buckets stay empty: keeping them for keys ahead is what an encoder does",
        ),
        Wrong(
            name="branches exchanged",
            answer=lambda distance, n, longest: torch.where(
                distance >= n // 2, distance, _variant()(distance.clamp(min=n // 2), n, longest)),
            hint="near distances get a wide bucket and far ones their own: the two cases are exchanged",
        ),
        Wrong(
            name="one bucket too far",
            answer=_variant(offset=lambda near, n: near + 1),
            hint="no distance falls into the first bucket of the second half: with which number does it begin?",
        ),
        Wrong(
            name="one wide bucket too few",
            answer=_variant(wide=lambda d, near, n, longest: torch.log(d / near) / math.log(longest / near)
                            * (n - near - 1)),
            hint="the wide buckets are a little too wide: into how many parts is the second half cut?",
        ),
    ),
    notice="Near keys are told apart exactly, far ones roughly, and beyond max_distance not at all.",
)  # fmt: skip
