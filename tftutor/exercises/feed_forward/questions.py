"""Exercises: what doubling the width costs, and how to kill a ReLU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, read_tensor, shape_text, show

# The width D of a model is doubled, and F = 4 D with it; depth, heads and the (short) text stay.  (a) Parameters and
# operations of the blocks double; (b) both grow about 4 times; (c) parameters 4 times, operations 8 times, since longer
# vectors meet larger matrices; (d) parameters 4 times, operations 2 times, since there are as many tokens as before.
PREDICT_DOUBLE_WIDTH = Exercise(
    id="feed-forward/predict-double-width",
    title="Predict: twice as wide",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: both double",
            answer="a",
            hint="a matrix has two sides: how many of them grow with the width?",
        ),
        Wrong(
            name="c: operations eightfold",
            answer="c",
            hint="for one token, how often is one weight multiplied? Can operations then grow faster than weights do?",
        ),
        Wrong(
            name="d: operations double",
            answer="d",
            hint="the tokens are as many as before, and each meets every weight: how many weights are there now?",
        ),
    ),
    notice="Twice the depth doubles both; twice the width takes four times of both.",
)

W_UP = torch.tensor([[1.0, 0.5, -3.0], [-2.0, 0.5, 1.0]])  # (D, F): two features, three hidden units


def _read_three(value: Any) -> Tensor:
    try:
        biases = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
    except Exception:  # anything else
        raise Trouble("is no list of numbers", "write three numbers, as in [0.0, 0.0, 0.0]",
                      expected="three numbers", got=show(value)) from None  # fmt: skip
    if biases.shape != (3,):
        raise Trouble("has the wrong shape", "one bias for each of the three units", expected="shape (3,)",
                      got=f"shape {shape_text(biases)}")  # fmt: skip
    return read_tensor(biases)


def _corners() -> Tensor:
    """The corners of the square, where a linear function is largest."""
    return torch.tensor([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)], dtype=torch.float64)


def _never_on(trial: Trial) -> Mismatch | None:
    before = _corners() @ W_UP.double() + trial.output
    corner, unit = divmod(int(before.argmax()), 3)
    if before.max() <= 1e-6:
        return None
    x1, x2 = _corners()[corner].tolist()
    return Mismatch("0 from every unit", f"{before.max():.3g} from unit {unit} at x = [{x1:g}, {x2:g}]")


def _as_high_as_possible(trial: Trial) -> Mismatch | None:
    room = -(_corners() @ W_UP.double() + trial.output).amax(0)
    unit = int(room.argmax())
    return None if room[unit] <= 1e-3 else Mismatch("0 at some x", f"unit {unit} is below zero by {room[unit]:.3g}")


BREAK_DEAD_UNITS = Exercise(
    id="feed-forward/break-dead-units",
    title="Break it: three dead units",
    answer="b_up",
    solution=[-3.0, -1.0, -4.0],
    takes="value",
    read=_read_three,
    properties=(
        Property(
            sentence="no x in the square switches a unit on",
            test=_never_on,
            hint="for which x in the square is x @ w_up largest, unit by unit?",
        ),
        Property(
            sentence="each bias is as high as it can be",
            test=_as_high_as_possible,
            hint="dead they are; how far up can each bias go before some x switches its unit on?",
        ),
    ),
    wrong=(
        Wrong(
            name="sums with their signs",
            answer=[1.0, -1.0, 2.0],
            hint="you add up the weights of a unit, which is its value at x = [1, 1]; a negative weight helps most "
            "where its feature is negative",
        ),
        Wrong(
            name="largest weight only",
            answer=[-2.0, -0.5, -3.0],
            hint="you guard against the strongest feature alone: both can be at their worst together",
        ),
        Wrong(
            name="lengths",
            answer=[-(5.0**0.5), -(0.5**0.5), -(10.0**0.5)],
            hint="this is right for x in a circle of radius 1; the corners of a square lie further out",
        ),
        Wrong(
            name="positive weights only",
            answer=[-1.0, -1.0, -1.0],
            hint="right if features went from 0 to 1; here a negative feature turns a negative weight into something "
            "positive",
        ),
        Wrong(
            name="means",
            answer=[-1.5, -0.5, -2.0],
            hint="the mean size of the weights; a unit adds its weights up",
        ),
        Wrong(
            name="sizes of sums",
            answer=[-1.0, -1.0, -2.0],
            hint="the signs of the weights cancel in your sums; choose x so that they do not",
        ),
        Wrong(
            name="sums as they are",
            answer=[-1.0, 1.0, -2.0],
            hint="the signs of the weights cancel in your sums, and a bias has to push down",
        ),
        Wrong(
            name="squares",
            answer=[-5.0, -0.5, -10.0],
            hint="these are sums of squares; x is at most 1 in size, so each weight counts with its size",
        ),
        Wrong(
            name="largest positive weight",
            answer=[-1.0, -0.5, -1.0],
            hint="you guard against the largest positive weight alone; a negative weight works together with it where "
            "its feature is negative",
        ),
        Wrong(
            name="a little lower",
            answer=[-3.1, -1.1, -4.1],
            hint="dead, and with a margin: at exactly zero a ReLU gives zero already, and the bias may go up to there",
            recognise=lambda answer: bool(
                ((_read_three(answer) - torch.tensor([-3.0, -1.0, -4.0]) + 0.5).abs() < 0.499).all()
            ),
        ),
        Wrong(
            name="signs turned",
            answer=[3.0, 1.0, 4.0],
            hint="the sizes are right, but these biases keep the units on for every x",
        ),
        Wrong(
            name="zeros",
            answer=[0.0, 0.0, 0.0],
            hint="without a bias every unit is on for about half of all x: push each one down",
        ),
        Wrong(
            name="far too low",
            answer=[-100.0, -100.0, -100.0],
            hint="dead, and with a wide margin: the highest biases that do it are asked for",
            recognise=lambda answer: bool((_read_three(answer) <= -5).all()),
        ),
        Wrong(
            name="the same for all",
            answer=[-4.0, -4.0, -4.0],
            hint="one bias for all is as low as the strongest unit needs; the others could go higher",
        ),
    ),
    notice="A step of training that is a little too long can do the same to a unit, and no gradient brings it back.",
)
