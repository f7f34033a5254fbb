"""Exercise: which numbers does an unknown norm take together?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble
from tftutor.norms import normalise

Norm = Callable[[Tensor], Tensor]


def shared_axes(norm: Norm, x: Tensor) -> str:
    """Along which axes do numbers share their statistics?

    norm: a function from (B, T, D) to (B, T, D).
    x: an input to try it on, (B, T, D), each axis at least 3 long.
    Returns a string of those of the letters "BTD" along which changing one
    number moves others: "D" for layer norm, "" if every number is on its own.
    """
    changed = x.clone()
    changed[0, 0, 0] += 3
    moved = (norm(changed) - norm(x)).abs() > 1e-4
    found = ""
    if moved[1:, 0, 0].any():
        found += "B"
    if moved[0, 1:, 0].any():
        found += "T"
    if moved[0, 0, 1:].any():
        found += "D"
    return found


def _rms(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def _frozen(x: Tensor) -> Tensor:
    """Batch norm in evaluation: averages kept from training."""
    return (x - torch.linspace(-1, 1, x.shape[-1])) / torch.linspace(0.5, 2, x.shape[-1])


def _halves(x: Tensor) -> Tensor:
    """Group norm of two groups of features."""
    return torch.cat([normalise(half, (-1,)) for half in x.chunk(2, dim=-1)], dim=-1)


def _odd_and_even(x: Tensor) -> Tensor:
    """Two groups again: every other feature."""
    even, odd = normalise(x[..., 0::2], (-1,)), normalise(x[..., 1::2], (-1,))
    return torch.stack([even, odd], dim=-1).flatten(-2)


def _norms() -> list[Norm]:
    """The black boxes."""
    return [
        lambda x: normalise(x, (-1,)),
        lambda x: normalise(x, (0, 1)),
        _frozen,
        lambda x: normalise(x, (1, 2)),
        lambda x: normalise(x, (1,)),
        _rms,
        lambda x: normalise(x, (0,)),
        lambda x: normalise(x, (0, 1, 2)),
        lambda x: normalise(x, (0, 2)),
        _halves,
        lambda x: normalise(x, (-1,)) * 2 + 5,
        _odd_and_even,
    ]


def _cases(generator: torch.Generator) -> list[Case]:
    shapes = ((3, 4, 6), (4, 3, 6), (5, 3, 8), (3, 5, 6))
    cases = []
    for i, norm in enumerate(_norms()):
        shape = shapes[i % len(shapes)]
        label = f"norm {i + 1} of {len(_norms())}, x {shape}"
        cases.append(Case((norm, torch.randn(shape, generator=generator)), label))
    return cases


def read_axes(value: object) -> str:
    """Letters of axes, in the order B, T, D."""
    if not isinstance(value, str):
        raise Trouble("returns the wrong kind of thing", 'return a string of letters, such as "BT"',
                      expected="a string", got=type(value).__name__)  # fmt: skip
    letters = value.strip().upper()
    if set(letters) - set("BTD"):
        raise Trouble("returns other letters", "only the letters B, T and D name axes here",
                      expected='letters of "BTD"', got=letters[:20])  # fmt: skip
    return "".join(axis for axis in "BTD" if axis in letters)


def _right_verdict(trial: Trial) -> Mismatch | None:
    norm, x = trial.args
    truth = shared_axes(norm, x)
    return None if trial.output == truth else Mismatch(repr(truth), repr(trial.output))


def _by(
    change: Callable[[Tensor], Tensor], look: Callable[[Tensor], str] | None = None
) -> Callable[[Norm, Tensor], str]:
    """The solution with another change of the input, or another look at what moved."""

    def variant(norm: Norm, x: Tensor) -> str:
        moved = (norm(change(x)) - norm(x)).abs() > 1e-4
        if look is not None:
            return look(moved)
        return _from_lines(moved)

    return variant


def _from_lines(moved: Tensor) -> str:
    """Axes on whose line through [0, 0, 0] something else moved."""
    lines = {"B": moved[1:, 0, 0], "T": moved[0, 1:, 0], "D": moved[0, 0, 1:]}
    return "".join(axis for axis, line in lines.items() if line.any())


def _one_number(x: Tensor) -> Tensor:
    other = x.clone()
    other[0, 0, 0] += 3
    return other


def _at(index: tuple[object, ...], by: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        other = x.clone()
        other[index] = by(other[index])
        return other

    return change


def _with_itself(moved: Tensor) -> str:
    lines = {"B": moved[:, 0, 0], "T": moved[0, :, 0], "D": moved[0, 0, :]}
    return "".join(axis for axis, line in lines.items() if line.any())


def _by_means(norm: Norm, x: Tensor) -> str:
    y = norm(x)
    return "".join(axis for i, axis in enumerate("BTD") if y.mean(dim=i).abs().max() < 1e-4)


SHARED_AXES = Exercise(
    id="norms/shared-axes",
    title="Which norm is in the box?",
    answer="shared_axes",
    solution=shared_axes,
    cases=_cases,
    read=read_axes,
    properties=(
        Property(
            sentence="the axes of this norm are right",
            test=_right_verdict,
            hint="change a single number of x, then look along each of the three lines through it: who else moved?",
        ),
    ),
    wrong=(
        Wrong(
            name="shifting all features of a token",
            answer=_by(_at((0, 0), lambda token: token + 3)),
            hint="layer norm ignores a shift of a whole token, so this change is invisible to it, and along the "
            "features you see numbers that you changed yourself: change one number only",
        ),
        Wrong(
            name="scaling a token",
            answer=_by(_at((0, 0), lambda token: token * 10)),
            hint="a whole token scaled is the same to layer norm and RMSNorm: change one number only",
        ),
        Wrong(
            name="another token",
            answer=_by(_at((0, 0), lambda token: token.flip(-1) + torch.arange(float(len(token))))),
            hint="you change all features of a token, so those that moved along D may have moved by themselves: change "
            "one number only",
        ),
        Wrong(
            name="a whole row",
            answer=_by(_at((0,), lambda row: row.flip(0) * 2 + 1)),
            hint="if a whole sequence changes, its tokens and features move anyway: change one number only",
        ),
        Wrong(
            name="everything scaled",
            answer=_by(lambda x: 2 * x),
            hint="most norms ignore a common factor, and those that do not move everywhere: change one number only",
        ),
        Wrong(
            name="everything shifted",
            answer=_by(lambda x: x + 3),
            hint="most norms ignore a common shift, and those that do not move everywhere: change one number only",
        ),
        Wrong(
            name="the changed number counted",
            answer=_by(_one_number, _with_itself),
            hint="every axis in every box: the number that you changed moves under any norm, and it lies on all three "
            "lines. Leave it out",
        ),
        Wrong(
            name="judged by means",
            answer=_by_means,
            hint="a mean of zero tells an axis only for norms that centre, and not for one that shifts afterwards: "
            "change a number and see who moves",
        ),
        Wrong(
            name="axes that do not share",
            answer=lambda norm, x: "".join(axis for axis in "BTD" if axis not in shared_axes(norm, x)),
            hint="along these axes statistics are kept apart; asked are those along which they are shared",
        ),
        Wrong(
            name="batch and tokens mixed up",
            answer=lambda norm, x: shared_axes(norm, x).translate(str.maketrans("BT", "TB")),
            hint="the axes of x are batch, tokens, features, in this order: which index did you vary for which letter?",
        ),
        Wrong(
            name="tokens and features mixed up",
            answer=lambda norm, x: shared_axes(norm, x).translate(str.maketrans("TD", "DT")),
            hint="the axes of x are batch, tokens, features, in this order: the last one is D",
        ),
        Wrong(
            name="only the next feature",
            answer=lambda norm, x: "".join(
                axis for axis, at in zip("BTD", ((1, 0, 0), (0, 1, 0), (0, 0, -1)), strict=True)
                if (norm(_one_number(x)) - norm(x)).abs()[at] > 1e-4
            ),
            hint="one other number along an axis can be in another group: look at all of them",
        ),
        Wrong(
            name="only the neighbour",
            answer=lambda norm, x: "".join(
                axis for axis, at in zip("BTD", ((1, 0, 0), (0, 1, 0), (0, 0, 1)), strict=True)
                if (norm(_one_number(x)) - norm(x)).abs()[at] > 1e-4
            ),
            hint="you look at one neighbour along each axis; in one box it belongs to another group: look at the whole "
            "line",
        ),
        Wrong(
            name="the first axis that is found",
            answer=lambda norm, x: shared_axes(norm, x)[:1],
            hint="it stops at the first axis: a norm may share along several, and all of their letters are asked for",
        ),
        Wrong(
            name="a threshold too high",
            answer=lambda norm, x: _from_lines((norm(_one_number(x)) - norm(x)).abs() > 0.5),
            hint="in a large group one number moves the others only a little: compare with something far smaller",
        ),
        Wrong(
            name="always layer norm",
            answer=lambda norm, x: "D",
            hint="it says D of every box: is the norm called at all?",
        ),
        Wrong(
            name="never",
            answer=lambda norm, x: "",
            hint="it finds nothing in any box: did you compare the norm of the changed input with the norm of the old "
            "one, and change a copy rather than x itself?",
        ),
    ),
    notice="One changed number and a look at who moves: this is also the fastest test for a leak in a whole model.",
)  # fmt: skip
