"""Attention for long sequences: exact with less memory, or approximate with less arithmetic.

Every function takes queries, keys and values (B, H, N, Dh) and gives (B, H, N, Dh). None of them ever makes an N x N
matrix; what each may look at instead is stated by a mask in `tftutor.masks` or by its docstring.
"""

from tftutor.efficient.bigbird import bigbird_attention, bigbird_layout
from tftutor.efficient.blocks import block_sparse_attention, layout_mask
from tftutor.efficient.linear import LinearState, linear_attention, linear_attention_step, positive_features
from tftutor.efficient.linformer import linformer_attention
from tftutor.efficient.longformer import longformer_attention, window_attention
from tftutor.efficient.lsh import lsh_attention, lsh_buckets
from tftutor.efficient.online import Partial, blockwise_attention, finish, merge, partial_attention

__all__ = [
    "LinearState",
    "Partial",
    "bigbird_attention",
    "bigbird_layout",
    "block_sparse_attention",
    "blockwise_attention",
    "finish",
    "layout_mask",
    "linear_attention",
    "linear_attention_step",
    "linformer_attention",
    "longformer_attention",
    "lsh_attention",
    "lsh_buckets",
    "merge",
    "partial_attention",
    "positive_features",
    "window_attention",
]
