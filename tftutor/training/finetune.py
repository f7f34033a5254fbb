"""Fine-tuning: all weights of a pretrained model go on learning, now from labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.checks import expect_positive
from tftutor.data.cloze import Words, word_rows
from tftutor.models.classifier import SequenceClassifier
from tftutor.training.schedules import warmup_cosine


def finetune(
    model: SequenceClassifier,
    words: Sequence[str],
    labels: Sequence[int],
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[float]:
    """Train `model` in place to give each word its label, and leave it in evaluation mode.

    AdamW with weight decay 0.01, the gradient clipped to norm 1, the learning rate rising over a tenth of the steps and
    then falling along a cosine. Every word is seen once before any is seen again. Batches mix words of all lengths:
    where lengths and labels go together, batches of one length would pull to and fro.

    Args:
        words: spellings.
        labels: classes 0..C - 1, one for each word.
        steps: updates.
        batch_size: words in an update; all of them if there are fewer.
        learning_rate: at its peak.
        seed: of the order of the words and of dropout.
        track: wraps the iterable of steps, such as `tftutor.notebook.progress`.

    Returns:
        The loss of each update, in nats.
    """
    if not len(words):
        raise ValueError("words: expected at least one, got none")
    if len(words) != len(labels):
        raise ValueError(f"labels: expected one for each of {len(words)} words, got {len(labels)}")
    classes = model.label.out_features
    if not 0 <= min(labels) <= max(labels) < classes:
        raise ValueError(f"labels: expected classes from 0 to {classes - 1}, got {min(labels)} to {max(labels)}")
    expect_positive(steps=steps, batch_size=batch_size)
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    targets, losses, queue = torch.tensor(list(labels)), [], []
    model.train()
    for step in track(range(1, steps + 1)):
        if not queue:
            queue = list(torch.randperm(len(words), generator=draw).split(batch_size))
        rows = queue.pop()
        asked = word_rows([words[i] for i in rows.tolist()])
        loss = F.cross_entropy(model(asked.tokens, valid=asked.valid), targets[rows])
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(step, peak=learning_rate, warmup_steps=max(1, steps // 10), total_steps=steps,
                                        floor=0.02 * learning_rate)  # fmt: skip
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def predict_labels(model: SequenceClassifier, words: Sequence[str], *, batch_size: int = 500) -> Tensor:
    """The likeliest label of each word, int64 (N,); `model` as `finetune` leaves it, in evaluation mode."""
    order = sorted(range(len(words)), key=lambda i: len(words[i]))
    found = torch.empty(len(words), dtype=torch.int64)
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            asked: Words = word_rows([words[i] for i in part])
            found[part] = model(asked.tokens, valid=asked.valid).argmax(dim=1)
    return found
