"""How well a model spells out pronunciations: batched transcription, error rates with intervals, the list of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from tftutor.data import Entry
from tftutor.data.dictionary import spelling_problem
from tftutor.metrics import bootstrap_interval, edit_counts, wilson_interval
from tftutor.tasks import pronounce


@dataclass(frozen=True)
class Mistake:
    """A word whose prediction is none of its references; `predicted` is None when the word cannot be spelled."""

    word: str
    predicted: tuple[str, ...] | None
    references: tuple[tuple[str, ...], ...]
    edits: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Error rates, as shares, with 95 % intervals (Wilson's for words, bootstrap over words for phonemes)."""

    wer: float
    wer_interval: tuple[float, float]
    per: float
    per_interval: tuple[float, float]
    n_words: int
    errors: list[Mistake]


def transcribe(
    model: nn.Module, words: Sequence[str], *, beam: int = 1, batch_size: int = 512
) -> list[tuple[str, ...] | None]:
    """The phonemes a model gives each word, in order; None for a word that `LETTERS` cannot spell.

    Args:
        model: an encoder-decoder from `LETTERS` to `PHONEMES`.
        words: lower-cased words.
        beam: how many candidates to keep; 1: greedy.
        batch_size: candidates computed at once.
    """
    if beam < 1 or batch_size < 1:
        raise ValueError(f"beam, batch_size: expected at least 1, got {beam}, {batch_size}")
    predictions: list[tuple[str, ...] | None] = [None] * len(words)
    todo = [i for i, word in enumerate(words) if spelling_problem(word) is None]
    found = pronounce(model, [words[i] for i in todo], n_beams=beam, batch_size=max(1, batch_size // beam))
    for i, (best,) in zip(todo, found, strict=True):
        predictions[i] = best.phonemes
    return predictions


def evaluate(model: nn.Module, entries: Sequence[Entry], *, beam: int = 1, batch_size: int = 512) -> Evaluation:
    """Score a model on every one of `entries`; a word that cannot be spelled counts as an error.

    A prediction is right when it equals any listed pronunciation; its edits are counted against the nearest one
    (`tftutor.metrics.edit_counts`), all of a reference's phonemes for a word that cannot be spelled.
    """
    predictions = transcribe(model, [entry.word for entry in entries], beam=beam, batch_size=batch_size)
    return score(entries, predictions)


def score(entries: Sequence[Entry], predictions: Sequence[tuple[str, ...] | None]) -> Evaluation:
    """The error rates of given predictions, None for a word without one."""
    references = [entry.pronunciations for entry in entries]
    edits, lengths = edit_counts([prediction or () for prediction in predictions], references)
    errors = [
        Mistake(entry.word, prediction, entry.pronunciations, int(n))
        for entry, prediction, n in zip(entries, predictions, edits, strict=True)
        if prediction not in entry.pronunciations
    ]
    return Evaluation(
        wer=len(errors) / len(entries),
        wer_interval=wilson_interval(len(errors), len(entries)),
        per=float(edits.sum() / lengths.sum()),
        per_interval=bootstrap_interval(edits, lengths),
        n_words=len(entries),
        errors=errors,
    )
