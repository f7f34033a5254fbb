"""The user's dictionary files, and which words can be spelled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tftutor.data import (
    LETTERS,
    PHONEMES,
    DictionaryError,
    Entry,
    WordError,
    check_word,
    cmudict_left_out,
    hold_out,
    load_cmudict,
    read_dictionary,
    spellable,
    split,
    split_of,
)
from tftutor.data.dictionary import parse_dictionary
from tftutor.data.vocabulary import VOWEL_SYMBOLS

SAMPLE = """\
;;; a comment
# another
School  S K UW1 L
school(2)\ts k uw l
route R UW1 T # road

ROUTE(2) R AW1 T
don't D OW1 N T
x-ray EH1 K S R EY2
dr. D AA1 K T ER0
route(3) R UW0 T
"""


def read(tmp_path: Path, content: str | bytes) -> list[Entry]:
    path = tmp_path / "words.dict"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_dictionary(path)


def refusal(function: Callable, *args: object) -> str | None:
    """The one line with which a call is refused, or None if it is not."""
    try:
        function(*args)
    except (DictionaryError, WordError) as error:
        message = str(error)
    else:
        return None
    assert len(message.splitlines()) == 1
    return message


def refused(tmp_path: Path, content: str | bytes, match: str) -> None:
    with pytest.raises(DictionaryError, match=match) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_the_format(tmp_path: Path) -> None:
    expected = [
        Entry("school", (("S", "K", "UW", "L"),)),
        Entry("route", (("R", "UW", "T"), ("R", "AW", "T"))),
        Entry("don't", (("D", "OW", "N", "T"),)),
        Entry("x-ray", (("EH", "K", "S", "R", "EY"),)),
        Entry("dr.", (("D", "AA", "K", "T", "ER"),)),
    ]
    assert read(tmp_path, SAMPLE) == expected
    assert read(tmp_path, SAMPLE.replace("\n", "\r\n")) == expected
    assert read(tmp_path, SAMPLE.replace("\n", "\r")) == expected
    assert read(tmp_path, b"\xef\xbb\xbf" + SAMPLE.encode()) == expected
    assert read_dictionary(str(tmp_path / "words.dict")) == expected


words = st.text("abcxyz'-.\u00e9\u65e5(", min_size=1, max_size=7).filter(lambda w: not w.startswith(("#", ";")))
pronunciations = st.lists(st.sampled_from(PHONEMES.symbols[3:]), min_size=1, max_size=6).map(tuple)


@given(st.dictionaries(words, st.lists(pronunciations, min_size=1, max_size=3, unique=True), min_size=1, max_size=5),
       st.randoms(use_true_random=False))
def test_what_is_written_is_read(content: dict[str, list[tuple[str, ...]]], random) -> None:
    lines = []
    for word, listed in content.items():
        for i, phonemes in enumerate(listed):
            name = word if i == 0 else f"{word}({i + 1})"
            stressed = [p + random.choice(["", "0", "1", "2"]) if p in VOWEL_SYMBOLS else p for p in phonemes]
            line = random.choice([name, name.upper()]) + random.choice(["\t", "  ", " "]) + " ".join(stressed)
            lines.append(random.choice(["", " "]) + line + random.choice(["", " ", " # a note", "\r"]))
            lines += random.choice([[], [""], [";;; K AH"], ["# K AH"]])
    expected = [Entry(word, tuple(listed)) for word, listed in content.items()]
    assert parse_dictionary("\n".join(lines), "test") == expected
    shorter = [Entry(word, tuple(listed)[:-1]) for word, listed in content.items()]
    assert parse_dictionary("\n".join(lines), "test") != shorter


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    message = refusal(parse_dictionary, text, "test")
    if message is not None:
        assert message.startswith("test")
    else:
        pronunciations = [p for e in parse_dictionary(text, "test") for p in e.pronunciations]
        assert pronunciations
        assert all(p and set(p) <= set(PHONEMES.symbols[3:]) for p in pronunciations)


@given(st.binary(max_size=40))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert refusal(read, folder, content) is not None or read(folder, content)


def test_malformed_lines_are_refused_with_file_and_line(tmp_path: Path) -> None:
    refused(tmp_path, "of AH V\nschool\n", r"words\.dict, line 2: expected a word and 1 to 64 phonemes, got 0")
    refused(tmp_path, "of AH V\n\n;;; c\nschool S K OO L\n", r"line 4: expected one of the 39 phonemes.* got 'OO'")
    refused(tmp_path, "school S1 K UW L", r"line 1: .* got 'S1'")           # only vowels carry stress
    refused(tmp_path, "school S K UW3 L", "got 'UW3'")
    refused(tmp_path, "new york N UW Y AO R K", "got 'york'")
    refused(tmp_path, "school " + "K " * 65, "expected a word and 1 to 64 phonemes, got 65")
    refused(tmp_path, "school\t# S K UW L", "got 0 phonemes")
    refused(tmp_path, "x \x1b[31mred", r"got '\\x1b\[31mred'")
    refused(tmp_path, "school " + "Q" * 5000, r"got 'Q{37}\.\.\.'")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for empty in ("", "\n\n", ";;; only\n# comments"):
        refused(tmp_path, empty, r"words\.dict: expected at least one line such as 'school S K UW L', got none")
    refused(tmp_path, b"of AH V\nd\xe9j\xe0 D EY ZH AA\n", "line 2: expected UTF-8 text, got byte 0xe9")
    refused(tmp_path, b"\xef\xbb\xbfof AH V\r\nok\xff", "line 2: expected UTF-8 text, got byte 0xff")
    refused(tmp_path, "of AH V".encode("utf-16"), "line 1: expected UTF-8 text, got byte 0xff")
    for path, match in ((tmp_path, "got a directory"), (tmp_path / "none", "got a path where no file is"),
                        (tmp_path / "none" / "none", "no file"), ("a\0b", "null"), ("n" * 300, "too long")):
        with pytest.raises(DictionaryError, match=match) as caught:
            read_dictionary(path)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_forbidden_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("of AH V")
    path.chmod(0)
    with pytest.raises(DictionaryError, match="Permission denied"):
        read_dictionary(path)


def test_words_that_cannot_be_spelled_stay_in_the_file_and_are_counted(tmp_path: Path) -> None:
    listed = ["of", "na\u00efve", "4x4", "b4", "\u65e5\u672c", "''", "a" * 65]
    entries = read(tmp_path, "\n".join(f"{word} K AH" for word in listed))
    assert [e.word for e in entries] == listed
    result = spellable(entries)
    assert [e.word for e in result.entries] == ["of"]
    assert result.left_out == {"accent or look-alike letter": ["na\u00efve"], "digit": ["4x4", "b4"],
                        "other script": ["\u65e5\u672c"], "no letter": ["''"], "more than 64 letters": ["a" * 65]}


@pytest.mark.parametrize(("word", "match"), [
    ("", "got nothing"),
    (" \t", "got nothing"),
    ("b2b", "got '2'; write numbers out"),
    ("na\u00efve", "got '\u00ef'; write 'i' in its place"),
    ("nai\u0308ve", "got '\u00ef'; write 'i' in its place"),
    ("Stra\u00dfe", "write 'ss'"),
    ("don\u2019t", "write \"'\" in its place"),
    ("x\u2013ray", "write '-' in its place"),
    ("\u65e5\u672c", "got '\u65e5'; spell the word in Latin letters"),
    ("\U0001f600", "got '\U0001f600'; leave it out"),
    ("a\u0301\u0301", "got '\u00e1'; write 'a'"),
    ("new york", "got ' '; give one word at a time"),
    ("a\nb", r"got '\\n'; give one word"),
    ("a\x00b", r"got '\\x00'; leave it out"),
    ("a\udc80", r"got '\\udc80'; leave it out"),
    ("...", "expected at least one letter a-z, got '...'"),
    ("a" * 65, "expected at most 64 letters, got 65"),
    ("<eos>", "got '<'; leave it out"),
])
def test_words_that_cannot_be_pronounced(word: str, match: str) -> None:
    with pytest.raises(WordError, match=match) as caught:
        check_word(word)
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, ValueError)


def test_words_that_can_be_pronounced() -> None:
    assert check_word("  School\n") == "school"
    assert check_word("O'Neill-Smith.") == "o'neill-smith."
    assert check_word("a" * 64) == "a" * 64
    with pytest.raises(TypeError, match="word: expected a string, got int"):
        check_word(7)


@given(st.text(max_size=70))
def test_a_checked_word_can_be_encoded_and_a_refused_one_says_why(word: str) -> None:
    if refusal(check_word, word) is None:
        normal = check_word(word)
        assert 1 <= len(LETTERS.encode(normal)) <= 64
        assert check_word(normal) == normal


def test_cmudict_is_the_expected_one() -> None:
    entries = load_cmudict()
    by_word = {entry.word: entry.pronunciations for entry in entries}
    assert len(entries) == len(by_word) == 126_052
    assert sum(len(p) for p in by_word.values()) == 134_860
    assert sum(len(p) > 1 for p in by_word.values()) == 8_175
    assert cmudict_left_out() == {}
    assert by_word["school"] == (("S", "K", "UW", "L"),)
    assert by_word["route"] == (("R", "UW", "T"), ("R", "AW", "T"))
    assert by_word["'tis"] == (("T", "IH", "Z"),)
    assert max(map(len, by_word)) == 28
    assert {s for listed in by_word.values() for p in listed for s in p} == set(PHONEMES.symbols[3:])
    entries.clear()
    assert len(load_cmudict()) == 126_052


def expected_part(word: str) -> str:
    n = int(hashlib.sha256(word.encode()).hexdigest()[:16], 16) % 10
    return "train" if n < 8 else "dev" if n == 8 else "test"


def test_the_split_depends_on_the_word_alone() -> None:
    assert {w: split_of(w) for w in ("school", "School", "'tis", "na\u00efve")} == {
        w: expected_part(w.lower()) for w in ("school", "School", "'tis", "na\u00efve")}
    entries = load_cmudict()
    assert all(split_of(e.word) == split_of(e.word.upper()) for e in entries[:200])
    parts = split(entries)
    assert (len(parts.train), len(parts.dev), len(parts.test)) == (100_505, 12_685, 12_862)
    for name in ("train", "dev", "test"):
        assert {expected_part(e.word) for e in getattr(parts, name)} == {name}
    order = {entry.word: i for i, entry in enumerate(entries)}
    places = [order[entry.word] for entry in parts.dev]
    assert places == sorted(places)
    assert split(reversed(entries)).test[::-1] == parts.test


def test_hold_out_takes_about_the_share_by_word() -> None:
    entries = load_cmudict()[:20_000]
    rest, held_out = hold_out(entries, percent=5)
    assert 0.04 < len(held_out) / len(entries) < 0.06
    assert sorted([*rest, *held_out], key=lambda e: e.word) == sorted(entries, key=lambda e: e.word)
    places = {entry.word: i for i, entry in enumerate(entries)}
    for part in (rest, held_out):
        assert [places[e.word] for e in part] == sorted(places[e.word] for e in part)
    assert hold_out(entries[:900])[1] == [e for e in entries[:900] if e in held_out]     # the word alone decides
    for part in (split(load_cmudict()).train, split(load_cmudict()).dev):       # independent of the fixed split
        assert 0.04 < len(hold_out(part, percent=5)[1]) / len(part) < 0.06


def test_hold_out_of_few_words_leaves_some_on_both_sides() -> None:
    entries = load_cmudict()
    for n in range(2, 9):
        for start in range(0, 400, n):
            rest, held_out = hold_out(entries[start:start + n])
            assert rest
            assert held_out
            assert len(rest) + len(held_out) == n
    assert hold_out(entries[:1], percent=99) == (entries[:1], [])
    assert hold_out([]) == ([], [])


def test_hold_out_share_is_checked() -> None:
    entries = load_cmudict()[:3]
    with pytest.raises(ValueError, match=r"percent: expected 1\.\.99, got 100"):
        hold_out(entries, percent=100)
