"""Retention: attention without softmax whose memory of a token fades by a fixed factor with every step.

The same outputs in three ways: all pairs at once (as attention is trained), one token after another (as a recurrent
network writes), and chunk by chunk, in pairs within a chunk and through the state between chunks.

Source: Sun et al. 2023, "Retentive Network", section 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.attention import merge_heads, split_heads
from tftutor.checks import expect_positive, expect_shape
from tftutor.positions import Rotation, rotate
from tftutor.state import Carry, memory_dtype, real_first


def retention_decay(n_heads: int) -> Tensor:
    """What remains of a memory after one step, per head, (H,), float64: 1 - 2 ** (-5 - h) for h = 0, 1, ...

    Example:
        >>> retention_decay(3)
        tensor([0.9688, 0.9844, 0.9922], dtype=torch.float64)

    Source: Sun et al. 2023, section 2.2 (there for h = 0 .. H - 1).
    """
    return 1 - 2.0 ** -(5 + torch.arange(n_heads, dtype=torch.float64))


def decay_mask(decay: Tensor, length: int) -> Tensor:
    """What query i still has of key j <= i, decay ** (i - j), else 0: (H, T, T), float64."""
    place = torch.arange(length, device=decay.device)
    steps = place[:, None] - place
    return torch.where(steps >= 0, decay[:, None, None] ** steps.clamp(min=0), 0.0)


def retention_parallel(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """All pairs at once: (q k^T * D) v, from q, k (B, H, T, Dk) and v (B, H, T, Dv) to (B, H, T, Dv)."""
    expect_shape("decay", decay, H=q.shape[1])
    mask = decay_mask(decay, q.shape[2]).to(q.dtype)
    return (q @ k.transpose(-2, -1) * mask) @ v


def retention_step(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One token: its output (B, H, 1, Dv), and the state (B, H, Dk, Dv) after it.

    state = decay * state + k^T v, then the output is q state: a token sees itself.
    """
    expect_shape("decay", decay, H=q.shape[1])
    state = decay.to(state.dtype)[:, None, None] * state + (k.transpose(-2, -1) @ v).to(state.dtype)
    return (q.to(state.dtype) @ state).to(q.dtype), state


def retention_chunk(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor, *, counts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A chunk of tokens that continue what `state` remembers: outputs (B, H, T, Dv), and the state after them.

    Args:
        q, k: (B, H, T, Dk).
        v: (B, H, T, Dv).
        decay: (H,).
        state: (B, H, Dk, Dv); it keeps its dtype, which should be float32 at least (`memory_dtype`).
        counts: (B,), how many tokens of each row are real, padding behind them; None: all.
    """
    length = q.shape[2]
    place = torch.arange(length, device=q.device)
    counts = torch.full((len(q),), length, device=q.device) if counts is None else counts
    since = decay[:, None] ** (place + 1)  # (H, T): what remains of the state at each token
    wide = state.dtype
    outputs = retention_parallel(q, k, v, decay) + (since.to(wide)[..., None] * (q.to(wide) @ state)).to(q.dtype)
    to_go = counts[:, None] - 1 - place  # (B, T): steps from each token to the row's last one
    left = torch.where(to_go[:, None] >= 0, decay[:, None] ** to_go.clamp(min=0)[:, None], 0.0)  # (B, H, T)
    kept = (decay ** counts[:, None])[..., None, None].to(wide) * state
    return outputs, kept + (k.to(wide) * left.to(wide)[..., None]).transpose(-2, -1) @ v.to(wide)


def retention_chunkwise(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, *, chunk: int) -> Tensor:
    """`retention_parallel` in time and memory that grow with the length, not with its square."""
    expect_positive(chunk=chunk)
    state = q.new_zeros(*q.shape[:2], q.shape[3], v.shape[3], dtype=memory_dtype(q))
    outputs = []
    for queries, keys, values in zip(*(x.split(chunk, dim=2) for x in (q, k, v)), strict=True):
        out, state = retention_chunk(queries, keys, values, decay, state)
        outputs.append(out)
    return torch.cat(outputs, dim=2)


class Retention(nn.Module):
    """Multi-scale retention: heads that forget at different rates, normalised head by head, and gated.

    Keys are divided by sqrt(Dh); queries and keys turn with their position, as in RoPE.

    Source: Sun et al. 2023, section 2.2, equation 8 (without its "score normalization", which
    the norm of each head undoes).
    """

    def __init__(self, d_model: int, n_heads: int, *, norm_eps: float = 1e-5) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model={d_model} is not divisible by n_heads={n_heads}")
        self.n_heads = n_heads
        self.norm_eps = norm_eps
        self.q_proj, self.k_proj, self.v_proj, self.gate_proj, self.o_proj = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(5)
        )

    def new_carry(self, batch_size: int) -> Carry:
        """An empty memory, (B, H, Dh, Dh), float32 at least."""
        like, width = self.q_proj.weight, self.q_proj.out_features // self.n_heads
        return Carry(like.new_zeros(batch_size, self.n_heads, width, width, dtype=memory_dtype(like)))

    def forward(
        self, x: Tensor, *, rotation: Rotation | None = None, carry: Carry | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); `carry` is read and extended, `valid` (B, T) marks real tokens, None: all."""
        q, k, v = (split_heads(proj(x), self.n_heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        k = k * k.shape[-1] ** -0.5
        decay = retention_decay(self.n_heads).to(x.device)  # no buffer: model.bfloat16() would round 511/512 to 1
        if carry is None and valid is None:
            heads = retention_parallel(q, k, v, decay)
        else:
            carry = self.new_carry(len(x)) if carry is None else carry
            heads, carry.states = _ragged_chunk(q, k, v, decay, carry.states[0], valid)
        heads = F.rms_norm(heads, heads.shape[-1:], eps=self.norm_eps)
        return self.o_proj(F.silu(self.gate_proj(x)) * merge_heads(heads))


def _ragged_chunk(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor, valid: Tensor | None
) -> tuple[Tensor, tuple[Tensor]]:
    """`retention_chunk` with padding anywhere."""
    if valid is None or bool(valid.all()):
        heads, state = retention_chunk(q, k, v, decay, state)
        return heads, (state,)
    order = real_first(valid)[:, None, :, None]
    q, k, v = (x.gather(2, order.expand_as(x)) for x in (q, k, v))
    heads, state = retention_chunk(q, k, v, decay, state, counts=valid.sum(dim=1))
    return heads.gather(2, order.argsort(dim=2).expand_as(heads)), (state,)
