"""Score functions: how well a query fits a key, in one number.

Each takes queries (B, H, T, Dh) and keys (B, H, S, Dh) and returns scores (B, H, T, S), before mask and softmax. Those
without weights are functions; those that learn something are modules with weights of their own for every head. Hand one
to `MultiHeadAttention` as `score`; without, it uses the scaled dot product on the fused path.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_positive


def dot(q: Tensor, k: Tensor) -> Tensor:
    """Dot product without a factor: its standard deviation grows like sqrt(Dh).

    Source: Luong et al. 2015, section 3.1 ("dot").
    """
    return q @ k.mT


def scaled_dot(q: Tensor, k: Tensor) -> Tensor:
    """Dot product over sqrt(Dh).

    Source: Vaswani et al. 2017, equation 1.
    """
    return dot(q, k) / math.sqrt(q.shape[-1])


def cosine(q: Tensor, k: Tensor) -> Tensor:
    """The cosine of the angle between q and k, from -1 to 1."""
    return dot(F.normalize(q, dim=-1), F.normalize(k, dim=-1))


def negative_distance(q: Tensor, k: Tensor) -> Tensor:
    """-|q - k|**2 / (2 sqrt(Dh)): the scaled dot product less half the squared lengths of q and k.

    The length of q is the same for all keys, so that softmax ignores it; the length of k is not.

    Source: Kim et al. 2021 ("L2 self-attention", there with one projection for both and without the 2).
    """
    lengths = q.square().sum(dim=-1)[..., :, None] + k.square().sum(dim=-1)[..., None, :]
    return scaled_dot(q, k) - lengths / (2 * math.sqrt(q.shape[-1]))


class Additive(nn.Module):
    """v . tanh(q + k): a hidden layer for every pair.

    The paper's W and U, which map query and key to the hidden layer, are the projections of the layer that calls this;
    the hidden layer is therefore Dh wide. It exists for all pairs at once: T * S * Dh numbers in each head.

    Source: Bahdanau et al. 2015, appendix A.1.2.
    """

    def __init__(self, n_heads: int, d_head: int) -> None:
        super().__init__()
        expect_positive(n_heads=n_heads, d_head=d_head)
        self.v = nn.Parameter(torch.empty(n_heads, d_head).uniform_(-1, 1) / math.sqrt(d_head))

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """Scores (B, H, T, S)."""
        hidden = torch.tanh(q[..., :, None, :] + k[..., None, :, :])  # (B, H, T, S, Dh)
        return (hidden @ self.v[:, None, :, None]).squeeze(-1)


class Bilinear(nn.Module):
    """q W k^T with a matrix for every head, which starts as the scaled dot product, W = I / sqrt(Dh).

    Source: Luong et al. 2015, section 3.1 ("general").
    """

    def __init__(self, n_heads: int, d_head: int) -> None:
        super().__init__()
        expect_positive(n_heads=n_heads, d_head=d_head)
        self.w = nn.Parameter(torch.eye(d_head).repeat(n_heads, 1, 1) / math.sqrt(d_head))

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """Scores (B, H, T, S)."""
        return dot(q @ self.w, k)


class Cosine(nn.Module):
    """A learned factor times the cosine of q and k. Scores cannot leave -factor .. factor, however wide the head.

    Args:
        n_heads: one factor for each.
        start: the factor before training. Henry et al. take log2(n**2 - n) with n a long sequence's length.

    Source: Henry et al. 2020 (QKNorm).
    """

    def __init__(self, n_heads: int, start: float = 10.0) -> None:
        super().__init__()
        expect_positive(n_heads=n_heads, start=start)
        self.log_factor = nn.Parameter(torch.full((n_heads, 1, 1), math.log(start)))

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """Scores (B, H, T, S)."""
        return self.log_factor.exp() * cosine(q, k)
