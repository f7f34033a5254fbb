"""Attention among vectors that point nearly the same way, found by hashing instead of by comparing all pairs.

Queries and keys must be the same vectors ("shared QK"): then those that attend to one another fall into one bucket.
Tokens are sorted by bucket, cut into chunks, and each chunk reads itself and the chunk before it. Several rounds with
other hash functions catch pairs that one round separates.

Source: Kitaev et al. 2020, "Reformer", section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tftutor.checks import expect_shape
from tftutor.efficient.online import finish, partial_attention

SELF_PENALTY = -1e5  # added to a token's score of itself: taken only where there is nothing else


def lsh_buckets(vectors: Tensor, *rotations: Tensor) -> Tensor:
    """The bucket of each vector in each round: the axis, or its opposite, that lies nearest after a random projection.

    With several sets of rotations a bucket is a pair (triple, ...) of choices. Two sets of m / 2 columns tell m * m
    buckets apart at the cost of 2 m. Long texts need that: the number of buckets grows with the text, and with a single
    set hashing itself would cost in proportion to the square of its length.

    Args:
        vectors: (B, H, N, Dh).
        rotations: one or more of normally distributed numbers, (H, Dh, R, n / 2), for R rounds; an n for each.

    Returns:
        long, (B, H, R, N), numbers below the product of all n.
    """
    if not rotations:
        raise ValueError("rotations: expected at least one tensor, got none")
    buckets, n_buckets = torch.zeros((), dtype=torch.int64, device=vectors.device), 1
    for rotation in rotations:
        expect_shape("rotations", rotation, H=vectors.shape[1], Dh=vectors.shape[3], R=None, half=None)
        turned = torch.einsum("bhnd,hdri->bhrni", vectors, rotation)
        buckets = buckets + n_buckets * torch.cat([turned, -turned], dim=-1).argmax(dim=-1)
        n_buckets *= 2 * rotation.shape[3]
    return buckets


def lsh_attention(qk: Tensor, v: Tensor, buckets: Tensor, *, chunk: int, causal: bool = False) -> Tensor:
    """Attention of each token to those that its chunk of the sorted text, and the chunk before, happen to hold.

    Keys are the queries brought to length 1, so the scores need no other scale; a token looks at itself only if at
    nothing else. Chunks are cut without regard to where a bucket ends, and tokens of neighbouring buckets that share a
    chunk are compared too. A pair that meets in several rounds counts in each.

    Args:
        qk: shared queries and keys, (B, H, N, Dh).
        v: values, (B, H, N, Dh).
        buckets: long, (B, H, R, N), as from `lsh_buckets`.
        chunk: tokens in a chunk; N must be a multiple.
        causal: nobody looks ahead in the text.

    Returns:
        (B, H, N, Dh): the rounds, weighted by the sums of their exponentiated scores.
    """
    _, _, length, width = qk.shape
    expect_shape("buckets", buckets, B=qk.shape[0], H=qk.shape[1], R=None, N=length)
    if length % chunk:
        raise ValueError(f"qk: expected a multiple of chunk={chunk} tokens, got {length}; pad the text")
    rounds = buckets.shape[2]
    apart = buckets + (int(buckets.max()) + 1) * torch.arange(rounds, device=buckets.device)[:, None]
    order = apart.flatten(2).argsort(dim=-1, stable=True)  # (B, H, R * N): by round, bucket, place
    places = order % length

    def in_chunks(x: Tensor) -> Tensor:
        """(B, H, N, Dh) -> (B, H, R * N / chunk, chunk, Dh), sorted."""
        rows = places[..., None].expand(-1, -1, -1, x.shape[-1])
        return x.gather(2, rows).unflatten(2, (-1, chunk))

    def with_previous(x: Tensor) -> Tensor:
        """Each chunk after the one before it (before the first: the last)."""
        return torch.cat([x.roll(1, dims=2), x], dim=3)

    queries, values = in_chunks(qk), in_chunks(v)
    keys = queries * torch.rsqrt(queries.square().mean(dim=-1, keepdim=True) + 1e-6) / math.sqrt(width)
    here = places.unflatten(2, (-1, chunk))
    there = with_previous(here)
    mask = (there[..., None, :] <= here[..., :, None]) if causal else None
    bias = SELF_PENALTY * (there[..., None, :] == here[..., :, None]).to(qk.dtype)
    part = partial_attention(queries, with_previous(keys), with_previous(values), mask=mask, bias=bias, scale=1.0)

    back = order.argsort(dim=-1)

    def in_text(x: Tensor) -> Tensor:
        """(B, H, chunks, chunk, d) -> (B, H, R, N, d)."""
        x = x.flatten(2, 3)
        return x.gather(2, back[..., None].expand(-1, -1, -1, x.shape[-1])).unflatten(2, (rounds, length))

    log_total = in_text(part.top + part.total.log())  # (B, H, R, N, 1)
    return (in_text(finish(part)) * log_total.softmax(dim=2)).sum(dim=2)
