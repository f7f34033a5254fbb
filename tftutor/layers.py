"""The layers around attention: norms and feed-forward layers, each applied to every position alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_probability
from tftutor.config import BlockConfig


class Dropout(nn.Module):
    """In training, zero each feature with probability p and divide the rest by 1 - p; otherwise do nothing.

    `nn.Dropout` with p rounded to a multiple of 1/256, because eight features then share one 64-bit random number: on a
    CPU those are drawn one after the other, and drawing one per feature takes a sixth of a training step.

    Source: Srivastava et al. 2014, section 4.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        expect_probability(p=p)
        self.n_zero = min(round(256 * p), 255)  # of 256 equally likely bytes, those that zero a feature

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        if not self.training or not self.n_zero:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        random_bytes = words.random_(torch.iinfo(torch.int64).min, None).view(torch.uint8)
        keep = random_bytes[: x.numel()].view(x.shape) >= self.n_zero
        return x * keep * (256 / (256 - self.n_zero))


class LayerNorm(nn.Module):
    """Give each vector mean 0 and variance 1, then scale and shift each feature by learned amounts.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last axis only: no token sees another.

    Source: Ba et al. 2016, section 3; the variance is the biased one, eps stands inside the root.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Give each vector root mean square 1, then scale each feature: no mean, no shift.

    y = x / sqrt(mean(x ** 2) + eps) * weight.

    Source: Zhang and Sennrich 2019, equation 4.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class FeedForward(nn.Module):
    """Two projections with an activation between: down(act(up(x))).

    Source: Vaswani et al. 2017, equation 2 (ReLU); GELU: Hendrycks and Gimpel 2016, exact or by tanh.
    """

    def __init__(self, cfg: BlockConfig) -> None:
        super().__init__()
        self.up_proj = nn.Linear(cfg.d_model, cfg.d_ff, bias=cfg.bias)
        self.down_proj = nn.Linear(cfg.d_ff, cfg.d_model, bias=cfg.bias)
        self.activation = {"relu": nn.ReLU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU(approximate="tanh")}[
            cfg.activation
        ]

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.down_proj(self.activation(self.up_proj(x)))


class GatedFeedForward(nn.Module):
    """A feed-forward layer whose hidden features are multiplied by a gate: down(act(gate(x)) * up(x)).

    Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (SwiGLU, GEGLU).
    """

    def __init__(self, cfg: BlockConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(cfg.d_model, cfg.d_ff, bias=cfg.bias)
        self.up_proj = nn.Linear(cfg.d_model, cfg.d_ff, bias=cfg.bias)
        self.down_proj = nn.Linear(cfg.d_ff, cfg.d_model, bias=cfg.bias)
        self.activation = {"swiglu": nn.SiLU(), "geglu": nn.GELU(approximate="tanh")}[cfg.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


def build_norm(cfg: BlockConfig) -> LayerNorm | RMSNorm:
    """The norm that `cfg.norm` names."""
    norm = LayerNorm if cfg.norm == "layer" else RMSNorm
    return norm(cfg.d_model, eps=cfg.norm_eps)


def build_ffn(cfg: BlockConfig) -> FeedForward | GatedFeedForward:
    """The feed-forward layer that `cfg.activation` names."""
    return GatedFeedForward(cfg) if cfg.activation in ("swiglu", "geglu") else FeedForward(cfg)
