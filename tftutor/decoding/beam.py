"""Beam search: the most probable text, looked for among a few at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tftutor.decoding.loop import PAD_ID, State, StepModel, expect_steps, inference, last_logits


class Beams(NamedTuple):
    """The K best continuations of each row, best first."""

    tokens: Tensor  # (B, K, N)
    lengths: Tensor  # (B, K)
    log_probs: Tensor  # (B, K), in nats; -inf where fewer than K continuations exist
    scores: Tensor  # (B, K), log_probs / lengths ** length_penalty


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
    expect_steps(max_new_tokens)
    if n_beams < 1:
        raise ValueError(f"n_beams: expected at least 1, got {n_beams}")
    rows, device = len(prompt), prompt.device
    with inference(model):
        log_probs = last_logits(model, prompt, state, valid).log_softmax(dim=-1)  # (B, V)
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
