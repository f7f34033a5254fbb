"""Exercises: edit distance, and the phoneme error rate over several references."""

from __future__ import annotations

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


def _draw(generator: torch.Generator, n: int) -> tuple[str, ...]:
    return tuple(PHONES[i] for i in torch.randint(len(PHONES), (n,), generator=generator).tolist())


def _distance_cases(generator: torch.Generator) -> list[Case]:
    pairs = [
        (("K",), ("S",)), (("S", "K"), ("K", "S")), (("S", "K", "L"), ("K", "L")), ((), ("T", "B")),
        (("T", "S", "K"), ()), (("K", "AA", "T"), ("K", "AA", "T")), (("AA", "B"), ("S", "AA", "B", "T")),
        (("K", "IY", "T", "S"), ("S", "IY", "T")),
    ]  # fmt: skip
    pairs += [(_draw(generator, n), _draw(generator, m)) for n, m in ((5, 3), (4, 7), (6, 8), (9, 5))]
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
    *, substitution: int = 1, swap: bool = False, greedy: bool = False,
    first_row: Callable[[int], int] = lambda j: j, first_column: Callable[[int], int] = lambda i: i,
) -> Callable[[Sounds, Sounds], int]:  # fmt: skip
    """Edit distance by the usual table, with some of its rules changed."""

    def variant(a: Sounds, b: Sounds) -> int:
        d = {(i, 0): first_column(i) for i in range(len(a) + 1)} | {(0, j): first_row(j) for j in range(len(b) + 1)}
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + substitution * (a[i - 1] != b[j - 1]))
                if swap and i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                    d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
                if greedy:
                    d[i, j] = d[i - 1, j - 1] + (a[i - 1] != b[j - 1])
        return d[len(a), len(b)]

    return variant


EDIT_DISTANCE = Exercise(
    id="recurrent/edit-distance",
    title="Edit distance",
    answer="edit_distance",
    solution=edit_distance,
    cases=_distance_cases,
    read=read_number,
    properties=(
        Property(sentence="a word is at distance 0 from itself", test=_zero_for_equals,
                 hint="nothing has to be changed: where does your count begin?"),
        Property(sentence="insertions and deletions cost the same: from b to a is as far as from a to b",
                 test=_symmetric, hint="what is inserted on the way there is deleted on the way back"),
        Property(sentence="a phoneme more or less moves the distance by at most 1", test=_one_more,
                 hint="that phoneme can simply be inserted or deleted, at the cost of 1"),
        equals("the distance is the smallest number of edits", distance,
               hint="fill a small table by hand: the distance of the first i phonemes of a from the first j of b"),
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
            answer=_table(greedy=True),
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
    ),
    notice="Symmetric, zero only for equals, never longer by a detour: a distance in the mathematical sense.",
)


def phoneme_error_rate(predictions: Sequence[Sounds], references: Sequence[Sequence[Sounds]]) -> float:
    """All edits divided by all reference phonemes.

    predictions: one tuple of phonemes per word, possibly empty.
    references: for each word the list of its right pronunciations.
    Each word is scored against its nearest reference; of several equally near
    ones the longest counts. edit_distance(a, b) is there to be used.
    """
    edits = length = 0
    for prediction, listed in zip(predictions, references, strict=True):
        nearest = min(listed, key=lambda r: (distance(prediction, r), -len(r)))
        edits += distance(prediction, nearest)
        length += len(nearest)
    return edits / length


def _rate_cases(generator: torch.Generator) -> list[Case]:
    one = [("K", "AA", "T")], [[("K", "AA", "T")]]
    two = [("R", "EH", "D"), ("S", "K")], [[("R", "IY", "D"), ("R", "EH", "D")], [("S", "K", "UW", "L")]]
    lengths = [("T", "AH", "M"), ("B", "IY")], [[("T", "AH", "M", "EY", "T", "OW"), ("T", "AA", "M")], [("B", "IY")]]
    tie = [("K", "AA"), ("B",)], [[("K",), ("K", "AA", "T")], [("B", "S"), ("S",)]]
    far = [("B", "IY")], [[("B", "IY", "T"), ("K", "AA", "S", "L")]]
    empty = [(), ("L", "IY")], [[("AA", "B")], [("L", "IY", "S")]]
    cases = [one, two, lengths, tie, far, empty]
    for n in (3, 5):
        references = [[_draw(generator, 3 + (i + k) % 5) for k in range(1 + i % 3)] for i in range(n)]
        predictions = [(*listed[-1][1:], "S") for listed in references]
        cases.append((predictions, references))
    return [Case((tuple(p), tuple(map(tuple, r))), _rate_label(p, r)) for p, r in cases]


def _rate_label(predictions: Sequence[Sounds], references: Sequence[Sequence[Sounds]]) -> str:
    if len(predictions) > 2:
        return f"{len(predictions)} words"
    words = [f"{' '.join(p) or '()'} for {' or '.join(' '.join(r) for r in listed)}"
             for p, listed in zip(predictions, references, strict=True)]  # fmt: skip
    return "; ".join(words)


def _all_right(trial: Trial) -> Mismatch | None:
    _, references = trial.args
    got = trial.call(tuple(listed[-1] for listed in references), references)
    return None if abs(got) < 1e-9 else Mismatch("0 when each word is one of its references", number_text(got))


def _counts_phonemes(trial: Trial) -> Mismatch | None:
    predictions, references = trial.args
    twice = trial.call(predictions * 2, references * 2)
    if abs(twice - trial.output) < 1e-9:
        return None
    return Mismatch("the same rate when every word comes twice",
                    f"{number_text(trial.output)} and {number_text(twice)}")  # fmt: skip


def _rated(
    edits: Callable[[Sounds, Sequence[Sounds]], float], length: Callable[[Sounds, Sequence[Sounds]], float]
) -> Callable[[Sequence[Sounds], Sequence[Sequence[Sounds]]], float]:
    """A rate from other counts per word."""

    def variant(predictions: Sequence[Sounds], references: Sequence[Sequence[Sounds]]) -> float:
        pairs = list(zip(predictions, references, strict=True))
        return sum(edits(p, r) for p, r in pairs) / sum(length(p, r) for p, r in pairs)

    return variant


def _nearest(p: Sounds, listed: Sequence[Sounds]) -> Sounds:
    return min(listed, key=lambda r: (distance(p, r), -len(r)))


def _fewest(p: Sounds, listed: Sequence[Sounds]) -> int:
    return min(distance(p, r) for r in listed)


PHONEME_ERROR_RATE = Exercise(
    id="recurrent/phoneme-error-rate",
    title="Phoneme error rate",
    answer="phoneme_error_rate",
    solution=phoneme_error_rate,
    cases=_rate_cases,
    read=read_number,
    properties=(
        Property(sentence="a prediction that equals any reference has no edits", test=_all_right,
                 hint="English has several right answers for many words: which of them should a word be held against?"),
        Property(sentence="it is a share: more of the same words do not change it", test=_counts_phonemes,
                 hint="divide all edits by all phonemes, so that twice as many of both cancel"),
        equals("edits and phonemes are those of the nearest reference", phoneme_error_rate,
               hint="work out one word by hand: its edits, and the length of the reference that gave them"),
    ),
    wrong=(
        Wrong(
            name="first reference only",
            answer=_rated(lambda p, r: distance(p, r[0]), lambda p, r: len(r[0])),
            hint="only the first pronunciation is looked at: whoever says a word in its second way counts as wrong",
        ),
        Wrong(
            name="length of the first reference",
            answer=_rated(_fewest, lambda p, r: len(r[0])),
            hint="edits and phonemes come from different pronunciations: divide by the length of the one that gave "
            "the edits",
        ),
        Wrong(
            name="length of the longest reference",
            answer=_rated(_fewest, lambda p, r: max(map(len, r))),
            hint="a longer pronunciation makes the rate look better; the one that was compared is the one to count",
        ),
        Wrong(
            name="shorter of two equally near",
            answer=_rated(_fewest, lambda p, r: len(min(r, key=lambda x: (distance(p, x), len(x))))),
            hint="two references are equally near: read again which of them the task wants to count",
        ),
        Wrong(
            name="first of two equally near",
            answer=_rated(_fewest, lambda p, r: len(min(r, key=lambda x: distance(p, x)))),
            hint="where two references are equally near, the order of the list decides here; the task names a rule",
        ),
        Wrong(
            name="length of the prediction",
            answer=lambda predictions, references: sum(map(_fewest, predictions, references))
            / max(1, sum(map(len, predictions))),
            hint="divide by what should have been said: a model that says nothing would divide by zero",
        ),
        Wrong(
            name="mean of the words' rates",
            answer=lambda predictions, references: sum(
                distance(p, _nearest(p, r)) / len(_nearest(p, r)) for p, r in zip(predictions, references, strict=True)
            ) / len(predictions),
            hint="short words weigh too much: add up edits and phonemes first, divide once",
        ),
        Wrong(
            name="share of wrong words",
            answer=_rated(lambda p, r: p not in r, lambda p, r: 1),
            hint="this is the word error rate: one wrong phoneme and ten count alike",
        ),
        Wrong(
            name="edits not divided",
            answer=lambda predictions, references: sum(map(_fewest, predictions, references)),
            hint="a number of edits grows with the number of words: what is it a share of?",
        ),
        Wrong(
            name="all references counted",
            answer=_rated(lambda p, r: sum(distance(p, x) for x in r), lambda p, r: sum(map(len, r))),
            hint="a speaker chooses one pronunciation: the others are not errors. Which one is fair to compare with?",
        ),
        Wrong(
            name="worst reference",
            answer=_rated(lambda p, r: max(distance(p, x) for x in r),
                          lambda p, r: len(max(r, key=lambda x: distance(p, x)))),
            hint="this holds each word against the pronunciation it is farthest from",
        ),
    ),
    notice="The rate can exceed 1: nothing stops a model from inserting more phonemes than there should be.",
)  # fmt: skip
