"""What the exercise on an embedding layer hands over, and its solution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, named_case


class EmbeddingLayer(nn.Module):
    """What the exercise hands over: two tables and the number of the padding token."""

    def __init__(self, vocab_size: int, d_model: int, max_len: int, pad_id: int, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(max_len, d_model)
        self.pad_id = pad_id
        for table in (self.tokens, self.positions):
            table.weight.data.copy_(torch.randn(table.weight.shape, generator=generator))
        self.tokens.weight.data[pad_id] = 0.0


def embed(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    """The forward pass of an embedding layer: token vectors plus position vectors.

    layer: has the tables layer.tokens (V, D) and layer.positions (max_len, D),
    both nn.Embedding, and the number layer.pad_id.
    tokens: ids (B, T) on the device of the tables, whatever that is; padding
    is layer.pad_id, and what you return there does not matter.
    Returns (B, T, D). The row of padding gets no gradient. For T > max_len it
    raises a ValueError that names both numbers.
    """
    length, max_len = tokens.shape[1], layer.positions.num_embeddings
    if length > max_len:
        raise ValueError(f"tokens: expected at most max_len={max_len} positions, got {length}")
    places = torch.arange(length, device=tokens.device)
    vectors = F.embedding(tokens, layer.tokens.weight, padding_idx=layer.pad_id)
    return vectors + layer.positions(places)


def cases(generator: torch.Generator) -> list[Case]:
    """Layers with tokens, one of them exactly as long as the table of positions."""

    def draw(b: int, t: int, d: int, v: int, max_len: int, pad: int = 0) -> Case:
        tokens = (torch.randint(v - 1, (b, t), generator=generator) + pad + 1) % v  # none of them is padding
        tokens[-1, t // 2 + 1 :] = pad
        return named_case(layer=EmbeddingLayer(v, d, max_len, pad, generator), tokens=tokens)

    return [
        draw(1, 2, 3, 5, 4),
        draw(2, 4, 3, 7, 6),
        draw(2, 5, 3, 8, 5, pad=7),
        draw(4, 7, 5, 11, 8),
        draw(5, 3, 4, 9, 6),
        draw(3, 3, 2, 6, 4),
    ]


def sample() -> tuple[EmbeddingLayer, Tensor]:
    """One of the cases, made anew."""
    return cases(torch.Generator().manual_seed(0))[1].args
