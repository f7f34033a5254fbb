"""Decoder-only language models: GPT-2 and LLaMA are two settings of one stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tftutor.blocks import Block, init_weights
from tftutor.checks import expect_tokens, expect_valid
from tftutor.config import GPTConfig
from tftutor.layers import Dropout, build_norm
from tftutor.masks import causal_mask, count_positions
from tftutor.positions import build_positions
from tftutor.state import DecoderState, KVCache, SlidingState


class GPT(nn.Module):
    """Predicts each next token from the tokens before it, with a single causal stack.

    Source: Radford et al. 2019 (GPT-2); Touvron et al. 2023 (LLaMA).
    """

    def __init__(self, cfg: GPTConfig) -> None:
        super().__init__()
        self.cfg = cfg
        d_model = cfg.block.d_model
        self.embed = nn.Embedding(cfg.vocab_size, d_model)
        self.positions = build_positions(cfg, bidirectional=False)
        self.dropout = Dropout(cfg.block.dropout)
        self.blocks = nn.ModuleList(Block(cfg.block) for _ in range(cfg.n_layers))
        self.norm_final = build_norm(cfg.block) if cfg.final_norm else nn.Identity()
        self.unembed = nn.Linear(d_model, cfg.vocab_size, bias=False)
        if cfg.tie:
            self.unembed.weight = self.embed.weight
        init_weights((self,), std=0.02)

    def new_state(self, batch_size: int, *, window: int | None = None, sinks: int = 0) -> DecoderState:
        """An empty memory for `batch_size` sequences; with `window`, one that keeps only the latest tokens.

        Args:
            batch_size: rows.
            window: tokens kept besides the sinks, each new one included; None: all, up to the model's max_len.
            sinks: first tokens that are kept as well (see `SlidingState`).
        """
        cfg, block, like = self.cfg, self.cfg.block, self.embed.weight.detach()
        if window is not None:
            _expect_sliding(cfg, window, sinks)
        size = cfg.max_len if window is None else window + sinks
        caches = [KVCache(batch_size, block.kv_heads, size, block.head_width, like=like) for _ in self.blocks]
        if window is None:
            return DecoderState(batch_size, caches, max_len=size, device=like.device)
        return SlidingState(batch_size, caches, window=window, sinks=sinks, device=like.device)

    def forward(self, tokens: Tensor, *, valid: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each of `tokens` (B, T); `valid` marks real tokens, None: all."""
        return self.step(tokens, None, valid=valid)

    def step(self, tokens: Tensor, state: DecoderState | None, *, valid: Tensor | None = None) -> Tensor:
        """The same for tokens that continue what `state` remembers; `state` is extended in place."""
        expect_tokens("tokens", tokens, self.cfg.vocab_size)
        if state is None:
            expect_valid("valid", valid, tokens)
            slots = None
            query_pos = torch.arange(tokens.shape[1], device=tokens.device) if valid is None else count_positions(valid)
            key_pos = query_pos
        else:
            if len(sizes := state.chunks(tokens, valid)) > 1:  # a sliding state that has to evict on the way
                marks = [None] * len(sizes) if valid is None else valid.split(sizes, dim=1)
                parts = zip(tokens.split(sizes, dim=1), marks, strict=True)
                return torch.cat([self.step(part, state, valid=mark) for part, mark in parts], dim=1)
            slots = state.place(tokens, valid)
            query_pos, key_pos = slots.query_pos, slots.key_pos
        if key_pos.shape[-1] > self.cfg.max_len:
            raise ValueError(f"tokens: expected at most max_len={self.cfg.max_len} positions, got {key_pos.shape[-1]}")
        where = self.positions.inputs(query_pos, key_pos)
        if slots is not None and slots.renumbered:
            where = where._replace(key_rotation=self.positions.inputs(key_pos, key_pos).rotation)
        mask = causal_mask(query_pos, key_pos)
        x = self.dropout(self.positions.embed(self.embed(tokens), query_pos))  # (B, T, D)
        caches = [None] * len(self.blocks) if state is None else state.layers
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, mask=mask, where=where, cache=cache, slots=slots)
        if state is not None:
            state.advance(tokens, slots)
        return self.unembed(self.norm_final(x))  # (B, T, V)


def _expect_sliding(cfg: GPTConfig, window: int, sinks: int) -> None:
    """Raise unless the model can forget the middle of its text."""
    if cfg.positions in ("learned", "sinusoidal"):
        raise ValueError(f"window: expected a model with relative positions (rope, alibi, t5) or none, got "
                         f"{cfg.positions}; absolute ones are part of the cached keys")  # fmt: skip
    if window < 1 or sinks < 0 or window + sinks > cfg.max_len:
        raise ValueError(f"window, sinks: expected at least 1 and 0, together at most max_len={cfg.max_len}, got "
                         f"{window}, {sinks}")  # fmt: skip
