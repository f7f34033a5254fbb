"""Words with gaps: ids, the corruption's shares, tables of neighbours."""

from __future__ import annotations

import pytest
import torch

from tftutor.data import BOS, EOS, LETTERS, PAD, Entry
from tftutor.data.cloze import CLOZE, MASK, corrupt, corrupt_words, syllables, word_rows
from tftutor.data.ngrams import GapCounts

WORDS = ["cat", "o'neill", "a", "schools"] * 700


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_letters_keep_their_ids_and_the_gap_is_last():
    assert CLOZE.encode("school") == LETTERS.encode("school")
    assert CLOZE.encode("?") == [MASK] == [len(CLOZE) - 1]


def test_rows_begin_end_and_are_padded():
    rows = word_rows(["ab", "a?cd"])
    assert rows.tokens[0].tolist() == [BOS, *LETTERS.encode("ab"), EOS, PAD, PAD]
    assert rows.letters.sum(dim=1).tolist() == [2, 4]
    assert rows.valid.sum(dim=1).tolist() == [4, 6]


def shares(**settings):
    """Of letters: chosen. Of the chosen: masked, changed, kept. Of the others: changed."""
    words = word_rows(WORDS)
    inputs, chosen = corrupt_words(words, generator=seeded(), **settings)
    masked, same = inputs[chosen] == MASK, inputs[chosen] == words.tokens[chosen]
    others = float((inputs != words.tokens)[~chosen].double().mean())
    rate = float(chosen.sum() / words.letters.sum())
    return rate, float(masked.double().mean()), float((~masked & ~same).double().mean()), others


def test_fifteen_per_cent_are_chosen_and_share_three_fates():
    rate, masked, changed, others = shares()
    assert rate == pytest.approx(0.15, abs=0.012)
    assert masked == pytest.approx(0.8, abs=0.03)
    assert changed == pytest.approx(0.1 * 28 / 29, abs=0.025)
    assert others == 0


def test_the_shares_can_be_changed():
    assert shares(shares=(1.0, 0.0, 0.0))[1:3] == (1.0, 0.0)
    assert shares(rate=0.5)[0] == pytest.approx(0.5, abs=0.02)


def test_marks_and_padding_are_never_chosen():
    words = word_rows(WORDS)
    inputs, chosen = corrupt_words(words, rate=1.0)
    assert torch.equal(chosen, words.letters)
    assert torch.equal(inputs[~words.letters], words.tokens[~words.letters])
    assert int(inputs[words.letters].min()) >= 3


def test_the_draw_depends_on_the_generator_alone():
    words = word_rows(WORDS[:40])
    first, again, other = (corrupt_words(words, generator=seeded(s)).inputs for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"rate": 1.5}, "rate"), ({"shares": (0.8, 0.1, 0.2)}, "shares"), ({"ordinary": torch.ones(2, 3) > 0}, "shape")],
)
def test_impossible_settings_are_refused(change, message):
    given = {"tokens": torch.zeros(1, 3).long(), "ordinary": torch.ones(1, 3) > 0} | change
    with pytest.raises(ValueError, match=message):
        corrupt(given.pop("tokens"), given.pop("ordinary"), mask_id=9, replacements=range(3, 9), **given)


def test_syllables_are_vowels():
    assert syllables(Entry("banana", (("B", "AH", "N", "AE", "N", "AH"), ("B", "N")))) == 3


def test_a_table_backs_off_to_fewer_neighbours():
    table = GapCounts(["cat", "hat", "cot", "cap"], left=2, right=1)
    assert table.guess("c?t") == "a"
    assert table.guess("zz?t") == "a"  # neighbours never seen: the right one alone
    assert table.guess("zz?zz") == "a"
    assert GapCounts(["ab", "cb"], left=1, right=0).accuracy(["ab", "cb"]) == 0.75


def test_the_right_side_counts_only_where_it_is_asked_for():
    words = ["ax", "by", "ax", "by", "by"]
    assert GapCounts(words, left=0, right=0).guess("?x") == "b"
    assert GapCounts(words, left=0, right=1).guess("?x") == "a"


def test_a_guess_needs_one_gap():
    with pytest.raises(ValueError, match="word"):
        GapCounts(["ab"], left=1, right=1).guess("ab")
    with pytest.raises(ValueError, match="left"):
        GapCounts(["ab"], left=-1, right=1)


def test_nothing_to_count_or_to_hide_is_refused():
    with pytest.raises(ValueError, match="words: expected at least one letter to count"):
        GapCounts([], left=1, right=1)
    with pytest.raises(ValueError, match="words: expected at least one letter to hide"):
        GapCounts(["ab"], left=1, right=1).accuracy([])
    for nothing in ([], "cat"):  # a word alone would be read as three words of one letter
        with pytest.raises(ValueError, match="words: expected a list"):
            word_rows(nothing)
