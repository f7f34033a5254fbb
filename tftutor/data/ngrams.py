"""Letters from a table of counts: how far the nearest neighbours alone can take a guess, what a model has to beat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_EDGE = "#"  # stands before and after a word


class GapCounts:
    """Which letter stood between which neighbours in the training words, and how often.

    A guess is the most frequent letter between the same neighbours. Where these never occurred it takes fewer of them,
    the farthest left out first, down to none (a plain form of the back-off of Katz 1987, without probabilities).

    Args:
        words: to count in.
        left: neighbours before the gap, at most.
        right: neighbours behind it, at most; the edges of the word count as neighbours.

    Example:
        >>> GapCounts(["cat", "hat", "cot", "cap"], left=1, right=1).guess("c?t")
        'a'
    """

    def __init__(self, words: Iterable[str], *, left: int, right: int) -> None:
        if left < 0 or right < 0:
            raise ValueError(f"left, right: expected at least 0, got {left}, {right}")
        widest = max(left, right)
        self.sizes = list(dict.fromkeys((min(left, n), min(right, n)) for n in range(widest, -1, -1)))
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for word in words:
            for place, letter in enumerate(word):
                for context in self._contexts(word, place):
                    counts[context][letter] += 1
        if not counts:
            raise ValueError("words: expected at least one letter to count, got none")
        self._best = {context: max(sorted(seen), key=seen.__getitem__) for context, seen in counts.items()}

    def _contexts(self, word: str, place: int) -> list[tuple[str, str]]:
        """What is around a place, from the widest view to the narrowest."""
        width = max(self.sizes[0])
        padded = _EDGE * width + word + _EDGE * width
        at = place + width
        return [(padded[at - left : at], padded[at + 1 : at + 1 + right]) for left, right in self.sizes]

    def guess(self, word: str) -> str:
        """The letter for the one `?` in `word`."""
        if word.count("?") != 1:
            raise ValueError(f"word: expected one '?', got {word!r}")
        return self._guess(word, word.index("?"))

    def _guess(self, word: str, place: int) -> str:
        return next(self._best[context] for context in self._contexts(word, place) if context in self._best)

    def accuracy(self, words: Sequence[str]) -> float:
        """Share of the letters of `words` that are found when each is hidden alone."""
        found = [self._guess(word, place) == letter for word in words for place, letter in enumerate(word)]
        if not found:
            raise ValueError("words: expected at least one letter to hide, got none")
        return sum(found) / len(found)


def table_nats(text: Tensor, windows: Tensor, *, n_symbols: int, n_before: int = 1, added: float = 0.1) -> Tensor:
    """What a table of counts pays for each character, given the `n_before` characters before it.

    Args:
        text: ids (N,) to count in.
        windows: ids (B, T + 1) to predict.
        n_symbols: how many ids there are.
        n_before: 1 counts pairs (bigrams), 2 triples (trigrams).
        added: to every count, so that nothing is impossible.

    Returns:
        Nats (B, T + 1 - n_before), of the characters that have so many before them.

    Example:
        >>> table_nats(torch.tensor([0, 1] * 500), torch.tensor([[0, 1, 0]]), n_symbols=2, added=0.0)
        tensor([[0., 0.]], dtype=torch.float64)
    """
    if n_before < 1 or windows.shape[1] <= n_before:
        raise ValueError(f"n_before: expected 1 to {windows.shape[1] - 1}, fewer than a window has, got {n_before}")

    def grams(x: Tensor) -> Tensor:
        """Each run of n_before + 1 ids as one number."""
        length = x.shape[-1] - n_before
        number = x[..., :length]
        for i in range(1, n_before + 1):
            number = number * n_symbols + x[..., i : i + length]
        return number

    counts = torch.bincount(grams(text), minlength=n_symbols ** (n_before + 1)).double() + added
    probabilities = counts.view(-1, n_symbols) / counts.view(-1, n_symbols).sum(dim=1, keepdim=True)
    return -probabilities.flatten()[grams(windows)].log()
