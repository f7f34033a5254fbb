"""A bidirectional encoder with a masked-language-model head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.blocks import Block, init_weights
from tftutor.checks import expect_tokens, expect_valid
from tftutor.config import BertConfig
from tftutor.layers import Dropout, LayerNorm, build_norm
from tftutor.masks import count_positions, padding_mask
from tftutor.positions import build_positions


class MaskedLMHead(nn.Module):
    """From states to logits: a linear layer, GELU and a norm, then the embedding table as projection.

    Source: Devlin et al. 2019 name only a softmax; the transform and the bias are those of their published code.
    """

    def __init__(self, cfg: BertConfig, table: nn.Parameter) -> None:
        super().__init__()
        d_model = cfg.block.d_model
        self.transform = nn.Linear(d_model, d_model)
        self.norm = LayerNorm(d_model, eps=cfg.block.norm_eps)
        self.table = table  # tied to the token embedding
        self.bias = nn.Parameter(torch.zeros(cfg.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits (B, T, V) of states (B, T, D)."""
        return F.linear(self.norm(F.gelu(self.transform(hidden))), self.table, self.bias)


class Bert(nn.Module):
    """Reads a sequence in both directions at once; predicts tokens hidden from it.

    The only architectural difference from `GPT` is the mask: padding instead of causal.

    Source: Devlin et al. 2019, section 3.
    """

    def __init__(self, cfg: BertConfig) -> None:
        super().__init__()
        self.cfg = cfg
        block = cfg.block
        self.embed = nn.Embedding(cfg.vocab_size, block.d_model)
        self.segments = nn.Embedding(cfg.n_segments, block.d_model) if cfg.n_segments else None
        self.positions = build_positions(cfg, bidirectional=True)
        self.norm_embed = build_norm(block) if cfg.norm_embed else nn.Identity()
        self.dropout = Dropout(block.dropout)
        self.blocks = nn.ModuleList(Block(block) for _ in range(cfg.n_layers))
        self.norm_final = build_norm(block) if block.norm_order == "pre" else nn.Identity()
        self.head = MaskedLMHead(cfg, self.embed.weight)
        init_weights((self,), std=0.02)

    def encode(self, tokens: Tensor, *, valid: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """One contextual vector per token: (B, T) -> (B, T, D).

        Args:
            tokens: ids (B, T).
            valid: bool (B, T), True = a real token; None: all.
            segments: ids (B, T) of the sentence each token belongs to; None: all in sentence 0.
        """
        expect_tokens("tokens", tokens, self.cfg.vocab_size)
        expect_valid("valid", valid, tokens)
        if tokens.shape[1] > self.cfg.max_len:
            raise ValueError(f"tokens: expected at most max_len={self.cfg.max_len} positions, got {tokens.shape[1]}")
        if valid is None:
            pos, mask = torch.arange(tokens.shape[1], device=tokens.device), None
        else:
            pos, mask = count_positions(valid), padding_mask(valid)
        x = self.positions.embed(self.embed(tokens), pos)
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(tokens) if segments is None else segments)
        x = self.dropout(self.norm_embed(x))
        where = self.positions.inputs(pos, pos)
        for block in self.blocks:
            x = block(x, mask=mask, where=where)
        return self.norm_final(x)

    def forward(self, tokens: Tensor, *, valid: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for the token at each position, hidden or not."""
        return self.head(self.encode(tokens, valid=valid, segments=segments))
