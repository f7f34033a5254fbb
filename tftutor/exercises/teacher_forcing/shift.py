"""Exercise: from answers to inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.data import BOS, EOS, PAD
from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, has_shape, named_case

FIRST_SYMBOL = 3


def shift_right(targets: Tensor) -> Tensor:
    """The decoder's inputs for these answers.

    targets: ids (B, T): symbols from 3 on, then EOS = 2, then PAD = 0.
    Returns ids (B, T): BOS = 1, then what has been answered so far. What
    stands where the answer is PAD does not matter.
    """
    begin = torch.ones_like(targets[:, :1])
    return torch.cat([begin, targets[:, :-1]], dim=1)


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(lengths: Sequence[int]) -> Case:
        """Rows of so many symbols, each followed by EOS, and PAD up to the longest."""
        targets = torch.full((len(lengths), max(lengths) + 1), PAD)
        for row, n in zip(targets, lengths, strict=True):
            row[:n] = torch.randperm(20, generator=generator)[:n] + FIRST_SYMBOL
            row[n] = EOS
        return named_case(targets=targets)

    return [draw([2]), draw([3, 1]), draw([4, 6, 2]), draw([5, 3, 0, 7])]


def _expected(targets: Tensor) -> Tensor:
    """The inputs with PAD where nothing counts."""
    return shift_right(targets) * (targets != PAD)


def _right_where_it_counts(trial: Trial) -> Mismatch | None:
    (targets,) = trial.args
    got = trial.output
    return compare(_expected(targets), got * (targets != PAD) if got.shape == targets.shape else got)


def _whole_numbers(trial: Trial) -> Mismatch | None:
    kind = trial.output.dtype
    return None if not kind.is_floating_point else Mismatch("whole numbers", str(kind))


def _begins_with_bos(trial: Trial) -> Mismatch | None:
    first = trial.output[:, 0]
    return None if bool((first == BOS).all()) else Mismatch("1 (BOS) in the first column", str(first.tolist()))


def _with_first(targets: Tensor, symbol: int) -> Tensor:
    return torch.cat([torch.full_like(targets[:, :1], symbol), targets[:, :-1]], dim=1)


def _replaced_first(targets: Tensor) -> Tensor:
    return torch.cat([torch.full_like(targets[:, :1], BOS), targets[:, 1:]], dim=1)


def _down_the_batch(targets: Tensor) -> Tensor:
    return torch.cat([torch.full_like(targets[:1], BOS), targets[:-1]], dim=0)


def _first_row_begins(targets: Tensor) -> Tensor:
    inputs = torch.cat([targets[:, :1], targets[:, :-1]], dim=1)
    inputs[0, 0] = BOS
    return inputs


def _is_decimal(inputs: object) -> bool:
    """Whether these are the right inputs for 4, 5, EOS, as decimals."""
    return isinstance(inputs, Tensor) and inputs.is_floating_point() and inputs.tolist() == [[1.0, 4.0, 5.0]]


SHIFT_RIGHT = Exercise(
    id="forcing/shift-right",
    title="Shift right",
    answer="shift_right",
    solution=shift_right,
    cases=_cases,
    properties=(
        has_shape("there is one input for each answer", lambda targets: tuple(targets.shape)),
        Property(
            sentence="inputs are ids, so whole numbers",
            test=_whole_numbers,
            hint="an embedding refuses numbers with a decimal point: of which type is what you put in front?",
        ),
        Property(
            sentence="every row begins with BOS",
            test=_begins_with_bos,
            hint="before the first answer nothing has been said: which symbol stands for that?",
        ),
        Property(
            sentence="the input at t is the answer at t - 1",
            test=_right_where_it_counts,
            hint="write one row and its answers below each other, and draw the arrow from each answer to the place "
            "where it is read",
        ),
    ),
    wrong=(
        Wrong(
            name="not shifted",
            answer=lambda targets: targets.clone(),
            hint="the input at t is the answer at t itself: a model can get every one of these right by copying",
        ),
        Wrong(
            name="BOS in the place of the first symbol",
            answer=_replaced_first,
            hint="BOS has replaced the first symbol, and the others still stand where they have to be answered: "
            "everything has to move",
        ),
        Wrong(
            name="rolled",
            answer=lambda targets: targets.roll(1, dims=1),
            hint="what leaves a row at the end comes back at its beginning: the first input must be BOS in every row",
        ),
        Wrong(
            name="rolled over the whole batch",
            answer=lambda targets: targets.flatten().roll(1).view_as(targets),
            hint="the end of one row has become the beginning of the next: shift along the time axis only",
        ),
        Wrong(
            name="one too long",
            answer=lambda targets: torch.cat([torch.full_like(targets[:, :1], BOS), targets], dim=1),
            hint="there is an input without an answer now: which symbol does the decoder never have to read?",
        ),
        Wrong(
            name="no BOS",
            answer=lambda targets: targets[:, :-1].clone(),
            hint="the last symbol is gone and nothing has come in at the front",
        ),
        Wrong(
            name="no EOS to answer",
            answer=lambda targets: _with_first(targets, BOS)[:, :-1],
            hint="one input is missing: after the last symbol the decoder has to answer EOS, and for that it must have "
            "read that symbol",
        ),
        Wrong(
            name="shifted left",
            answer=lambda targets: F.pad(targets[:, 1:], (0, 1)),
            hint="each input is now the answer that comes next: the other direction",
        ),
        Wrong(
            name="shifted down the batch",
            answer=_down_the_batch,
            hint="axis 0 counts rows: every row reads its neighbour's answers now",
        ),
        Wrong(
            name="begins with PAD",
            answer=lambda targets: _with_first(targets, PAD),
            hint="the rows begin with 0, which is padding and hidden from attention; the mark for a beginning has "
            "another id",
        ),
        Wrong(
            name="begins with EOS",
            answer=lambda targets: _with_first(targets, EOS),
            hint="the rows begin with 2, the end mark. (Some models do use one mark for both; ours has BOS = 1)",
        ),
        Wrong(
            name="begins with the first symbol",
            answer=lambda targets: torch.cat([targets[:, :1], targets[:, :-1]], dim=1),
            hint="the first answer is shown as the first input: what is known before anything is said?",
        ),
        Wrong(
            name="shifted twice",
            answer=lambda targets: F.pad(targets, (2, 0), value=BOS)[:, : targets.shape[1]],
            hint="the input at t is the answer at t - 2: one step too many, perhaps because something else shifts too",
        ),
        Wrong(
            name="decimal numbers",
            answer=lambda targets: torch.cat([torch.ones(len(targets), 1), targets[:, :-1]], dim=1),
            hint="torch.ones makes decimal numbers, and joined to ids they turn those into decimals too: give the "
            "column the type of the targets",
            recognise=lambda answer: _is_decimal(answer(torch.tensor([[4, 5, EOS]]))),
        ),
        Wrong(
            name="one line after the other",
            answer=lambda targets: torch.cat([torch.full_like(targets[0, :1], BOS), targets.flatten()[:-1]]),
            hint="this is one long line: keep the rows apart, each with a BOS of its own",
        ),
        Wrong(
            name="only the first row begins",
            answer=_first_row_begins,
            hint="only row 0 begins with BOS: every row is a text of its own",
        ),
        Wrong(
            name="ids moved too",
            answer=lambda targets: F.pad(targets[:, :-1] + 1, (1, 0), value=BOS),
            hint="the places are right, and the ids have grown by one: shift positions, not ids",
        ),
        Wrong(
            name="the end kept",
            answer=lambda targets: torch.cat([_with_first(targets, BOS)[:, :-1], targets[:, -1:]], dim=1),
            hint="one symbol from the middle has gone to make room: the column that nobody reads is the last",
        ),
        Wrong(
            name="one-hot",
            answer=lambda targets: F.one_hot(shift_right(targets)),
            hint="ids are asked for: turning them into vectors is the embedding's job",
        ),
        Wrong(
            name="backwards",
            answer=lambda targets: targets.flip(1),
            hint="the order is reversed: shift, do not flip",
        ),
    ),
    notice="One tensor, two views: answers, and the same answers one step later. The mask does the rest.",
)
