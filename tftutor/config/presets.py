"""Published models as configs."""

from __future__ import annotations

import dataclasses
from typing import Any

from tftutor.config.architectures import BertConfig, BlockConfig, EncoderDecoderConfig, GPTConfig


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
