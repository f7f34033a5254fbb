"""WordPiece cuts text as BERT's published tokenizer does."""

from __future__ import annotations

import random

import pytest
import torch

from tftutor.data.wordpiece import WordPiece, load_wordpiece
from tftutor.packages import minilm_file

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


@pytest.fixture(scope="module")
def wordpiece() -> WordPiece:
    return load_wordpiece()


def test_longest_piece_first() -> None:
    pieces = WordPiece([*SPECIAL, "a", "ab", "##c", "##cd", "##d", "."])
    assert pieces.split("abcd. ABc acx") == ["ab", "##cd", ".", "ab", "##c", "[UNK]"]
    assert pieces.split("") == []
    assert pieces.split("a" * 101) == ["[UNK]"]
    assert pieces.encode("a.") == [2, 4, 9, 3]
    assert pieces.decode([2, 4, 9, 3, 0]) == ["[CLS]", "a", ".", "[SEP]", "[PAD]"]
    with pytest.raises(ValueError, match=r"expected \[SEP\] among them"):
        WordPiece([*SPECIAL[:3], "a"])


def test_batches_are_padded_behind(wordpiece: WordPiece) -> None:
    tokens, valid = wordpiece.batch(["Apple", "two apples", ""])
    assert tokens.tolist() == [[101, 6207, 102, 0], [101, 2048, 18108, 102], [101, 102, 0, 0]]
    assert torch.equal(valid, tokens != 0)
    assert tokens.dtype == torch.int64
    assert [x.shape for x in wordpiece.batch([])] == [(0, 0), (0, 0)]


def test_text_is_cleaned(wordpiece: WordPiece) -> None:
    assert len(wordpiece) == 30_522
    assert wordpiece.split("Naïve CAFÉ, 東京! don't\x00\u200b\u00a0x") == [
        "naive", "cafe", ",", "東", "京", "!", "don", "'", "t", "x",
    ]  # fmt: skip


def test_same_ids_as_the_published_tokenizer(wordpiece: WordPiece) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(minilm_file("tokenizer.json")))
    theirs.no_padding()
    theirs.no_truncation()
    rng = random.Random(0)
    alphabet = [*"aeiounstr", *"AEÉñüß", *" \t\n", *".,;:!?'\"-()[]$^`|", *"東京大学"]
    alphabet += ["\u0301", "\u200b", "🙂", "İ", "\x07"]
    texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 60))) for _ in range(2000)]
    for text in [*texts, "He said: “internationalization” isn’t antidisestablishmentarianism…"]:
        assert wordpiece.encode(text) == theirs.encode(text).ids, repr(text)
