"""What training makes small."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tftutor.checks import expect_shape

_IGNORED = -100


def sequence_loss(
    logits: Tensor, targets: Tensor, valid: Tensor, *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy summed over the real tokens, and how many there are.

    The sum, not the mean: batches and processes hold unequal numbers of tokens, so a mean of means would weigh tokens
    unequally. Divide by the number of all tokens of the step. With smoothing e, a target distribution puts 1 - e on the
    right token and spreads e evenly over all V.

    Args:
        logits: (B, T, V); the loss is computed in float32 or wider.
        targets: ids, (B, T).
        valid: bool, (B, T); True = the token counts.
        label_smoothing: e, in [0, 1).

    Returns:
        The sum in nats, and the number of tokens; both scalars.

    Source: label smoothing: Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"label_smoothing: expected a share in [0, 1), got {label_smoothing}")
    rows, length, vocab_size = logits.shape
    expect_shape("targets", targets, B=rows, T=length)
    expect_shape("valid", valid, B=rows, T=length)
    wide = logits if logits.dtype.itemsize > 4 else logits.float()
    answers = targets.masked_fill(~valid, _IGNORED)
    total = F.cross_entropy(
        wide.reshape(-1, vocab_size), answers.reshape(-1), reduction="sum",
        ignore_index=_IGNORED, label_smoothing=label_smoothing,
    )  # fmt: skip
    return total, valid.sum()
