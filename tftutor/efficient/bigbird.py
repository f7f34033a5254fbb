"""Blocks that are near, blocks that everybody reads, and a few blocks at random.

Source: Zaheer et al. 2020, "Big Bird", section 2 and appendix D (blocks).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.attention import attend
from tftutor.checks import expect_positive
from tftutor.efficient.blocks import block_sparse_attention
from tftutor.masks import padding_mask


def bigbird_layout(n_blocks: int, *, n_random: int, generator: torch.Generator | None = None) -> Tensor:
    """For each block: the first, the last, itself with its neighbours, `n_random` others; (n_blocks, m), -1 = none.

    Example:
        >>> bigbird_layout(5, n_random=0)[2]
        tensor([ 0,  4,  1,  2,  3])
    """
    expect_positive(n_blocks=n_blocks)
    rows = []
    for i in range(n_blocks):
        row = list(dict.fromkeys([0, n_blocks - 1, *(j for j in (i - 1, i, i + 1) if 0 <= j < n_blocks)]))
        others = torch.tensor([j for j in range(n_blocks) if j not in row], dtype=torch.int64)
        row += others[torch.randperm(len(others), generator=generator)][:n_random].tolist()
        rows.append(row + [-1] * (5 + n_random - len(row)))
    return torch.tensor(rows)


def bigbird_attention(
    q: Tensor, k: Tensor, v: Tensor, layout: Tensor, *, block: int, key_valid: Tensor | None = None
) -> Tensor:
    """Block-sparse attention by `layout`, in which the first and the last block of queries read everything.

    Both directions; not for decoders.

    Args:
        q, k, v: (B, H, N, Dh).
        layout: long, (ceil(N / block), m), as from `bigbird_layout`.
        block: tokens in a block.
        key_valid: bool, (B, N), True = a real token; None: all are.
    """
    heads = block_sparse_attention(q, k, v, layout, block=block, key_valid=key_valid)
    mask = None if key_valid is None else padding_mask(key_valid)
    last = max((len(layout) - 1) * block, block)
    first_rows, last_rows = (attend(part, k, v, mask=mask) for part in (q[:, :, :block], q[:, :, last:]))
    return torch.cat([first_rows, heads[:, :, block:last], last_rows], dim=2)
