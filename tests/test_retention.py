"""Retention: three forms, one result; padding anywhere, continuation in any pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import normal, shake
from torch import Tensor

from tftutor import retention
from tftutor.positions import rope_rotation

B, H, T, DK, DV = 2, 3, 11, 4, 5
EXACT = 1e-12


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return normal(B, H, T, DK), normal(B, H, T, DK, seed=1), normal(B, H, T, DV, seed=2), retention.retention_decay(H)


def by_definition(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    for h in range(H):
        for i in range(T):
            for j in range(i + 1):
                out[:, h, i] += decay[h] ** (i - j) * (q[:, h, i] * k[:, h, j]).sum(-1, keepdim=True) * v[:, h, j]
    return out


def test_the_parallel_form_is_the_definition() -> None:
    assert torch.allclose(retention.retention_parallel(*inputs()), by_definition(*inputs()), rtol=0, atol=EXACT)


def test_the_recurrent_form_is_the_parallel_one() -> None:
    q, k, v, decay = inputs()
    state, outputs = torch.zeros(B, H, DK, DV, dtype=q.dtype), []
    for t in range(T):
        out, state = retention.retention_step(*(x[:, :, t : t + 1] for x in (q, k, v)), decay, state)
        outputs.append(out)
    wanted = retention.retention_parallel(q, k, v, decay)
    assert torch.allclose(torch.cat(outputs, dim=2), wanted, rtol=0, atol=EXACT)


@given(chunk=st.integers(1, 14))
def test_the_chunkwise_form_is_the_parallel_one(chunk) -> None:
    wanted = retention.retention_parallel(*inputs())
    assert torch.allclose(retention.retention_chunkwise(*inputs(), chunk=chunk), wanted, rtol=0, atol=EXACT)


def test_reading_before_writing_is_found_out() -> None:
    """A wrong recurrence: the output is read from the state before the token is in it."""
    q, k, v, decay = inputs()
    state = torch.zeros(B, H, DK, DV, dtype=q.dtype)
    first = q[:, :, :1] @ state
    assert not torch.allclose(first, retention.retention_parallel(q, k, v, decay)[:, :, :1])


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_the_layer_reads_ragged_pieces_as_each_row_alone(data) -> None:
    layer = shake(retention.Retention(12, 3))
    x = normal(B, T, 12)
    wanted = layer(x, rotation=rope_rotation(torch.arange(T), 4))
    carry, seen, ours = layer.new_carry(B), [0] * B, torch.zeros_like(wanted)
    for width in data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)):
        piece, pos = torch.zeros(B, width, 12, dtype=x.dtype), torch.full((B, width), -1)
        for b in range(B):
            for t in range(width):
                if seen[b] < T and data.draw(st.booleans()):
                    piece[b, t], pos[b, t] = x[b, seen[b]], seen[b]
                    seen[b] += 1
        out = layer(piece, rotation=rope_rotation(pos, 4), carry=carry, valid=pos >= 0)
        for b, t in (pos >= 0).nonzero().tolist():
            ours[b, pos[b, t]] = out[b, t]
    for b in range(B):
        assert torch.allclose(ours[b, : seen[b]], wanted[b, : seen[b]], rtol=0, atol=EXACT)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="d_model=10 is not divisible by n_heads=3"):
        retention.Retention(10, 3)
