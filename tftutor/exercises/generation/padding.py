"""Exercise: a batch of unequal prompts, padded on the left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare
from tftutor.exercises.values import Trouble, read_mask, read_tensor, show

Padded = tuple[Tensor, Tensor, Tensor]
PARTS = ("tokens", "valid", "positions")


def left_pad(prompts: Sequence[Sequence[int]]) -> Padded:
    """Prompts of unequal lengths as one batch that can be continued on the right.

    prompts: B lists of ids; 0 may be a real id.
    Returns tokens (B, T), padded with 0 on the left; valid (B, T), True for real
    tokens; positions (B, T): 0, 1, 2, ... for the real tokens of each row, -1 for
    padding.
    """
    longest = max(len(prompt) for prompt in prompts)
    rows = [[0] * (longest - len(row)) + list(row) for row in prompts]
    tokens = torch.tensor(rows)
    lengths = torch.tensor([len(row) for row in prompts])
    positions = torch.arange(longest) - (longest - lengths)[:, None]
    valid = positions >= 0
    return tokens, valid, positions.clamp(min=-1)


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for lengths in ([2, 1], [3, 5, 1], [4, 2, 6, 3], [1, 7, 2, 3, 5]):
        prompts = [torch.randint(1, 90, (n,), generator=generator).tolist() for n in lengths]
        if len(lengths) > 2:
            prompts[1][1] = 0  # a real token with the id of padding
        cases.append(Case((prompts,), f"prompts = {show(prompts)}"))
    return cases


def _read(value: Any) -> Padded:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise Trouble("returns the wrong kind of thing", "return three tensors: tokens, valid, positions",
                      expected="tokens, valid, positions", got=show(value))  # fmt: skip
    return read_tensor(value[0]), read_mask(value[1]), read_tensor(value[2])


def _shapes(trial: Trial) -> Mismatch | None:
    (prompts,) = trial.args
    shape = (len(prompts), max(map(len, prompts)))
    for name, part in zip(PARTS, trial.output, strict=True):
        if tuple(part.shape) != shape:
            return Mismatch(f"{name} of shape {shape}", f"shape {tuple(part.shape)}")
    return None


def _whole_numbers(trial: Trial) -> Mismatch | None:
    for name, part in zip(PARTS, trial.output, strict=True):
        if part.is_floating_point():
            return Mismatch(f"{name} as whole numbers", str(part.dtype))
    return None


def _part(i: int, sentence: str, hint: str) -> Property:
    def test(trial: Trial) -> Mismatch | None:
        wanted, got = left_pad(*trial.args)[i], trial.output[i]
        if mismatch := compare(wanted, got):
            row = int((wanted != got).any(dim=1).nonzero()[0]) if wanted.shape == got.shape else 0
            shown = f"{PARTS[i]}, row {row}: {show(wanted[row])}"
            return Mismatch(shown, show(got[row]) if wanted.shape == got.shape else mismatch.got)
        return None

    return Property(sentence=sentence, test=test, hint=hint)


def _with(**changes: Callable[[Sequence[Sequence[int]], Padded], Tensor]) -> Callable[..., Padded]:
    """`left_pad` with some parts made otherwise."""

    def answer(prompts: Sequence[Sequence[int]]) -> Padded:
        right = left_pad(prompts)
        return tuple(changes[name](prompts, right) if name in changes else part
                     for name, part in zip(PARTS, right, strict=True))  # fmt: skip

    return answer


def _right_pad(prompts: Sequence[Sequence[int]]) -> Padded:
    longest = max(map(len, prompts))
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in prompts])
    valid = torch.arange(longest) < torch.tensor([len(row) for row in prompts])[:, None]
    return tokens, valid, torch.where(valid, torch.arange(longest), -1)


def _columns(prompts: Sequence[Sequence[int]], right: Padded) -> Tensor:
    return torch.arange(right[0].shape[1]).expand_as(right[0]).clone()


LEFT_PAD = Exercise(
    id="generation/left-pad",
    title="A ragged batch",
    answer="left_pad",
    solution=left_pad,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="all three have a row for each prompt, as long as the longest", test=_shapes,
                 hint="how long is the longest prompt, and how much does each of the others lack?"),
        Property(sentence="ids and positions are whole numbers", test=_whole_numbers,
                 hint="an embedding refuses numbers with a decimal point: which step made them?"),
        _part(0, "tokens end with the prompt", "every row must end with the last id of its prompt"),
        _part(1, "valid marks the real tokens", "which columns of a row did you fill up yourself?"),
        _part(2, "positions count real tokens", "take one row and write under each id how many real ones precede it"),
    ),
    wrong=(
        Wrong(name="padded on the right", answer=_right_pad,
              hint="the next token would be written behind the padding of short rows: fill up on the other side"),
        Wrong(name="positions are columns", answer=_with(positions=_columns),
              hint="a padded row starts late: its first real token would be given a position that depends on the "
                   "other rows"),
        Wrong(name="columns, padding at -1", answer=_with(positions=lambda p, r: _columns(p, r).masked_fill(~r[1], -1)),
              hint="padding is marked, but the real tokens still count it: the first of them has position 0"),
        Wrong(name="padding has position 0", answer=_with(positions=lambda p, r: r[2].clamp(min=0)),
              hint="two tokens of a row share position 0: how is padding marked?"),
        Wrong(name="padding has position 1", answer=_with(positions=lambda p, r: r[2].masked_fill(~r[1], 1)),
              hint="that is what some libraries fill in, since nobody looks at it; here padding is marked by -1"),
        Wrong(name="counted from 1", answer=_with(positions=lambda p, r: torch.where(r[1], r[2] + 1, -1)),
              hint="the first real token has position 0: nothing precedes it"),
        Wrong(name="negative positions", answer=_with(
              positions=lambda p, r: _columns(p, r) - (~r[1]).sum(dim=1, keepdim=True)),
              hint="the real tokens are right; padding gets -2 and -3 as well, where one mark is agreed on"),
        Wrong(name="counted from the end", answer=_with(
              positions=lambda p, r: torch.where(r[1], _columns(p, r).flip(1), -1)),
              hint="these count how many tokens follow: count those that precede"),
        Wrong(name="valid inverted", answer=_with(valid=lambda p, r: ~r[1]),
              hint="True means a real token, and here it marks the padding"),
        Wrong(name="valid from the ids", answer=_with(valid=lambda p, r: r[0] != 0),
              hint="a real token may have the id of padding: lengths say who is real, ids do not"),
        Wrong(name="valid and positions from the ids", answer=_with(
              valid=lambda p, r: r[0] != 0,
              positions=lambda p, r: ((r[0] != 0).long().cumsum(dim=1) - 1).masked_fill(r[0] == 0, -1)),
              hint="where a real token happens to be 0, it is taken for padding and everyone after it moves up"),
        Wrong(name="all valid", answer=_with(valid=lambda p, r: torch.ones_like(r[1])),
              hint="padding is looked at like any other token"),
        Wrong(name="rows reversed", answer=_with(tokens=lambda p, r: _right_pad(p)[0].flip(1)),
              hint="the padding is in its place, and the prompts run backwards"),
        Wrong(name="cut to the shortest", answer=lambda prompts: left_pad(
              [list(row)[-min(map(len, prompts)) :] for row in prompts]),
              hint="long prompts lose their beginnings: the longest decides the width"),
        Wrong(name="one column too many", answer=lambda prompts: tuple(
              torch.cat([part[:, :1] * 0 - (i == 2) * 1 if i != 1 else part[:, :1] & False, part], dim=1)
              for i, part in enumerate(left_pad(prompts))),
              hint="even the longest row is padded: it needs none"),
        Wrong(name="counted from 1, padding 0", answer=_with(positions=lambda p, r: r[2] + 1),
              hint="that is how many real tokens there are up to and with this one: a position counts those before"),
        Wrong(name="the first row's offset", answer=_with(
              positions=lambda p, r: _columns(p, r) - (r[0].shape[1] - len(p[0]))),
              hint="every row lacks a different number of tokens: one offset cannot do for all"),
        Wrong(name="rows sorted", answer=lambda prompts: left_pad(sorted(prompts, key=len)),
              hint="the rows have changed places: whoever waits for the first answer would get another one"),
        Wrong(name="padded with BOS", answer=_with(tokens=lambda p, r: r[0].masked_fill(~r[1], 1)),
              hint="the prompts are in their places, and the filling is 1: 0 was agreed on"),
        Wrong(name="padded with the first id", answer=_with(
              tokens=lambda p, r: torch.where(r[1], r[0], torch.tensor([row[0] for row in p])[:, None])),
              hint="the first id of each prompt is repeated to fill the row: the filling is 0"),
        Wrong(name="reversed on the right", answer=_with(
              tokens=lambda p, r: _right_pad([list(row)[::-1] for row in p])[0]),
              hint="a prompt turned round and filled up on the right has to be turned back"),
        Wrong(name="padding far away", answer=_with(positions=lambda p, r: r[2].masked_fill(~r[1], -100)),
              hint="the real tokens are right; padding is marked by -1, and a target that a loss should skip by -100"),
        Wrong(name="padding counted apart", answer=_with(
              positions=lambda p, r: torch.where(r[1], r[2], _columns(p, r))),
              hint="the real tokens are right, and padding has positions of its own: how is padding marked?"),
        Wrong(name="positions from the ids", answer=_with(
              positions=lambda p, r: torch.where(r[1], (r[0] != 0).long().cumsum(dim=1) - 1, -1)),
              hint="a real token whose id is 0 does not move the count on: count what is real, not what is not 0"),
        Wrong(name="decimal numbers", answer=_with(tokens=lambda p, r: r[0].float()),
              hint="torch.zeros makes decimal numbers, and ids that are written into it become decimals too"),
        Wrong(name="padded with -1", answer=_with(tokens=lambda p, r: r[0].masked_fill(~r[1], -1)),
              hint="-1 is no id: an embedding table cannot look it up"),
    ),
    notice="With the last token of every row in the last column, one column is read, and one is written, for all rows.",
)  # fmt: skip
