"""Every task as text in, text out: one vocabulary for letters, sounds, numbers and sentinels, and the written form.

A question begins with the name of its task: `pronounce: school`, `spell: S K UW L`. The names in `TASKS` are one symbol
each, as a subword vocabulary has one for a frequent word; any other beginning is written in letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tftutor.data.spans import SENTINELS
from tftutor.data.vocabulary import EOS, LETTERS, PAD, PHONEMES, SPECIAL_SYMBOLS, Vocabulary

_LETTERS, _PHONEMES = (v.symbols[len(SPECIAL_SYMBOLS) :] for v in (LETTERS, PHONEMES))

TASKS = ("pronounce", "spell", "syllables", "stress", "rhyme", "fill")
"""The prefixes: letters to sounds, sounds to letters, how many syllables, which of them is stressed, a rhyme, gaps."""

TEXT = Vocabulary([*_LETTERS, ":", " ", *"0123456789", *SENTINELS, *_PHONEMES, *TASKS])
"""Letters, colon, space, digits, sentinels, phonemes, names of tasks: all that a question or an answer may hold."""

_PIECE = re.compile(rf"(?P<gap>(?<=[A-Z]) +(?=[A-Z]))|\A(?:{'|'.join(TASKS)})(?=:)|<\d>|[A-Z]+|.", re.DOTALL)
_MIXED_CASE = re.compile(r"[A-Z](?=[a-z'.-])|(?<=[a-z'.-])[A-Z]")
LONGEST = 96  # symbols of a question or an answer


class TextError(ValueError):
    """A text that cannot be written with `TEXT`; the message is one line."""


def to_symbols(text: str) -> list[str]:
    """A text as symbols: capitals are phonemes, `<0>` is a sentinel, anything else is one character.

    A name of `TASKS` at the beginning, before a colon, is one symbol. Spaces between phonemes only separate them and
    are no symbols.

    Raises:
        TextError: when a symbol is unknown, or the text is empty or too long.

    Example:
        >>> to_symbols("spell: K AE T"), to_symbols("c<0>t")
        (['spell', ':', ' ', 'K', 'AE', 'T'], ['c', '<0>', 't'])
    """
    if not isinstance(text, str):
        raise TypeError(f"text: expected a string, got {type(text).__name__}")
    symbols = _pieces(text)
    mixed = _MIXED_CASE.search(text)  # a capital beside a letter is no phoneme
    wrong = mixed[0] if mixed else next((symbol for symbol in symbols if symbol not in TEXT), None)
    if wrong is not None:
        hint = "; capitals are phonemes such as AH, write letters small" if wrong.isupper() else ""
        raise TextError("text: expected letters a-z ' - . with colon, space, digits, sentinels <0> to <9> and "
                        f"phonemes, got {wrong!r}{hint}")  # fmt: skip
    if not 1 <= len(symbols) <= LONGEST:
        raise TextError(f"text: expected 1 to {LONGEST} symbols, got {len(symbols)}")
    return symbols


def _pieces(text: str) -> list[str]:
    return [piece[0] for piece in _PIECE.finditer(text) if piece["gap"] is None]


def to_text(symbols: Iterable[str]) -> str:
    """Symbols as a text, the inverse of `to_symbols`: neighbouring phonemes with a space between them.

    Example:
        >>> to_text(["S", "K", "UW", "L"]), to_text(["<0>", "o", "o", "<1>"])
        ('S K UW L', '<0>oo<1>')
    """
    parts: list[str] = []
    for symbol in symbols:
        if parts and symbol in PHONEMES and parts[-1] in PHONEMES:
            parts.append(" ")
        parts.append(symbol)
    return "".join(parts)


def prompt(task: str, content: str) -> str:
    """A question as it is written: the prefix, a colon, a space, the content."""
    return f"{task}: {content}"


def text_rows(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Texts as an encoder reads them: symbols, then EOS; ids (B, S) and which of them are real (B, S)."""
    rows = [torch.tensor([*TEXT.encode(to_symbols(text)), EOS]) for text in texts]
    src = pad_sequence(rows, batch_first=True, padding_value=PAD)
    return src, src != PAD


def kind_of(answer: str) -> str:
    """What an answer looks like: "phonemes", "letters", "number", "sentinels", "nothing", or "mixed".

    Example:
        >>> kind_of("S K UW L"), kind_of("cool"), kind_of("1"), kind_of("<0>oo<1>"), kind_of("c1")
        ('phonemes', 'letters', 'number', 'sentinels', 'mixed')
    """
    symbols = _pieces(answer)
    if not symbols:
        return "nothing"
    if all(symbol in _PHONEMES for symbol in symbols):
        return "phonemes"
    if all(symbol in _LETTERS for symbol in symbols):
        return "letters"
    if answer.isdecimal():
        return "number"
    marked = symbols[0] in SENTINELS and symbols[-1] in SENTINELS
    return "sentinels" if marked and all(s in SENTINELS or s in _LETTERS for s in symbols) else "mixed"
