"""A running average of the weights, which is better than the last weights and is what we ship."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average of a model's weights: average = d * average + (1 - d) * weights at each step.

    The decay d grows from 0.18 to `decay` over the first steps, so that the random beginning is forgotten quickly.

    Args:
        model: the model that is trained.
        decay: d in the long run; the average looks back about 1 / (1 - d) steps.

    Source: Polyak and Juditsky 1992 (averaging); d = min(decay, (1 + n) / (10 + n)) as in TensorFlow's
    ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected a share in [0, 1), got {decay}")
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._pairs = list(zip(self.model.parameters(), model.parameters(), strict=True))
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    def update(self, step: int) -> None:
        """Take in the weights after update number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            averages, weights = ([pair[i] for pair in self._pairs] for i in (0, 1))
            torch._foreach_lerp_(averages, weights, 1.0 - decay)
            for average, buffer in self._buffers:
                average.copy_(buffer)
