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
from tftutor.state import DecoderState, KVCache


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

    def new_state(self, batch_size: int) -> DecoderState:
        """An empty memory for `batch_size` sequences."""
        cfg, block, like = self.cfg, self.cfg.block, self.embed.weight.detach()
        caches = [
            KVCache(batch_size, block.kv_heads, cfg.max_len, block.head_width, like=like) for _ in self.blocks
        ]
        return DecoderState(batch_size, caches, max_len=cfg.max_len, device=like.device)

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
            slots = state.place(tokens, valid)
            query_pos, key_pos = slots.query_pos, slots.key_pos
        if key_pos.shape[-1] > self.cfg.max_len:
            raise ValueError(f"tokens: expected at most max_len={self.cfg.max_len} positions, got {key_pos.shape[-1]}")
        where = self.positions.inputs(query_pos, key_pos)
        mask = causal_mask(query_pos, key_pos)
        x = self.dropout(self.positions.embed(self.embed(tokens), query_pos))  # (B, T, D)
        caches = [None] * len(self.blocks) if state is None else state.layers
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, mask=mask, where=where, cache=cache, slots=slots)
        if state is not None:
            state.advance(tokens, slots)
        return self.unembed(self.norm_final(x))  # (B, T, V)
