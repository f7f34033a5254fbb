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
from tftutor.data.report import DataStatus, data_report
from tftutor.data.shakespeare import (
    CHARACTERS,
    TextSplits,
    decode_text,
    encode_text,
    every_window,
    load_plays,
    load_shakespeare,
    random_windows,
)
from tftutor.data.vocabulary import BOS, EOS, LETTERS, PAD, PHONEMES, Vocabulary

__all__ = [
    "BOS", "CHARACTERS", "EOS", "LETTERS", "PAD", "PHONEMES", "Batch", "DataStatus", "DictionaryError", "Entry", "Pair",
    "Spelled", "Splits", "TextSplits", "Vocabulary", "WordError", "check_word", "cmudict_left_out", "collate",
    "data_report", "decode_text", "encode_text", "every_window", "hold_out", "length_buckets", "load_cmudict",
    "load_plays", "load_shakespeare", "padding_share", "pairs_of", "random_windows", "read_dictionary", "shard",
    "spellable", "split", "split_of",
]
