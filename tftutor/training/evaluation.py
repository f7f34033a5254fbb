"""How well a model spells out pronunciations: batched transcription, error rates with intervals, the list of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tftutor.data import BOS, EOS, LETTERS, PHONEMES, Entry, Pair, collate
from tftutor.data.dictionary import spelling_problem
from tftutor.decoding import beam_search, greedy, inference
from tftutor.metrics import bootstrap_interval, edit_counts, wilson_interval


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
    device = next(model.parameters()).device
    predictions: list[tuple[str, ...] | None] = [None] * len(words)
    todo = [i for i, word in enumerate(words) if spelling_problem(word) is None]
    todo.sort(key=lambda i: (len(words[i]), words[i]))
    size = max(1, batch_size // beam)
    for start in range(0, len(todo), size):
        part = todo[start : start + size]
        batch = collate([Pair(tuple(LETTERS.encode(words[i])), ()) for i in part]).to(device)
        prompt = torch.full((len(part), 1), BOS, dtype=torch.int64, device=device)
        limit = model.cfg.max_len - 1
        with inference(model):
            state = model.start(batch.src, None if bool(batch.src_valid.all()) else batch.src_valid)
            if beam == 1:
                tokens = greedy(model, prompt, state, max_new_tokens=limit, eos_id=EOS).tokens
            else:
                tokens = beam_search(model, prompt, state, n_beams=beam, max_new_tokens=limit, eos_id=EOS).tokens[:, 0]
        for i, row in zip(part, tokens.tolist(), strict=True):
            predictions[i] = tuple(PHONEMES.decode(row[: row.index(EOS)] if EOS in row else row))
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
