"""Architectures as frozen, validated dataclasses; presets are functions that return one.

A config says what the network is, never how it is trained. Vary one with `dataclasses.replace`, or
with `cfg.with_block(n_kv_heads=1)` for what concerns a single block.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from tftutor.checks import expect_choice, expect_positive, expect_probability

Norm = Literal["layer", "rms"]
NormOrder = Literal["pre", "post"]
Activation = Literal["relu", "gelu", "gelu_tanh", "swiglu", "geglu"]
Positions = Literal["none", "sinusoidal", "learned", "t5", "alibi", "rope", "rope_pairs"]
Tie = Literal["none", "target", "all"]
Cell = Literal["lstm", "gru"]


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """One block: attention, feed-forward layer, and how norm and residual are wired."""

    d_model: int
    n_heads: int
    d_ff: int
    n_kv_heads: int | None = None  # None: one per query head (MHA); 1: MQA; between: GQA
    d_head: int | None = None  # None: d_model / n_heads
    scale: float | None = None  # factor on the scores; None: 1 / sqrt(d_head)
    bias: bool = True  # of every linear layer
    norm: Norm = "layer"
    norm_order: NormOrder = "pre"
    norm_eps: float = 1e-5
    parallel: bool = False  # attention and feed-forward layer read the same input, and both are added to it
    activation: Activation = "relu"
    dropout: float = 0.0  # probability, on embeddings and on each sub-layer's output (Vaswani et al. 2017, section 5.4)
    attn_dropout: float = 0.0  # probability, on attention weights (GPT-2, BERT, T5; the 2017 paper has none)

    def __post_init__(self) -> None:
        expect_positive(d_model=self.d_model, n_heads=self.n_heads, d_ff=self.d_ff, norm_eps=self.norm_eps)
        expect_probability(dropout=self.dropout, attn_dropout=self.attn_dropout)
        expect_choice("norm", self.norm, get_args(Norm))
        expect_choice("norm_order", self.norm_order, get_args(NormOrder))
        expect_choice("activation", self.activation, get_args(Activation))
        if self.parallel and self.norm_order != "pre":
            raise ValueError("parallel: expected norm_order='pre', got 'post'; two sums cannot both be normalised last")
        if self.d_head is not None:
            expect_positive(d_head=self.d_head)
        if self.scale is not None:
            expect_positive(scale=self.scale)
        if self.d_head is None and self.d_model % self.n_heads:
            raise ValueError(f"d_model={self.d_model} is not divisible by n_heads={self.n_heads}")
        expect_positive(n_kv_heads=self.kv_heads)
        if self.n_heads % self.kv_heads:
            raise ValueError(f"n_heads={self.n_heads} is not divisible by n_kv_heads={self.n_kv_heads}")

    @property
    def head_width(self) -> int:
        """Dh: width of one head."""
        return self.d_model // self.n_heads if self.d_head is None else self.d_head

    @property
    def kv_heads(self) -> int:
        """G: number of key/value heads."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads


@dataclass(frozen=True, kw_only=True)
class _StackConfig:
    """What every architecture has: blocks, positions, a largest length."""

    block: BlockConfig
    max_len: int = 512  # positions
    positions: Positions = "sinusoidal"
    rope_base: float = 10_000.0
    n_buckets: int = 32  # T5 bias: distances share this many learned values per head
    max_distance: int = 128  # T5 bias: all farther tokens share the last bucket

    def __post_init__(self) -> None:
        expect_positive(max_len=self.max_len, rope_base=self.rope_base)
        expect_choice("positions", self.positions, get_args(Positions))
        if self.positions.startswith("rope") and self.block.head_width % 2:
            raise ValueError(f"d_head={self.block.head_width}: expected an even width, RoPE rotates pairs of features")
        if self.positions == "sinusoidal" and self.block.d_model % 2:
            raise ValueError(f"d_model={self.block.d_model}: expected an even width, sinusoids come in pairs")
        if self.positions == "t5":
            if self.n_buckets < 4 or self.n_buckets % 4:
                raise ValueError(f"n_buckets={self.n_buckets}: expected a positive multiple of 4")
            if self.max_distance <= self.n_buckets // 2:
                raise ValueError(f"max_distance={self.max_distance}: expected more than n_buckets / 2")

    def with_block(self, **changes: Any) -> Self:
        """The same architecture with some fields of its block changed."""
        return dataclasses.replace(self, block=dataclasses.replace(self.block, **changes))


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(_StackConfig):
    """An encoder-decoder Transformer: Vaswani et al. 2017, or T5 as another setting of the same parts."""

    src_vocab_size: int
    tgt_vocab_size: int
    n_encoder_layers: int
    n_decoder_layers: int
    embed_scale: bool = True  # multiply embeddings by sqrt(d_model)
    final_norm: bool = True  # a norm after each stack; the 2017 paper has none
    tie: Tie = "none"  # "target": output projection = target embedding; "all": one table for all three
    output_scale: float = 1.0  # factor on the states before the output projection; T5: d_model ** -0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block.parallel:
            raise ValueError("parallel: expected False, cross-attention stands between attention and feed-forward")
        expect_positive(
            src_vocab_size=self.src_vocab_size,
            tgt_vocab_size=self.tgt_vocab_size,
            n_encoder_layers=self.n_encoder_layers,
            n_decoder_layers=self.n_decoder_layers,
        )
        expect_choice("tie", self.tie, get_args(Tie))
        if self.tie == "all" and self.src_vocab_size != self.tgt_vocab_size:
            raise ValueError(
                f"tie='all': expected one vocabulary, got src_vocab_size={self.src_vocab_size} "
                f"and tgt_vocab_size={self.tgt_vocab_size}"
            )


@dataclass(frozen=True, kw_only=True)
class GPTConfig(_StackConfig):
    """A decoder-only language model: GPT-2 by default, LLaMA with other settings (`llama_shape`)."""

    vocab_size: int
    n_layers: int
    final_norm: bool = True
    tie: bool = True  # output projection = embedding

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive(vocab_size=self.vocab_size, n_layers=self.n_layers)


@dataclass(frozen=True, kw_only=True)
class BertConfig(_StackConfig):
    """An encoder with a masked-language-model head, as in Devlin et al. 2019."""

    vocab_size: int
    n_layers: int
    n_segments: int = 2  # sentence A or B; 0: no segment embedding
    norm_embed: bool = True  # a norm after the embeddings

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive(vocab_size=self.vocab_size, n_layers=self.n_layers)


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """A recurrent encoder-decoder: bidirectional encoder, decoder with or without attention to all its states."""

    src_vocab_size: int
    tgt_vocab_size: int
    attention: bool  # False: all the decoder gets is one vector, the encoder's last states
    cell: Cell = "lstm"
    n_layers: int = 1  # of the encoder, and of the decoder
    d_embed: int = 128
    d_encoder: int = 128  # per direction; its states are twice as wide
    d_decoder: int = 256
    d_attn: int = 128  # width in which the additive score compares
    dropout: float = 0.0  # probability, on embeddings, encoder states, between layers, before the output

    def __post_init__(self) -> None:
        names = ("src_vocab_size", "tgt_vocab_size", "n_layers", "d_embed", "d_encoder", "d_decoder", "d_attn")
        expect_positive(**{name: getattr(self, name) for name in names})
        expect_choice("cell", self.cell, get_args(Cell))
        expect_probability(dropout=self.dropout)

    @property
    def max_len(self) -> int:
        """No limit: a recurrent network has no table of positions that could end."""
        return sys.maxsize


def vaswani_base(src_vocab_size: int, tgt_vocab_size: int, **changes: Any) -> EncoderDecoderConfig:
    """The base model of Vaswani et al. 2017, section 3 and table 3: post-norm, ReLU, sinusoids, no final norm."""
    block = BlockConfig(d_model=512, n_heads=8, d_ff=2048, norm_order="post", activation="relu", dropout=0.1)
    cfg = EncoderDecoderConfig(
        block=block,
        src_vocab_size=src_vocab_size,
        tgt_vocab_size=tgt_vocab_size,
        n_encoder_layers=6,
        n_decoder_layers=6,
        final_norm=False,
        tie="target",
    )
    return dataclasses.replace(cfg, **changes)


def t5_small(vocab_size: int = 32_128, **changes: Any) -> EncoderDecoderConfig:
    """T5 small (Raffel et al. 2020, section 2.1): pre-norm RMSNorm, no biases, relative bias, scores unscaled."""
    block = BlockConfig(
        d_model=512,
        n_heads=8,
        d_head=64,
        d_ff=2048,
        scale=1.0,
        bias=False,
        norm="rms",
        norm_eps=1e-6,
        activation="relu",
        dropout=0.1,
        attn_dropout=0.1,
    )
    cfg = EncoderDecoderConfig(
        block=block,
        src_vocab_size=vocab_size,
        tgt_vocab_size=vocab_size,
        n_encoder_layers=6,
        n_decoder_layers=6,
        positions="t5",
        embed_scale=False,
        tie="all",
        output_scale=512**-0.5,
    )
    return dataclasses.replace(cfg, **changes)


def gpt2_small(vocab_size: int = 50_257, **changes: Any) -> GPTConfig:
    """GPT-2 small (Radford et al. 2019, table 2): pre-norm LayerNorm, tanh GELU, learned positions."""
    block = BlockConfig(d_model=768, n_heads=12, d_ff=3072, activation="gelu_tanh", dropout=0.1, attn_dropout=0.1)
    cfg = GPTConfig(block=block, vocab_size=vocab_size, n_layers=12, max_len=1024, positions="learned")
    return dataclasses.replace(cfg, **changes)


def llama_shape(vocab_size: int = 128_256, **changes: Any) -> GPTConfig:
    """LLaMA 3 8B (Grattafiori et al. 2024, table 3): RMSNorm, SwiGLU, RoPE with base 500,000, 8 key/value heads."""
    block = BlockConfig(
        d_model=4096,
        n_heads=32,
        n_kv_heads=8,
        d_ff=14_336,
        bias=False,
        norm="rms",
        norm_eps=1e-5,
        activation="swiglu",
    )
    cfg = GPTConfig(
        block=block,
        vocab_size=vocab_size,
        n_layers=32,
        max_len=8192,
        positions="rope",
        rope_base=500_000.0,
        tie=False,
    )
    return dataclasses.replace(cfg, **changes)


def bert_base(vocab_size: int = 30_522, **changes: Any) -> BertConfig:
    """BERT base (Devlin et al. 2019, section 3): post-norm, exact GELU, learned positions."""
    block = BlockConfig(
        d_model=768,
        n_heads=12,
        d_ff=3072,
        norm_order="post",
        norm_eps=1e-12,
        activation="gelu",
        dropout=0.1,
        attn_dropout=0.1,
    )
    cfg = BertConfig(block=block, vocab_size=vocab_size, n_layers=12, positions="learned")
    return dataclasses.replace(cfg, **changes)


_CONFIGS = {cls.__name__: cls for cls in (EncoderDecoderConfig, GPTConfig, BertConfig, RecurrentConfig)}
_Config = EncoderDecoderConfig | GPTConfig | BertConfig | RecurrentConfig


def config_to_dict(cfg: _Config) -> dict[str, Any]:
    """A JSON-ready description of `cfg`, with the name of its class under "class"."""
    return {"class": type(cfg).__name__, **dataclasses.asdict(cfg)}


def config_from_dict(data: dict[str, Any]) -> _Config:
    """The config that `config_to_dict` described; unknown classes and fields raise ValueError."""
    fields = dict(data)
    name = fields.pop("class", None)
    if name not in _CONFIGS:
        raise ValueError(f"config: expected class {' or '.join(_CONFIGS)}, got {name!r}")
    try:
        if issubclass(_CONFIGS[name], _StackConfig):
            fields["block"] = BlockConfig(**fields["block"])
        return _CONFIGS[name](**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"config: expected the fields of {name}, got {error}") from None
