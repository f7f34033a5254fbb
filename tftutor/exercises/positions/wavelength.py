"""Exercise: why a table of sinusoids needs many wavelengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, number_text, show

_NEAR = 0.05


def _read_places(value: Any) -> tuple[int, int]:
    try:
        p, q = (int(item) for item in value)
        whole = (p, q) == tuple(value)
    except Exception:  # anything else
        raise Trouble("is no pair", "write it as (p, q)", expected="two integers", got=show(value)) from None
    if not whole or not (0 <= p < 100 and 0 <= q < 100):
        raise Trouble("is out of range", "positions are whole numbers", expected="0 to 99", got=show(value))
    return p, q


def _distance(places: Sequence[int]) -> float:
    p, q = places
    return 2 * abs(math.sin((p - q) / 2))  # of the points at angles p and q on the unit circle


def _look_alike(trial: Trial) -> Mismatch | None:
    if trial.output[0] == trial.output[1]:
        return Mismatch("two different positions", "the same one twice")
    distance = _distance(trial.output)
    return None if distance < _NEAR else Mismatch(f"a distance below {_NEAR}", number_text(distance))


BREAK_ONE_WAVELENGTH = Exercise(
    id="positions/break-one-wavelength",
    title="Break it: a table with one pair",
    answer="places",
    solution=(0, 44),
    takes="value",
    read=_read_places,
    properties=(
        Property(
            sentence="the rows (sin p, cos p) of the two positions are nearly the same",
            test=_look_alike,
            hint="both rows lie on a circle: by how many turns do they differ, and is that nearly a whole number?",
        ),
    ),
    wrong=(
        Wrong(name="the same position", answer=(7, 7), hint="they have to be two different positions",
              recognise=lambda answer: _read_places(answer)[0] == _read_places(answer)[1]),
        Wrong(name="one turn, six steps", answer=(0, 6),
              hint="a turn takes 6.28 steps, so six are close but not close enough: which number of turns takes nearly "
              "a whole number of steps?",
              recognise=lambda answer: 0.05 <= _distance(_read_places(answer)) < 0.5),
        Wrong(name="half a turn", answer=(0, 22),
              hint="these two are nearly opposite: you have an odd number of half turns between them",
              recognise=lambda answer: _distance(_read_places(answer)) > 1.9),
        Wrong(name="a quarter off", answer=(0, 5),
              hint="compute the angle between them in turns, (p - q) / 6.2832, and look at what follows the decimal "
              "point",
              recognise=lambda answer: 0.5 <= _distance(_read_places(answer)) <= 1.9),
    ),
    notice="One wave repeats itself; a second one that is 1.5 times as long already tells 0 from 44. Hence many.",
)  # fmt: skip
