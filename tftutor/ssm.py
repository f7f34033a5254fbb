"""Selective state spaces (Mamba): a recurrence whose rate of forgetting depends on the token it reads.

For every feature e and each of N memory cells n:

    h[t] = exp(dt[t, e] * A[e, n]) * h[t - 1] + dt[t, e] * B[t, n] * u[t, e]
    y[t, e] = sum over n of C[t, n] * h[t, e, n]  +  D[e] * u[t, e]

dt, B and C are computed from the token: dt near 0 skips it, a large dt forgets all before it.

Source: Gu and Dao 2023, "Mamba", sections 2, 3.2 and 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_choice, expect_positive
from tftutor.state import Carry, memory_dtype, real_first


def scan_sequential(keep: Tensor, add: Tensor, state: Tensor) -> Tensor:
    """h[t] = keep[t] * h[t - 1] + add[t], one step after another: (B, T, ...) -> (B, T, ...), h[-1] = `state`."""
    states = []
    for kept, added in zip(keep.unbind(1), add.unbind(1), strict=True):
        state = torch.addcmul(added, kept, state)
        states.append(state)
    return torch.stack(states, dim=1) if states else torch.zeros_like(add)


def scan_parallel(keep: Tensor, add: Tensor, state: Tensor) -> Tensor:
    """The same in about log2(T) steps, each of which joins stretches of equal length.

    Two steps in a row are one step: (k1, a1) then (k2, a2) is (k1 k2, k2 a1 + a2). This law is associative, so that all
    stretches of 2, then of 4, 8, ... can be joined at once.

    Source: Blelloch 1990 (prefix sums); in this form, with T log T work, Hillis and Steele 1986.
    """
    if not keep.shape[1]:
        return torch.zeros_like(add)
    add = torch.cat([add[:, :1] + keep[:, :1] * state[:, None], add[:, 1:]], dim=1)
    step = 1
    while step < keep.shape[1]:
        joined = add[:, step:] + keep[:, step:] * add[:, :-step]
        keep = torch.cat([keep[:, :step], keep[:, step:] * keep[:, :-step]], dim=1)
        add = torch.cat([add[:, :step], joined], dim=1)
        step *= 2
    return add


def selective_scan(
    u: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    state: Tensor,
    *,
    chunk: int = 8,
) -> tuple[Tensor, Tensor]:
    """The recurrence of this module, in parallel within chunks: outputs (B, T, E) and the last state (B, E, N).

    Args:
        u: inputs, (B, T, E).
        dt: step sizes, (B, T, E), 0 or more; where 0, the state stays as it is.
        a: rates of forgetting, (E, N), negative.
        b, c: how each token writes to and reads from the cells, (B, T, N).
        d: what passes by the state, (E,).
        state: where to start, (B, E, N); all is computed in its dtype, which should be float32 at least.
        chunk: tokens whose states are made at once, in log2(chunk) steps; 1: one after another. A processor with few
            cores is fastest with few, since joining stretches costs extra work.
    """
    expect_positive(chunk=chunk)
    if not u.shape[1]:
        return torch.zeros_like(u), state
    dtype = u.dtype
    u, dt, a, b, c, d = (x.to(state.dtype) for x in (u, dt, a, b, c, d))
    outputs, parts = [], (x.split(chunk, dim=1) for x in (u, dt, b, c))
    for u_t, dt_t, b_t, c_t in zip(*parts, strict=True):
        keep = (dt_t[..., None] * a).exp()  # (B, chunk, E, N)
        add = (dt_t * u_t)[..., None] * b_t[:, :, None]
        states = scan_parallel(keep, add, state)
        outputs.append((states @ c_t[..., None])[..., 0])
        state = states[:, -1]
    return (torch.cat(outputs, dim=1) + d * u).to(dtype), state


class Mamba(nn.Module):
    """A mixer in the place of attention: a short convolution, a selective scan, and a gate.

    ::

        x --in_proj--+--> conv (K tokens back) --> silu --> scan --> (*) --out_proj-->
                     +--> silu --------------------------------------^

    Source: Gu and Dao 2023, section 3.4 and figure 3; initial values of A, D and dt as in section 3.6 and their code.
    """

    def __init__(self, d_model: int, *, d_state: int = 16, expand: int = 2, kernel: int = 4) -> None:
        super().__init__()
        expect_positive(d_model=d_model, d_state=d_state, expand=expand, kernel=kernel)
        d_inner, self.dt_rank, self.d_state, self.kernel = expand * d_model, math.ceil(d_model / 16), d_state, kernel
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv = nn.Conv1d(d_inner, d_inner, kernel, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.a_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_inner, 1))
        self.d = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self.reset_steps()

    def reset_steps(self, low: float = 0.001, high: float = 0.1) -> None:
        """Let untrained step sizes spread over `low` .. `high`, evenly in their logarithm."""
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        with torch.no_grad():
            dt = torch.empty_like(self.dt_proj.bias).uniform_(math.log(low), math.log(high)).exp()
            self.dt_proj.bias.copy_(dt + (-(-dt).expm1()).log())  # the inverse of softplus

    def new_carry(self, batch_size: int) -> Carry:
        """An empty memory: the last K - 1 inputs of the convolution (B, K - 1, E), and the cells (B, E, N).

        The cells are sums that live long: they are kept in float32 at least.
        """
        like, d_inner = self.in_proj.weight, self.d.shape[0]
        return Carry(like.new_zeros(batch_size, self.kernel - 1, d_inner),
                     like.new_zeros(batch_size, d_inner, self.d_state, dtype=memory_dtype(like)))  # fmt: skip

    def forward(self, x: Tensor, *, carry: Carry | None = None, valid: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D); `carry` is read and extended, `valid` (B, T) marks real tokens, None: all."""
        carry = self.new_carry(len(x)) if carry is None else carry
        if not x.shape[1]:
            return torch.zeros_like(x)
        if valid is None or bool(valid.all()):
            return self._run(x, carry, None)
        order = real_first(valid)[..., None]
        y = self._run(x.gather(1, order.expand_as(x)), carry, valid.sum(dim=1))
        return y.gather(1, order.argsort(dim=1).expand_as(y))

    def _run(self, x: Tensor, carry: Carry, counts: Tensor | None) -> Tensor:
        """`forward` with all padding behind the `counts` (B,) real tokens of each row; None: no padding."""
        past, cells = carry.states
        inputs, gate = self.in_proj(x).chunk(2, dim=-1)  # (B, T, E) each
        inputs = torch.cat([past, inputs], dim=1)  # (B, K - 1 + T, E)
        u = F.silu(self.conv(inputs.transpose(1, 2)).transpose(1, 2))  # (B, T, E)
        dt, b, c = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        dt = F.softplus(self.dt_proj(dt))
        real = torch.full((len(x),), x.shape[1], device=x.device) if counts is None else counts
        if counts is not None:
            dt = dt.masked_fill(torch.arange(x.shape[1], device=x.device)[:, None] >= counts[:, None, None], 0.0)
        y, cells = selective_scan(u, dt, -self.a_log.exp(), b, c, self.d, cells)
        last = real[:, None] + torch.arange(self.kernel - 1, device=x.device)  # (B, K - 1)
        carry.states = inputs.gather(1, last[..., None].expand(-1, -1, inputs.shape[-1])), cells
        return self.out_proj(y * F.silu(gate))


class FixedParts(nn.Module):
    """Takes the place of `x_proj` in a `Mamba`: some of dt, B and C become learned constants, the same for all tokens.

    With all three fixed the layer is a linear system that does not change over time, as state space models before
    Mamba: it cannot choose what to remember.

    Args:
        proj: the projection of the layer.
        d_state: N, so that the last 2 N outputs are B and C.
        parts: those to fix, of "dt", "b", "c".

    Source: the ablation of Gu and Dao 2023, section 4.6.
    """

    def __init__(self, proj: nn.Linear, d_state: int, parts: Sequence[str]) -> None:
        super().__init__()
        for part in parts:
            expect_choice("parts", part, ("dt", "b", "c"))
        self.proj = proj
        sizes = {"dt": proj.out_features - 2 * d_state, "b": d_state, "c": d_state}
        self.register_buffer("fixed", torch.cat([torch.full((n,), name in parts) for name, n in sizes.items()]))
        self.constant = nn.Parameter(torch.cat([torch.zeros(sizes["dt"]), torch.randn(2 * d_state)]))

    def forward(self, u: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, dt_rank + 2 N)."""
        return torch.where(self.fixed, self.constant, self.proj(u))


def fix_selection(model: nn.Module, *parts: str) -> None:
    """In every Mamba layer of `model`, replace the named parts of the selection by learned constants, in place."""
    for layer in [module for module in model.modules() if isinstance(module, Mamba)]:
        layer.x_proj = FixedParts(layer.x_proj, layer.d_state, parts)
