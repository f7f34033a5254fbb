"""Exercise: the parameters of a whole encoder-decoder."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.exercises.exercise import Case, Exercise, Wrong, equals, named_case
from tftutor.exercises.values import read_number
from tftutor.models.encoder_decoder import EncoderDecoder


def count_parameters(
    d_model: int, d_ff: int, n_encoder: int, n_decoder: int, vocab_size: int, tied: bool
) -> int:
    """How many parameters does the encoder-decoder of 2017 hold?

    Every linear layer of a block has a bias; every sub-layer has a LayerNorm
    (gain and shift); no norm after the stacks; positions are sinusoids.
    n_encoder, n_decoder: layers of the two stacks.
    Three tables of vocab_size rows: source, target, output (without bias).
    tied: the three are one and the same.
    """
    attention = 4 * (d_model * d_model + d_model)
    feed_forward = d_model * d_ff + d_ff + d_ff * d_model + d_model
    norm = 2 * d_model
    encoder = n_encoder * (attention + feed_forward + 2 * norm)
    decoder = n_decoder * (2 * attention + feed_forward + 3 * norm)
    return encoder + decoder + (1 if tied else 3) * vocab_size * d_model


@lru_cache(maxsize=32)
def _truth(d: int, f: int, n: int, m: int, v: int, tied: bool) -> int:
    """What a model of that shape holds; on the meta device it has no values."""
    block = BlockConfig(d_model=d, n_heads=1, d_ff=f, norm_order="post")
    cfg = EncoderDecoderConfig(block=block, src_vocab_size=v, tgt_vocab_size=v, n_encoder_layers=n, n_decoder_layers=m,
                               final_norm=False, tie="all" if tied else "none")  # fmt: skip
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in EncoderDecoder(cfg).parameters())


def _cases(_generator: torch.Generator) -> list[Case]:
    names = ("d_model", "d_ff", "n_encoder", "n_decoder", "vocab_size", "tied")
    rows = ((2, 3, 1, 1, 5, True), (4, 10, 1, 2, 7, False), (4, 10, 2, 1, 7, True), (6, 24, 3, 5, 11, False),
            (8, 20, 4, 3, 13, True), (512, 2048, 6, 6, 37_000, True))  # fmt: skip
    return [named_case(**dict(zip(names, row, strict=True))) for row in rows]


def _formula(
    d: int, f: int, n: int, m: int, v: int, tied: bool, *, projections: int = 4, attn_bias: int = 1,
    ffn_bias: tuple[int, int] = (1, 1), ffn_matrices: int = 2, norm: int = 2, enc_norms: int = 2, dec_norms: int = 3,
    enc_attn: float = 1, dec_attn: float = 2, wo_bias: int = 1, tables: tuple[int, int] = (1, 3), more: int = 0,
) -> float:  # fmt: skip
    """The count with its parts to be got wrong; `more` counts further vectors of width D."""
    attention = projections * (d * d + attn_bias * d) - (1 - wo_bias) * d
    ffn = ffn_matrices * d * f + ffn_bias[0] * f + ffn_bias[1] * d
    encoder = n * (enc_attn * attention + ffn + enc_norms * norm * d)
    decoder = m * (dec_attn * attention + ffn + dec_norms * norm * d)
    return encoder + decoder + tables[0 if tied else 1] * v * d + more * d


def _wrong(name: str, hint: str, **changes: Any) -> Wrong:
    return Wrong(name=name, answer=lambda *args: _formula(*args, **changes), hint=hint)


COUNT_PARAMETERS = Exercise(
    id="feed-forward/count-parameters",
    title="Count the parameters",
    answer="count_parameters",
    solution=count_parameters,
    cases=_cases,
    read=read_number,
    properties=(
        equals(
            "the count is that of a model built to this shape",
            _truth,
            hint="one part at a time: list the matrices and vectors of an attention layer, a feed-forward layer, a "
            "norm; then how many of each there are in the two kinds of block; then the tables",
        ),
    ),
    wrong=(
        _wrong("no biases", "all matrices are there; each linear layer of a block also adds a vector",
               attn_bias=0, ffn_bias=(0, 0)),
        _wrong("no biases in attention", "the feed-forward layers have their biases; the projections of attention are "
               "linear layers too", attn_bias=0),
        _wrong("no biases in the feed-forward layer", "attention has its biases; the feed-forward layer has two",
               ffn_bias=(0, 0)),
        _wrong("both biases of width F", "the second linear layer of the feed-forward layer ends in D features: how "
               "long is its bias?", ffn_bias=(2, 0)),
        _wrong("both biases of width D", "the first linear layer of the feed-forward layer ends in F features: how "
               "long is its bias?", ffn_bias=(0, 2)),
        _wrong("no norms", "the norms hold parameters as well: a gain and a shift for each feature", norm=0),
        _wrong("neither norms nor biases", "the matrices are complete; the vectors are missing: biases and norms",
               norm=0, attn_bias=0, ffn_bias=(0, 0)),
        _wrong("norms without shift", "each norm has two vectors, not one", norm=1),
        _wrong("two norms in the decoder block", "every sub-layer has a norm: how many sub-layers has a decoder block?",
               dec_norms=2),
        _wrong("one norm in each block", "a norm stands at each sub-layer, not one in each block",
               enc_norms=1, dec_norms=1),
        _wrong("norms after the stacks", "you count a norm at the end of each stack; this model has none", more=4),
        _wrong("no cross-attention", "a decoder block holds a second attention layer, and a norm with it",
               dec_attn=1, dec_norms=2),
        _wrong("no cross-attention, but its norm", "the third norm of the decoder block is there; the layer it belongs "
               "to is not", dec_attn=1),
        _wrong("cross-attention everywhere", "an encoder block has nothing to look at but its own input: one attention "
               "layer, two norms", enc_attn=2, enc_norms=3),
        _wrong("no W_O", "queries, keys, values: which matrix takes the heads back to the stream?", projections=3),
        _wrong("tied tables counted three times", "tied tables are one tensor: counted once, however often it is used",
               tables=(3, 3)),
        _wrong("tied tables counted twice", "tied are all three of them: source, target and output", tables=(2, 3)),
        _wrong("output table forgotten", "untied, the projection to the vocabulary is a table of its own",
               tables=(1, 2)),
        _wrong("one table always", "untied, source, target and output have a table each", tables=(1, 1)),
        _wrong("no tables", "the blocks are complete; the embeddings and the output projection are missing",
               tables=(0, 0)),
        _wrong("one matrix in the feed-forward layer", "up to F features, and back: that takes two matrices",
               ffn_matrices=1),
        _wrong("bias of W_O forgotten", "three of the four projections of attention have their bias", wo_bias=0),
        _wrong("two tables always", "when the tables are tied, there is one; else three: source, target, output",
               tables=(2, 2)),
        _wrong("tied tables not counted", "tied tables are one tensor, and that one holds parameters like any other",
               tables=(0, 3)),
        _wrong("two projections in cross-attention", "cross-attention makes keys and values of the encoder's output, "
               "with matrices of its own: it has all four projections", dec_attn=1.5),
        _wrong("no query projection in cross-attention", "cross-attention projects its queries as well: it has all "
               "four projections", dec_attn=1.75),
        _wrong("three matrices in the feed-forward layer", "a gated layer has three matrices; that of 2017 is plain",
               ffn_matrices=3),
        _wrong("one norm behind the stacks", "you count a norm that is not in a block; this model has none", more=2),
        _wrong("bare matrices, no cross-attention", "the vectors are missing (biases, norms), and in the decoder a "
               "whole attention layer", norm=0, attn_bias=0, ffn_bias=(0, 0), dec_attn=1),
        Wrong(
            name="tied turned",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, n, m, v, not tied),
            hint="the blocks are right; one table if tied, three if not, and you have it the other way round",
        ),
        Wrong(
            name="encoder only",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, n, 0, v, tied),
            hint="the encoder and the tables are complete; the decoder's blocks are missing",
        ),
        Wrong(
            name="decoder only",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, 0, m, v, tied),
            hint="the decoder and the tables are complete; the encoder's blocks are missing",
        ),
        Wrong(
            name="one block each",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, 1, 1, v, tied),
            hint="one block of each kind is counted right; how many of each are there?",
        ),
        Wrong(
            name="norms of one number",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, n, m, v, tied, norm=0) + 4 * n + 6 * m,
            hint="a gain and a shift for each *feature*, not one of each for the whole norm",
        ),
        Wrong(
            name="norms once",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, n, m, v, tied, norm=0, more=2),
            hint="one norm for the whole model? Each sub-layer of each block has its own",
        ),
        Wrong(
            name="F = 4 D assumed",
            answer=lambda d, f, n, m, v, tied: _formula(d, 4 * d, n, m, v, tied),
            hint="four times the width is a habit, not a law: the width of the feed-forward layer is an argument",
        ),
        Wrong(
            name="twelve D squared in each block",
            answer=lambda d, f, n, m, v, tied: 12 * d * d * (n + m) + (1 if tied else 3) * v * d,
            hint="the rule of thumb knows neither vectors nor cross-attention, and takes F to be 4 D: count the parts",
        ),
        Wrong(
            name="stacks exchanged",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, m, n, v, tied),
            hint="which of the two kinds of block has cross-attention?",
        ),
        Wrong(
            name="bias of the output",
            answer=lambda d, f, n, m, v, tied: _formula(d, f, n, m, v, tied) + v,
            hint="one vector too many: the output projection of this model has no bias",
        ),
    ),
    notice="For (512, 2048, 6, 6, 37000, True) it gives 63.1 million; the paper says 65 million and not how it counts.",
)  # fmt: skip
