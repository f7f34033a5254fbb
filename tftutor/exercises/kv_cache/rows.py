"""Exercise: rows of a cache change places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, named_case
from tftutor.exercises.values import Trouble, fresh, read_tensor, shape_text, show

PARTS = ("keys", "values", "lengths")
Rows = tuple[Tensor, Tensor, Tensor]


def reorder(keys: Tensor, values: Tensor, lengths: Tensor, rows: Tensor) -> Rows:
    """The cache after beams have changed places: row i becomes the old row rows[i].

    keys, values: (B, G, S, Dh).
    lengths: (B,), how many tokens each row has read.
    rows: (N,), indices of old rows; some may repeat, some may be left out.
    Returns keys and values (N, G, S, Dh) and lengths (N,), in new memory.
    """
    return keys[rows], values[rows], lengths[rows]


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(rows: list[int], n_rows: int, groups: int, length: int, d_head: int) -> Case:
        keys, values = (torch.randn(n_rows, groups, length, d_head, generator=generator) for _ in range(2))
        lengths = torch.randperm(length, generator=generator)[:n_rows] + 1
        return named_case(keys=keys, values=values, lengths=lengths, rows=torch.tensor(rows))

    return [draw([1, 0], 2, 1, 3, 4), draw([1, 2, 0], 3, 2, 5, 4), draw([2, 2, 0], 3, 4, 5, 2),
            draw([3, 0, 0, 1], 4, 3, 6, 5), draw([1, 1, 0, 2, 0], 3, 2, 6, 4), draw([3, 1], 4, 3, 7, 2)]  # fmt: skip


def _read(value: Any) -> Rows:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Trouble("returns the wrong kind of thing", "return three tensors, in the order of the arguments",
                      expected="keys, values, lengths", got=show(value))  # fmt: skip
    return tuple(read_tensor(part) for part in value)


def _n_rows(trial: Trial) -> Mismatch | None:
    n = len(trial.args[3])
    for name, part in zip(PARTS, trial.output, strict=True):
        if len(part) != n:
            return Mismatch(f"{n} rows of {name}", f"shape {shape_text(part)}")
    return None


def _rows_follow(trial: Trial) -> Mismatch | None:
    for name, wanted, got in zip(PARTS, reorder(*fresh(trial.args)), trial.output, strict=True):
        if mismatch := compare(wanted, got):
            return Mismatch(f"{name}: {mismatch.expected}", mismatch.got)
    return None


def _some(*moved: str) -> Callable[..., Rows]:
    """Only some parts move."""

    def variant(keys: Tensor, values: Tensor, lengths: Tensor, rows: Tensor) -> Rows:
        parts = dict(zip(PARTS, (keys, values, lengths), strict=True))
        return tuple(part[rows] if name in moved else part.clone() for name, part in parts.items())

    return variant


def _one_after_the_other(keys: Tensor, values: Tensor, lengths: Tensor, rows: Tensor) -> Rows:
    parts = tuple(part.clone() for part in (keys, values, lengths))
    if len(rows) != len(keys):
        return tuple(part[rows] for part in parts)
    for part in parts:
        for i, row in enumerate(rows.tolist()):
            part[i] = part[row]
    return parts


def _other_direction(keys: Tensor, values: Tensor, lengths: Tensor, rows: Tensor) -> Rows:
    new = tuple(torch.zeros(len(rows), *part.shape[1:], dtype=part.dtype) for part in (keys, values, lengths))
    for i, row in enumerate(rows.tolist()):
        if i < len(keys) and row < len(rows):
            for target, part in zip(new, (keys, values, lengths), strict=True):
                target[row] = part[i]
    return new


def _moves_rows_to(answer: Any) -> bool:
    """Whether old row i ends up as row rows[i], in whatever way that is written."""
    keys = torch.arange(3.0).view(3, 1, 1, 1)
    moved = answer(keys, keys.clone(), torch.tensor([1, 2, 3]), torch.tensor([1, 2, 0]))
    return moved is not None and moved[0].flatten().tolist() == [2.0, 0.0, 1.0]


REORDER = Exercise(
    id="kv-cache/reorder",
    title="Beams change places",
    answer="reorder",
    solution=reorder,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="there are as many rows as in `rows`", test=_n_rows,
                 hint="beams may be left out or appear twice: the number of rows is that of the new beams"),
        Property(sentence="row i is the old row rows[i], in all three", test=_rows_follow,
                 hint="follow one row by hand: which old row do its keys, values and length come from?"),
    ),
    wrong=(
        Wrong(name="nothing moves", answer=_some(),
              hint="each surviving beam must continue from its own past, and here every row keeps that of another"),
        Wrong(name="keys only", answer=_some("keys", "lengths"),
              hint="keys and values of one token belong together: who is found must also be who is read"),
        Wrong(name="values only", answer=_some("values", "lengths"),
              hint="the right values are mixed in shares that another row's keys decide"),
        Wrong(name="lengths forgotten", answer=_some("keys", "values"),
              hint="positions and mask come from the lengths: a beam that moves takes its length with it"),
        Wrong(name="lengths only", answer=_some("lengths"),
              hint="positions are right now, and keys and values still belong to the beams that were there before"),
        Wrong(name="one row after the other", answer=_one_after_the_other,
              hint="a row is overwritten before somebody else has read it: copy from the old cache, not from the one "
                   "you are writing"),
        Wrong(name="only keys", answer=_some("keys"),
              hint="one of three has moved: what else belongs to a beam?"),
        Wrong(name="only values", answer=_some("values"),
              hint="one of three has moved: by which keys will these values be found?"),
        Wrong(name="keys and values exchanged", answer=lambda keys, values, lengths, rows: (
            values[rows], keys[rows], lengths[rows]),
              hint="all three have moved; compare the order of what you return with the docstring"),
        Wrong(name="first rows", answer=lambda keys, values, lengths, rows: (
            keys[: len(rows)], values[: len(rows)], lengths[: len(rows)]),
              hint="the number of beams comes from rows here; what of its entries?"),
        Wrong(name="rows sorted", answer=lambda keys, values, lengths, rows: (
            keys[rows.sort().values], values[rows.sort().values], lengths[rows.sort().values]),
              hint="the right rows in the order of their numbers: beams have changed places, and that was the point"),
        Wrong(name="rows without repetition", answer=lambda keys, values, lengths, rows: (
            keys[rows.unique()], values[rows.unique()], lengths[rows.unique()]),
              hint="two beams may continue from the same row: each needs a copy of its own"),
        Wrong(name="backwards", answer=lambda keys, values, lengths, rows: (
            keys[rows.flip(0)], values[rows.flip(0)], lengths[rows.flip(0)]),
              hint="the first new row comes from rows[0], not from the last entry"),
        Wrong(name="rows for lengths", answer=lambda keys, values, lengths, rows: (keys[rows], values[rows], rows),
              hint="keys and values are right; the lengths you return are numbers of rows"),
        Wrong(name="longest for all", answer=lambda keys, values, lengths, rows: (
            keys[rows], values[rows], lengths[rows].max().expand(len(rows))),
              hint="keys and values are right; every row keeps a length of its own"),
        Wrong(name="one token longer", answer=lambda keys, values, lengths, rows: (
            keys[rows], values[rows], lengths[rows] + 1),
              hint="keys and values are right; no token has been read by changing places"),
        Wrong(name="other direction", answer=_other_direction, recognise=_moves_rows_to,
              hint="rows[i] says where row i comes from, not where it goes: try it with [1, 2, 0]"),
    ),
    notice="The same line serves three purposes: beams that change places, requests that leave (rows left out), and "
    "several samples of one prompt (a row repeated).",
)  # fmt: skip
