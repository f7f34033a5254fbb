"""Exercise: the phoneme error rate over several references."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals
from tftutor.exercises.recurrent.distance import Sounds, draw_word
from tftutor.exercises.values import number_text, read_number
from tftutor.metrics import edit_distance as distance


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
    longer = [("S", "K", "L")], [[("B",)]]  # more edits than phonemes
    shares = [("B", "IY", "S"), ("K",)], [[("B", "IY"), ("B", "IY", "S", "T", "AA")], [("K", "AA")]]
    cases = [one, two, lengths, tie, far, empty, longer, shares]
    for n in (3, 5):
        references = [[draw_word(generator, 3 + (i + k) % 5) for k in range(1 + i % 3)] for i in range(n)]
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


UNEVEN = ((("K", "AA", "T", "S"), ("B", "IY")), ((("K", "AA", "T", "S"),), (("S", "IY"),)))  # shares 0 and 1/2


def _best_share(p: Sounds, listed: Sequence[Sounds]) -> Sounds:
    return min(listed, key=lambda r: distance(p, r) / len(r))


def _place_by_place(p: Sounds, r: Sounds) -> int:
    return sum(x != y for x, y in zip(p, r, strict=False)) + abs(len(p) - len(r))


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
            recognise=lambda answer: abs(answer(*UNEVEN) - 0.25) < 1e-9,
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
        Wrong(
            name="reference with the smallest share",
            answer=_rated(lambda p, r: distance(p, _best_share(p, r)), lambda p, r: len(_best_share(p, r))),
            hint="you pick the reference with the smallest share of edits, which favours long ones; nearest means the "
            "fewest edits",
        ),
        Wrong(
            name="longer of the two",
            answer=_rated(_fewest, lambda p, r: max(len(p), len(_nearest(p, r)))),
            hint="a long answer makes its own denominator longer here: divide by what should have been said",
        ),
        Wrong(
            name="capped at 1",
            answer=lambda predictions, references: min(1.0, phoneme_error_rate(predictions, references)),
            hint="nothing in the definition stops at 1: whoever says three phonemes too many for a word of one has "
            "more edits than phonemes",
        ),
        Wrong(
            name="per cent",
            answer=lambda predictions, references: 100 * phoneme_error_rate(predictions, references),
            hint="that is in per cent; wanted is the share itself",
        ),
        Wrong(
            name="share of right phonemes",
            answer=lambda predictions, references: 1 - phoneme_error_rate(predictions, references),
            hint="this is high when the answers are good: an error rate is 0 then",
        ),
        Wrong(
            name="edits per word",
            answer=_rated(_fewest, lambda p, r: 1),
            hint="these are edits per word; the rate is per phoneme, so that long words may have more of them",
        ),
        Wrong(
            name="phonemes of all references",
            answer=_rated(_fewest, lambda p, r: sum(map(len, r))),
            hint="one pronunciation gave the edits, but the phonemes of all of them are counted: that makes the rate "
            "look better",
        ),
        Wrong(
            name="edits against all references",
            answer=_rated(lambda p, r: sum(distance(p, x) for x in r), lambda p, r: len(_nearest(p, r))),
            hint="the edits to every listed pronunciation are added up; only those to one of them are errors",
        ),
        Wrong(
            name="last reference only",
            answer=_rated(lambda p, r: distance(p, r[-1]), lambda p, r: len(r[-1])),
            hint="only the last pronunciation counts: is something overwritten in your loop over the references?",
        ),
        Wrong(
            name="first word only",
            answer=lambda predictions, references: phoneme_error_rate(predictions[:1], references[:1]),
            hint="only the first word is counted: does the function return inside its loop?",
        ),
        Wrong(
            name="shortest reference",
            answer=_rated(_fewest, lambda p, r: min(map(len, r))),
            hint="the shortest pronunciation need not be the one that gave the edits: take both from the same one",
        ),
        Wrong(
            name="mean length of the references",
            answer=_rated(_fewest, lambda p, r: sum(map(len, r)) / len(r)),
            hint="nobody says an average of two pronunciations: count the phonemes of the one that was compared",
        ),
        Wrong(
            name="place by place",
            answer=_rated(lambda p, r: _place_by_place(p, _nearest(p, r)), lambda p, r: len(_nearest(p, r))),
            hint="one phoneme left out at the front makes all later places differ: count edits, not places",
        ),
    ),
    notice="The rate can exceed 1: nothing stops a model from inserting more phonemes than there should be.",
)  # fmt: skip
