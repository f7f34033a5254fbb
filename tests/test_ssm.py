"""Selective state spaces: scans agree, padding is skipped, and the layer is Hugging Face's Mamba."""

from __future__ import annotations

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import FLOAT32, Measure
from tiny import normal, shake
from transformers.models.mamba.modeling_mamba import MambaMixer

from tftutor import ssm

B, T, E, N, D = 2, 9, 5, 3, 12
EXACT = 1e-12


@settings(deadline=None)
@given(length=st.integers(0, 40))
def test_the_parallel_scan_is_the_sequential_one(length) -> None:
    keep, add, state = normal(B, length, E).sigmoid(), normal(B, length, E, seed=1), normal(B, E, seed=2)
    wanted = ssm.scan_sequential(keep, add, state)
    assert torch.allclose(ssm.scan_parallel(keep, add, state), wanted, rtol=0, atol=EXACT)


def test_a_scan_that_forgets_its_first_state_is_found_out() -> None:
    keep, add, state = normal(B, 4, E).sigmoid(), normal(B, 4, E, seed=1), normal(B, E, seed=2)
    wrong = ssm.scan_parallel(keep, add, torch.zeros_like(state))
    assert not torch.allclose(wrong, ssm.scan_sequential(keep, add, state))


@given(chunk=st.integers(1, 12))
def test_the_selective_scan_is_its_definition(chunk) -> None:
    u, dt, a = normal(B, T, E), normal(B, T, E, seed=1).abs(), -normal(E, N, seed=2).abs()
    b, c, d, state = normal(B, T, N, seed=3), normal(B, T, N, seed=4), normal(E, seed=5), normal(B, E, N, seed=6)
    y, last = ssm.selective_scan(u, dt, a, b, c, d, state, chunk=chunk)
    h = state.clone()
    for t in range(T):
        for e in range(E):
            for n in range(N):
                h[:, e, n] = (dt[:, t, e] * a[e, n]).exp() * h[:, e, n] + dt[:, t, e] * b[:, t, n] * u[:, t, e]
        wanted = (h * c[:, t, None]).sum(-1) + d * u[:, t]
        assert torch.allclose(y[:, t], wanted, rtol=0, atol=EXACT)
    assert torch.allclose(last, h, rtol=0, atol=EXACT)


def test_a_step_of_size_zero_changes_nothing_and_a_large_one_forgets() -> None:
    state, a = normal(1, E, N), -torch.ones(E, N, dtype=torch.float64)
    rest = (normal(1, 1, N), normal(1, 1, N), torch.zeros(E, dtype=torch.float64))
    u = normal(1, 1, E)
    _, same = ssm.selective_scan(u, torch.zeros(1, 1, E, dtype=u.dtype), a, *rest, state)
    assert torch.equal(same, state)
    _, gone = ssm.selective_scan(torch.zeros_like(u), torch.full_like(u, 50.0), a, *rest, state)
    assert gone.abs().max() < 1e-20


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_the_layer_reads_ragged_pieces_as_each_row_alone(data) -> None:
    layer = shake(ssm.Mamba(D, d_state=N, kernel=4))
    x = normal(B, T, D)
    wanted = layer(x)
    carry, seen, ours = layer.new_carry(B), [0] * B, torch.zeros_like(wanted)
    for width in data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)):
        valid = torch.zeros(B, width, dtype=torch.bool)
        piece, where = torch.zeros(B, width, D, dtype=x.dtype), {}
        for b in range(B):
            for t in range(width):
                if seen[b] < T and data.draw(st.booleans()):
                    valid[b, t], piece[b, t], where[b, t] = True, x[b, seen[b]], seen[b]
                    seen[b] += 1
        out = layer(piece, carry=carry, valid=valid)
        for (b, t), place in where.items():
            ours[b, place] = out[b, t]
    for b in range(B):
        assert torch.allclose(ours[b, : seen[b]], wanted[b, : seen[b]], rtol=0, atol=EXACT)


@pytest.mark.parametrize("padded", [False, True])
def test_the_layer_is_the_mixer_of_transformers(padded, record_property) -> None:
    config = transformers.MambaConfig(hidden_size=D, state_size=N, num_hidden_layers=1, conv_kernel=4, expand=2,
                                      time_step_rank=1, use_mambapy=False)  # fmt: skip
    theirs = shake(MambaMixer(config, layer_idx=0)).float()
    ours = ssm.Mamba(D, d_state=N)
    with torch.no_grad():
        for mine, other in (
            (ours.in_proj.weight, theirs.in_proj.weight), (ours.conv.weight, theirs.conv1d.weight),
            (ours.conv.bias, theirs.conv1d.bias), (ours.x_proj.weight, theirs.x_proj.weight),
            (ours.dt_proj.weight, theirs.dt_proj.weight), (ours.dt_proj.bias, theirs.dt_proj.bias),
            (ours.a_log, theirs.A_log), (ours.d, theirs.D), (ours.out_proj.weight, theirs.out_proj.weight),
        ):  # fmt: skip
            mine.copy_(other)
    x = normal(B, T, D).float()
    valid = torch.ones(B, T, dtype=torch.bool)
    if padded:
        valid[1, :4] = False  # on the left, as they generate
    wanted = theirs(x, attention_mask=valid.long() if padded else None)
    Measure(record_property)("outputs", ours(x, valid=valid)[valid], wanted[valid], FLOAT32)


def test_untrained_step_sizes_lie_in_their_range() -> None:
    dt = torch.nn.functional.softplus(ssm.Mamba(64).dt_proj.bias.detach())
    assert 0.0009 < dt.min() < 0.003
    assert 0.03 < dt.max() < 0.11


@pytest.mark.parametrize("parts", [("dt",), ("b", "c"), ("dt", "b", "c")])
def test_what_is_fixed_no_longer_depends_on_the_token(parts) -> None:
    layer = torch.nn.Sequential(shake(ssm.Mamba(D, d_state=N)))
    before = layer[0].x_proj
    u = normal(B, T, before.in_features)
    ssm.fix_selection(layer, *parts)
    wanted, got = (part.split([layer[0].dt_rank, N, N], dim=-1) for part in (before(u), layer[0].x_proj(u)))
    for name, old, new in zip(("dt", "b", "c"), wanted, got, strict=True):
        constant = bool((new == new[:1, :1]).all())
        assert constant == (name in parts)
        assert torch.equal(old, new) == (name not in parts)
    assert layer(normal(B, T, D)).shape == (B, T, D)


def test_a_layer_with_all_fixed_is_linear_and_the_same_at_all_times() -> None:
    """The scan of such a layer, without convolution and gates, gives for a sum of inputs the sum of the outputs."""
    u, v, a = normal(B, T, E), normal(B, T, E, seed=1), -normal(E, N, seed=2).abs()
    rest = (normal(E, seed=5), torch.zeros(B, E, N, dtype=torch.float64))

    def outputs(x: torch.Tensor, chosen_by: torch.Tensor) -> torch.Tensor:
        dt = torch.nn.functional.softplus(chosen_by)
        b, c = chosen_by[..., :1].expand(-1, -1, N), chosen_by[..., 1:2].expand(-1, -1, N)
        return ssm.selective_scan(x, dt, a, b, c, *rest)[0]

    fixed = torch.ones_like(u)
    assert torch.allclose(outputs(u, fixed) + outputs(v, fixed), outputs(u + v, fixed), rtol=0, atol=EXACT)
    assert not torch.allclose(outputs(u, u) + outputs(v, v), outputs(u + v, u + v), rtol=0, atol=1e-3)


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match="parts: expected one of 'dt', 'b', 'c', got 'a'"):
        ssm.fix_selection(ssm.Mamba(8), "a")


def test_nothing_read_changes_nothing() -> None:
    layer = shake(ssm.Mamba(D, d_state=N))
    carry = layer.new_carry(B)
    layer(normal(B, 5, D), carry=carry)
    before = carry.states
    assert layer(normal(B, 0, D), carry=carry).shape == (B, 0, D)
    assert carry.states is before
    y, state = ssm.selective_scan(*(torch.zeros(B, 0, E),) * 2, -torch.ones(E, N), *(torch.zeros(B, 0, N),) * 2,
                                  torch.ones(E), torch.ones(B, E, N))  # fmt: skip
    assert y.shape == (B, 0, E)
    assert torch.equal(state, torch.ones(B, E, N))


def test_cells_are_float32_in_a_bfloat16_layer() -> None:
    """1,000 equal tokens that are all kept: a sum in bfloat16 stops growing at 256."""
    layer = ssm.Mamba(D, d_state=N).bfloat16()
    assert [x.dtype for x in layer.new_carry(1).states] == [torch.bfloat16, torch.float32]
    ones = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    kept_all = torch.zeros(1, 1)  # a = 0: nothing is forgotten
    rest = (ones, ones, kept_all, ones, ones, torch.zeros(1))
    y, state = ssm.selective_scan(*rest, torch.zeros(1, 1, 1))
    assert (float(state), y.dtype) == (1000.0, torch.bfloat16)
    assert float(ssm.selective_scan(*rest, torch.zeros(1, 1, 1, dtype=torch.bfloat16), chunk=1)[1]) == 256.0
