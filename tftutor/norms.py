"""Normalisation over other axes than the features: batch norm for sequences, for the comparison with layer norm."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.checks import expect_valid
from tftutor.layers import LayerNorm, RMSNorm


def normalise(x: Tensor, over: tuple[int, ...], *, eps: float = 1e-5) -> Tensor:
    """Subtract the mean and divide by the standard deviation of all numbers that differ only on the axes `over`.

    For x (B, T, D): `(-1,)` is layer norm, `(1, 2)` layer norm of a whole sample, `(0, 1)` batch norm for sequences.

    Example:
        >>> normalise(torch.tensor([[1.0, 3.0], [10.0, 30.0]]), (-1,))
        tensor([[-1.0000,  1.0000],
                [-1.0000,  1.0000]])
    """
    variance, mean = torch.var_mean(x, dim=over, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


class SequenceBatchNorm(nn.Module):
    """Batch norm of token vectors: each feature gets mean 0 and variance 1 over all tokens of the batch.

    In training the statistics are those of the batch, and running averages of them are kept; in evaluation the
    running averages are used instead. Equal to `nn.BatchNorm1d` with the tokens of all rows as its rows; in addition
    `valid` may keep padding out of the statistics.

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.eps = eps
        self.momentum = momentum  # share of the newest batch in the running averages
        self.register_buffer("running_mean", torch.zeros(d_model))
        self.register_buffer("running_var", torch.ones(d_model))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D); `valid` (B, T) marks the tokens that count in the statistics, None: all."""
        if x.ndim != 3:
            raise ValueError(f"x: expected three axes (B, T, D), got shape {tuple(x.shape)}")
        variance, mean = self._batch_statistics(x, valid) if self.training else (self.running_var, self.running_mean)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias

    def _batch_statistics(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Variance and mean of each feature, (D,) and (D,); the running averages move towards them."""
        expect_valid("valid", valid, x[..., 0])
        rows = x.flatten(0, 1) if valid is None else x[valid]  # (B * T, D), or fewer
        n = len(rows)
        if n < 2:
            raise ValueError(f"x: expected at least 2 tokens to take statistics of, got {n}; in evaluation call eval()")
        variance, mean = torch.var_mean(rows, dim=0, correction=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)  # unbiased, as torch keeps it
        return variance, mean


def swap_norms(model: nn.Module, make: Callable[[int], nn.Module]) -> nn.Module:
    """Replace every norm of a model, in place, by `make(d_model)`; gives the model back.

    Example:
        >>> swap_norms(GPT(small_config()), SequenceBatchNorm)
    """
    for name, module in list(model.named_children()):
        if isinstance(module, LayerNorm | RMSNorm):
            setattr(model, name, make(len(module.weight)).to(module.weight))
        else:
            swap_norms(module, make)
    return model
