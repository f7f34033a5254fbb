"""The loop that writes, for every model family that can `step`: feed, choose, append, stop.

The batch may be ragged: prompts of unequal lengths are marked by `valid`, padding left or right, and each row
comes out exactly as it would alone. Rows that have written `eos_id` stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tftutor.checks import expect_valid
from tftutor.decoding.filters import keep_min_p, keep_top_k, keep_top_p, penalise_repeats

PAD_ID = 0  # written after the end of a row


class State(Protocol):
    """What decoding asks of a model's memory."""

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row rows[i]."""


class StepModel(Protocol):
    """Anything that can continue a sequence: GPT, encoder-decoder, LSTM, RetNet, Mamba."""

    def step(self, tokens: Tensor, state: State, *, valid: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) after tokens (B, T); extends `state`."""


class Decoded(NamedTuple):
    """What was generated after the prompt."""

    tokens: Tensor  # (B, N) new tokens, the end mark included, PAD_ID behind it
    lengths: Tensor  # (B,) how many of them count
    log_probs: Tensor  # (B,) log-probability of the row, in nats


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is back in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def greedy(
    model: StepModel,
    prompt: Tensor,
    state: State,
    *,
    max_new_tokens: int,
    eos_id: int | None = None,
    valid: Tensor | None = None,
) -> Decoded:
    """The prompt (B, T) continued by the most likely token, at most `max_new_tokens` times."""
    return _generate(
        model, prompt, state, lambda logits, _: logits.argmax(dim=-1), max_new_tokens=max_new_tokens, eos_id=eos_id,
        valid=valid,
    )  # fmt: skip


def sample(
    model: StepModel,
    prompt: Tensor,
    state: State,
    *,
    max_new_tokens: int,
    eos_id: int | None = None,
    valid: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> Decoded:
    """The prompt continued by tokens drawn from softmax(logits / temperature), cut by the filters that are given.

    In this order: `repetition_penalty` (on what this call has written), temperature, `top_k`, `top_p`, `min_p`.
    `log_probs` are those of the model itself, before all of them.

    Args:
        generator: of the random numbers. One for each row makes the rows independent: each comes out of the batch as it
            does alone with its generator.
    """
    if temperature <= 0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}; for the limit 0 use greedy")
    if isinstance(generator, Sequence) and len(generator) != len(prompt):
        raise ValueError(f"generator: expected one for each of {len(prompt)} rows, got {len(generator)}")

    def choose(logits: Tensor, written: Tensor) -> Tensor:
        if repetition_penalty != 1:
            logits = penalise_repeats(logits, written, repetition_penalty)
        logits = logits / temperature
        for keep, amount in ((keep_top_k, top_k), (keep_top_p, top_p), (keep_min_p, min_p)):
            if amount is not None:
                logits = keep(logits, amount)
        return draw(logits, generator)

    return _generate(model, prompt, state, choose, max_new_tokens=max_new_tokens, eos_id=eos_id, valid=valid)


def draw(logits: Tensor, generator: torch.Generator | Sequence[torch.Generator] | None = None) -> Tensor:
    """One token (B,) from softmax(logits (B, V)) of each row; `generator`: one for all rows, or one for each."""
    probs = logits.softmax(dim=-1)
    if not isinstance(generator, Sequence):
        return torch.multinomial(probs, 1, generator=generator)[:, 0]
    return torch.cat([torch.multinomial(row, 1, generator=own) for row, own in zip(probs, generator, strict=True)])


def _generate(
    model: StepModel,
    prompt: Tensor,
    state: State,
    choose: Callable[[Tensor, Tensor], Tensor],
    *,
    max_new_tokens: int,
    eos_id: int | None,
    valid: Tensor | None,
) -> Decoded:
    """The loop of greedy decoding and of sampling: `choose` maps logits (B, V) and what is written, (B, n), to (B,)."""
    expect_steps(max_new_tokens)
    rows = len(prompt)
    new = prompt.new_full((rows, max_new_tokens), PAD_ID)
    lengths = prompt.new_zeros(rows)
    finished = torch.zeros(rows, dtype=torch.bool, device=prompt.device)
    with inference(model):
        logits = last_logits(model, prompt, state, valid)  # (B, V)
        log_probs = logits.new_zeros(rows)
        for n in range(max_new_tokens):
            token = choose(logits, new[:, :n]).masked_fill(finished, PAD_ID)  # (B,)
            gain = logits.log_softmax(dim=-1).gather(-1, token[:, None])[:, 0]
            log_probs = log_probs + gain.masked_fill(finished, 0.0)
            new[:, n] = token
            lengths = lengths + (~finished).long()
            if eos_id is not None:
                finished = finished | (token == eos_id)
            if bool(finished.all()) or n + 1 == max_new_tokens:
                break
            logits = model.step(token[:, None], state, valid=~finished[:, None])[:, -1]
    longest = int(lengths.max()) if rows else 0
    return Decoded(new[:, :longest], lengths, log_probs)


def last_logits(model: StepModel, prompt: Tensor, state: State, valid: Tensor | None) -> Tensor:
    """Logits (B, V) after the last real token of each prompt."""
    expect_valid("valid", valid, prompt)
    if prompt.shape[1] == 0 or (valid is not None and not bool(valid.any(dim=1).all())):
        raise ValueError("prompt: expected at least one real token in every row, got an empty row; start with BOS")
    logits = model.step(prompt, state, valid=valid)  # (B, T, V)
    if valid is None:
        return logits[:, -1]
    last = (valid * torch.arange(1, prompt.shape[1] + 1, device=prompt.device)).argmax(dim=1)
    return logits[torch.arange(len(prompt), device=prompt.device), last]


def expect_steps(max_new_tokens: int) -> None:
    """Raise unless there is a token to write."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
