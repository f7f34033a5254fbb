"""The encoder-decoder Transformer of Vaswani et al. 2017; T5 is another setting of the same parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tftutor.blocks import Block, DecoderBlock, init_weights
from tftutor.checks import expect_mask, expect_shape, expect_tokens, expect_valid
from tftutor.config import EncoderDecoderConfig
from tftutor.layers import Dropout, build_norm
from tftutor.masks import causal_mask, count_positions, padding_mask
from tftutor.positions import PositionScheme, build_positions
from tftutor.state import KV, DecoderState, KVCache, Slots


class Embedding(nn.Module):
    """Token vectors, scaled if the architecture says so, with positions added if the scheme adds them."""

    def __init__(self, vocab_size: int, cfg: EncoderDecoderConfig, positions: PositionScheme) -> None:
        super().__init__()
        d_model = cfg.block.d_model
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.positions = positions
        self.scale = math.sqrt(d_model) if cfg.embed_scale else 1.0
        self.dropout = Dropout(cfg.block.dropout)

    def forward(self, tokens: Tensor, pos: Tensor) -> Tensor:
        """Ids (B, T) at positions (T,) or (B, T) -> (B, T, D)."""
        return self.dropout(self.positions.embed(self.tokens(tokens) * self.scale, pos))


class Generator(nn.Module):
    """From the decoder's states to the vocabulary: logits, or log-probabilities on request."""

    def __init__(self, d_model: int, vocab_size: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.proj = nn.Linear(d_model, vocab_size, bias=False)
        self.scale = scale

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits (B, T, V) of states (B, T, D)."""
        return self.proj(hidden * self.scale)

    def log_probs(self, hidden: Tensor) -> Tensor:
        """Log-probabilities (B, T, V), in nats."""
        return self(hidden).log_softmax(dim=-1)


class EncoderDecoder(nn.Module):
    """Reads a source sequence whole, writes a target sequence left to right.

    ::

        src (B, S) --embed--> encoder blocks --> memory (B, S, D)
                                                    | keys, values
        tgt (B, T) --embed--> decoder blocks <------+  --> hidden (B, T, D) --generator--> logits (B, T, V)

    Differences from the 2017 paper are choices of the config: `final_norm`, `norm_order`, `positions`, `tie`.
    Source: Vaswani et al. 2017, section 3 and figure 1.
    """

    def __init__(self, cfg: EncoderDecoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        block, d_model = cfg.block, cfg.block.d_model
        self.src_embed = Embedding(cfg.src_vocab_size, cfg, build_positions(cfg, bidirectional=True))
        self.encoder = nn.ModuleList(Block(block) for _ in range(cfg.n_encoder_layers))
        self.encoder_norm = build_norm(block) if cfg.final_norm else nn.Identity()
        self.tgt_embed = Embedding(cfg.tgt_vocab_size, cfg, build_positions(cfg, bidirectional=False))
        self.decoder = nn.ModuleList(DecoderBlock(block) for _ in range(cfg.n_decoder_layers))
        self.decoder_norm = build_norm(block) if cfg.final_norm else nn.Identity()
        self.generator = Generator(d_model, cfg.tgt_vocab_size, scale=cfg.output_scale)
        if cfg.tie != "none":
            self.generator.proj.weight = self.tgt_embed.tokens.weight
        if cfg.tie == "all":
            self.src_embed.tokens.weight = self.tgt_embed.tokens.weight
        stacks = (self.src_embed, self.encoder, self.generator, self.tgt_embed, self.decoder)
        init_weights(stacks, std=d_model**-0.5)
        if cfg.output_scale != 1:  # draw the tables larger by what the factor takes from the logits; T5: N(0, 1)
            tables = {self.src_embed.tokens.weight, self.tgt_embed.tokens.weight, self.generator.proj.weight}
            with torch.no_grad():
                for table in tables:
                    table.div_(cfg.output_scale)

    def forward(
        self, src: Tensor, tgt: Tensor, *, src_valid: Tensor | None = None, tgt_valid: Tensor | None = None
    ) -> Tensor:
        """Logits (B, T, V) for the token after each of `tgt` (B, T), given `src` (B, S).

        `src_valid` and `tgt_valid` mark real tokens; None: no padding. Padding may stand left or right.
        """
        expect_valid("src_valid", src_valid, src)
        expect_valid("tgt_valid", tgt_valid, tgt)
        src_mask = None if src_valid is None else padding_mask(src_valid)
        tgt_pos = _positions(tgt, tgt_valid)
        memory = self.encode(src, src_mask)
        hidden = self.decode(tgt, memory, src_mask=src_mask, tgt_pos=tgt_pos)
        return self.generator(hidden)

    def encode(self, src: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """One vector per source token: (B, S) -> memory (B, S, D).

        `src_mask` (B, 1, 1, S) hides padding; positions count the real tokens only.
        """
        expect_tokens("src", src, self.cfg.src_vocab_size)
        self._expect_room("src", src.shape[1])
        _expect_padding_mask(src_mask, src)
        pos = _positions(src, None if src_mask is None else src_mask[:, 0, 0])
        where = self.src_embed.positions.inputs(pos, pos)
        x = self.src_embed(src, pos)
        for block in self.encoder:
            x = block(x, mask=src_mask, where=where)
        return self.encoder_norm(x)

    def decode(
        self,
        tgt: Tensor,
        memory: Tensor,
        *,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        tgt_pos: Tensor | None = None,
    ) -> Tensor:
        """States (B, T, D) of the target prefix `tgt` (B, T) reading `memory` (B, S, D), all positions at once.

        Args:
            tgt: ids (B, T), beginning with BOS.
            memory: what `encode` returned.
            src_mask: (B, 1, 1, S), the mask given to `encode`: cross-attention must not look at padding either.
            tgt_mask: (B, 1, T, T); None: the causal mask of `tgt_pos`.
            tgt_pos: positions (T,) or (B, T), -1 for padding; None: 0, 1, 2, ...
        """
        _expect_padding_mask(src_mask, memory[:, :, 0])
        if tgt_pos is None:
            tgt_pos = _positions(tgt, None)
        mask = causal_mask(tgt_pos, tgt_pos) if tgt_mask is None else tgt_mask
        kv = [block.cross_attn.project_kv(memory) for block in self.decoder]
        return self._run_decoder(tgt, kv, src_mask, mask, tgt_pos, tgt_pos)

    def start(self, src: Tensor, src_valid: Tensor | None = None) -> DecoderState:
        """Encode `src` (B, S) once and return the state from which `step` writes the target."""
        expect_valid("src_valid", src_valid, src)
        cfg, block = self.cfg, self.cfg.block
        memory = self.encode(src, None if src_valid is None else padding_mask(src_valid))
        like = memory.detach()
        caches = [
            KVCache(len(src), block.kv_heads, cfg.max_len, block.head_width, like=like) for _ in self.decoder
        ]
        kv = [layer.cross_attn.project_kv(memory) for layer in self.decoder]
        return DecoderState(
            len(src), caches, max_len=cfg.max_len, device=src.device, memory=kv, src_valid=src_valid
        )

    def step(self, tokens: Tensor, state: DecoderState, *, valid: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for target tokens (B, T) that continue what `state` remembers; extends `state`.

        `valid` (B, T) marks the real tokens; a row with none stays as it was.
        """
        slots = state.place(tokens, valid)
        mask = causal_mask(slots.query_pos, slots.key_pos)
        src_mask = None if state.src_valid is None else padding_mask(state.src_valid)
        hidden = self._run_decoder(
            tokens, state.memory, src_mask, mask, slots.query_pos, slots.key_pos, caches=state.layers, slots=slots
        )
        state.advance(tokens, slots)
        return self.generator(hidden)

    def _run_decoder(
        self,
        tgt: Tensor,
        memory: list[KV],
        src_mask: Tensor | None,
        mask: Tensor,
        query_pos: Tensor,
        key_pos: Tensor,
        *,
        caches: list[KVCache] | None = None,
        slots: Slots | None = None,
    ) -> Tensor:
        expect_tokens("tgt", tgt, self.cfg.tgt_vocab_size)
        self._expect_room("tgt", key_pos.shape[-1])
        where = self.tgt_embed.positions.inputs(query_pos, key_pos)
        x = self.tgt_embed(tgt, query_pos)
        for block, kv, cache in zip(self.decoder, memory, caches or [None] * len(self.decoder), strict=True):
            x = block(x, memory=kv, memory_mask=src_mask, mask=mask, where=where, cache=cache, slots=slots)
        return self.decoder_norm(x)

    def _expect_room(self, name: str, length: int) -> None:
        if length > self.cfg.max_len:
            raise ValueError(f"{name}: expected at most max_len={self.cfg.max_len} positions, got {length}")


def _positions(tokens: Tensor, valid: Tensor | None) -> Tensor:
    """Positions of `tokens` (B, T): (T,) without padding, else (B, T) with -1 for padding."""
    if valid is None:
        return torch.arange(tokens.shape[-1], device=tokens.device)
    return count_positions(valid)


def _expect_padding_mask(mask: Tensor | None, src: Tensor) -> None:
    """Raise unless `mask` is absent or a padding mask (B, 1, 1, S) for `src` (B, S, ...)."""
    expect_mask(mask)
    if mask is not None:
        expect_shape("src_mask", mask, B=src.shape[0], H=1, T=1, S=src.shape[1])
