"""RoPE for texts longer than those of training: turn more slowly, so that angles stay near those that were learned.

Let s be the factor by which texts grow. All methods change the frequencies, radians per position, of the pairs:

- linear (position interpolation, Chen et al. 2023): every pair turns s times more slowly;
- ntk ("NTK-aware", a change of base): the fastest pair as before, the slowest s times more slowly;
- dynamic: ntk with the s that the text at hand needs, so that short texts are read as in training;
- yarn (Peng et al. 2023): pairs that complete many turns in a training text as before, those that do not complete one
  s times more slowly, a ramp between; and all scores times (0.1 ln s + 1) ** 2.

Some go well without further training, some need a little; none makes a model use what it never learned to use.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tftutor.checks import expect_choice, expect_positive
from tftutor.positions import PositionInputs, RotaryPositions, Rotation, frequencies, rotation_at

METHODS = ("linear", "ntk", "dynamic", "yarn")


def ntk_base(base: float, factor: float, d_head: int) -> float:
    """The base with which the slowest pair turns `factor` times more slowly and the fastest as before.

    Example:
        >>> round(ntk_base(10_000, 8, 128))
        82685

    Source: the exponent d / (d - 2) as in Peng et al. 2023, "YaRN", section 3.1 (there for the "NTK-aware" method).
    """
    return base * factor ** (d_head / (d_head - 2))


def dynamic_base(base: float, factor: float, d_head: int, *, length: int | Tensor, trained: int) -> float | Tensor:
    """`ntk_base` with a factor that grows with the text: 1 up to `trained` tokens, then more and more.

    The factor is (factor * length / trained) - (factor - 1), as in published code.
    """
    longer = torch.as_tensor(length, dtype=torch.float64).clamp(min=trained) / trained
    return base * (factor * longer - (factor - 1)) ** (d_head / (d_head - 2))


def yarn_frequencies(
    d_head: int, base: float, factor: float, *, trained: int, beta_fast: float = 32.0, beta_slow: float = 1.0
) -> Tensor:
    """YaRN, (d_head / 2,): as before above `beta_fast` turns per text of training, slower below `beta_slow`.

    Source: Peng et al. 2023, section 3.2; the ends of the ramp are rounded to whole pairs, as in published code.
    """
    speed = frequencies(d_head, base)

    def pair_with(turns: float) -> float:
        """The (fractional) number of the pair that completes so many turns in `trained` tokens."""
        return d_head * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(pair_with(beta_fast)), 0), min(math.ceil(pair_with(beta_slow)), d_head - 1)
    slowed = ((torch.arange(d_head // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    return speed * (1 - slowed) + speed / factor * slowed


def yarn_temperature(factor: float) -> float:
    """The number by which queries and keys are multiplied, each: 0.1 ln(factor) + 1.

    Source: Peng et al. 2023, equation for 1 / sqrt(t) in section 3.3.
    """
    return 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


class ScaledRotaryPositions(RotaryPositions):
    """RoPE with one of `METHODS`; put it into a trained model's place: `model.positions = ScaledRotaryPositions(...)`.

    Args:
        d_head: width of a head.
        method: "linear", "ntk", "dynamic" or "yarn".
        factor: how much longer the texts are than those of training.
        trained: tokens of a training text.
        base, layout: as in training.

    Keys in an ordinary cache were rotated when they came. With "dynamic" the frequencies change as the text grows, and
    those keys are then out of date: decode with a `SlidingState` large enough, which rotates keys when they are read.
    """

    def __init__(
        self, d_head: int, *, method: str, factor: float, trained: int, base: float = 10_000.0, layout: str = "halves"
    ) -> None:
        super().__init__(d_head, base=base, layout=layout)
        expect_choice("method", method, METHODS)
        expect_positive(factor=factor, trained=trained)
        self.method = method
        self.factor = factor
        self.trained = trained

    def inputs(self, query_pos: Tensor, key_pos: Tensor) -> PositionInputs:
        """The rotation of the queries; new keys stand at the same positions."""
        turn = rotation_at(query_pos, self.speed(key_pos), layout=self.layout)
        if self.method == "yarn":
            size = yarn_temperature(self.factor)
            turn = Rotation(turn.cos * size, turn.sin * size, turn.layout)
        return PositionInputs(rotation=turn)

    def speed(self, key_pos: Tensor) -> Tensor:
        """Radians per position, (Dh / 2,) or, where it depends on the length of each row, (B, Dh / 2)."""
        where = key_pos.device
        if self.method == "linear":
            return frequencies(self.d_head, self.base, device=where) / self.factor
        if self.method == "ntk":
            return frequencies(self.d_head, ntk_base(self.base, self.factor, self.d_head), device=where)
        if self.method == "yarn":
            return yarn_frequencies(self.d_head, self.base, self.factor, trained=self.trained).to(where)
        length = key_pos.amax(dim=-1, keepdim=True) + 1  # (1,) or (B, 1)
        base = dynamic_base(self.base, self.factor, self.d_head, length=length, trained=self.trained)
        return frequencies(self.d_head, base, device=where)
