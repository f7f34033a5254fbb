"""Architectures as frozen, validated dataclasses; presets are functions that return one.

A config says what the network is, never how it is trained. Vary one with `dataclasses.replace`, or
with `cfg.with_block(n_kv_heads=1)` for what concerns a single block.
"""

from tftutor.config.architectures import (
    Activation,
    BertConfig,
    BlockConfig,
    Cell,
    EncoderDecoderConfig,
    GPTConfig,
    HybridConfig,
    Mixer,
    Norm,
    NormOrder,
    Positions,
    RecurrentConfig,
    StackConfig,
    Tie,
    config_from_dict,
    config_to_dict,
)
from tftutor.config.presets import bert_base, gpt2_small, llama_shape, t5_small, vaswani_base

__all__ = [
    "Activation",
    "BertConfig",
    "BlockConfig",
    "Cell",
    "EncoderDecoderConfig",
    "GPTConfig",
    "HybridConfig",
    "Mixer",
    "Norm",
    "NormOrder",
    "Positions",
    "RecurrentConfig",
    "StackConfig",
    "Tie",
    "bert_base",
    "config_from_dict",
    "config_to_dict",
    "gpt2_small",
    "llama_shape",
    "t5_small",
    "vaswani_base",
]
