"""Symbols to integers and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

PAD, BOS, EOS = 0, 1, 2
SPECIAL_SYMBOLS = ("<pad>", "<bos>", "<eos>")


class Vocabulary:
    """An immutable list of symbols, each with its id.

    Ids 0, 1, 2 are padding, beginning and end in every vocabulary; the given symbols follow in their order.

    Args:
        symbols: the ordinary symbols, all different, without the three special ones.

    Example:
        >>> v = Vocabulary(["a", "b"])
        >>> v.encode(["b", "a"]), v.decode([1, 4, 3, 2, 0]), len(v)
        ([4, 3], ['b', 'a'], 5)
    """

    __slots__ = ("_ids", "_symbols")

    def __init__(self, symbols: Sequence[str]) -> None:
        """Number the symbols; ValueError when one is empty, special or there twice."""
        self._symbols = (*SPECIAL_SYMBOLS, *symbols)
        for symbol in symbols:
            if not isinstance(symbol, str) or not symbol:
                raise ValueError(f"symbols: expected strings of at least one character, got {symbol!r}")
        self._ids = {symbol: i for i, symbol in enumerate(self._symbols) if i >= len(SPECIAL_SYMBOLS)}
        if len(self._ids) != len(symbols) or not self._ids.keys().isdisjoint(SPECIAL_SYMBOLS):
            raise ValueError(f"symbols: expected all different and none of {SPECIAL_SYMBOLS}, got {list(symbols)}")

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, the special ones first; the id of a symbol is its place here."""
        return self._symbols

    def __len__(self) -> int:
        """The number of symbols V, the special ones included."""
        return len(self._symbols)

    def __contains__(self, symbol: object) -> bool:
        """Whether `symbol` is one of the ordinary symbols."""
        return symbol in self._ids

    def __eq__(self, other: object) -> bool:
        """Whether both have the same symbols with the same ids."""
        return isinstance(other, Vocabulary) and self._symbols == other._symbols

    def __hash__(self) -> int:
        """Equal vocabularies have equal hashes."""
        return hash(self._symbols)

    def __repr__(self) -> str:
        """The first symbols and the size."""
        first = ", ".join(repr(s) for s in self._symbols[len(SPECIAL_SYMBOLS):][:4])
        return f"Vocabulary([{first}, ...], {len(self)} symbols with the special ones)"

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """The ids of `symbols`; a special symbol is refused, use PAD, BOS, EOS.

        Raises:
            ValueError: when a symbol is not in the vocabulary.
        """
        ids = self._ids
        try:
            return [ids[symbol] for symbol in symbols]
        except KeyError as unknown:
            raise ValueError(
                f"symbols: expected one of the {len(ids)} symbols of the vocabulary, got {unknown.args[0]!r}") from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The symbols of `ids`, special ones dropped.

        Raises:
            ValueError: when an id is not in the vocabulary.
        """
        values = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        for i in values:
            if not 0 <= i < len(self):
                raise ValueError(f"ids: expected 0..{len(self) - 1}, got {i}")
        return [self._symbols[i] for i in values if i >= len(SPECIAL_SYMBOLS)]

    def to_dict(self) -> dict[str, list[str]]:
        """The vocabulary as plain data for JSON."""
        return {"symbols": list(self._symbols[len(SPECIAL_SYMBOLS):])}

    @classmethod
    def from_dict(cls, data: dict[str, list[str]]) -> Vocabulary:
        """The vocabulary that `to_dict` described."""
        if not isinstance(data, dict) or set(data) != {"symbols"} or not isinstance(data["symbols"], list):
            raise ValueError(f"data: expected {{'symbols': [...]}}, got {data!r:.60}")
        return cls(data["symbols"])


VOWEL_SYMBOLS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANT_SYMBOLS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y",
    "Z", "ZH")

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz'-.")
"""What a word is spelled with: a-z, apostrophe, hyphen, full stop."""

PHONEMES = Vocabulary(sorted(VOWEL_SYMBOLS + CONSONANT_SYMBOLS))
"""The 39 phonemes of the CMU Pronouncing Dictionary (ARPAbet), without stress."""
