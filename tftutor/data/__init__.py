"""Data of the course: vocabularies, dictionaries, batches, text and synthetic tasks. Knows no model."""

from __future__ import annotations

from tftutor.data.batching import Batch, Pair, collate, length_buckets, padding_share, pairs_of, shard
from tftutor.data.cmudict import Splits, cmudict_left_out, hold_out, load_cmudict, split, split_of
from tftutor.data.dictionary import (
    DictionaryError,
    Entry,
    Spelled,
    WordError,
    check_word,
    read_dictionary,
    spellable,
)
from tftutor.data.vocabulary import BOS, EOS, LETTERS, PAD, PHONEMES, Vocabulary

__all__ = [
    "BOS", "EOS", "LETTERS", "PAD", "PHONEMES", "Batch", "DictionaryError", "Entry", "Pair", "Spelled", "Splits",
    "Vocabulary", "WordError", "check_word", "cmudict_left_out", "collate", "hold_out", "length_buckets",
    "load_cmudict", "padding_share", "pairs_of", "read_dictionary", "shard", "spellable", "split", "split_of",
]
