"""How good predictions are: edit distance, error rates with intervals, calibration, perplexity, bits, repetition.

Rates are shares (0.07 is 7 %); a phoneme error rate can exceed 1. A word may have several right answers, its
references.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The least number of insertions, deletions and substitutions that turn `a` into `b`.

    Source: Wagner and Fischer 1974, "The String-to-String Correction Problem"; we keep one row of the table.

    Example:
        >>> edit_distance(["S", "K", "UW", "L"], ["S", "K", "AH", "L", "Z"])
        2
    """
    if len(a) < len(b):
        a, b = b, a
    row = list(range(len(b) + 1))       # row[j]: distance of a[:i] from b[:j]
    for i, x in enumerate(a, start=1):
        diagonal = i - 1                # distance of a[:i-1] from b[:j-1]
        left = row[0] = i
        for j, y in enumerate(b, start=1):
            above = row[j]
            if x != y:
                diagonal = 1 + min(diagonal, above, left)
            row[j] = left = diagonal
            diagonal = above
    return row[-1]


def edit_counts(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Edits and reference length of each word, against its nearest reference.

    The nearest reference has the smallest edit distance; of several such, the longest counts.

    Args:
        predictions: one sequence of phonemes for each of n words; it may be empty.
        references: for each word its listed pronunciations, at least one, none empty.

    Returns:
        edits (n,) int64, lengths (n,) int64.
    """
    _expect_words(predictions, references)
    counts = np.zeros((2, len(predictions)), np.int64)
    for i, (prediction, listed) in enumerate(zip(predictions, references, strict=True)):
        prediction = tuple(prediction)
        edits, minus_length = min((edit_distance(prediction, tuple(r)), -len(r)) for r in listed)
        counts[:, i] = edits, -minus_length
    return counts[0], counts[1]


def phoneme_error_rate(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]],
) -> float:
    """PER: all edits divided by all reference phonemes, each word against its nearest reference (see `edit_counts`)."""
    edits, lengths = edit_counts(predictions, references)
    return float(edits.sum() / lengths.sum())


def word_error_rate(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]],
) -> float:
    """WER: the share of words whose prediction equals none of their references."""
    return word_errors(predictions, references) / len(predictions)


def word_errors(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> int:
    """The number of words whose prediction equals none of their references."""
    _expect_words(predictions, references)
    return sum(tuple(prediction) not in {tuple(r) for r in listed}
               for prediction, listed in zip(predictions, references, strict=True))


def wilson_interval(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The range of a true share that k successes in n independent trials leave plausible.

    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference"; without continuity
    correction.
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"k, n: expected 0 <= k <= n and n >= 1, got k={k}, n={n}")
    z = NormalDist().inv_cdf((1 + _expect_level(level)) / 2)
    share, z2 = k / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if k == 0 else max(0.0, centre - half)        # exact at the ends in spite of rounding
    high = 1.0 if k == n else min(1.0, centre + half)
    return low, high


def bootstrap_interval(
    edits: Sequence[int], lengths: Sequence[int], *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0,
) -> tuple[float, float]:
    """The range of sum(edits) / sum(lengths) over resampled words.

    Words are drawn with replacement, as many as there are; the interval leaves out (1 - level) / 2 at each end.

    Args:
        edits: edits of each word, (n,), as `edit_counts` returns them.
        lengths: reference length of each word, (n,), at least 1.
        level: probability in (0, 1).
        n_resamples: how many times all words are drawn.
        seed: of the draws.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
    """
    counts = np.stack([np.asarray(edits, np.int64), np.asarray(lengths, np.int64)], axis=1)      # (n, 2)
    n = len(counts)
    if n < 1 or counts[:, 1].min() < 1 or counts[:, 0].min() < 0:
        raise ValueError(f"edits, lengths: expected edits >= 0 and lengths >= 1 of at least one word, got {n} words")
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected at least 1, got {n_resamples}")
    tail = (1 - _expect_level(level)) / 2
    rng = np.random.default_rng(seed)
    rates = np.empty(n_resamples)
    for i in range(n_resamples):
        total_edits, total_length = counts[rng.integers(n, size=n)].sum(axis=0)
        rates[i] = total_edits / total_length
    low, high = np.quantile(rates, [tail, 1 - tail])
    return float(low), float(high)


def sign_test(wins: int, losses: int) -> float:
    """How likely a split at least this uneven would be if wins and losses were equally likely (two-sided, exact).

    For two systems on the same words: wins are the words that only the first gets right, losses those that only the
    second does; words on which they agree say nothing.

    Source: McNemar 1947, "Note on the Sampling Error of the Difference Between Correlated Proportions"; here exact.

    Example:
        >>> sign_test(5, 0)
        0.0625
    """
    n, few = wins + losses, min(wins, losses)
    if few < 0:
        raise ValueError(f"wins, losses: expected counts, got {wins}, {losses}")
    if 2 * few == n:
        return 1.0
    ways = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, 2 * ways / 2**n)  # whole numbers of any size divide exactly rounded


class Bin(NamedTuple):
    """Predictions whose probability lies in one range."""

    n: int
    probability: float  # what they were given on average
    right: int  # how many were right


def reliability(probabilities: Sequence[float], right: Sequence[bool], edges: Sequence[float]) -> list[Bin]:
    """Predictions sorted into bins (edges[i], edges[i + 1]] of their probability; empty bins are left out.

    A model is calibrated when in every bin right / n is about the mean probability.

    Args:
        probabilities: of each prediction, (n,), as the model gave it.
        right: whether it was, (n,).
        edges: of the bins, increasing.

    Source: DeGroot and Fienberg 1983, "The Comparison and Evaluation of Forecasters"; for networks Guo et al. 2017.
    """
    given, good = np.asarray(probabilities, float), np.asarray(right, bool)
    if given.shape != good.shape or given.ndim != 1:
        raise ValueError(f"right: expected one for each of {given.shape} probabilities, got {good.shape}")
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"edges: expected at least two increasing numbers, got {list(edges)}")
    inside = [(given > low) & (given <= high) for low, high in itertools.pairwise(edges)]
    return [Bin(int(here.sum()), float(given[here].mean()), int(good[here].sum())) for here in inside if here.any()]


def share_repeated(text: Sequence[Hashable], n: int) -> float:
    """The share of windows of `n` symbols that have occurred before in the same text; 0 where nothing repeats.

    One minus the share of distinct n-grams, "distinct-n" of Li et al. 2016, section 5.

    Example:
        >>> share_repeated("ababab", 2)
        0.6
    """
    windows = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
    if not 1 <= n <= len(text):
        raise ValueError(f"n: expected 1..{len(text)}, the length of the text, got {n}")
    return 1 - len(set(windows)) / len(windows)


def perplexity(nats: float) -> float:
    """How many equally likely choices `nats`, the mean negative log-likelihood per token, is worth: exp(nats)."""
    return math.inf if nats > 709 else math.exp(_expect_nats(nats))     # exp(710) is no float any more


def bits_per_character(nats: float) -> float:
    """The mean negative log-likelihood per character in bits, from nats: nats / ln 2."""
    return _expect_nats(nats) / math.log(2)


def _expect_words(predictions: Sequence, references: Sequence) -> None:
    """Raise unless there is at least one word and each has a reference that is not empty."""
    if len(predictions) != len(references) or not len(predictions):
        raise ValueError(f"references: expected one list for each of at least one prediction, "
                         f"got {len(references)} for {len(predictions)}")
    for i, listed in enumerate(references):
        if isinstance(listed, str) or not len(listed) or not all(map(len, listed)):
            raise ValueError(f"references[{i}]: expected at least one pronunciation and none empty, got {listed!r:.60}")


def _expect_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a probability between 0 and 1, got {level}")
    return level


def _expect_nats(nats: float) -> float:
    if nats < 0:
        raise ValueError(f"nats: expected a mean negative log-likelihood >= 0, got {nats}")
    return nats
