"""Symbols to ids and back."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tftutor.data.vocabulary import BOS, EOS, LETTERS, PAD, PHONEMES, Vocabulary

ordinary = st.text(min_size=1, max_size=4).filter(lambda symbol: not symbol.startswith("<"))
symbol_lists = st.lists(ordinary, unique=True, max_size=9)


def test_special_symbols_come_first_everywhere() -> None:
    for vocabulary in (LETTERS, PHONEMES, Vocabulary(["x"])):
        assert vocabulary.symbols[:3] == ("<pad>", "<bos>", "<eos>")
        assert (PAD, BOS, EOS) == (0, 1, 2)


def test_letters_and_phonemes() -> None:
    assert "".join(LETTERS.symbols[3:]) == "abcdefghijklmnopqrstuvwxyz'-."
    assert (len(LETTERS), len(PHONEMES)) == (32, 42)
    assert LETTERS.encode("b-") == [4, 30]
    assert PHONEMES.symbols[3:7] == ("AA", "AE", "AH", "AO")
    assert list(PHONEMES.symbols[3:]) == sorted(PHONEMES.symbols[3:])


@given(symbol_lists, st.data())
def test_decoding_inverts_encoding(symbols: list[str], data: st.DataObject) -> None:
    vocabulary = Vocabulary(symbols)
    text = data.draw(st.lists(st.sampled_from(symbols))) if symbols else []
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert all(i >= 3 for i in ids)
    assert [vocabulary.symbols[i] for i in ids] == text


def test_decoding_drops_special_symbols_wherever_they_are() -> None:
    ids = [BOS, *LETTERS.encode("of"), EOS, PAD, PAD]
    assert LETTERS.decode(ids) == ["o", "f"]
    assert LETTERS.decode(torch.tensor(ids)) == ["o", "f"]
    assert LETTERS.decode([]) == []


def test_messages_name_the_culprit() -> None:
    with pytest.raises(ValueError, match=r"symbols: expected one of the 29 symbols .* got '7'"):
        LETTERS.encode("b7")
    with pytest.raises(ValueError, match="got '<eos>'"):      # a special symbol is no text
        LETTERS.encode(["a", "<eos>"])
    for bad in (-1, 32):
        with pytest.raises(ValueError, match=rf"ids: expected 0\.\.31, got {bad}"):
            LETTERS.decode([5, bad])
    for symbols in (["a", "b", "a"], ["<pad>"]):
        with pytest.raises(ValueError, match="expected all different"):
            Vocabulary(symbols)
    with pytest.raises(ValueError, match="at least one character, got ''"):
        Vocabulary(["a", ""])


def test_json_round_trip_keeps_equality() -> None:
    for vocabulary in (LETTERS, PHONEMES, Vocabulary([])):
        again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
        assert again == vocabulary
        assert hash(again) == hash(vocabulary)
        assert again.symbols == vocabulary.symbols
    assert Vocabulary(["a", "b"]) != Vocabulary(["b", "a"])
    assert "a" in LETTERS
    assert "<pad>" not in LETTERS
    for foreign in ({}, {"symbols": "abc"}, ["a"], {"symbols": ["a"], "more": 1}):
        with pytest.raises(ValueError, match="data: expected"):
            Vocabulary.from_dict(foreign)


def test_a_vocabulary_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        LETTERS.symbols = ()
    with pytest.raises(AttributeError):
        LETTERS.anything = 1
