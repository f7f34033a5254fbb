"""Generation: greedy, sampling and beam search, for every model family that can `step`.

The batch may be ragged: prompts of unequal lengths are marked by `valid`, padding left or right, and each row
comes out exactly as it would alone. Rows that have written `eos_id` stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tftutor.checks import expect_valid

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


class Beams(NamedTuple):
    """The K best continuations of each row, best first."""

    tokens: Tensor  # (B, K, N)
    lengths: Tensor  # (B, K)
    log_probs: Tensor  # (B, K), in nats; -inf where fewer than K continuations exist
    scores: Tensor  # (B, K), log_probs / lengths ** length_penalty


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


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (..., V) with all but the k largest set to -inf (ties with the k-th are kept).

    Example:
        >>> keep_top_k(torch.tensor([1.0, 3.0, 2.0]), 2)
        tensor([-inf, 3., 2.])

    Source: Fan et al. 2018, section 5.1.
    """
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k: expected 1..{logits.shape[-1]}, the vocabulary size, got {k}")
    threshold = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < threshold, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits (..., V) cut to the smallest set of tokens whose probability reaches p; never empty.

    Example:
        >>> keep_top_p(torch.tensor([0.5, 0.3, 0.2]).log(), 0.6).exp()
        tensor([0.5000, 0.3000, 0.0000])

    Source: Holtzman et al. 2020, section 3.1.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p: expected a probability in (0, 1], got {p}")
    ordered, index = logits.sort(dim=-1, descending=True)
    probs = ordered.softmax(dim=-1)
    drop = probs.cumsum(dim=-1) - probs >= p  # the mass of the better tokens already suffices
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, index, drop), float("-inf"))


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
        model, prompt, state, lambda logits: logits.argmax(dim=-1), max_new_tokens=max_new_tokens, eos_id=eos_id,
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
    generator: torch.Generator | None = None,
) -> Decoded:
    """The prompt continued by tokens drawn from softmax(logits / temperature), cut by `top_k`, then `top_p`.

    `log_probs` are those of the model itself, before temperature and cuts.
    """
    if temperature <= 0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}; for the limit 0 use greedy")

    def draw(logits: Tensor) -> Tensor:
        logits = logits / temperature
        if top_k is not None:
            logits = keep_top_k(logits, top_k)
        if top_p is not None:
            logits = keep_top_p(logits, top_p)
        return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]

    return _generate(model, prompt, state, draw, max_new_tokens=max_new_tokens, eos_id=eos_id, valid=valid)


def _generate(
    model: StepModel,
    prompt: Tensor,
    state: State,
    choose: Callable[[Tensor], Tensor],
    *,
    max_new_tokens: int,
    eos_id: int | None,
    valid: Tensor | None,
) -> Decoded:
    """The loop shared by greedy decoding and sampling: `choose` maps logits (B, V) to tokens (B,)."""
    _expect_steps(max_new_tokens)
    rows = len(prompt)
    new = prompt.new_full((rows, max_new_tokens), PAD_ID)
    lengths = prompt.new_zeros(rows)
    finished = torch.zeros(rows, dtype=torch.bool, device=prompt.device)
    with inference(model):
        logits = _last_logits(model, prompt, state, valid)  # (B, V)
        log_probs = logits.new_zeros(rows)
        for n in range(max_new_tokens):
            token = choose(logits).masked_fill(finished, PAD_ID)  # (B,)
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


def beam_search(
    model: StepModel,
    prompt: Tensor,
    state: State,
    *,
    n_beams: int,
    max_new_tokens: int,
    eos_id: int,
    valid: Tensor | None = None,
    length_penalty: float = 0.0,
) -> Beams:
    """Keep the `n_beams` best continuations of each row of the prompt (B, T) at every step.

    A continuation that has ended stays in the beam and competes with the others; with one beam this is greedy
    decoding, with enough beams exhaustive search. Each is ranked by log-probability / length ** length_penalty.

    Args:
        length_penalty: 0 ranks by probability, which favours short outputs; 1 by the mean per token.

    Source: Graves 2012, section 2.5; length normalisation: Wu et al. 2016, section 7.
    """
    _expect_steps(max_new_tokens)
    if n_beams < 1:
        raise ValueError(f"n_beams: expected at least 1, got {n_beams}")
    rows, device = len(prompt), prompt.device
    with inference(model):
        log_probs = _last_logits(model, prompt, state, valid).log_softmax(dim=-1)  # (B, V)
        vocab_size = log_probs.shape[-1]
        state.reorder(torch.arange(rows, device=device).repeat_interleave(n_beams))  # B * K rows from here on
        first_row = torch.arange(rows, device=device)[:, None] * n_beams
        log_probs = log_probs.repeat_interleave(n_beams, dim=0)
        tokens = prompt.new_zeros(rows, n_beams, 0)
        totals = log_probs.new_full((rows, n_beams), float("-inf"))
        totals[:, 0] = 0.0  # at first all beams are alike: only one may branch
        lengths = prompt.new_zeros(rows, n_beams)
        finished = torch.zeros(rows, n_beams, dtype=torch.bool, device=device)
        for n in range(max_new_tokens):
            step = log_probs.view(rows, n_beams, vocab_size)
            ended = torch.full_like(step, float("-inf"))
            ended[..., PAD_ID] = 0.0  # the only way to continue what has ended
            candidates = totals[..., None] + torch.where(finished[..., None], ended, step)  # (B, K, V)
            sizes = (lengths + (~finished).long())[..., None]
            ranking = _per_length(candidates, sizes, length_penalty)
            best = ranking.flatten(1).topk(n_beams, dim=-1).indices  # (B, K)
            beam, token = best // vocab_size, best % vocab_size
            totals = candidates.flatten(1).gather(1, best)
            tokens = torch.cat([tokens.gather(1, beam[..., None].expand(-1, -1, n)), token[..., None]], dim=-1)
            was_finished = finished.gather(1, beam)
            lengths = lengths.gather(1, beam) + (~was_finished).long()
            finished = was_finished | (token == eos_id)
            if bool(finished.all()) or n + 1 == max_new_tokens:
                break
            state.reorder((first_row + beam).flatten())
            logits = model.step(token.view(-1, 1), state, valid=~finished.view(-1, 1))
            log_probs = logits[:, -1].log_softmax(dim=-1)
    return Beams(tokens, lengths, totals, _per_length(totals, lengths, length_penalty))


def _per_length(log_probs: Tensor, lengths: Tensor, penalty: float) -> Tensor:
    """log_probs / lengths ** penalty in the precision of log_probs: a power of integers would be float32."""
    return log_probs / (lengths.clamp(min=1).double() ** penalty).to(log_probs.dtype)


def _last_logits(model: StepModel, prompt: Tensor, state: State, valid: Tensor | None) -> Tensor:
    """Logits (B, V) after the last real token of each prompt."""
    expect_valid("valid", valid, prompt)
    if prompt.shape[1] == 0 or (valid is not None and not bool(valid.any(dim=1).all())):
        raise ValueError("prompt: expected at least one real token in every row, got an empty row; start with BOS")
    logits = model.step(prompt, state, valid=valid)  # (B, T, V)
    if valid is None:
        return logits[:, -1]
    last = (valid * torch.arange(1, prompt.shape[1] + 1, device=prompt.device)).argmax(dim=1)
    return logits[torch.arange(len(prompt), device=prompt.device), last]


def _expect_steps(max_new_tokens: int) -> None:
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
