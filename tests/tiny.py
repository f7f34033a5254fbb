"""Models small enough to test in milliseconds, with weights large enough for errors to show."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.config import BertConfig, BlockConfig, EncoderDecoderConfig, GPTConfig, HybridConfig
from tftutor.models import GPT, Bert, EncoderDecoder, Hybrid

PAD, BOS, EOS = 0, 1, 2
V, V_SRC = 11, 13
GPT_SCHEMES = ("none", "sinusoidal", "learned", "t5", "alibi", "rope", "rope_pairs")
BLOCK_FIELDS = {field.name for field in dataclasses.fields(BlockConfig)}


def shake(model: nn.Module, *, std: float = 0.3, seed: int = 0) -> nn.Module:
    """Give every parameter, biases and norms too, random values that matter; float64, evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            is_norm_weight = parameter.ndim == 1 and bool((parameter == 1).all())
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * std
            parameter.copy_(noise + 1 if is_norm_weight else noise)
    return model


def block(changes: dict[str, Any]) -> BlockConfig:
    """A block of width 24 with 4 heads; takes its own fields out of `changes`."""
    fields = dict(d_model=24, n_heads=4, d_ff=20)
    fields |= {name: changes.pop(name) for name in BLOCK_FIELDS if name in changes}
    return BlockConfig(**fields)


def gpt(**changes: Any) -> GPT:
    """A GPT of two layers; fields of the block and of the model may be mixed."""
    fields = dict(block=block(changes), vocab_size=V, n_layers=2, max_len=40, n_buckets=8, max_distance=10)
    return shake(GPT(GPTConfig(**(fields | changes))))


def hybrid(mixers: tuple[str, ...], **changes: Any) -> Hybrid:
    """A model of the given layers, without biases in its projections."""
    fields = dict(block=block({"bias": False, "norm": "rms", "activation": "swiglu"} | changes), vocab_size=V,
                  mixers=mixers, max_len=40, positions="rope", d_state=3)  # fmt: skip
    changes = {name: value for name, value in changes.items() if name not in BLOCK_FIELDS}
    return shake(Hybrid(HybridConfig(**(fields | changes))))


def bert(**changes: Any) -> Bert:
    """A Bert of two layers."""
    changes.setdefault("norm_order", "post")
    fields = dict(block=block(changes), vocab_size=V, n_layers=2, max_len=40, n_buckets=8, max_distance=10)
    return shake(Bert(BertConfig(**(fields | changes))))


def encoder_decoder(**changes: Any) -> EncoderDecoder:
    """An encoder of two layers and a decoder of three."""
    fields = dict(
        block=block(changes),
        src_vocab_size=V_SRC,
        tgt_vocab_size=V,
        n_encoder_layers=2,
        n_decoder_layers=3,
        max_len=40,
        n_buckets=8,
        max_distance=10,
    )
    return shake(EncoderDecoder(EncoderDecoderConfig(**(fields | changes))))


def t5(**changes: Any) -> EncoderDecoder:
    """T5 in small: relative bias, RMSNorm, no biases, scores unscaled, heads wider than D / H, one table for all."""
    fields = dict(
        d_head=10, scale=1.0, bias=False, norm="rms", norm_eps=1e-6, positions="t5", embed_scale=False,
        src_vocab_size=V, tie="all", output_scale=24**-0.5,
    )  # fmt: skip
    return encoder_decoder(**(fields | changes))


def ids(*shape: int, vocab_size: int = V, seed: int = 0, low: int = 3) -> Tensor:
    """Random ids (B, T), none of them special."""
    return torch.randint(low, vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Random float64 numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def right_padded(lengths: list[int], width: int) -> Tensor:
    """`valid` (B, width): row b begins with lengths[b] real tokens."""
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def left_padded(lengths: list[int], width: int) -> Tensor:
    """`valid` (B, width): row b ends with lengths[b] real tokens."""
    return right_padded(lengths, width).flip(1)
