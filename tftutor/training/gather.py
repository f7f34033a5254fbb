"""The smallest task for which one look is not enough: at each position, report the four tokens before it.

One layer of attention and a linear reader, trained in two seconds; nothing else in the model moves information between
positions, so that every token reported has come through a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.attention import MultiHeadAttention

N_SYMBOLS, N_TOKENS, N_BACK = 8, 12, 4


class Gather(nn.Module):
    """Embeddings with learned positions, one layer of attention, and a linear reader; no residual connection.

    Args:
        n_heads: of the attention layer.
        d_model: its width.
    """

    def __init__(self, n_heads: int, d_model: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(N_SYMBOLS, d_model)
        self.places = nn.Embedding(N_TOKENS, d_model)
        self.attn = MultiHeadAttention(d_model, n_heads, bias=False)
        self.read = nn.Linear(d_model, N_BACK * N_SYMBOLS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) to logits (B, T, 4, V): what stands 1, 2, 3 and 4 places before."""
        x = self.embed(tokens) + self.places.weight[: tokens.shape[1]]
        return self.read(self.attn(x)).unflatten(-1, (N_BACK, N_SYMBOLS))


def gather_batch(batch_size: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random tokens (B, 12) and the four before each, (B, 12, 4); a row is a ring, so that each position has four."""
    tokens = torch.randint(N_SYMBOLS, (batch_size, N_TOKENS), generator=generator)
    return tokens, torch.stack([tokens.roll(back, dims=1) for back in range(1, N_BACK + 1)], dim=-1)


def train_gather(
    n_heads: int,
    *,
    seed: int = 0,
    steps: int = 600,
    d_model: int = 32,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[Gather, float]:
    """A trained model and its accuracy on fresh tokens; 1/8 is chance."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    model = Gather(n_heads, d_model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in track(range(steps)):
        tokens, answers = gather_batch(64, generator=draw)
        loss = F.cross_entropy(model(tokens).flatten(0, 2), answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    tokens, answers = gather_batch(512, generator=draw)
    with torch.no_grad():
        right = model.eval()(tokens).argmax(dim=-1) == answers
    return model, float(right.float().mean())
