"""How a model knows where its tokens are: added to embeddings, rotating queries and keys, or biasing scores.

Every scheme has the same two methods. `embed(x, query_pos)` may add to the embeddings; `inputs(query_pos,
key_pos)` may hand every attention layer a `rotation` or a `bias`. Positions are integers, (T,) or (B, T); -1
marks padding, whose position does not matter because nobody attends to it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tftutor.checks import expect_choice
from tftutor.config import StackConfig


class Rotation(NamedTuple):
    """Cosines and sines of RoPE's angles, and which features form a pair."""

    cos: Tensor  # (T, Dh / 2) or (B, 1, T, Dh / 2)
    sin: Tensor
    layout: str = "halves"


class PositionInputs(NamedTuple):
    """What a position scheme hands to every attention layer of a stack."""

    bias: Tensor | None = None  # (1 or B, H, T, S)
    rotation: Rotation | None = None
    key_rotation: Rotation | None = None  # of all cached keys, where they are cached before rotation


class PositionScheme(nn.Module):
    """No positions: the base class, and a scheme of its own ("NoPE")."""

    def embed(self, x: Tensor, query_pos: Tensor) -> Tensor:
        """The token embeddings x (B, T, D), with positions added if the scheme adds them."""
        return x

    def inputs(self, query_pos: Tensor, key_pos: Tensor) -> PositionInputs:
        """What attention needs to know about queries at `query_pos` and keys at `key_pos`."""
        return PositionInputs()


def sinusoids(positions: Tensor, d_model: int) -> Tensor:
    """Sines in the even features and cosines in the odd ones: (..., T) -> (..., T, D), float64.

    PE[p, 2i] = sin(p / 10000 ** (2i / D)), PE[p, 2i + 1] = cos(the same angle).

    Example:
        >>> sinusoids(torch.arange(3), 4).round(decimals=2)
        tensor([[ 0.0000,  1.0000,  0.0000,  1.0000],
                [ 0.8400,  0.5400,  0.0100,  1.0000],
                [ 0.9100, -0.4200,  0.0200,  1.0000]], dtype=torch.float64)

    Source: Vaswani et al. 2017, section 3.5.
    """
    angle = positions[..., None] * frequencies(d_model, device=positions.device)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def frequencies(width: int, base: float | Tensor = 10_000.0, *, device: torch.device | None = None) -> Tensor:
    """Radians per position of each pair of features, (..., width / 2), float64: base ** (-2i / width).

    `base` may be a tensor (..., 1), one number for each row of a batch.
    """
    return base ** -(torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)


class SinusoidalPositions(PositionScheme):
    """Fixed sines and cosines added to the embeddings; nothing to learn."""

    def embed(self, x: Tensor, query_pos: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return x + sinusoids(query_pos, x.shape[-1]).to(x.dtype)


class LearnedPositions(PositionScheme):
    """A trained vector per position, added to the embeddings; positions beyond the table do not exist."""

    def __init__(self, max_len: int, d_model: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max_len, d_model)

    def embed(self, x: Tensor, query_pos: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return x + self.table(query_pos.clamp(min=0))


def t5_buckets(offset: Tensor, *, n_buckets: int = 32, max_distance: int = 128, bidirectional: bool) -> Tensor:
    """Bucket of each offset (key position minus query position), a long tensor of the same shape.

    Half of the buckets hold one distance each, the other half distances that grow by a constant factor up to
    `max_distance`; everything farther shares the last one. A bidirectional stack uses half of all buckets for keys
    behind the query and half for keys ahead; a causal one spends none on keys ahead.

    Example:
        >>> t5_buckets(torch.tensor([0, -1, -7, -8, -15, -1000]), n_buckets=16, max_distance=64, bidirectional=False)
        tensor([ 0,  1,  7,  8, 10, 15])

    Source: Raffel et al. 2020, section 2.1.
    """
    side = torch.zeros_like(offset)
    if bidirectional:
        n_buckets //= 2
        side = (offset > 0).long() * n_buckets
        distance = offset.abs()
    else:
        distance = (-offset).clamp(min=0)
    exact = n_buckets // 2
    # float32, as T5's own tables: the boundaries of the wide buckets depend on it.
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    wide = (exact + (growth * (n_buckets - exact)).long()).clamp(max=n_buckets - 1)
    return side + torch.where(distance < exact, distance, wide)


class T5RelativeBias(PositionScheme):
    """One learned number per head and distance bucket, added to the scores."""

    def __init__(self, n_heads: int, *, n_buckets: int, max_distance: int, bidirectional: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(n_buckets, n_heads)
        self.max_distance = max_distance
        self.bidirectional = bidirectional

    def inputs(self, query_pos: Tensor, key_pos: Tensor) -> PositionInputs:
        """A bias (1 or B, H, T, S)."""
        buckets = t5_buckets(
            _offsets(query_pos, key_pos),
            n_buckets=self.table.num_embeddings,
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        return PositionInputs(bias=self.table(buckets).movedim(-1, 1))


def alibi_slopes(n_heads: int) -> Tensor:
    """Slopes of ALiBi's heads, (H,), float64.

    For H a power of two: 2 ** (-8 h / H), h = 1..H. Otherwise the slopes of the next lower power of two, then every
    other slope of the next higher one.

    Example:
        >>> alibi_slopes(4)
        tensor([0.2500, 0.0625, 0.0156, 0.0039], dtype=torch.float64)

    Source: Press et al. 2022, section 3 (powers of two); the rest as in their published code.
    """
    power = 2 ** math.floor(math.log2(n_heads))
    slopes = 2.0 ** (-8.0 * torch.arange(1, power + 1, dtype=torch.float64) / power)
    if power == n_heads:
        return slopes
    return torch.cat([slopes, alibi_slopes(2 * power)[0::2][: n_heads - power]])


class AlibiPositions(PositionScheme):
    """ALiBi: scores fall by slope * distance; each head has its own fixed slope."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", alibi_slopes(n_heads).float(), persistent=False)

    def inputs(self, query_pos: Tensor, key_pos: Tensor) -> PositionInputs:
        """A bias (1 or B, H, T, S)."""
        distance = _offsets(query_pos, key_pos).abs()
        return PositionInputs(bias=-self.slopes.view(1, -1, 1, 1) * distance[:, None])


def _offsets(query_pos: Tensor, key_pos: Tensor) -> Tensor:
    """Key position minus query position, (1 or B, T, S)."""
    offset = key_pos[..., None, :] - query_pos[..., :, None]
    return offset if offset.ndim == 3 else offset[None]


def rope_rotation(positions: Tensor, d_head: int, *, base: float = 10_000.0, layout: str = "halves") -> Rotation:
    """At position p, feature pair i turns by p * base ** (-2i / d_head) radians.

    Angles are computed in float64: in float32 the score of equal offsets drifts by 1e-4 at position 5000.

    Source: Su et al. 2021, "RoFormer", section 3.2.2.
    """
    return rotation_at(positions, frequencies(d_head, base, device=positions.device), layout=layout)


def rotation_at(positions: Tensor, speed: Tensor, *, layout: str = "halves") -> Rotation:
    """At position p, pair i turns by p * speed[i]; `speed` is (Dh / 2,), or (B, Dh / 2) for positions (B, T)."""
    expect_choice("layout", layout, ("halves", "pairs"))
    angle = positions[..., None] * (speed if speed.ndim == 1 else speed[:, None])  # (T, Dh/2) or (B, T, Dh/2)
    if positions.ndim == 2:
        angle = angle[:, None]
    return Rotation(angle.cos(), angle.sin(), layout)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn each feature pair of x (B, H, T, Dh) by the angles of `rotation`."""
    return rotate_halves(x, rotation) if rotation.layout == "halves" else rotate_pairs(x, rotation)


def rotate_halves(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate feature i together with feature i + Dh/2 (the layout of LLaMA's Hugging Face weights)."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = rotation.cos.to(x.dtype), rotation.sin.to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def rotate_pairs(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate features 2i and 2i + 1 together (the layout of the RoFormer paper)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = rotation.cos.to(x.dtype), rotation.sin.to(x.dtype)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class RotaryPositions(PositionScheme):
    """RoPE: queries and keys turn with their position, so that scores depend on distance."""

    def __init__(self, d_head: int, *, base: float = 10_000.0, layout: str = "halves") -> None:
        super().__init__()
        self.d_head = d_head
        self.base = base
        self.layout = layout

    def inputs(self, query_pos: Tensor, key_pos: Tensor) -> PositionInputs:
        """The rotation of the queries; new keys stand at the same positions."""
        return PositionInputs(rotation=rope_rotation(query_pos, self.d_head, base=self.base, layout=self.layout))


def build_positions(cfg: StackConfig, *, bidirectional: bool) -> PositionScheme:
    """The scheme that `cfg.positions` names, for one stack."""
    block = cfg.block
    match cfg.positions:
        case "none":
            return PositionScheme()
        case "sinusoidal":
            return SinusoidalPositions()
        case "learned":
            return LearnedPositions(cfg.max_len, block.d_model)
        case "t5":
            return T5RelativeBias(
                block.n_heads, n_buckets=cfg.n_buckets, max_distance=cfg.max_distance, bidirectional=bidirectional
            )
        case "alibi":
            return AlibiPositions(block.n_heads)
        case "rope" | "rope_pairs":
            layout = "halves" if cfg.positions == "rope" else "pairs"
            return RotaryPositions(block.head_width, base=cfg.rope_base, layout=layout)
        case other:
            raise ValueError(f"positions: expected a known scheme, got {other!r}")
