"""Exercise: edit distance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals
from tftutor.exercises.values import number_text, read_number
from tftutor.metrics import edit_distance as distance

Sounds = Sequence[str]
PHONES = ("AA", "B", "K", "S", "T", "IY", "L")


def edit_distance(a: Sounds, b: Sounds) -> int:
    """The least number of edits (insert, delete, substitute) from a to b.

    a, b: tuples of phonemes, such as ("S", "K", "UW", "L"), possibly empty.
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        new = [i]
        for j, y in enumerate(b, start=1):
            new.append(min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def draw_word(generator: torch.Generator, n: int) -> tuple[str, ...]:
    """`n` random phonemes."""
    return tuple(PHONES[i] for i in torch.randint(len(PHONES), (n,), generator=generator).tolist())


def _distance_cases(generator: torch.Generator) -> list[Case]:
    pairs = [
        (("K",), ("S",)), (("S", "K"), ("K", "S")), (("S", "K", "L"), ("K", "L")), ((), ("T", "B")),
        (("T", "S", "K"), ()), (("K", "AA", "T"), ("K", "AA", "T")), (("AA", "B"), ("S", "AA", "B", "T")),
        (("K", "IY", "T", "S"), ("S", "IY", "T")),
    ]  # fmt: skip
    pairs += [(draw_word(generator, n), draw_word(generator, m)) for n, m in ((5, 3), (4, 7), (6, 8), (9, 5))]
    return [Case(pair, f"a = {' '.join(pair[0]) or '()'}, b = {' '.join(pair[1]) or '()'}") for pair in pairs]


def _zero_for_equals(trial: Trial) -> Mismatch | None:
    a, _ = trial.args
    got = trial.call(a, a)
    return None if got == 0 else Mismatch("0 for a against itself", number_text(got))


def _symmetric(trial: Trial) -> Mismatch | None:
    a, b = trial.args
    back = trial.call(b, a)
    return None if back == trial.output else Mismatch("the same number from b to a", f"{number_text(trial.output)} and "
                                                      f"{number_text(back)}")  # fmt: skip


def _one_more(trial: Trial) -> Mismatch | None:
    a, b = trial.args
    got = trial.call((*a, "ZH"), b) - trial.output
    return None if abs(got) <= 1 else Mismatch("one phoneme more changes it by at most 1", number_text(got))


def _table(
    *, substitution: int = 1, swap: bool = False, match: int = 0, ways: str = "up left diagonal",
    choose: Callable[[list[int]], int] = min,
    first_row: Callable[[int], int] = lambda j: j, first_column: Callable[[int], int] = lambda i: i,
) -> Callable[[Sounds, Sounds], int]:  # fmt: skip
    """Edit distance by the usual table, with some of its rules changed."""

    def variant(a: Sounds, b: Sounds) -> int:
        d = {(i, 0): first_column(i) for i in range(len(a) + 1)} | {(0, j): first_row(j) for j in range(len(b) + 1)}
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                cost = substitution if a[i - 1] != b[j - 1] else match
                came = {"up": d[i - 1, j] + 1, "left": d[i, j - 1] + 1, "diagonal": d[i - 1, j - 1] + cost}
                d[i, j] = choose([came[way] for way in ways.split()])
                if swap and i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                    d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
        return d[len(a), len(b)]

    return variant


def _overwrites_the_diagonal(a: Sounds, b: Sounds) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row[0] = i
        for j, y in enumerate(b, start=1):
            row[j] = min(row[j] + 1, row[j - 1] + 1, row[j - 1] + (x != y))
    return row[-1]


def _recursive(a: Sounds, b: Sounds, *, rest: bool) -> int:
    if not a or not b:
        return (len(a) + len(b)) * rest
    if a[0] == b[0]:
        return _recursive(a[1:], b[1:], rest=rest)
    return 1 + min(_recursive(a[i:], b[j:], rest=rest) for i, j in ((1, 0), (0, 1), (1, 1)))


def _in_common(a: Sounds, b: Sounds) -> int:
    """The length of the longest sequence that both words contain in this order."""
    return (len(a) + len(b) - _table(substitution=2)(a, b)) // 2


def _counts_only(a: Sounds, b: Sounds) -> int:
    return max((Counter(a) - Counter(b)).total(), (Counter(b) - Counter(a)).total())


EDIT_DISTANCE = Exercise(
    id="recurrent/edit-distance",
    title="Edit distance",
    answer="edit_distance",
    solution=edit_distance,
    cases=_distance_cases,
    read=read_number,
    properties=(
        Property(
            sentence="a word is at distance 0 from itself",
            test=_zero_for_equals,
            hint="nothing has to be changed: where does your count begin?",
        ),
        Property(
            sentence="insertions and deletions cost the same: from b to a is as far as from a to b",
            test=_symmetric,
            hint="what is inserted on the way there is deleted on the way back",
        ),
        Property(
            sentence="a phoneme more or less moves the distance by at most 1",
            test=_one_more,
            hint="that phoneme can simply be inserted or deleted, at the cost of 1",
        ),
        equals(
            "the distance is the smallest number of edits",
            distance,
            hint="fill a small table by hand: the distance of the first i phonemes of a from the first j of b",
        ),
    ),
    wrong=(
        Wrong(
            name="position by position",
            answer=lambda a, b: sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b)),
            hint="one phoneme missing at the front shifts all others: compare prefixes, not equal places",
        ),
        Wrong(
            name="position by position, rest ignored",
            answer=lambda a, b: sum(x != y for x, y in zip(a, b, strict=False)),
            hint="zip stops at the shorter word: phonemes that are left over are insertions or deletions",
        ),
        Wrong(
            name="a table that always takes the diagonal",
            answer=_table(ways="diagonal"),
            hint="each cell has three ways in: from above, from the left, and along the diagonal. Which is cheapest?",
        ),
        Wrong(
            name="substitution counted twice",
            answer=_table(substitution=2),
            hint="a substitution is one edit, not a deletion and an insertion",
        ),
        Wrong(
            name="free start",
            answer=_table(first_row=lambda j: 0),
            hint="turning nothing into j phonemes takes j insertions: what stands in the first row of the table?",
        ),
        Wrong(
            name="free start of a",
            answer=_table(first_column=lambda i: 0),
            hint="turning i phonemes into nothing takes i deletions: what stands in the first column of the table?",
        ),
        Wrong(
            name="swaps count once",
            answer=_table(swap=True),
            hint="exchanging two neighbours is no single edit here: it takes two of the three allowed ones",
        ),
        Wrong(
            name="difference of lengths",
            answer=lambda a, b: abs(len(a) - len(b)),
            hint="words of equal length may still differ: the phonemes themselves have to be compared",
        ),
        Wrong(
            name="difference of sets",
            answer=lambda a, b: len(set(a) ^ set(b)),
            hint="order and repetition count: the same phonemes in another order are another word",
        ),
        Wrong(
            name="matches counted",
            answer=lambda a, b: max(len(a), len(b)) - distance(a, b),
            hint="this counts what agrees; equal words must come out as 0",
        ),
        Wrong(
            name="a match costs one as well",
            answer=_table(match=1),
            hint="where the two phonemes agree nothing has to be done: the way along the diagonal is free there",
        ),
        Wrong(
            name="no insertions",
            answer=_table(ways="up diagonal"),
            hint="a cell of your table can be reached by a deletion or a substitution: what about an insertion?",
        ),
        Wrong(
            name="no deletions",
            answer=_table(ways="left diagonal"),
            hint="a cell of your table can be reached by an insertion or a substitution: what about a deletion?",
        ),
        Wrong(
            name="dearest way",
            answer=_table(choose=max),
            hint="asked for is the smallest number of edits; your table takes the dearest way into each cell",
        ),
        Wrong(
            name="both edges free",
            answer=_table(first_row=lambda j: 0, first_column=lambda i: 0),
            hint="the edges of your table are all 0, as if getting rid of a whole word were free",
        ),
        Wrong(
            name="diagonal overwritten",
            answer=_overwrites_the_diagonal,
            hint="with a single row, the cell along the diagonal has just been overwritten by the new row: keep its "
            "old value",
        ),
        Wrong(
            name="longest common part",
            answer=lambda a, b: max(len(a), len(b)) - _in_common(a, b),
            hint="for S K and K S one phoneme can stay, and it takes two edits all the same: what stays in order "
            "does not say how many edits the rest takes",
        ),
        Wrong(
            name="recursion that drops the rest",
            answer=lambda a, b: _recursive(a, b, rest=False),
            hint="when one word is used up, what is left of the other still has to be inserted or deleted",
        ),
        Wrong(
            name="counts of phonemes",
            answer=_counts_only,
            hint="how often each phoneme occurs is the same in S K and K S: the order has to enter",
        ),
        Wrong(
            name="divided by the length",
            answer=lambda a, b: distance(a, b) / max(len(a), len(b), 1),
            hint="this is a share; the number of edits itself is wanted here, and the division comes later",
        ),
        Wrong(
            name="similarity",
            answer=lambda a, b: 1 - distance(a, b) / max(len(a), len(b), 1),
            hint="this is 1 for equal words and falls as they part: a distance is 0 for equal words and grows",
        ),
        Wrong(
            name="letters compared",
            answer=lambda a, b: distance("".join(a), "".join(b)),
            hint="AA is one phoneme although it is written with two letters: compare the entries of the tuples",
        ),
        Wrong(
            name="right or wrong",
            answer=lambda a, b: int(a != b),
            hint="this only says whether the words differ; how many edits apart are they?",
        ),
    ),
    notice="Symmetric, zero only for equals, never longer by a detour: a distance in the mathematical sense.",
)
