"""Exercises: what a cache weighs, and blocks for sequences of unequal lengths."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, named_case
from tftutor.exercises.values import number_text, read_number


def cache_bytes(
    n_layers: int, n_heads: int, n_kv_heads: int, d_head: int, length: int, batch_size: int, bytes_per_number: int
) -> int:
    """Bytes of the KV cache of a decoder.

    n_heads: query heads of each layer.
    n_kv_heads: key and value heads of each layer.
    length: tokens of each sequence.
    batch_size: sequences.
    """
    return 2 * n_layers * n_kv_heads * d_head * length * batch_size * bytes_per_number


def _bytes_cases(_generator: torch.Generator) -> list[Case]:
    names = ("n_layers", "n_heads", "n_kv_heads", "d_head", "length", "batch_size", "bytes_per_number")
    sizes = ((1, 1, 1, 1, 1, 1, 1), (3, 6, 2, 5, 7, 4, 2), (2, 8, 8, 3, 11, 5, 4), (32, 32, 8, 128, 4096, 1, 2),
             (5, 12, 1, 7, 3, 2, 4))  # fmt: skip
    return [named_case(**dict(zip(names, row, strict=True))) for row in sizes]


def _doubles(trial: Trial) -> Mismatch | None:
    """Twice the tokens or sequences, twice the bytes."""
    for at, name in ((0, "layers"), (4, "tokens"), (5, "sequences"), (6, "bytes for a number")):
        args = list(trial.args)
        args[at] *= 2
        ratio = trial.call(*args) / trial.output if trial.output else 0.0
        if abs(ratio - 2) > 1e-6:
            return Mismatch(f"2 times the bytes for 2 times the {name}", f"{number_text(ratio)} times")
    return None


def _factors(**powers: int) -> Callable[..., float]:
    """The product of the arguments, each to a power of 1 unless it is named; `constant` is the factor in front."""
    names = ("n_layers", "n_heads", "n_kv_heads", "d_head", "length", "batch_size", "bytes_per_number")
    chosen = {name: 1 for name in names} | {"n_heads": 0} | powers
    constant = chosen.pop("constant", 2)

    def product(
        n_layers: int, n_heads: int, n_kv_heads: int, d_head: int, length: int, batch_size: int, bytes_per_number: int
    ) -> float:
        values = (n_layers, n_heads, n_kv_heads, d_head, length, batch_size, bytes_per_number)
        result = float(constant)
        for name, value in zip(names, values, strict=True):
            result *= value ** chosen[name]
        return result

    return product


CACHE_BYTES = Exercise(
    id="kv-cache/bytes",
    title="The weight of a cache",
    answer="cache_bytes",
    solution=cache_bytes,
    cases=_bytes_cases,
    read=read_number,
    properties=(
        equals("the number of bytes is that of the buffers", cache_bytes,
               hint="write down the shape of one layer's buffer, and how many such buffers there are"),
        Property(sentence="layers, tokens, sequences and bytes for a number each count once", test=_doubles,
                 hint="which of the sizes does your formula leave out, or count twice?"),
    ),
    wrong=(
        Wrong(name="factor 2 forgotten", answer=_factors(constant=1),
              hint="half of it: two things are kept of every token"),
        Wrong(name="layers forgotten", answer=_factors(n_layers=0),
              hint="that is one layer: does another layer's attention find its keys there?"),
        Wrong(name="query heads", answer=_factors(n_heads=1, n_kv_heads=0),
              hint="right unless heads share: queries are used once and thrown away, so whose heads are kept?"),
        Wrong(name="both kinds of heads", answer=_factors(n_heads=1),
              hint="query heads do not multiply the heads that are kept: they share them"),
        Wrong(name="batch forgotten", answer=_factors(batch_size=0),
              hint="every sequence has a past of its own"),
        Wrong(name="width forgotten", answer=_factors(d_head=0),
              hint="a key is a vector: how many numbers has it?"),
        Wrong(name="numbers instead of bytes", answer=_factors(bytes_per_number=0),
              hint="that counts numbers: how much room does each of them take?"),
        Wrong(name="bits", answer=_factors(constant=16),
              hint="eight times too much: are these bits?"),
        Wrong(name="square of the length", answer=_factors(length=2),
              hint="scores form a table of tokens by tokens, but they are not kept: what is kept of each token?"),
        Wrong(name="heads forgotten", answer=_factors(n_kv_heads=0),
              hint="that is one head of each layer: how many of them are kept?"),
        Wrong(name="length forgotten", answer=_factors(length=0),
              hint="that is the last token only: the cache holds every token so far"),
        Wrong(name="one token", answer=_factors(length=0, batch_size=0),
              hint="that is what one token of one sequence adds: how many tokens are there in all?"),
        Wrong(name="two bytes always", answer=_factors(constant=4, bytes_per_number=0),
              hint="right for numbers of two bytes: the last argument says how many it is"),
        Wrong(name="heads that share", answer=lambda layers, heads, kept, width, length, batch, size:
              2 * layers * (heads // kept) * width * length * batch * size,
              hint="n_heads / n_kv_heads is how many queries share one head: is that the number of heads kept?"),
        Wrong(name="queries of all heads as well", answer=lambda layers, heads, kept, width, length, batch, size:
              (heads + 2 * kept) * layers * width * length * batch * size,
              hint="keys and values are counted rightly, and queries too: who asks an old query again?"),
        Wrong(name="one of each kind", answer=lambda layers, heads, kept, width, length, batch, size:
              (heads + kept) * layers * width * length * batch * size,
              hint="keys and values have the same number of heads, and it is not that of the queries"),
        Wrong(name="scores as well", answer=lambda layers, heads, kept, width, length, batch, size:
              (2 * kept * width + heads * length) * layers * length * batch * size,
              hint="something with the square of the length is added: tables of weights are used once and not kept"),
        Wrong(name="summed over the steps", answer=lambda layers, heads, kept, width, length, batch, size:
              layers * kept * width * length * (length + 1) * batch * size,
              hint="you add up the caches of all steps: each step extends the same one"),
        Wrong(name="one token less", answer=lambda layers, heads, kept, width, length, batch, size:
              2 * layers * kept * width * (length - 1) * batch * size,
              hint="all tokens of the sequence are in the cache: which one do you leave out?"),
        Wrong(name="width divided among the heads", answer=_factors(n_heads=-1),
              hint="d_head is already the width of one head: it is not divided by their number"),
        Wrong(name="in KiB", answer=_factors(constant=2 / 2**10), hint="a factor of 1,024 too small: asked are bytes"),
        Wrong(name="in MiB", answer=_factors(constant=2 / 2**20),
              hint="these are MiB, and asked are bytes: the caller can divide"),
        Wrong(name="in GiB", answer=_factors(constant=2 / 2**30),
              hint="these are GiB, and asked are bytes: small caches would all come out as next to nothing"),
        Wrong(name="queries as well", answer=_factors(constant=3),
              hint="three things are computed for every token, and one of them is never looked at again"),
    ),
    notice="Everything about queries is missing from the formula: that is why heads can share keys and values to save "
    "memory.",
)  # fmt: skip


def blocks_needed(lengths: list[int], block_size: int) -> int:
    """How many blocks of memory do sequences of these lengths need together?

    lengths: tokens of each sequence, a list of positive integers.
    block_size: tokens that fit into a block; a block belongs to one sequence.
    """
    return sum(-(-length // block_size) for length in lengths)


def _block_cases(_generator: torch.Generator) -> list[Case]:
    cases = (([1], 4), ([4], 4), ([5], 4), ([3, 5], 4), ([8, 1, 6, 16], 8), ([2, 2, 2], 6), ([31, 7, 14, 21, 1], 7))
    return [named_case(lengths=lengths, block_size=size) for lengths, size in cases]


def _own_blocks(trial: Trial) -> Mismatch | None:
    lengths, size = trial.args
    apart = sum(trial.call([length], size) for length in lengths)
    return None if apart == trial.output else Mismatch(f"{number_text(apart)}, as for the sequences one by one",
                                                     number_text(trial.output))  # fmt: skip


BLOCKS_NEEDED = Exercise(
    id="kv-cache/blocks",
    title="Blocks for a batch",
    answer="blocks_needed",
    solution=blocks_needed,
    cases=_block_cases,
    read=read_number,
    properties=(
        equals("the number of blocks is the smallest that will do", blocks_needed,
               hint="draw the blocks of each sequence on paper: how many, and how full is the last?"),
        Property(sentence="sequences do not share blocks", test=_own_blocks,
                 hint="count for each sequence by itself, then add up"),
    ),
    wrong=(
        Wrong(name="rounded down", answer=lambda lengths, size: sum(n // size for n in lengths),
              hint="the last tokens of a sequence need room too, even if they do not fill a block"),
        Wrong(name="always one more", answer=lambda lengths, size: sum(n // size + 1 for n in lengths),
              hint="a sequence that fills its last block exactly needs no further one: try 4 tokens in blocks of 4"),
        Wrong(name="added up first", answer=lambda lengths, size: -(-sum(lengths) // size),
              hint="here sequences share a block, so none could be freed when one of them leaves"),
        Wrong(name="all as long as the longest", answer=lambda lengths, size: len(lengths) * -(-max(lengths) // size),
              hint="that reserves for each what the longest needs: the waste that blocks are there to avoid"),
        Wrong(name="only the longest", answer=lambda lengths, size: -(-max(lengths) // size),
              hint="that is one sequence: the others need memory as well"),
        Wrong(name="rounded to nearest", answer=lambda lengths, size: sum(int(n / size + 0.5) for n in lengths),
              hint="a block that is less than half full is still a block"),
        Wrong(name="fractions", answer=lambda lengths, size: sum(n / size for n in lengths),
              hint="a part of a block cannot be handed out"),
        Wrong(name="only full blocks of all", answer=lambda lengths, size: sum(lengths) // size,
              hint="two mistakes at once: here sequences share blocks, and what does not fill a block is left out"),
        Wrong(name="at least one", answer=lambda lengths, size: sum(max(1, n // size) for n in lengths),
              hint="short sequences are right now; what of the rest of a long one?"),
        Wrong(name="one short", answer=lambda lengths, size: sum((n - 1) // size for n in lengths),
              hint="that is the number of the block in which the last token lies, counted from 0"),
        Wrong(name="rest in tokens", answer=lambda lengths, size: sum(n // size + n % size for n in lengths),
              hint="the tokens behind the last full block need one block together, not one each"),
        Wrong(name="only begun blocks", answer=lambda lengths, size: sum(n % size > 0 for n in lengths),
              hint="that counts the blocks that are partly empty: the full ones are needed too"),
        Wrong(name="one each", answer=lambda lengths, size: len(lengths),
              hint="one block for each: long sequences need several"),
        Wrong(name="all as long as the mean", answer=lambda lengths, size:
              len(lengths) * -(-sum(lengths) // (len(lengths) * size)),
              hint="rounding up the mean is not the mean of what is rounded up: take the sequences one by one"),
        Wrong(name="free places", answer=lambda lengths, size: sum(-n % size for n in lengths),
              hint="that is how many places stay empty: how many blocks are there?"),
        Wrong(name="tokens", answer=lambda lengths, size: sum(-(-n // size) * size for n in lengths),
              hint="that is how many tokens would fit into them: how many blocks is it?"),
    ),
    notice="The waste is less than one block for each sequence, however long it grows: with 16 tokens to a block, at "
    "most 15.",
)  # fmt: skip
