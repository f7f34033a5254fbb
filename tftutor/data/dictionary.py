"""Pronouncing dictionaries: the text format, the user's own files, and which words can be spelled.

One entry a line: the word, white space, its phonemes. `;;;` at the start of a line, and `#` at the start or after white
space, begin a comment. `WORD(2)` is another pronunciation of `WORD`. A vowel may carry a stress digit 0, 1 or 2, which
is dropped; pronunciations that differ only in stress become one. Letter case does not matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from tftutor.data.vocabulary import LETTERS, PHONEMES, SPECIAL_SYMBOLS, VOWEL_SYMBOLS

MAX_LETTERS = 64
MAX_PHONEMES = 64

_VARIANT = re.compile(r"(.+)\(\d+\)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)
_PLAIN = {symbol: symbol for symbol in PHONEMES.symbols[len(SPECIAL_SYMBOLS):]}
_PLAIN |= {vowel + stress: vowel for vowel in VOWEL_SYMBOLS for stress in "012"}
# what to write in place of quotes, dashes and letters that Unicode does not decompose
_LOOKALIKES = {
    **dict.fromkeys("\u2018\u2019\u02bc`\u00b4", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212_", "-"),
    "\u00df": "ss", "\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u00f0": "d",
    "\u00fe": "th", "\u0131": "i",
}
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz")
_SPELLED = frozenset(LETTERS.symbols[len(SPECIAL_SYMBOLS):])


class DictionaryError(ValueError):
    """A dictionary file cannot be read; the message is one line with file, line number, expectation and fact."""


class WordError(ValueError):
    """A word cannot be spelled with `LETTERS`; the message is one line and says how to write it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A word, lower-cased, with its pronunciations in the order of the dictionary, all different."""

    word: str
    pronunciations: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Spelled:
    """Entries that can be spelled, and the words that cannot, by reason."""

    entries: list[Entry]
    left_out: dict[str, list[str]]


def read_dictionary(path: str | PathLike[str]) -> list[Entry]:
    """The entries of the user's dictionary file, in the order in which their words first occur.

    Words that `LETTERS` cannot spell are kept: they are part of the file, and scoring counts them as errors.

    Raises:
        DictionaryError: when the file cannot be read, is not UTF-8, holds no entry, or a line is malformed.
    """
    source = str(path) if str(path).isprintable() else repr(str(path))
    try:
        content = Path(path).read_bytes()
    except IsADirectoryError:
        raise DictionaryError(f"{source}: expected a dictionary file, got a directory") from None
    except FileNotFoundError:
        raise DictionaryError(f"{source}: expected a dictionary file, got a path where no file is") from None
    except (OSError, ValueError) as error:      # ValueError: a path with a NUL character
        reason = getattr(error, "strerror", None) or error
        raise DictionaryError(f"{source}: expected a dictionary file that can be read, got: {reason}") from None
    return parse_dictionary(decode_utf8(content, source), source)


def decode_utf8(content: bytes, source: str) -> str:
    """The text of a file's bytes, without a byte order mark.

    Raises:
        DictionaryError: when the bytes are not UTF-8; names the line.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(content[:error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
        raise DictionaryError(f"{source}, line {line}: expected UTF-8 text, got byte 0x{content[error.start]:02x}; "
                              "save the file as UTF-8") from None


def parse_dictionary(text: str, source: str) -> list[Entry]:
    """The entries of a dictionary's text; `source` names it in messages.

    Raises:
        DictionaryError: when there is no entry or a line is malformed.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        parsed = _parse_line(line, source, number)
        if parsed is not None:
            found.setdefault(parsed[0], []).append(parsed[1])
    if not found:
        raise DictionaryError(f"{source}: expected at least one line such as 'school S K UW L', got none")
    return [Entry(word, tuple(dict.fromkeys(listed))) for word, listed in found.items()]


def _parse_line(line: str, source: str, number: int) -> tuple[str, tuple[str, ...]] | None:
    """Word and phonemes of one line, or None for a line without an entry."""
    if "#" in line:
        line = _COMMENT.sub("", line)
    fields = line.split()
    if not fields or fields[0].startswith(";;;"):
        return None
    word = fields[0].lower()
    if word.endswith(")") and (variant := _VARIANT.fullmatch(word)):
        word = variant[1]
    try:
        phonemes = tuple([_PLAIN[field] for field in fields[1:]])
    except KeyError:
        phonemes = tuple(_phoneme(field, source, number) for field in fields[1:])
    if not 1 <= len(phonemes) <= MAX_PHONEMES:
        raise DictionaryError(f"{source}, line {number}: expected a word and 1 to {MAX_PHONEMES} phonemes, "
                              f"got {len(phonemes)} phonemes in {_short(line)}")
    return word, phonemes


def _phoneme(field: str, source: str, number: int) -> str:
    """The phoneme of a field in any letter case, without stress."""
    plain = _PLAIN.get(field.upper())
    if plain is None:
        raise DictionaryError(f"{source}, line {number}: expected one of the {len(PHONEMES) - len(SPECIAL_SYMBOLS)} "
                              f"phonemes, such as AH or K, got {_short(field)}")
    return plain


def _short(text: str) -> str:
    """A quoted form of about 40 characters at most, on one line."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def spelling_problem(word: str) -> tuple[str, str] | None:
    """Why `LETTERS` cannot spell a lower-cased word, or None if it can.

    Returns:
        A short reason, the same for words of the same kind, and one line of advice for this word.
    """
    if not word:
        return "empty", "expected a word, got nothing; type one, such as school"
    if len(word) > MAX_LETTERS:
        return (f"more than {MAX_LETTERS} letters",
                f"expected at most {MAX_LETTERS} letters, got {len(word)}; give one word at a time")
    wrong = next((c for c in word if c not in _SPELLED), None)
    if wrong is None:
        if not _ALPHABET.isdisjoint(word):
            return None
        return "no letter", f"expected at least one letter a-z, got {word!r}"
    allowed = f"expected the letters a-z, ' - and ., got {wrong!r}"
    if wrong.isspace():
        return "white space", f"{allowed}; give one word at a time"
    if wrong.isdecimal():
        return "digit", f"{allowed}; write numbers out, such as four"
    plain = _LOOKALIKES.get(wrong) or "".join(c for c in unicodedata.normalize("NFKD", wrong).lower() if c in _SPELLED)
    if plain:
        return ("accent or look-alike letter",
                f"{allowed}; write {plain!r} in its place")
    if wrong.isalpha():
        return "other script", f"{allowed}; spell the word in Latin letters"
    return "other character", f"{allowed}; leave it out"


def check_word(word: str) -> str:
    """The word as `LETTERS` spells it: lower-cased, without white space around it.

    Raises:
        WordError: when it cannot be spelled; says which character is wrong and how to write it.
    """
    if not isinstance(word, str):
        raise TypeError(f"word: expected a string, got {type(word).__name__}")
    normal = unicodedata.normalize("NFC", word).strip().lower()
    problem = spelling_problem(normal)
    if problem is not None:
        raise WordError(f"word {_short(word)}: {problem[1]}")
    return normal


def spellable(entries: Iterable[Entry]) -> Spelled:
    """Divide entries into those that `LETTERS` can spell and the words that it cannot, listed by reason."""
    kept: list[Entry] = []
    left_out: dict[str, list[str]] = {}
    for entry in entries:
        problem = spelling_problem(entry.word)
        if problem is None:
            kept.append(entry)
        else:
            left_out.setdefault(problem[0], []).append(entry.word)
    return Spelled(kept, left_out)
