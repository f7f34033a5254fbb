"""The fields of every architecture, checked when a config is made."""

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
Mixer = Literal["attention", "retention", "mamba"]
PromptMask = Literal["causal", "prefix"]


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
class StackConfig:
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
class EncoderDecoderConfig(StackConfig):
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
class GPTConfig(StackConfig):
    """A decoder-only language model: GPT-2 by default, LLaMA with other settings (`llama_shape`)."""

    vocab_size: int
    n_layers: int
    final_norm: bool = True
    tie: bool = True  # output projection = embedding
    prompt_mask: PromptMask = "causal"  # how it learns to read a prompt; `GPT.step` leaves the choice to its caller
    init_std: float = 0.02  # of the weights before training; GPT-2's, small for narrow models (d_model ** -0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive(vocab_size=self.vocab_size, n_layers=self.n_layers)
        expect_positive(init_std=self.init_std)
        expect_choice("prompt_mask", self.prompt_mask, get_args(PromptMask))


@dataclass(frozen=True, kw_only=True)
class BertConfig(StackConfig):
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


@dataclass(frozen=True, kw_only=True)
class HybridConfig(StackConfig):
    """A language model whose layers mix tokens in different ways: RetNet, Mamba, and what lies between.

    Each layer is a mixer and a feed-forward layer; Mamba's own layers have none (`mamba_ffn`).
    """

    vocab_size: int
    mixers: tuple[Mixer, ...]  # one per layer, from the first to the last
    d_state: int = 16  # Mamba: memory cells per feature
    expand: int = 2  # Mamba: features per feature of the stream
    kernel: int = 4  # Mamba: tokens in its convolution
    mamba_ffn: bool = False  # a feed-forward layer after Mamba mixers too, as in Jamba
    n_experts: int = 1  # feed-forward layers to choose from, in each layer that has one
    n_active: int = 1  # of them, computed for each token
    tie: bool = True  # output projection = embedding

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixers", tuple(self.mixers))  # a card stores a list
        super().__post_init__()
        expect_positive(vocab_size=self.vocab_size, n_layers=self.n_layers, d_state=self.d_state, expand=self.expand,
                        kernel=self.kernel, n_experts=self.n_experts, n_active=self.n_active)  # fmt: skip
        for mixer in self.mixers:
            expect_choice("mixers", mixer, get_args(Mixer))
        if self.n_active > self.n_experts:
            raise ValueError(f"n_active={self.n_active}: expected at most n_experts={self.n_experts}")
        if self.positions in ("learned", "sinusoidal") and set(self.mixers) != {"attention"}:
            raise ValueError(f"positions: expected a scheme inside attention (rope, alibi, t5, none), got "
                             f"{self.positions!r}; recurrent layers know the order themselves")  # fmt: skip

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.mixers)


_CONFIGS = {cls.__name__: cls for cls in (EncoderDecoderConfig, GPTConfig, BertConfig, RecurrentConfig, HybridConfig)}
_Config = EncoderDecoderConfig | GPTConfig | BertConfig | RecurrentConfig | HybridConfig


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
        if issubclass(_CONFIGS[name], StackConfig):
            fields["block"] = BlockConfig(**fields["block"])
        return _CONFIGS[name](**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"config: expected the fields of {name}, got {error}") from None
