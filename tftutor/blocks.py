"""The blocks that stacks repeat: sub-layers, each wrapped in a residual connection and a norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from tftutor.attention import MultiHeadAttention
from tftutor.config import BlockConfig
from tftutor.layers import Dropout, FeedForward, GatedFeedForward, build_ffn, build_norm
from tftutor.positions import PositionInputs
from tftutor.state import KV, KVCache, Slots


def build_attention(cfg: BlockConfig) -> MultiHeadAttention:
    """The attention layer that a block's config describes."""
    return MultiHeadAttention(
        cfg.d_model,
        cfg.n_heads,
        n_kv_heads=cfg.n_kv_heads,
        d_head=cfg.d_head,
        scale=cfg.scale,
        bias=cfg.bias,
        dropout=cfg.attn_dropout,
    )


class Block(nn.Module):
    """Self-attention, then a feed-forward layer. Under a padding mask: an encoder block; under a causal one: GPT's.

    ::

        pre-norm    x + f(norm(x))      the stream itself is never normalised on the way
        post-norm   norm(x + f(x))      as in the 2017 paper
        parallel    x + attn(norm_attn(x)) + ffn(norm_ffn(x))      neither sub-layer sees what the other did

    Source: Vaswani et al. 2017, section 3.1 (post); Radford et al. 2019, section 2.3 (pre); Chowdhery et al. 2022,
    section 2, and Black et al. 2022, section 2.1 (parallel).
    """

    def __init__(self, cfg: BlockConfig) -> None:
        super().__init__()
        self.pre_norm = cfg.norm_order == "pre"
        self.parallel = cfg.parallel
        self.norm_attn = build_norm(cfg)
        self.attn = build_attention(cfg)
        self.norm_ffn = build_norm(cfg)
        self.ffn = build_ffn(cfg)
        self.dropout = Dropout(cfg.dropout)

    def add(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """One sub-layer with its residual connection and norm: (B, T, D) -> (B, T, D)."""
        if self.pre_norm:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def attend_to_self(
        self, x: Tensor, mask: Tensor | None, where: PositionInputs, cache: KVCache | None, slots: Slots | None
    ) -> Tensor:
        """The self-attention sub-layer."""
        return self.add(
            x,
            self.norm_attn,
            lambda h: self.attn(h, mask=mask, cache=cache, slots=slots, **where._asdict()),
        )

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        where: PositionInputs = PositionInputs(),  # noqa: B008 - immutable
        cache: KVCache | None = None,
        slots: Slots | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); `mask` (B, H, T, S), `where` from the stack's position scheme."""
        attended = self.attend_to_self(x, mask, where, cache, slots)
        if self.parallel:
            return attended + self.dropout(self.ffn(self.norm_ffn(x)))
        return self.add(attended, self.norm_ffn, self.ffn)


class DecoderBlock(Block):
    """Self-attention, cross-attention to the encoder's output, then a feed-forward layer."""

    def __init__(self, cfg: BlockConfig) -> None:
        super().__init__(cfg)
        self.norm_cross = build_norm(cfg)
        self.cross_attn = build_attention(cfg)

    def forward(
        self,
        x: Tensor,
        *,
        memory: KV,
        memory_mask: Tensor | None = None,
        mask: Tensor | None = None,
        where: PositionInputs = PositionInputs(),  # noqa: B008 - immutable
        cache: KVCache | None = None,
        slots: Slots | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); `memory` are this block's keys and values of the encoder's output."""
        x = self.attend_to_self(x, mask, where, cache, slots)
        x = self.add(x, self.norm_cross, lambda h: self.cross_attn(h, kv=memory, mask=memory_mask))
        return self.add(x, self.norm_ffn, self.ffn)


def init_weights(stacks: Iterable[nn.Module], *, std: float) -> None:
    """Draw weights from N(0, std**2), zero biases; shrink the end of each residual branch.

    A stream that sums n branches keeps its variance if each branch ends with std / sqrt(n). Each stack counts its
    own branches; norms keep their ones and zeros. Where attention does not divide its scores by sqrt(Dh), the query
    projection starts that much smaller, as T5 does it.

    Source: Radford et al. 2019 (GPT-2), section 2.3; Vaswani et al. do not say how they initialised.
    """
    for stack in stacks:
        ends, unscaled = [], []
        for module in stack.modules():  # a module comes before its parts: what overrides them waits
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
            if isinstance(module, MultiHeadAttention):
                ends.append(module.o_proj)
                if module.scale is not None:
                    unscaled.append(module)
            elif isinstance(module, FeedForward | GatedFeedForward):
                ends.append(module.down_proj)
        for end in ends:
            nn.init.normal_(end.weight, std=std / math.sqrt(len(ends)))
        for attn in unscaled:
            nn.init.normal_(attn.q_proj.weight, std=std / (attn.scale * math.sqrt(attn.d_head)))
