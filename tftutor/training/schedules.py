"""Learning rates as functions of the step, counted from 1."""

from __future__ import annotations

import math
from collections.abc import Sequence


def warmup_cosine(step: int, *, peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0) -> float:
    """Rise in a straight line to `peak` over `warmup_steps`, then fall along half a cosine to `floor` at the end.

    Args:
        step: 1 for the first update, `total_steps` for the last.
        peak: the largest learning rate.
        warmup_steps: steps until the peak; 0: begin at the peak. Of a run shorter than that, the peak is its end.
        total_steps: length of the run.
        floor: the last learning rate.

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts.
    """
    _expect_step(step)
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return floor + (peak - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def cosine_cycles(step: int, *, peak: float, warmup_steps: int, ends: Sequence[int], floor: float = 0.0) -> float:
    """`warmup_cosine` again and again: a run of several cycles, of which a later one starts from what is learned.

    Args:
        step: 1 for the first update, the last of `ends` for the last.
        peak: the largest learning rate of every cycle.
        warmup_steps: of every cycle.
        ends: the last step of each cycle, rising.
        floor: the last learning rate of every cycle.

    Source: Loshchilov and Hutter 2017, "SGDR", section 3 (there without warm-up).
    """
    _expect_step(step)
    begin = max((end for end in ends[:-1] if end < step), default=0)
    end = min((end for end in ends if end >= step), default=ends[-1])
    return warmup_cosine(step - begin, peak=peak, warmup_steps=warmup_steps, total_steps=end - begin, floor=floor)


def inverse_square_root(step: int, *, d_model: int, warmup_steps: int = 4000) -> float:
    """The schedule of the 2017 paper: d_model ** -0.5 * min(step ** -0.5, step * warmup_steps ** -1.5).

    Source: Vaswani et al. 2017, equation 3.
    """
    _expect_step(step)
    return d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


def _expect_step(step: int) -> None:
    if step < 1:
        raise ValueError(f"step: expected at least 1, the first update, got {step}")
