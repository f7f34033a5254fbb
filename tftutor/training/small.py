"""Small trainings for experiments: a character model of Shakespeare in half a minute on one core.

Nothing is written to disk. `train_small` is the same loop for every model, so that two of them differ only in what the
experiment changes; `tftutor.training.loop` is the one for checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tftutor.config import BlockConfig, GPTConfig
from tftutor.data.shakespeare import CHARACTERS, encode_text, every_window, load_shakespeare, random_windows
from tftutor.training.losses import sequence_loss
from tftutor.training.schedules import warmup_cosine


def small_config(*, positions: str = "learned", n_heads: int = 4, n_layers: int = 2, max_len: int = 64, **block: object
                 ) -> GPTConfig:  # fmt: skip
    """A pre-norm character model of width 64, about 0.1 M parameters; `block` overrides fields of `BlockConfig`."""
    fields = {"d_model": 64, "n_heads": n_heads, "d_ff": 256, "activation": "gelu"} | block
    return GPTConfig(block=BlockConfig(**fields), vocab_size=len(CHARACTERS), n_layers=n_layers, max_len=max_len,
                     positions=positions)  # fmt: skip


def next_character_loss(model: nn.Module, windows: Tensor) -> Tensor:
    """Mean cross-entropy in nats of each character of `windows` (B, T + 1) from those before it."""
    answers = windows[:, 1:]
    nats, tokens = sequence_loss(model(windows[:, :-1]), answers, torch.ones_like(answers, dtype=torch.bool))
    return nats / tokens


def train_small(
    model: nn.Module,
    *,
    steps: int = 600,
    window: int = 64,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    warmup_steps: int = 50,
    seed: int = 0,
    loss: Callable[[nn.Module, Tensor], Tensor] = next_character_loss,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[float]:
    """Train `model` in place on random windows of the training plays and leave it in evaluation mode.

    AdamW with weight decay 0.01, the gradient clipped to norm 1, the learning rate falling to 2 % along a cosine.

    Args:
        model: takes tokens (B, T), gives logits (B, T, V).
        steps: updates.
        window: characters predicted in each window.
        batch_size: windows in an update.
        learning_rate: at its peak.
        warmup_steps: until the peak.
        seed: of the windows and of dropout; seed the weights yourself, before you make the model.
        loss: mean nats of a model on windows (B, window + 1).
        track: wraps the iterable of steps, such as `tftutor.notebook.progress`.

    Returns:
        The loss of each update, in nats.
    """
    text = encode_text(load_shakespeare().train)
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    losses = []
    model.train()
    for step in track(range(1, steps + 1)):
        rate = warmup_cosine(step, peak=learning_rate, warmup_steps=min(warmup_steps, steps // 10), total_steps=steps,
                             floor=0.02 * learning_rate)  # fmt: skip
        for group in optimizer.param_groups:
            group["lr"] = rate
        nats = loss(model, random_windows(text, batch_size, window + 1, generator=draw))
        optimizer.zero_grad(set_to_none=True)
        nats.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(nats.detach()))
    model.eval()
    return losses


def dev_windows(count: int = 256, *, window: int = 64) -> Tensor:
    """The first windows of the dev play, (count, window + 1), each character an answer once."""
    return every_window(encode_text(load_shakespeare().dev), window + 1, stride=window)[:count]
