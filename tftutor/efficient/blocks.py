"""Attention between blocks of tokens: each block of queries reads a few blocks of keys, named by a layout.

What sparse patterns become in practice: the pattern is cut into squares, and only squares with something in them are
computed. A square may be filled in part; then a mask says which of its pairs count.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.attention import attend
from tftutor.checks import expect_positive, expect_shape

See = Callable[[Tensor, Tensor], Tensor]  # (query_pos, key_pos) -> mask, as the functions of `tftutor.masks`


def block_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: Tensor,
    *,
    block: int,
    see: See | None = None,
    key_valid: Tensor | None = None,
    n_shared: int = 0,
) -> Tensor:
    """Attention of each block of queries to the blocks of keys that `layout` lists for it.

    Time and memory grow with N * m * block, where m is the number of blocks in a row of the layout.

    Args:
        q, k, v: (B, H, N, Dh), queries and keys at the same N positions; any N, the last block may be short.
        layout: long, (ceil(N / block), m): block numbers, no number twice in a row, -1 = none.
        block: tokens in a block.
        see: which pairs count, from integer positions (B, T), (B, S) to a mask; None: all pairs of listed blocks.
        key_valid: bool, (B, N), True = a real token; None: all are.
        n_shared: the first so many keys are read by all queries, besides the listed blocks.

    Returns:
        (B, H, N, Dh). A query that may look at nothing gets zeros.
    """
    expect_positive(block=block)
    batch, _, length, _ = q.shape
    n_blocks = -(-length // block)
    expect_shape("layout", layout, n_blocks=n_blocks, m=None)
    pad = n_blocks * block - length
    positions = torch.arange(length, device=q.device).expand(batch, -1)
    key_pos = positions if key_valid is None else positions.where(key_valid, -1)
    query_blocks, key_blocks = (
        F.pad(pos, (0, pad), value=-1).unflatten(1, (n_blocks, block)) for pos in (positions, key_pos)
    )  # (B, n, block)
    listed = layout.clamp(min=0)
    read_pos = torch.where(layout[None, :, :, None] >= 0, key_blocks[:, listed], -1).flatten(2)  # (B, n, m * block)
    if n_shared:
        read_pos = read_pos.masked_fill(read_pos < n_shared, -1)  # read once, from the shared ones
        shared = key_pos[:, None, :n_shared].expand(-1, n_blocks, -1)
        read_pos = torch.cat([shared, read_pos], dim=2)

    def cut(x: Tensor) -> Tensor:
        """(B, H, N, Dh) -> (B, n, H, block, Dh)."""
        return F.pad(x, (0, 0, 0, pad)).unflatten(2, (n_blocks, block)).transpose(1, 2)

    def read(x: Tensor) -> Tensor:
        """What each block of queries reads: (B, H, N, Dh) -> (B * n, H, n_shared + m * block, Dh)."""
        blocks = cut(x)[:, listed].transpose(2, 3).flatten(3, 4)  # (B, n, H, m * block, Dh)
        if n_shared:
            blocks = torch.cat([x[:, None, :, :n_shared].expand(-1, n_blocks, -1, -1, -1), blocks], dim=3)
        return blocks.flatten(0, 1)

    query_pos, read_pos = query_blocks.flatten(0, 1), read_pos.flatten(0, 1)
    mask = (read_pos >= 0)[:, None, None]
    if see is not None:
        mask = mask & (see(query_pos, read_pos) | (read_pos < n_shared)[:, None, None])
    heads_out = attend(cut(q).flatten(0, 1), read(k), read(v), mask=mask)  # (B * n, H, block, Dh)
    return heads_out.unflatten(0, (batch, n_blocks)).transpose(1, 2).flatten(2, 3)[:, :, :length]


def layout_mask(layout: Tensor, length: int, *, block: int) -> Tensor:
    """The same pattern as one dense mask, for pictures and tests: bool, (1, 1, N, N)."""
    n_blocks = len(layout)
    squares = torch.zeros(n_blocks, n_blocks + 1, dtype=torch.bool, device=layout.device)
    squares.scatter_(1, layout.where(layout >= 0, n_blocks), True)
    pairs = squares[:, :n_blocks].repeat_interleave(block, dim=0).repeat_interleave(block, dim=1)
    return pairs[None, None, :length, :length]


def neighbour_layout(n_blocks: int, *, before: int, after: int, device: torch.device | None = None) -> Tensor:
    """Each block with those up to `before` blocks back and `after` ahead, (n_blocks, before + 1 + after)."""
    offsets = torch.arange(-before, after + 1, device=device)
    layout = torch.arange(n_blocks, device=device)[:, None] + offsets
    return layout.where((layout >= 0) & (layout < n_blocks), -1)
