"""Span corruption: runs of symbols give way to sentinels, and the answer lists what stood there; and the way back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

SENTINELS = tuple(f"<{i}>" for i in range(10))
"""Marks that stand for removed spans, in the order in which they are used."""


class Gapped(NamedTuple):
    """What a model reads, and what it has to write."""

    inputs: list[str]  # the text, one sentinel in place of each removed span
    targets: list[str]  # each sentinel with the span it stands for, and one last sentinel


def corrupt_spans(symbols: Sequence[str], hidden: Sequence[bool]) -> Gapped:
    """Replace each run of hidden symbols by one sentinel, and list the runs behind theirs.

    Args:
        symbols: the text.
        hidden: which symbols to remove, as many; neighbours that are hidden form one span.

    Example:
        >>> gapped = corrupt_spans("school", [0, 0, 0, 1, 1, 0])
        >>> " ".join(gapped.inputs), " ".join(gapped.targets)
        ('s c h <0> l', '<0> o o <1>')

    Source: Raffel et al. 2020, section 3.1.4 and figure 2.
    """
    if len(symbols) != len(hidden):
        lengths = f"{len(symbols)} symbols, got {len(hidden)}"
        raise ValueError(f"hidden: expected one for each of {lengths}")
    inputs, targets, used = [], [], 0
    pairs = zip(symbols, map(bool, hidden), strict=True)
    for is_hidden, pairs_of_run in groupby(pairs, key=lambda pair: pair[1]):
        run = [symbol for symbol, _ in pairs_of_run]
        if not is_hidden:
            inputs += run
            continue
        if used + 1 >= len(SENTINELS):
            most = len(SENTINELS) - 1
            raise ValueError(f"hidden: expected at most {most} spans, got more")
        inputs.append(SENTINELS[used])
        targets += [SENTINELS[used], *run]
        used += 1
    return Gapped(inputs, [*targets, SENTINELS[used]])


def restore_spans(inputs: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The text that `corrupt_spans` took apart: each sentinel of `inputs` replaced by its span in `targets`.

    Raises:
        ValueError: when the two do not belong together, as may happen with what a model wrote.

    Example:
        >>> "".join(restore_spans(["s", "c", "h", "<0>", "l"], ["<0>", "o", "o", "<1>"]))
        'school'
    """
    asked = [symbol for symbol in inputs if symbol in SENTINELS]
    marks = [symbol for symbol in targets if symbol in SENTINELS]
    expected = list(SENTINELS[: len(asked) + 1])
    if asked != expected[:-1]:
        raise ValueError(f"inputs: expected the sentinels {expected[:-1]}, got {asked}")
    if marks != expected or targets[0] != marks[0] or targets[-1] != marks[-1]:
        raise ValueError(f"targets: expected {' ... '.join(expected)}, got {' '.join(targets)!r}")
    spans: dict[str, list[str]] = {}
    for symbol in targets:
        if symbol in SENTINELS:
            span = spans.setdefault(symbol, [])
        else:
            span.append(symbol)
    return [symbol for mark in inputs for symbol in spans.get(mark, [mark])]


def random_spans(length: int, n_hidden: int, n_spans: int, rng: random.Random) -> list[bool]:
    """Which of `length` symbols to hide: `n_hidden` of them in `n_spans` runs, all ways equally likely.

    Between two spans stands at least one symbol; a span may begin or end the text. T5 hides 15 % of a text of 512
    tokens in spans of 3 on average (Raffel et al. 2020, section 3.3.4); words are short, so numbers are given here.
    """
    shown = length - n_hidden
    if not 1 <= n_spans <= n_hidden or n_spans > shown + 1:
        raise ValueError(f"n_spans: expected 1..{max(1, min(n_hidden, shown + 1))}, got {n_spans} for {n_hidden} of "
                         f"{length} symbols")  # fmt: skip
    sizes = _parts(n_hidden, n_spans, rng)
    gaps = _parts(shown + 2, n_spans + 1, rng)  # the first and the last may be empty: one more there, taken off again
    gaps[0], gaps[-1] = gaps[0] - 1, gaps[-1] - 1
    hidden = [False] * gaps[0]
    for size, gap in zip(sizes, gaps[1:], strict=True):
        hidden += [True] * size + [False] * gap
    return hidden


def _parts(total: int, count: int, rng: random.Random) -> list[int]:
    """`total` as an ordered sum of `count` positive numbers, all sums equally likely."""
    cuts = sorted(rng.sample(range(1, total), count - 1))
    return [after - before for before, after in zip([0, *cuts], [*cuts, total], strict=True)]
