"""Decoder-only language models: GPT-2 and LLaMA are two settings of one stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tftutor.blocks import Block, init_weights
from tftutor.checks import expect_shape, expect_tokens, expect_valid
from tftutor.config import GPTConfig
from tftutor.layers import Dropout, build_norm
from tftutor.masks import causal_mask, count_positions, prefix_mask
from tftutor.positions import build_positions
from tftutor.state import DecoderState, KVCache, SlidingState


class GPT(nn.Module):
    """Predicts each next token from the tokens before it, with a single causal stack.

    The same weights also run as a prefix language model: the first `prefix` tokens of a row then all see each other.

    Source: Radford et al. 2019 (GPT-2); Touvron et al. 2023 (LLaMA); prefix: Raffel et al. 2020, section 3.2.1.
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
        init_weights((self,), std=cfg.init_std)

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

    def forward(self, tokens: Tensor, *, valid: Tensor | None = None, prefix: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each of `tokens` (B, T).

        Args:
            tokens: ids.
            valid: (B, T) bool, True = a real token; None: all are.
            prefix: (B,) int64: so many first real tokens of each row see each other in both directions; None: none do.
                T5's bias is built for causal stacks here: to it, all keys ahead stand at distance 0.
        """
        return self.step(tokens, None, valid=valid, prefix=prefix)

    def step(
        self,
        tokens: Tensor,
        state: DecoderState | None,
        *,
        valid: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> Tensor:
        """The same for tokens that continue what `state` remembers; `state` is extended in place.

        A prefix has to come whole, in the first call of its row; later calls do not need it.
        """
        expect_tokens("tokens", tokens, self.cfg.vocab_size)
        if state is None:
            expect_valid("valid", valid, tokens)
            slots = None
            query_pos = torch.arange(tokens.shape[1], device=tokens.device) if valid is None else count_positions(valid)
            key_pos = query_pos
        else:
            if len(sizes := state.chunks(tokens, valid)) > 1:  # a sliding state that has to evict on the way
                marks = [None] * len(sizes) if valid is None else valid.split(sizes, dim=1)
                firsts = [prefix] + [None] * (len(sizes) - 1)
                parts = zip(tokens.split(sizes, dim=1), marks, firsts, strict=True)
                return torch.cat([self.step(part, state, valid=v, prefix=p) for part, v, p in parts], dim=1)
            slots = state.place(tokens, valid)
            query_pos, key_pos = slots.query_pos, slots.key_pos
        if key_pos.shape[-1] > self.cfg.max_len:
            raise ValueError(f"tokens: expected at most max_len={self.cfg.max_len} positions, got {key_pos.shape[-1]}")
        where = self.positions.inputs(query_pos, key_pos)
        if slots is not None and slots.renumbered:
            where = where._replace(key_rotation=self.positions.inputs(key_pos, key_pos).rotation)
        mask = causal_mask(query_pos, key_pos)
        if prefix is not None:
            _expect_prefix(prefix, tokens, valid, state)
            mask = prefix_mask(query_pos, key_pos, prefix)
        x = self.dropout(self.positions.embed(self.embed(tokens), query_pos))  # (B, T, D)
        caches = [None] * len(self.blocks) if state is None else state.layers
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, mask=mask, where=where, cache=cache, slots=slots)
        if state is not None:
            state.advance(tokens, slots)
        return self.unembed(self.norm_final(x))  # (B, T, V)


def _expect_prefix(prefix: Tensor, tokens: Tensor, valid: Tensor | None, state: DecoderState | None) -> None:
    """Raise unless every prefix lies whole within the first tokens of its row."""
    expect_shape("prefix", prefix, B=len(tokens))
    if prefix.dtype != torch.int64:
        raise TypeError(f"prefix: expected counts of dtype torch.int64, got {prefix.dtype}")
    room = tokens.new_full((len(tokens),), tokens.shape[1]) if valid is None else valid.sum(dim=1)
    if state is not None:
        room = room.masked_fill(state.lengths > 0, 1)  # one token sees itself anyway
    if bool((prefix > room).any()) or bool((prefix < 0).any()):
        row = int(((prefix > room) | (prefix < 0)).nonzero()[0])
        raise ValueError(f"prefix: expected a prefix that comes whole in the first call of its row, at most "
                         f"{int(room[row])} tokens of row {row}, got {int(prefix[row])}")  # fmt: skip


def _expect_sliding(cfg: GPTConfig, window: int, sinks: int) -> None:
    """Raise unless the model can forget the middle of its text."""
    if cfg.positions in ("learned", "sinusoidal"):
        raise ValueError(f"window: expected a model with relative positions (rope, alibi, t5) or none, got "
                         f"{cfg.positions}; absolute ones are part of the cached keys")  # fmt: skip
    if window < 1 or sinks < 0 or window + sinks > cfg.max_len:
        raise ValueError(f"window, sinks: expected at least 1 and 0, together at most max_len={cfg.max_len}, got "
                         f"{window}, {sinks}")  # fmt: skip
