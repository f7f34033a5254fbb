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


def test_a_decay_for_another_number_of_heads_is_refused() -> None:
    q, k, v, _ = inputs()
    wrong = retention.retention_decay(H + 1)
    with pytest.raises(ValueError, match=r"decay: expected shape \(H=3\), got \(4,\)"):
        retention.retention_parallel(q, k, v, wrong)
    with pytest.raises(ValueError, match=r"decay: expected shape \(H=3\), got \(4,\)"):
        retention.retention_step(q[:, :, :1], k[:, :, :1], v[:, :, :1], wrong, torch.zeros(B, H, DK, DV))


def test_a_layer_in_bfloat16_keeps_its_decays_and_a_wider_state() -> None:
    """255 / 256 is the slowest decay that bfloat16 can tell from 1; the heads after it would never forget."""
    layer = shake(retention.Retention(24, 6)).bfloat16()
    assert retention.retention_decay(6).bfloat16()[4:].eq(1).all()  # what a buffer would have become
    carry = layer.new_carry(1)
    with torch.no_grad():
        for _ in range(3):
            layer(normal(1, 5, 24).bfloat16(), carry=carry)
        before = carry.states[0].clone()
        layer.k_proj.weight.zero_()  # nothing is written any more
        layer(normal(1, 40, 24).bfloat16(), carry=carry)
    assert before.dtype == torch.float32
    faded = retention.retention_decay(6).float() ** 40
    assert torch.allclose(carry.states[0], before * faded[:, None, None], rtol=1e-5)


def test_very_long_texts_stay_finite() -> None:
    q, k, v = (normal(1, 1, 6000, 2, seed=seed).float() for seed in range(3))
    decay = retention.retention_decay(1)
    chunks = retention.retention_chunkwise(q, k, v, decay, chunk=500)
    assert torch.allclose(chunks, retention.retention_parallel(q, k, v, decay), rtol=0, atol=1e-3)
    powers = decay[0] ** torch.arange(6000)
    split = (q * powers[:, None].float()) @ (k / powers[:, None].float()).mT  # the mask in two factors
    assert not split.tril().isfinite().all()
