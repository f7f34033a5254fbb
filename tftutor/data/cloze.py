"""Words with gaps: letters and a mask, words as rows of ids, and the corruption that BERT learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tftutor.data.dictionary import Entry
from tftutor.data.vocabulary import BOS, EOS, LETTERS, PAD, SPECIAL_SYMBOLS, VOWEL_SYMBOLS, Vocabulary

GAP = "?"
CLOZE = Vocabulary([*LETTERS.symbols[len(SPECIAL_SYMBOLS) :], GAP])
"""The letters under the ids they have in `LETTERS`, and last a question mark for a hidden one, as in sch??l."""
MASK = len(LETTERS)
"""The id of the hidden letter: [MASK] of Devlin et al. 2019."""


class Words(NamedTuple):
    """Rows of ids: BOS, letters, EOS, padding; both (B, T)."""

    tokens: Tensor
    valid: Tensor  # bool, True = a real token

    @property
    def letters(self) -> Tensor:
        """Bool (B, T): where a letter stands, hidden ones included."""
        return self.tokens >= len(SPECIAL_SYMBOLS)


def word_rows(words: Sequence[str]) -> Words:
    """Spellings, in which `?` is a hidden letter, as padded rows."""
    if isinstance(words, str) or not len(words):
        raise ValueError(f"words: expected a list of at least one word, got {words!r}")
    rows = [torch.tensor([BOS, *CLOZE.encode(word), EOS]) for word in words]
    tokens = pad_sequence(rows, batch_first=True, padding_value=PAD)
    return Words(tokens, tokens != PAD)


class Corrupted(NamedTuple):
    """What a masked language model reads, and what it is asked."""

    inputs: Tensor  # ids (B, T)
    chosen: Tensor  # bool (B, T): the positions whose original token has to be found


def corrupt(
    tokens: Tensor,
    ordinary: Tensor,
    *,
    mask_id: int,
    replacements: range,
    rate: float = 0.15,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    generator: torch.Generator | None = None,
) -> Corrupted:
    """Choose tokens at random, and hide most of them.

    Each ordinary token is chosen with probability `rate`, independently. A chosen one becomes the mask, a random token,
    or stays what it is, with the probabilities `shares`. The loss counts the chosen positions, all three kinds alike.

    Args:
        tokens: ids (B, T).
        ordinary: bool (B, T), True = may be chosen: no padding, no mark of beginning or end.
        mask_id: the id of the mask.
        replacements: ids from which random tokens are drawn; the original may come up again.
        rate: of chosen tokens.
        shares: of the chosen: masked, replaced, kept.
        generator: of the random numbers; None: torch's own.

    Source: Devlin et al. 2019, section 3.1, "Task #1", and appendix A.1.
    """
    if tokens.shape != ordinary.shape:
        shapes = f"{tuple(tokens.shape)}, got {tuple(ordinary.shape)}"
        raise ValueError(f"ordinary: expected the shape of tokens, {shapes}")
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: expected a share in [0, 1], got {rate}")
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares: expected three that add up to 1, got {shares}")
    at = tokens.device
    draw = torch.rand(tokens.shape, generator=generator, device=at)
    chosen = ordinary & (draw < rate)
    fate = torch.rand(tokens.shape, generator=generator, device=at)
    first, end = replacements.start, replacements.stop
    other = torch.randint(first, end, tokens.shape, generator=generator, device=at)
    inputs = tokens.masked_fill(chosen & (fate < shares[0]), mask_id)
    swapped = chosen & (fate >= shares[0]) & (fate < shares[0] + shares[1])
    return Corrupted(torch.where(swapped, other, inputs), chosen)


def corrupt_words(words: Words, *, generator: torch.Generator | None = None, **settings: object) -> Corrupted:
    """`corrupt` for spellings: letters are chosen, and letters replace them."""
    return corrupt(words.tokens, words.letters, mask_id=MASK, replacements=range(len(SPECIAL_SYMBOLS), MASK),
                   generator=generator, **settings)  # type: ignore[arg-type]  # fmt: skip


def syllables(entry: Entry) -> int:
    """How many syllables a word has: the vowels of its first pronunciation."""
    return sum(phoneme in VOWEL_SYMBOLS for phoneme in entry.pronunciations[0])
