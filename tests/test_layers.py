"""Norms, feed-forward layers and dropout against their formulas; every position on its own."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import normal, shake
from torch import Tensor

from tftutor.config import BlockConfig
from tftutor.layers import (
    Dropout,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    RMSNorm,
    build_ffn,
    build_norm,
)
from tftutor.properties import batch_change, past_change, permutation_change

B, T, D, F = 2, 5, 12, 7
ACTIVATIONS = {
    "relu": lambda x: x.clamp(min=0),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "swiglu": lambda x: x / (1 + torch.exp(-x)),
    "geglu": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}


def config(**changes: object) -> BlockConfig:
    return BlockConfig(**(dict(d_model=D, n_heads=3, d_ff=F) | changes))


def linear(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def test_layer_norm_is_its_formula() -> None:
    norm, x = shake(LayerNorm(D, eps=0.1)), normal(B, T, D)
    mean = x.sum(dim=-1, keepdim=True) / D
    variance = ((x - mean) ** 2).sum(dim=-1, keepdim=True) / D
    expected = (x - mean) / torch.sqrt(variance + 0.1) * norm.weight + norm.bias
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-12)


def test_rms_norm_is_its_formula() -> None:
    norm, x = shake(RMSNorm(D, eps=0.1)), normal(B, T, D)
    expected = x / torch.sqrt((x**2).sum(dim=-1, keepdim=True) / D + 0.1) * norm.weight
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-12)


def test_what_norms_ignore() -> None:
    x = normal(B, T, D) * 100
    layer, rms = LayerNorm(D, eps=1e-12).double(), RMSNorm(D, eps=1e-12).double()
    torch.testing.assert_close(layer(3 * x + 7), layer(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(rms(3 * x), rms(x), rtol=0, atol=1e-10)
    assert (rms(x + 7) - rms(x)).abs().max() > 1e-3  # RMSNorm keeps the mean


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_feed_forward_is_its_formula(activation, bias) -> None:
    ffn, x = shake(FeedForward(config(activation=activation, bias=bias))), normal(B, T, D)
    expected = linear(ACTIVATIONS[activation](linear(x, ffn.up_proj)), ffn.down_proj)
    torch.testing.assert_close(ffn(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ["swiglu", "geglu"])
@pytest.mark.parametrize("bias", [True, False])
def test_gated_feed_forward_is_its_formula(activation, bias) -> None:
    ffn, x = shake(GatedFeedForward(config(activation=activation, bias=bias))), normal(B, T, D)
    gate = ACTIVATIONS[activation](linear(x, ffn.gate_proj))
    expected = linear(gate * linear(x, ffn.up_proj), ffn.down_proj)
    torch.testing.assert_close(ffn(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_the_config_decides(activation, norm) -> None:
    cfg = config(activation=activation, norm=norm)
    assert isinstance(build_norm(cfg), LayerNorm if norm == "layer" else RMSNorm)
    assert isinstance(build_ffn(cfg), GatedFeedForward if activation.endswith("glu") else FeedForward)


@pytest.mark.parametrize(
    "layer", [LayerNorm(D), RMSNorm(D), build_ffn(config()), build_ffn(config(activation="geglu"))]
)
def test_every_position_is_on_its_own(layer) -> None:
    layer, x = shake(layer), normal(B, T, D)
    assert past_change(layer, x, 2) == 0
    assert past_change(lambda x: layer(x.flip(1)).flip(1), x, 2) == 0  # nor does the past change the future
    assert permutation_change(layer, x) <= 1e-14
    assert batch_change(layer, x) <= 1e-14


def test_dropout_zeroes_a_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    n, dropout = 1_000_003, Dropout(0.25)
    x = dropout(torch.ones(n))
    assert set(x.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (x == 0).double().mean().item() == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / n))
    apart = (x[:-8] == 0) & (x[8:] == 0)  # features that share a random number are independent all the same
    assert apart.double().mean().item() == pytest.approx(0.25**2, abs=0.002)
    near = (x[:-1] == 0) & (x[1:] == 0)
    assert near.double().mean().item() == pytest.approx(0.25**2, abs=0.002)


def test_dropout_draws_anew_and_from_the_seed() -> None:
    dropout, x = Dropout(0.5), torch.ones(3, 5, 7)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_dropout_is_for_training_and_off_at_zero() -> None:
    x = torch.ones(3, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_gradient_of_dropout_is_its_mask() -> None:
    x = torch.ones(4, 9, requires_grad=True)
    out = Dropout(0.5)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 7)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dropout_takes_any_shape_and_dtype(shape, dtype) -> None:
    out = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert (out.shape, out.dtype) == (shape, dtype)


@pytest.mark.parametrize("p", [0.997, 0.9999])
def test_extreme_dropout_is_finite(p) -> None:
    assert Dropout(p)(torch.ones(1000)).isfinite().all()


def test_dropout_refuses_certainty() -> None:
    with pytest.raises(ValueError, match=r"p: expected a probability in \[0, 1\), got 1"):
        Dropout(1.0)
