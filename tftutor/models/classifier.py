"""A pretrained stack with another head: one label for a whole sequence."""

from __future__ import annotations

import copy
from typing import Literal, get_args

from torch import Tensor, nn

from tftutor.checks import expect_choice, expect_positive
from tftutor.models.bert import Bert
from tftutor.models.gpt import GPT

Readout = Literal["mean", "last"]


class SequenceClassifier(nn.Module):
    """The states of a `GPT` or a `Bert`, summed up in one vector, and a new linear layer: (B, T) -> logits (B, C).

    Works on a copy of the model, whose head for predicting tokens is taken off; all weights can be trained.

    Source: Radford et al. 2018, section 3.2 (the last token's state); Devlin et al. 2019, section 3.2 (the first's).
    """

    def __init__(self, model: GPT | Bert, n_classes: int, *, readout: Readout = "mean") -> None:
        """Take `model` apart.

        Args:
            model: stays as it is.
            n_classes: C, labels to choose from.
            readout: which vector stands for the sequence: the mean over its real tokens, or the last of them.
        """
        super().__init__()
        expect_positive(n_classes=n_classes)
        expect_choice("readout", readout, get_args(Readout))
        self.readout = readout
        self.stack = copy.deepcopy(model)
        if isinstance(model, GPT):
            self.stack.unembed = nn.Identity()  # its states leave as they are
        elif isinstance(model, Bert):
            self.stack.head = nn.Identity()
        else:
            raise TypeError(f"model: expected a GPT or a Bert, got {type(model).__name__}")
        self.label = nn.Linear(model.cfg.block.d_model, n_classes)

    def forward(self, tokens: Tensor, *, valid: Tensor) -> Tensor:
        """Logits (B, C) of the labels; `valid` (B, T) marks real tokens."""
        states = self.stack(tokens, valid=valid)  # (B, T, D)
        if self.readout == "mean":
            real = valid[..., None].to(states.dtype)
            return self.label((states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1))
        last = valid.long().cumsum(dim=1).argmax(dim=1)
        return self.label(states[range(len(states)), last])
