"""Error rates, their intervals, perplexity: against definitions written another way."""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tftutor.metrics import (
    bits_per_character,
    bootstrap_interval,
    edit_counts,
    edit_distance,
    perplexity,
    phoneme_error_rate,
    reliability,
    share_repeated,
    sign_test,
    wilson_interval,
    word_error_rate,
    word_errors,
)

short = st.text("KTSN", max_size=7)
SCHOOL = ("S", "K", "UW", "L")


def recursive_distance(a: str, b: str, *, substitution: int = 1) -> int:
    """The definition: the cheapest last step plus the distance of what was there before."""
    @functools.cache
    def d(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + substitution * (a[i - 1] != b[j - 1]))
    return d(len(a), len(b))


@given(short, short)
def test_edit_distance_is_its_definition(a: str, b: str) -> None:
    assert edit_distance(a, b) == recursive_distance(a, b)


def test_the_definition_check_can_fail() -> None:
    assert edit_distance("KTS", "KNS") == 1 != recursive_distance("KTS", "KNS", substitution=2)


@given(short, short, short)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_edit_distance_by_hand() -> None:
    assert edit_distance(SCHOOL, SCHOOL) == 0
    assert edit_distance((), SCHOOL) == edit_distance(SCHOOL, ()) == 4
    assert edit_distance(SCHOOL, ("S", "K", "AH", "L", "Z")) == 2
    assert edit_distance("KTSN", "TSNK") == 2


def test_per_uses_the_nearest_reference_of_each_word() -> None:
    predictions = [list("KAT"), list("DOG"), []]
    references = [[tuple("KIT"), tuple("KATS"), tuple("KAT")], [tuple("FROG")], [tuple("AB"), tuple("C")]]
    edits, lengths = edit_counts(predictions, references)
    assert edits.tolist() == [0, 2, 1]
    assert lengths.tolist() == [3, 4, 1]
    assert phoneme_error_rate(predictions, references) == 3 / 8
    # what it must not be: the first reference only, or a mean of the words' rates
    assert phoneme_error_rate(predictions, [listed[:1] for listed in references]) == 5 / 9
    assert phoneme_error_rate(predictions, references) != pytest.approx((0 / 3 + 2 / 4 + 1 / 1) / 3)


def test_of_equally_near_references_the_longest_counts_in_any_order() -> None:
    listed = [tuple("KT"), tuple("KATS"), tuple("KIT")]     # each one edit from KAT
    for order in (listed, listed[::-1], listed[1:] + listed[:1]):
        edits, lengths = edit_counts([tuple("KAT")], [order])
        assert (edits.tolist(), lengths.tolist()) == ([1], [4])


def test_per_can_exceed_one() -> None:
    assert phoneme_error_rate([tuple("KATS")], [[tuple("D")]]) == 4.0


def test_a_word_is_right_if_it_equals_any_reference() -> None:
    references = [[tuple("KAT"), tuple("KIT")], [tuple("DOG")], [tuple("A")]]
    assert word_errors([list("KIT"), list("DO"), list("A")], references) == 1
    assert word_error_rate([list("KIT"), list("DO"), list("A")], references) == 1 / 3
    assert word_error_rate([list("KIT"), list("DO"), list("A")], [r[:1] for r in references]) == 2 / 3


@given(st.lists(st.tuples(short, st.lists(short.filter(bool), min_size=1, max_size=3)), min_size=1, max_size=6))
def test_rates_agree_about_perfection(words: list[tuple[str, list[str]]]) -> None:
    predictions, references = [p for p, _ in words], [r for _, r in words]
    assert (phoneme_error_rate(predictions, references) == 0) == (word_error_rate(predictions, references) == 0)
    assert word_errors(predictions, references) == int((edit_counts(predictions, references)[0] > 0).sum())


def test_references_are_checked() -> None:
    for predictions, references, match in (
        ([SCHOOL], [], "references: expected one list for each .* got 0 for 1"),
        ([], [], "got 0 for 0"),
        ([SCHOOL], [[]], r"references\[0\]: expected at least one pronunciation"),
        ([SCHOOL, SCHOOL], [[SCHOOL], [SCHOOL, ()]], r"references\[1\]: .* none empty"),
        (["KAT"], ["KAT"], r"references\[0\]: .* got 'KAT'"),       # one reference instead of a list of them
    ):
        for rate in (phoneme_error_rate, word_error_rate):
            with pytest.raises(ValueError, match=match):
                rate(predictions, references)


def test_wilson_interval_against_its_equation() -> None:
    z = 1.959963984540054
    for k, n in ((3, 10), (0, 7), (7, 7), (1, 2), (3700, 12862)):
        low, high = wilson_interval(k, n)
        assert 0 <= low <= k / n <= high <= 1
        for end in (low, high):     # the shares p at which k/n lies exactly z standard errors of p away
            assert abs(k / n - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), abs=1e-12)
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0
    wide, narrow = wilson_interval(3, 10, level=0.99), wilson_interval(3, 10, level=0.5)
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


def test_wilson_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3):
        intervals = [wilson_interval(k, 60) for k in rng.binomial(60, share, 4000).tolist()]
        assert 0.93 < np.mean([low <= share <= high for low, high in intervals]) < 0.975


def test_bootstrap_interval() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(2, 12, 900)
    edits = rng.binomial(lengths, 0.1)
    rate = edits.sum() / lengths.sum()
    low, high = bootstrap_interval(edits, lengths)
    assert low < rate < high
    assert (low, high) == bootstrap_interval(edits.tolist(), lengths.tolist())
    assert (low, high) != bootstrap_interval(edits, lengths, seed=1)
    # the delta method's standard error of a ratio
    error = np.std(edits - rate * lengths) / (lengths.mean() * math.sqrt(len(lengths)))
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert bootstrap_interval([0, 0], [3, 4]) == (0.0, 0.0)
    inner = bootstrap_interval(edits, lengths, level=0.5)
    assert low < inner[0] < inner[1] < high


def test_interval_arguments_are_checked() -> None:
    for k, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match=f"got k={k}, n={n}"):
            wilson_interval(k, n)
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match=r"level: expected a probability"):
            wilson_interval(1, 2, level=level)
        with pytest.raises(ValueError, match=r"level: expected a probability"):
            bootstrap_interval([1], [2], level=level)
    for edits, lengths in (([], []), ([1], [0]), ([-1], [2])):
        with pytest.raises(ValueError, match="edits, lengths: expected"):
            bootstrap_interval(edits, lengths)
    with pytest.raises(ValueError, match="n_resamples"):
        bootstrap_interval([1], [2], n_resamples=0)


def test_perplexity_and_bits() -> None:
    assert perplexity(math.log(84)) == pytest.approx(84, rel=1e-14)     # guessing among 84 characters
    assert bits_per_character(math.log(8)) == pytest.approx(3, rel=1e-15)
    assert perplexity(0.0) == 1.0
    assert perplexity(1e4) == math.inf
    assert math.isnan(perplexity(math.nan))
    for function in (perplexity, bits_per_character):
        with pytest.raises(ValueError, match="nats: expected"):
            function(-0.1)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 3), (5, 0), (0, 5), (9, 2), (14, 20), (40, 700)])
def test_the_sign_test_counts_coin_throws(wins, losses):
    n, few = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    assert sign_test(wins, losses) == pytest.approx(min(1.0, 2 * tail))
    assert sign_test(wins, losses) == sign_test(losses, wins)


def test_the_sign_test_gives_few_false_alarms_and_sees_a_difference():
    rng = np.random.default_rng(0)
    fair = [sign_test(k, 60 - k) for k in rng.binomial(60, 0.5, size=500).tolist()]
    loaded = [sign_test(k, 60 - k) for k in rng.binomial(60, 0.75, size=500).tolist()]
    assert np.mean(np.array(fair) < 0.05) <= 0.05
    assert np.mean(np.array(loaded) < 0.05) > 0.9


def test_reliability_of_forecasts_that_mean_what_they_say():
    rng = np.random.default_rng(0)
    given = rng.uniform(size=20_000)
    honest = reliability(given, rng.uniform(size=20_000) < given, np.linspace(0, 1, 11))
    assert sum(part.n for part in honest) == 20_000
    assert max(abs(part.right / part.n - part.probability) for part in honest) < 0.05
    shy = reliability(given, rng.uniform(size=20_000) < np.sqrt(given), np.linspace(0, 1, 11))
    assert max(part.right / part.n - part.probability for part in shy) > 0.2


def test_bins_take_their_upper_edge_and_leave_out_empty_ones():
    parts = reliability([0.5, 0.2, 0.9], [True, False, True], [0.0, 0.5, 0.8, 1.0])
    assert parts == [(2, pytest.approx(0.35), 1), (1, 0.9, 1)]


@given(st.text("ab", min_size=3, max_size=30), st.integers(1, 3))
def test_repeated_windows_are_counted(text, n):
    windows = [text[i : i + n] for i in range(len(text) - n + 1)]
    again = sum(window in windows[:i] for i, window in enumerate(windows))
    assert share_repeated(text, n) == pytest.approx(again / len(windows))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sign_test(-1, 2), "wins, losses: expected counts, got -1, 2"),
        (lambda: reliability([0.5], [True, False], [0, 1]), "right: expected one for each of"),
        (lambda: reliability([0.5], [True], [1, 0]), "edges: expected at least two increasing numbers, got [1, 0]"),
        (lambda: share_repeated("abc", 4), "n: expected 1..3, the length of the text, got 4"),
        (lambda: share_repeated("abc", 0), "n: expected 1..3, the length of the text, got 0"),
    ],
)
def test_new_metrics_refuse(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
