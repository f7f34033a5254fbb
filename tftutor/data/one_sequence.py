"""A word and its pronunciation as one sequence, for models that only continue: letters, a separator, phonemes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tftutor.data.batching import Pair
from tftutor.data.vocabulary import BOS, EOS, LETTERS, PAD, PHONEMES, SPECIAL_SYMBOLS, Vocabulary

SEPARATOR_SYMBOL = ">"
SPOKEN = Vocabulary([*LETTERS.symbols[len(SPECIAL_SYMBOLS) :], SEPARATOR_SYMBOL,
                     *PHONEMES.symbols[len(SPECIAL_SYMBOLS) :]])  # fmt: skip
"""One vocabulary for both languages: the letters under the ids they have in `LETTERS`, the separator, the phonemes."""
SEPARATOR = len(LETTERS)
"""The id of the separator."""
PHONEME_SHIFT = SEPARATOR + 1 - len(SPECIAL_SYMBOLS)
"""A phoneme's id here is its id in `PHONEMES` plus this."""


class Prompt(NamedTuple):
    """What stands before the separator; padding is at the right end of a row."""

    tokens: Tensor  # BOS, letters, (B, T) int64
    valid: Tensor  # (B, T) bool, True = a real token

    @property
    def lengths(self) -> Tensor:
        """How many real tokens each row has, (B,): the prefix of a prefix language model."""
        return self.valid.sum(dim=1)


def prompts(words: Sequence[str]) -> Prompt:
    """Words as a model reads them that is to pronounce them: BOS s c h o o l; the separator is left to come."""
    tokens = pad_sequence([torch.tensor([BOS, *LETTERS.encode(word)]) for word in words], batch_first=True)
    return Prompt(tokens, tokens != PAD)


class OneSequence(NamedTuple):
    """Whole sequences for teacher forcing; padding is at the right end of a row.

    ::

        inputs   <bos> s c h o o l >  S K UW L
        answers      s c h o o l > S  K UW L <eos>
        target                     x  x  x x   x
    """

    inputs: Tensor  # (B, T) int64
    answers: Tensor  # (B, T) int64, the token after each of `inputs`
    valid: Tensor  # (B, T) bool, True = a real token
    target: Tensor  # (B, T) bool, True = the answer is a phoneme or the end
    prefix: Tensor  # (B,) int64, tokens before the separator: BOS and the letters

    def to(self, device: torch.device | str) -> OneSequence:
        """The same batch on another device."""
        return OneSequence(*(part.to(device) for part in self))


def one_sequence(pairs: Sequence[Pair]) -> OneSequence:
    """Pairs of `LETTERS` and `PHONEMES` as rows BOS, letters, separator, phonemes, EOS, cut into inputs and answers."""
    if not pairs:
        raise ValueError("pairs: expected at least one, got none")
    rows = [torch.tensor([BOS, *src, SEPARATOR, *(i + PHONEME_SHIFT for i in tgt), EOS]) for src, tgt in pairs]
    tokens = pad_sequence(rows, batch_first=True, padding_value=PAD)
    prefix = torch.tensor([len(src) + 1 for src, _ in pairs])
    valid = tokens[:, 1:] != PAD  # the place before a real token is real
    target = valid & (torch.arange(valid.shape[1]) >= prefix[:, None])
    return OneSequence(tokens[:, :-1], tokens[:, 1:], valid, target, prefix)
