"""Six tasks about words as questions and answers in text, for training and for judging."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from tftutor.checks import expect_choice
from tftutor.data.spans import SENTINELS, corrupt_spans, random_spans, restore_spans
from tftutor.data.stress import Facts, Lexicon
from tftutor.data.text_to_text import TASKS, TextError, prompt, to_symbols, to_text

MAX_SPANS = 3  # gaps in one word


class Question(NamedTuple):
    """A question, the answer one learns from, and the word that both are about."""

    text: str
    target: str
    word: str


class Questions:
    """The questions of one task about the words of a lexicon; they are drawn, so that gaps and rhymes vary.

    Args:
        task: one of `TASKS`.
        lexicon: the words that are asked about.
        answers: where rhymes come from; None: the same words. In training nothing else may be used.
    """

    def __init__(self, task: str, lexicon: Lexicon, *, answers: Lexicon | None = None) -> None:
        expect_choice("task", task, TASKS)
        self.task = task
        self.answers = lexicon if answers is None else answers
        self.asked: list[tuple[Facts, int]] = []  # a word, and which of its pronunciations
        for each in lexicon.facts.values():
            if task in ("pronounce", "spell"):
                self.asked += [(each, i) for i in range(len(each.pronunciations))]
            elif self._fits(each):
                self.asked.append((each, 0))

    def _fits(self, about: Facts) -> bool:
        """Whether the task makes sense for a word."""
        if self.task == "stress":
            return bool(about.stress)
        if self.task == "rhyme":
            return any(set(self.answers.rhymes.get(part, ())) - {about.word} for part in about.rhymes)
        return self.task != "fill" or len(about.word) > 1

    def __len__(self) -> int:
        """How many there are."""
        return len(self.asked)

    def ask(self, index: int, rng: random.Random) -> Question:
        """Question number `index`; `rng` draws the gaps, the rhyme, or one of several numbers."""
        about, which = self.asked[index]
        if self.task == "fill":
            text, target = _fill(about.word, rng)
        elif self.task == "spell":
            text, target = " ".join(about.pronunciations[which]), about.word
        else:
            text, target = about.word, self._answer(about, which, rng)
        return Question(prompt(self.task, text), target, about.word)

    def _answer(self, about: Facts, which: int, rng: random.Random) -> str:
        if self.task == "pronounce":
            return " ".join(about.pronunciations[which])
        if self.task == "rhyme":
            choices = [self.answers.rhymes.get(part, []) for part in sorted(about.rhymes)]
            listed = rng.choice([words for words in choices if set(words) - {about.word}])
            return rng.choice([word for word in listed if word != about.word])
        return str(rng.choice(sorted(about.syllables if self.task == "syllables" else about.stress)))


def _fill(word: str, rng: random.Random) -> tuple[str, str]:
    """A word with gaps, and what belongs there: up to half of the letters are hidden, in up to `MAX_SPANS` runs."""
    n_hidden = rng.randint(1, max(1, len(word) // 2))
    n_spans = rng.randint(1, min(n_hidden, MAX_SPANS))
    gapped = corrupt_spans(word, random_spans(len(word), n_hidden, n_spans, rng))
    return to_text(gapped.inputs), to_text(gapped.targets)


def is_right(question: Question, answer: str, lexicon: Lexicon) -> bool:
    """Whether an answer is right, by all that `lexicon` lists.

    pronounce: any listed pronunciation. spell: any listed word that is said so. syllables, stress: the number of any
    pronunciation. rhyme: any other listed word that rhymes. fill: the very letters that were removed.
    """
    task, content = question.text.split(": ", 1)
    about = lexicon.facts[question.word]
    if task == "pronounce":
        return tuple(answer.split()) in about.pronunciations
    if task == "spell":
        return answer in lexicon.spellings[tuple(content.split())]
    if task in ("syllables", "stress"):
        return answer in {str(n) for n in (about.syllables if task == "syllables" else about.stress)}
    if task == "rhyme":
        return answer in lexicon.rhyming(question.word)
    return answer == question.target


def filled(text: str, answer: str) -> str | None:
    """The word that an answer makes of a text with gaps; None when the two do not fit together."""
    try:
        return to_text(restore_spans(to_symbols(text), to_symbols(answer)))
    except (TextError, ValueError):
        return None


def one_gap(word: str, place: int) -> Question:
    """A word without the letter at `place`, as a question."""
    text = word[:place] + SENTINELS[0] + word[place + 1 :]
    return Question(prompt("fill", text), f"{SENTINELS[0]}{word[place]}{SENTINELS[1]}", word)


def sampled(questions: Questions, words: Sequence[str], *, seed: int = 0) -> list[Question]:
    """One question about each of `words` for which there is one, in that order; the first pronunciation is asked."""
    first: dict[str, int] = {}
    for index, (about, _) in enumerate(questions.asked):
        first.setdefault(about.word, index)
    return [questions.ask(first[word], random.Random(f"{seed} {word}")) for word in words if word in first]
