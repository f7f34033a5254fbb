"""Attention: two functions with one mathematics, heads that split and merge, and what the layer refuses."""

from __future__ import annotations

import re

import pytest
import torch
from tiny import normal, right_padded, shake
from torch import Tensor

from tftutor.attention import (
    MultiHeadAttention,
    attend,
    attend_with_weights,
    merge_heads,
    share_kv_heads,
    split_heads,
)
from tftutor.masks import causal_mask, padding_mask
from tftutor.positions import rope_rotation
from tftutor.properties import (
    attention_error,
    batch_change,
    empty_row_error,
    past_change,
    permutation_change,
    weight_error,
)
from tftutor.state import KVCache

pytestmark = pytest.mark.filterwarnings("ignore:Anomaly Detection")
B, H, T, S, DH, D = 2, 4, 3, 5, 6, 24
BOTH = {"fused": attend, "explicit": lambda *args, **named: attend_with_weights(*args, **named).heads}


def some_mask(kind: str) -> Tensor | None:
    """None; one with full rows; one with an empty row; one that differs by row and head."""
    if kind == "none":
        return None
    if kind == "per head":
        return torch.rand(B, H, T, S, generator=torch.Generator().manual_seed(0)) < 0.4
    mask = torch.ones(1, 1, T, S, dtype=torch.bool).tril(diagonal=1)
    if kind == "empty row":
        mask[:, :, 1] = False
    return mask


def inputs() -> list[Tensor]:
    return [normal(B, H, n, DH, seed=n + i).requires_grad_() for i, n in enumerate((T, S, S))]


@pytest.mark.parametrize("mask", ["none", "full rows", "empty row", "per head"])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0, 0.3])
def test_fused_equals_explicit_with_gradients(mask, has_bias, scale) -> None:
    results, gradients = [], []
    for function in BOTH.values():
        q, k, v = inputs()
        bias = normal(1, H, T, S, seed=9).requires_grad_() if has_bias else None
        heads = function(q, k, v, mask=some_mask(mask), bias=bias, scale=scale)
        (heads * normal(B, H, T, DH, seed=11)).sum().backward()
        results.append(heads)
        gradients.append([x.grad for x in (q, k, v, *([bias] if has_bias else []))])
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("has_bias", [False, True])
def test_an_empty_row_is_zero_with_zero_gradients(function, dtype, has_bias) -> None:
    q, k, v = (x.detach().to(dtype) for x in inputs())
    bias = normal(1, H, T, S).to(dtype) if has_bias else None
    with torch.autograd.detect_anomaly(check_nan=True):  # no NaN on the way either
        call = lambda *args, mask: function(*args, mask=mask, bias=bias)  # noqa: E731
        assert empty_row_error(call, q, k, v, some_mask("empty row")) == 0
        assert empty_row_error(call, q, k, v, torch.zeros(1, 1, T, S, dtype=torch.bool)) == 0


@pytest.mark.parametrize("mask", ["none", "full rows", "empty row", "per head"])
def test_weights_are_a_distribution_over_allowed_keys(mask) -> None:
    q, k, v = inputs()
    weights = attend_with_weights(q, k, v, mask=some_mask(mask)).weights
    assert weights.shape == (B, H, T, S)
    assert weight_error(weights, some_mask(mask)) <= 1e-12


def test_toys_with_fewer_axes_work() -> None:
    q, k, v = normal(T, DH), normal(S, DH, seed=1), normal(S, DH, seed=2)
    expected = (q @ k.T / DH**0.5).softmax(dim=-1) @ v
    for function in BOTH.values():
        torch.testing.assert_close(function(q, k, v), expected, rtol=0, atol=1e-12)


def test_values_may_have_their_own_width() -> None:
    q, k, v = normal(B, H, T, DH), normal(B, H, S, DH, seed=1), normal(B, H, S, 9, seed=2)
    for function in BOTH.values():
        assert function(q, k, v).shape == (B, H, T, 9)


def test_order_of_keys_does_not_matter_and_order_of_queries_only_permutes() -> None:
    q, k, v = inputs()
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(attend(q, k[:, :, order], v[:, :, order]), attend(q, k, v), rtol=0, atol=1e-12)
    assert permutation_change(shake(MultiHeadAttention(D, H)), normal(B, T, D)) <= 1e-12


@pytest.mark.parametrize("function", BOTH.values(), ids=BOTH)
def test_dropout_keeps_the_mean(function) -> None:
    torch.manual_seed(0)
    q, k, v = (x.detach() for x in inputs())
    expected = function(q, k, v)
    mean = torch.stack([function(q, k, v, dropout=0.5) for _ in range(3000)]).mean(dim=0)
    assert (mean - expected).abs().max() < 0.1
    assert (function(q, k, v, dropout=0.5) - expected).abs().max() > 0.1


@pytest.mark.parametrize("function", BOTH.values(), ids=BOTH)
def test_a_float_is_no_mask_and_a_bool_no_bias(function) -> None:
    q, k, v = inputs()
    with pytest.raises(TypeError, match="mask: expected bool"):
        function(q, k, v, mask=torch.ones(T, S).tril())
    with pytest.raises(TypeError, match="bias: expected floats"):
        function(q, k, v, bias=torch.ones(T, S, dtype=torch.bool))


def test_heads_split_and_merge() -> None:
    x = torch.arange(B * T * D).view(B, T, D)
    heads = split_heads(x, H)
    assert heads.shape == (B, H, T, DH)
    assert torch.equal(heads[:, 2], x[:, :, 2 * DH : 3 * DH])  # head h holds its own slice of the features
    assert torch.equal(merge_heads(heads), x)
    with pytest.raises(RuntimeError, match="unflatten"):
        split_heads(x, 7)


def test_shared_heads_are_neighbours_as_drawn() -> None:
    for n_kv, drawn in ((4, [0, 1, 2, 3]), (2, [0, 0, 1, 1]), (1, [0, 0, 0, 0])):
        x = torch.arange(n_kv).view(1, n_kv, 1, 1)
        assert share_kv_heads(x, 4).flatten().tolist() == drawn


@pytest.mark.parametrize("n_kv_heads", [None, 1, 2])
@pytest.mark.parametrize("d_head", [None, 5])
@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_is_its_definition(n_kv_heads, d_head, scale, bias) -> None:
    attn = shake(MultiHeadAttention(D, H, n_kv_heads=n_kv_heads, d_head=d_head, scale=scale, bias=bias))
    x, context, valid = normal(B, T, D), normal(B, S, D, seed=1), right_padded([5, 3], S)
    assert attention_error(attn, x) <= 1e-12
    assert attention_error(attn, x, context=context, mask=padding_mask(valid)) <= 1e-12
    assert attn(x).shape == (B, T, D)


def test_grouped_heads_with_equal_keys_are_full_heads() -> None:
    """GQA whose keys and values are copied to every query head is MHA."""
    grouped, full = shake(MultiHeadAttention(D, H, n_kv_heads=2)), MultiHeadAttention(D, H).double()
    weights = grouped.state_dict()
    for name in ("k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias"):
        weights[name] = weights[name].unflatten(0, (2, DH)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(weights)
    x = normal(B, T, D)
    torch.testing.assert_close(full(x), grouped(x), rtol=0, atol=1e-12)


def test_more_heads_cost_nothing_and_fewer_kv_heads_less() -> None:
    count = lambda **named: sum(p.numel() for p in MultiHeadAttention(D, **named).parameters())  # noqa: E731
    assert count(n_heads=1) == count(n_heads=4) == count(n_heads=8) == 4 * (D * D + D)
    assert count(n_heads=4, n_kv_heads=1) == 2 * (D * D + D) + 2 * (D * DH + DH)


def test_a_query_without_keys_gets_the_output_bias() -> None:
    attn, mask = shake(MultiHeadAttention(D, H)), torch.ones(1, 1, T, T, dtype=torch.bool)
    mask[:, :, 1] = False
    assert torch.equal(attn(normal(B, T, D), mask=mask)[:, 1], attn.o_proj.bias.expand(B, -1))


@pytest.mark.parametrize("observed", [False, True])
def test_causal_and_independent_of_neighbours(observed) -> None:
    attn, pos, seen = shake(MultiHeadAttention(D, H, n_kv_heads=2)), torch.arange(T), []
    if observed:
        attn.observer = seen.append
    for rotation in (None, rope_rotation(pos, DH)):
        fn = lambda x, turn=rotation: attn(x, mask=causal_mask(pos, pos), rotation=turn)  # noqa: E731
        assert past_change(fn, normal(B, T, D), 2) == 0
        assert batch_change(fn, normal(B, T, D)) <= 1e-12
    assert bool(seen) == observed


def test_attention_dropout_is_for_training() -> None:
    attn, x = shake(MultiHeadAttention(D, H, dropout=0.5)), normal(B, T, D)
    assert torch.equal(attn(x), attn(x))
    attn.train()
    assert not torch.equal(attn(x), attn(x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MultiHeadAttention(10, 3), ValueError, "d_model=10 is not divisible by n_heads=3"),
        (lambda: MultiHeadAttention(D, H, n_kv_heads=3), ValueError, "n_heads=4 is not divisible by n_kv_heads=3"),
        (lambda: MultiHeadAttention(D, H, n_kv_heads=0), ValueError, "n_heads=4 is not divisible by n_kv_heads=0"),
        (lambda: MultiHeadAttention(D, H, dropout=1.0), ValueError, "dropout: expected a probability"),
        (lambda: MultiHeadAttention(D, H)(torch.ones(B, T, 7)), ValueError,
         "x: expected shape (B, T, D=24), got (2, 3, 7)"),
        (lambda: MultiHeadAttention(D, H)(torch.ones(T, D)), ValueError, "x: expected shape (B, T, D=24), got (3, 24)"),
        (lambda: MultiHeadAttention(D, H)(torch.ones(B, T, D), mask=torch.ones(B, T, dtype=torch.bool)), ValueError,
         "mask: expected axes (B, H, T, S), got (2, 3)"),
        (lambda: MultiHeadAttention(D, H)(torch.ones(B, T, D), mask=torch.ones(1, 1, T, T)), TypeError,
         "mask: expected bool"),
        (lambda: MultiHeadAttention(D, H)(torch.ones(B, T, D), bias=torch.ones(T, T)), ValueError,
         "bias: expected axes (B, H, T, S), got (3, 3)"),
        (lambda: MultiHeadAttention(D, H)(torch.ones(B, T, D), cache=KVCache(B, H, 9, DH, like=torch.ones(1))),
         ValueError, "cache and slots: pass both or neither"),
    ],
)  # fmt: skip
def test_what_the_layer_refuses(call, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_a_cache_and_fixed_keys_exclude_each_other() -> None:
    attn, x = MultiHeadAttention(D, H), torch.ones(B, T, D)
    with pytest.raises(ValueError, match="kv and cache: pass one"):
        attn(x, kv=attn.project_kv(x), cache=KVCache(B, H, 9, DH, like=torch.ones(1)))
