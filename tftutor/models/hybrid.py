"""Language models that mix tokens by attention, retention or selective state spaces, layer by layer.

RetNet is this model with retention in every layer, Mamba the one with Mamba in every layer; hybrids have a little of
each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tftutor.blocks import build_attention, init_weights
from tftutor.checks import expect_tokens, expect_valid
from tftutor.config import HybridConfig
from tftutor.experts import MixtureOfExperts
from tftutor.layers import Dropout, build_ffn, build_norm
from tftutor.masks import causal_mask
from tftutor.positions import PositionInputs, Rotation, build_positions, rope_rotation
from tftutor.retention import Retention
from tftutor.ssm import Mamba
from tftutor.state import Carry, DecoderState, KVCache, Slots


class HybridBlock(nn.Module):
    """One mixer and, except after Mamba's own, one feed-forward layer; each pre-norm in a residual branch."""

    def __init__(self, cfg: HybridConfig, mixer: str) -> None:
        super().__init__()
        block = cfg.block
        self.kind = mixer
        self.norm_mixer = build_norm(block)
        if mixer == "attention":
            self.mixer = build_attention(block)
        elif mixer == "retention":
            self.mixer = Retention(block.d_model, block.n_heads)
        else:
            self.mixer = Mamba(block.d_model, d_state=cfg.d_state, expand=cfg.expand, kernel=cfg.kernel)
        self.ffn = None
        if mixer != "mamba" or cfg.mamba_ffn:
            self.norm_ffn = build_norm(block)
            self.ffn = build_ffn(block)
            if cfg.n_experts > 1:
                self.ffn = MixtureOfExperts(block, n_experts=cfg.n_experts, n_active=cfg.n_active)
        self.dropout = Dropout(block.dropout)

    def new_memory(self, batch_size: int, max_len: int) -> KVCache | Carry:
        """What this layer remembers between steps: empty."""
        if isinstance(self.mixer, Retention | Mamba):
            return self.mixer.new_carry(batch_size)
        like = self.mixer.k_proj.weight.detach()
        return KVCache(batch_size, self.mixer.n_kv_heads, max_len, self.mixer.d_head, like=like)

    def forward(
        self,
        x: Tensor,
        *,
        memory: KVCache | Carry | None,
        slots: Slots | None,
        mask: Tensor | None,
        where: PositionInputs,
        turn: Rotation | None,
        valid: Tensor | None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); attention uses `slots`, `mask` and `where`, retention `turn`, both others `valid`."""
        h = self.norm_mixer(x)
        if self.kind == "attention":
            h = self.mixer(h, mask=mask, cache=memory, slots=None if memory is None else slots, **where._asdict())
        elif self.kind == "retention":
            h = self.mixer(h, rotation=turn, carry=memory, valid=valid)
        else:
            h = self.mixer(h, carry=memory, valid=valid)
        x = x + self.dropout(h)
        return x if self.ffn is None else x + self.dropout(self.ffn(self.norm_ffn(x)))


class Hybrid(nn.Module):
    """Predicts each next token from the tokens before it, whatever its layers mix them with.

    Source: Sun et al. 2023 (RetNet); Gu and Dao 2023 (Mamba); Lieber et al. 2024 (Jamba, a hybrid).
    """

    def __init__(self, cfg: HybridConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.vocab_size, cfg.block.d_model)
        self.positions = build_positions(cfg, bidirectional=False)
        self.dropout = Dropout(cfg.block.dropout)
        self.blocks = nn.ModuleList(HybridBlock(cfg, mixer) for mixer in cfg.mixers)
        self.norm_final = build_norm(cfg.block)
        self.unembed = nn.Linear(cfg.block.d_model, cfg.vocab_size, bias=False)
        if cfg.tie:
            self.unembed.weight = self.embed.weight
        init_weights((self,), std=0.02)
        for block in self.blocks:
            if isinstance(block.mixer, Mamba):
                block.mixer.reset_steps()

    def new_state(self, batch_size: int) -> DecoderState:
        """An empty memory; of unlimited length, and constant size, where no layer attends."""
        device = self.embed.weight.device
        memories = [block.new_memory(batch_size, self.cfg.max_len) for block in self.blocks]
        return DecoderState(batch_size, memories, max_len=self.cfg.max_len, device=device)

    def forward(self, tokens: Tensor, *, valid: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each of `tokens` (B, T); `valid` marks real tokens, None: all."""
        return self.step(tokens, None, valid=valid)

    def step(self, tokens: Tensor, state: DecoderState | None, *, valid: Tensor | None = None) -> Tensor:
        """The same for tokens that continue what `state` remembers; `state` is extended in place."""
        cfg = self.cfg
        expect_tokens("tokens", tokens, cfg.vocab_size)
        expect_valid("valid", valid, tokens)
        real = torch.ones_like(tokens, dtype=torch.bool) if valid is None else valid
        before = 0 if state is None else state.lengths[:, None]
        query_pos = (before + real.long().cumsum(dim=1) - 1).masked_fill(~real, -1)  # (B, T)
        slots, mask, where = None, None, PositionInputs()
        if "attention" in cfg.mixers:
            slots = None if state is None else state.place(tokens, valid)
            key_pos = query_pos if slots is None else slots.key_pos
            if key_pos.shape[-1] > cfg.max_len:
                raise ValueError(f"tokens: expected at most max_len={cfg.max_len} positions, got {key_pos.shape[-1]}")
            place = query_pos if slots is None else slots.query_pos
            mask, where = causal_mask(place, key_pos), self.positions.inputs(place, key_pos)
        turn = None
        if "retention" in cfg.mixers:
            turn = rope_rotation(query_pos, cfg.block.d_model // cfg.block.n_heads, base=cfg.rope_base)
        x = self.dropout(self.embed(tokens))  # (B, T, D)
        if state is not None and x.requires_grad:  # each step would hold on to the graph of all steps before it
            raise RuntimeError("state is for inference: call the model under torch.no_grad()")
        for number, block in enumerate(self.blocks):
            memory = None if state is None else state.layers[number]
            x = block(x, memory=memory, slots=slots, mask=mask, where=where, turn=turn, valid=valid)
        if state is not None:
            state.lengths = state.lengths + real.sum(dim=1)
        return self.unembed(self.norm_final(x))  # (B, T, V)
