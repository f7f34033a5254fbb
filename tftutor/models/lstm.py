"""Recurrent sequence-to-sequence networks, LSTM or GRU, with and without attention to the encoder's states."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tftutor.attention import Attended
from tftutor.checks import expect_mask, expect_tokens, expect_valid
from tftutor.config import RecurrentConfig
from tftutor.layers import Dropout
from tftutor.masks import padding_mask
from tftutor.models.encoder_decoder import Generator
from tftutor.state import KV, Carry, DecoderState, real_first

States = tuple  # of tensors (L, B, D): (hidden, cell) of an LSTM, (hidden,) of a GRU


class Reading(NamedTuple):
    """What a bidirectional encoder makes of a source."""

    states: Tensor  # (B, S, 2 * De): both directions side by side, zero where the source is padding
    last: Tensor  # (B, 2 * De): the forward state after the last token, the backward state after the first


class AdditiveAttention(nn.Module):
    """One head that scores by a small network with one hidden layer: v^T tanh(W q + U m).

    Source: Bahdanau et al. 2015, section 3.1 and appendix A.1.2. Their query is the decoder's state before the step.
    """

    def __init__(self, d_query: int, d_memory: int, d_attn: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(d_query, d_attn)
        self.k_proj = nn.Linear(d_memory, d_attn, bias=False)
        self.v = nn.Parameter(torch.empty(d_attn).uniform_(-(d_attn**-0.5), d_attn**-0.5))
        self.observer = None  # set by record_attention

    def project(self, memory: Tensor) -> KV:
        """What every query is compared with, once per source: `memory` (B, S, Dm) as keys (B, 1, S, A), and itself."""
        return KV(self.k_proj(memory)[:, None], memory[:, None])

    def forward(self, query: Tensor, kv: KV, mask: Tensor | None = None) -> Attended:
        """Let queries (B, T, Dq) read `kv`, where `mask` (B, 1, T, S) is True; contexts (B, T, Dm) and weights.

        A query that may read nothing gets zeros.
        """
        expect_mask(mask)
        hidden = torch.tanh(self.q_proj(query)[:, None, :, None] + kv.keys[:, :, None])  # (B, 1, T, S, A)
        scores = hidden @ self.v  # (B, 1, T, S)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if mask is not None:
            weights = weights.masked_fill(~mask, 0.0)
        if self.observer is not None:
            self.observer(weights)
        return Attended((weights @ kv.values)[:, 0], weights)


class RecurrentSeq2Seq(nn.Module):
    """Reads a source token by token in both directions, writes a target left to right.

    ::

        src (B, S) --embed--> bidirectional LSTM --> states (B, S, 2 De), last (B, 2 De)
                                                        |                    | bridge
                                   with attention only  |                    v
        tgt (B, T) --embed-----------------------------)|(-------------> LSTM --> hidden (B, T, D)
                                                        v                            |
                                              additive attention <---- query --------+
                                                        | context                    |
                                                        +-----> combine <------------+  --generator--> logits (B, T, V)

    Without attention, `last` is all the decoder ever learns of the source (Sutskever et al. 2014; Cho et al. 2014 show
    the vector to every step). With it, every step reads all `states`: the additive score of Bahdanau et al. 2015 in the
    place where Luong et al. 2015 (section 3, equation 5) put attention, between the recurrent layer and the output.
    The recurrence then does not depend on what was read, so that a known target is run through it in one fused call.
    """

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.cfg = cfg
        layer = nn.LSTM if cfg.cell == "lstm" else nn.GRU
        shared = {"num_layers": cfg.n_layers, "batch_first": True, "dropout": cfg.dropout if cfg.n_layers > 1 else 0.0}
        d_memory, n_states = 2 * cfg.d_encoder, 2 if cfg.cell == "lstm" else 1
        self.src_embed = nn.Embedding(cfg.src_vocab_size, cfg.d_embed)
        self.encoder = layer(cfg.d_embed, cfg.d_encoder, bidirectional=True, **shared)
        self.bridge = nn.Linear(d_memory, n_states * cfg.n_layers * cfg.d_decoder)
        self.tgt_embed = nn.Embedding(cfg.tgt_vocab_size, cfg.d_embed)
        self.decoder = layer(cfg.d_embed, cfg.d_decoder, **shared)
        self.attention = AdditiveAttention(cfg.d_decoder, d_memory, cfg.d_attn) if cfg.attention else None
        self.combine = nn.Linear(cfg.d_decoder + (d_memory if cfg.attention else 0), cfg.d_embed)
        self.generator = Generator(cfg.d_embed, cfg.tgt_vocab_size)
        self.dropout = Dropout(cfg.dropout)
        for recurrent in (self.encoder, self.decoder):
            set_forget_bias(recurrent, 1.0)

    def forward(
        self, src: Tensor, tgt: Tensor, *, src_valid: Tensor | None = None, tgt_valid: Tensor | None = None
    ) -> Tensor:
        """Logits (B, T, V) for the token after each of `tgt` (B, T), given `src` (B, S).

        `src_valid` and `tgt_valid` mark real tokens; None: no padding. Padding may stand left or right.
        """
        expect_valid("tgt_valid", tgt_valid, tgt)
        reading = self.encode(src, src_valid)
        hidden, _ = self._write(tgt, self.first_states(reading), tgt_valid, keep_states=False)
        memory = None if self.attention is None else self.attention.project(reading.states)
        return self._read_out(hidden, memory, src_valid)

    def encode(self, src: Tensor, src_valid: Tensor | None = None) -> Reading:
        """Read `src` (B, S) in both directions."""
        expect_tokens("src", src, self.cfg.src_vocab_size)
        expect_valid("src_valid", src_valid, src)
        states, last = run_recurrent(self.encoder, self.dropout(self.src_embed(src)), src_valid)
        last = last[0][-2:].transpose(0, 1).flatten(1)  # both directions of the top layer
        return Reading(self.dropout(states), self.dropout(last))

    def first_states(self, reading: Reading) -> States:
        """The states from which the decoder starts, computed from nothing but `reading.last`."""
        cfg = self.cfg
        parts = torch.tanh(self.bridge(reading.last)).unflatten(-1, (-1, cfg.n_layers, cfg.d_decoder))
        return tuple(x.transpose(0, 1).contiguous() for x in parts.unbind(1))

    def start(self, src: Tensor, src_valid: Tensor | None = None) -> DecoderState:
        """Encode `src` (B, S) once and return the state from which `step` writes the target."""
        reading = self.encode(src, src_valid)
        layers = [Carry(*self.first_states(reading), row_axis=1)]
        memory = None if self.attention is None else [self.attention.project(reading.states)]
        return DecoderState(
            len(src), layers, max_len=self.cfg.max_len, device=src.device, memory=memory,
            src_valid=None if memory is None else src_valid,
        )  # fmt: skip

    def step(self, tokens: Tensor, state: DecoderState, *, valid: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for target tokens (B, T) that continue what `state` remembers; extends `state`.

        `valid` (B, T) marks the real tokens; a row with none stays as it was.
        """
        expect_tokens("tgt", tokens, self.cfg.tgt_vocab_size)
        slots = state.place(tokens, valid)
        cells = state.layers[0]
        hidden, cells.states = self._write(tokens, cells.states, valid)
        state.advance(tokens, slots)
        return self._read_out(hidden, state.memory[0] if state.memory else None, state.src_valid)

    def _write(
        self, tgt: Tensor, states: States, valid: Tensor | None, *, keep_states: bool = True
    ) -> tuple[Tensor, States]:
        """The decoder's states (B, T, D) along `tgt` (B, T), which continues from `states`, and the last ones."""
        expect_tokens("tgt", tgt, self.cfg.tgt_vocab_size)
        x = self.dropout(self.tgt_embed(tgt))
        return run_recurrent(self.decoder, x, valid, states, keep_states=keep_states)

    def _read_out(self, hidden: Tensor, memory: KV | None, src_valid: Tensor | None) -> Tensor:
        """Logits (B, T, V) of states (B, T, D), each of which may first look at the source."""
        if self.attention is not None:
            mask = None if src_valid is None else padding_mask(src_valid)
            hidden = torch.cat([self.attention(hidden, memory, mask).heads, hidden], dim=-1)
        return self.generator(self.dropout(torch.tanh(self.combine(hidden))))


def run_recurrent(
    layer: nn.Module, x: Tensor, valid: Tensor | None, states: States | None = None, *, keep_states: bool = True
) -> tuple[Tensor, States]:
    """Run `nn.LSTM` or `nn.GRU` over the real vectors of x (B, T, D), as if there were no others.

    Args:
        layer: made with `batch_first=True`.
        x: vectors, padding anywhere.
        valid: (B, T), True for real ones; None: all.
        states: where to start, tensors (L, B, D); None: zeros.
        keep_states: False lets one direction run on over the padding behind a row, which is faster; the last states
            are then of no use.

    Returns:
        Outputs (B, T, D), zero at padding, and the states after each row's last real vector; a row without any keeps
        its states.
    """
    is_lstm = isinstance(layer, nn.LSTM)
    directions = 2 if layer.bidirectional else 1
    if states is None:
        zeros = x.new_zeros(layer.num_layers * directions, len(x), layer.hidden_size)
        states = (zeros, zeros) if is_lstm else (zeros,)
    if x.numel() == 0:  # the fused kernels refuse batches without rows
        return x.new_zeros(*x.shape[:2], layer.hidden_size * directions), states

    def run(inputs: object) -> tuple[object, States]:
        outputs, last = layer(inputs, states if is_lstm else states[0])
        return outputs, (last if is_lstm else (last,))

    if valid is None or bool(valid.all()):
        return run(x)
    order = real_first(valid)
    lengths = valid.sum(dim=1)
    x = x.gather(1, order[..., None].expand_as(x))
    if keep_states or layer.bidirectional:
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = run(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
        some = (lengths > 0)[:, None]
        last = tuple(torch.where(some, new, old) for new, old in zip(last, states, strict=True))
    else:
        outputs, last = run(x)
    back = torch.argsort(order, dim=1)[..., None].expand_as(outputs)
    return outputs.gather(1, back).masked_fill(~valid[..., None], 0.0), last


def set_forget_bias(layer: nn.Module, value: float) -> None:
    """Start an LSTM's forget gates at sigmoid(`value`) when everything else is zero; other cells stay as they are.

    PyTorch adds two biases; the second one's part becomes zero.

    Source: Gers et al. 2000; Jozefowicz et al. 2015 recommend 1.
    """
    if not isinstance(layer, nn.LSTM):
        return
    gate = slice(layer.hidden_size, 2 * layer.hidden_size)  # PyTorch's order: input, forget, cell, output
    with torch.no_grad():
        for name, bias in layer.named_parameters():
            if name.startswith("bias"):
                bias[gate] = value if name.startswith("bias_ih") else 0.0
