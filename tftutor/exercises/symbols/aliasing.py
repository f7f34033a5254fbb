"""Exercises: an encoder that writes into its own embedding table, broken on purpose and mended."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import Trouble, show

N_WORDS, WIDTH = 10, 4


def encode(table: Tensor, positions: Tensor, ids: list[int]) -> Tensor:
    """Token vectors plus positions.

    table: (V, D), one row per word.  positions: (max_len, D).
    ids: a list of T word numbers, which may repeat.
    Returns (T, D). Table and positions are left as they were.
    """
    return table[ids] + positions[: len(ids)]


def encode_in_place(table: Tensor, positions: Tensor, ids: list[int]) -> Tensor:
    """The same with a bug: a row is a view of the table, and += writes into it."""
    rows = []
    for place, word in enumerate(ids):
        row = table[word]
        row += positions[place]
        rows.append(row)
    return torch.stack(rows)


def _encode_cases(generator: torch.Generator) -> list[Case]:
    def draw(v: int, d: int, max_len: int, ids: list[int], *, tokens: float = 1.0, places: float = 1.0) -> Case:
        table = torch.randn(v, d, generator=generator) * tokens
        return named_case(table=table, positions=torch.randn(max_len, d, generator=generator) * places, ids=ids)

    return [
        draw(3, 2, 4, [1]),
        draw(5, 3, 4, [4, 0]),
        draw(6, 4, 5, [2, 5, 2], places=0.0),  # nothing to add
        draw(6, 4, 5, [3, 3, 1], tokens=0.0),  # nothing to add to
        draw(7, 3, 5, [0, 6, 0, 2]),
        draw(9, 5, 8, [8, 8, 8, 1, 0, 1]),
    ]


def _copy_of_the_table(table: Tensor, positions: Tensor, ids: list[int]) -> Tensor:
    return encode_in_place(table.clone(), positions, ids)


def _adds_into_positions(table: Tensor, positions: Tensor, ids: list[int]) -> Tensor:
    rows = positions[: len(ids)]
    rows += table[ids]
    return rows


def _copies_too_late(table: Tensor, positions: Tensor, ids: list[int]) -> Tensor:
    table, rows = table.clone(), []
    for place, word in enumerate(ids):
        row = table[word]
        row += positions[place]
        rows.append(row.clone())
    return torch.stack(rows)


ENCODE = Exercise(
    id="symbols/encode",
    title="Mend the encoder that damages its table",
    answer="encode",
    solution=encode,
    cases=_encode_cases,
    properties=(
        equals(
            "row t is the word's row of the table plus row t of the positions",
            encode,
            hint="work one row out by hand, for a word that occurs twice",
        ),
    ),
    wrong=(
        Wrong(
            name="rows written in place",
            answer=encode_in_place,
            hint="table[3] is no copy: it is a window on row 3 of the table, and += writes through it. Every later "
            "call finds a table that has drifted",
        ),
        Wrong(
            name="positions written in place",
            answer=_adds_into_positions,
            hint="the table is safe now, but a slice of the positions is a window too: make the sum a new tensor",
        ),
        Wrong(
            name="the whole table copied",
            answer=_copy_of_the_table,
            hint="the caller's table is safe, your copy is not: when a word occurs twice, both of its rows are the "
            "same piece of memory and collect both positions",
        ),
        Wrong(
            name="no positions",
            answer=lambda table, positions, ids: table[ids],
            hint="no damage, but where are the positions?",
        ),
        Wrong(
            name="positions looked up by word",
            answer=lambda table, positions, ids: table[ids] + positions[[i % len(positions) for i in ids]],
            hint="positions are numbered by place in the sentence, not by word",
        ),
        Wrong(
            name="side by side",
            answer=lambda table, positions, ids: torch.cat([table[ids], positions[: len(ids)]], dim=-1),
            hint="the two vectors are added, not joined: the width stays D",
        ),
        Wrong(
            name="positions counted from 1",
            answer=lambda table, positions, ids: table[ids] + positions[1 : len(ids) + 1],
            hint="the first word of a sentence stands at position 0",
        ),
        Wrong(
            name="copied after the sum",
            answer=_copies_too_late,
            hint="the row is copied after the position has gone into it: the next time the word occurs, the row holds "
            "the earlier position too",
        ),
        Wrong(
            name="place of the first occurrence",
            answer=lambda table, positions, ids: table[ids] + positions[[ids.index(word) for word in ids]],
            hint="ids.index finds the first place of a word, also when you stand at its second",
        ),
        Wrong(
            name="always the first position",
            answer=lambda table, positions, ids: table[ids] + positions[0],
            hint="every word got the vector of position 0; the place has to move along",
        ),
        Wrong(
            name="last positions",
            answer=lambda table, positions, ids: table[ids] + positions[-len(ids) :],
            hint="these are the last rows of the positions; a sentence begins at the first one",
        ),
        Wrong(
            name="multiplied",
            answer=lambda table, positions, ids: table[ids] * positions[: len(ids)],
            hint="the position is added to the word's vector, not multiplied with it",
        ),
        Wrong(
            name="subtracted",
            answer=lambda table, positions, ids: table[ids] - positions[: len(ids)],
            hint="the sign of the positions is turned",
        ),
        Wrong(
            name="scaled",
            answer=lambda table, positions, ids: table[ids] * table.shape[1] ** 0.5 + positions[: len(ids)],
            hint="this encoder has no factor: mend what is broken and leave the rest as it was",
        ),
        Wrong(
            name="all in one",
            answer=lambda table, positions, ids: (table[ids] + positions[: len(ids)]).sum(dim=0),
            hint="the vectors of the sentence have been added up: each word keeps its own row",
        ),
        Wrong(
            name="rows by place",
            answer=lambda table, positions, ids: table[: len(ids)] + positions[: len(ids)],
            hint="the first rows of the table are not the words of the sentence: ids says which rows are meant",
        ),
    ),
    notice="A list as index copies rows, a single number does not; x = x + y makes a new tensor, x += y does not.",
)


def _read_ids(value: Any) -> list[int]:
    if isinstance(value, Tensor) and value.ndim == 1 and not value.is_floating_point():
        value = value.tolist()
    listed = isinstance(value, list | tuple) and all(isinstance(i, int) and not isinstance(i, bool) for i in value)
    if not listed or not 1 <= len(value) <= 6:
        raise Trouble("is no list of words", "write it as [3, 1, 4]", expected="1 to 6 numbers", got=show(value))
    if not all(0 <= i < N_WORDS for i in value):
        raise Trouble("names a word that is not there", "the table has rows 0 to 9", expected="0 to 9", got=show(value))
    return list(value)


def _first_call_is_wrong(trial: Trial) -> Mismatch | None:
    draw = torch.Generator().manual_seed(0)
    table, positions = torch.randn(N_WORDS, WIDTH, generator=draw), torch.randn(6, WIDTH, generator=draw)
    right = encode(table, positions, trial.output)
    if compare(right, encode_in_place(table, positions, trial.output)) is None:
        return Mismatch("some vector that is wrong", "the right vectors (the table is damaged all the same)")
    return None


BREAK_TABLE = Exercise(
    id="symbols/break-table",
    title="Break it: make the very first call go wrong",
    answer="ids",
    solution=[3, 1, 3],
    takes="value",
    read=_read_ids,
    properties=(
        Property(
            sentence="the first call on a fresh table returns a vector that is wrong",
            test=_first_call_is_wrong,
            hint="a row is wrong when it was written to twice",
        ),
    ),
    wrong=(
        Wrong(
            name="one word",
            answer=[3],
            hint="with one word the sum is right and only the table is damaged afterwards: what has to happen within "
            "one sentence?",
            recognise=lambda answer: len(_read_ids(answer)) == 1,
        ),
        Wrong(
            name="different words",
            answer=[3, 1, 4],
            hint="each row is written to once, so this call comes out right, and the next one will not: which sentence "
            "reads a row that it has already changed?",
            recognise=lambda answer: len(set(_read_ids(answer))) == len(_read_ids(answer)) > 1,
        ),
        Wrong(
            name="a word that is not there",
            answer=[10, 10],
            hint="that is an error at once, which is the kind of bug one wishes for; stay within rows 0 to 9",
            recognise=lambda answer: all(isinstance(i, int) for i in answer) and max(answer) >= N_WORDS,
        ),
    ),
    notice="A sentence that repeats a word shows it at once; a test with different words never would.",
)
