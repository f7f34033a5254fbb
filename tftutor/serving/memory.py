"""Memory handed out in blocks instead of one stretch for each sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.state import KV


class BlockPool:
    """Memory for tokens, handed out in blocks of `block_size`; a sequence holds a table of the blocks it owns.

    Nobody has to say beforehand how long a sequence will be, the blocks of a sequence may lie anywhere, and at most one
    of them is partly empty.

    Source: Kwon et al. 2023, "PagedAttention", section 4.
    """

    def __init__(self, n_blocks: int, block_size: int) -> None:
        if n_blocks < 1 or block_size < 1:
            raise ValueError(f"n_blocks, block_size: expected at least 1 each, got {n_blocks}, {block_size}")
        self.n_blocks = n_blocks
        self.block_size = block_size
        self._free = list(range(n_blocks - 1, -1, -1))

    @property
    def n_free(self) -> int:
        """Blocks that nobody owns."""
        return len(self._free)

    def needed(self, length: int) -> int:
        """Blocks that `length` tokens need."""
        return -(-length // self.block_size)

    def extend(self, table: list[int], length: int) -> None:
        """Add blocks to `table`, in place, until it holds `length` tokens.

        Raises:
            RuntimeError: when there are not enough free blocks; the table is left as it was.
        """
        missing = self.needed(length) - len(table)
        if missing > self.n_free:
            raise RuntimeError(f"length: expected at most {self.n_free} more blocks, got {missing}; let a sequence go")
        table.extend(self._free.pop() for _ in range(missing))

    def release(self, table: list[int]) -> None:
        """Give all blocks of `table` back; empties it."""
        self._free.extend(reversed(table))
        table.clear()


class PagedKV:
    """Keys and values of one layer in the blocks of a `BlockPool`, for any number of sequences.

    Attention here works on a gathered copy; a serving system's kernel reads the blocks where they are.
    """

    def __init__(self, pool: BlockPool, n_kv_heads: int, d_head: int, *, like: Tensor) -> None:
        self.pool = pool
        shape = (pool.n_blocks, pool.block_size, n_kv_heads, d_head)
        self._blocks = KV(like.new_zeros(shape), like.new_zeros(shape))

    def write(self, table: list[int], start: int, new: KV) -> None:
        """Store `new` (G, T, Dh) at positions start .. start + T - 1 of the sequence that owns `table`."""
        position = torch.arange(start, start + new.keys.shape[1], device=new.keys.device)
        block, offset = self._locate(table, position)
        for blocks, fresh in zip(self._blocks, new, strict=True):
            blocks[block, offset] = fresh.transpose(0, 1)

    def read(self, table: list[int], length: int) -> KV:
        """The first `length` keys and values of a sequence, in order, (G, length, Dh)."""
        block, offset = self._locate(table, torch.arange(length, device=self._blocks.keys.device))
        return KV(*(blocks[block, offset].transpose(0, 1) for blocks in self._blocks))

    def _locate(self, table: list[int], position: Tensor) -> tuple[Tensor, Tensor]:
        """Block and place in it of each position."""
        size = self.pool.block_size
        if position.numel() and int(position.max()) >= len(table) * size:
            raise ValueError(f"table: expected blocks for {int(position.max()) + 1} tokens, got room for "
                             f"{len(table) * size}; extend it first")  # fmt: skip
        return torch.tensor(table, dtype=torch.int64, device=position.device)[position // size], position % size

    @property
    def nbytes(self) -> int:
        """Bytes allocated, whoever owns them."""
        return sum(blocks.nbytes for blocks in self._blocks)
