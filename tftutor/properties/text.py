"""Properties of what goes into a loss and of what comes out of decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.properties.models import Source, full_pass
from tftutor.properties.running import Function, largest, run


def shift_error(tgt_in: Tensor, tgt_out: Tensor, valid: Tensor, *, bos_id: int = 1) -> float:
    """Is the input at t the answer at t - 1, and the first input BOS? Share of wrong inputs; all ids (B, T)."""
    wanted = torch.cat([torch.full_like(tgt_out[:, :1], bos_id), tgt_out[:, :-1]], dim=1)
    return (tgt_in != wanted)[valid].float().mean().item()


def loss_padding_change(fn: Function, logits: Tensor, targets: Tensor, valid: Tensor, n_pad: int) -> float:
    """Does padding change the loss per token? `fn(logits (B, T, V), targets, valid)` returns a sum and a count."""
    noise = torch.randn(len(logits), n_pad, logits.shape[-1], dtype=logits.dtype)
    more = nn.functional.pad(targets, (0, n_pad)), nn.functional.pad(valid, (0, n_pad))
    padded = torch.cat([logits, noise], dim=1)
    return largest(_mean([run(fn, padded, *more)]) - _mean([run(fn, logits, targets, valid)]))


def loss_pooling_change(fn: Function, logits: Tensor, targets: Tensor, valid: Tensor) -> float:
    """Does every token count alike? The loss per token of a batch, of its rows pooled, of all rows joined to one."""
    inputs = (logits, targets, valid)
    rows = [run(fn, *(x[b : b + 1] for x in inputs)) for b in range(len(logits))]
    joined = [run(fn, *(x.flatten(0, 1)[None] for x in inputs))]
    batch = _mean([run(fn, *inputs)])
    return max(largest(_mean(parts) - batch) for parts in (rows, joined))


def score_error(model: nn.Module, prompt: Tensor, decoded: Any, *, source: Source | None = None) -> float:
    """Is the log-probability reported with generated text the one a full pass gives that text?

    `decoded` has tokens (B, N) or, with beams, (B, K, N), and `lengths` and `log_probs` without the last axis.
    """
    n_rows, n_new = len(prompt), decoded.tokens.shape[-1]
    tokens = decoded.tokens.reshape(n_rows, -1, n_new)
    lengths, claimed = (x.reshape(n_rows, -1) for x in (decoded.lengths, decoded.log_probs))
    errors = []
    for k in range(tokens.shape[1]):
        text = torch.cat([prompt, tokens[:, k, :-1]], dim=1)
        logits = run(full_pass, model, text, source=source)[:, prompt.shape[1] - 1 :]
        steps = logits.log_softmax(dim=-1).gather(-1, tokens[:, k, :, None])[..., 0]
        counted = torch.arange(n_new) < lengths[:, k, None]
        error = steps.masked_fill(~counted, 0.0).sum(dim=1) - claimed[:, k]
        errors.append(largest(error[claimed[:, k] != float("-inf")]))  # -inf: fewer texts exist than beams
    return max(errors)


def ragged_change(decode: Function, prompt: Tensor, valid: Tensor, *extras: Tensor) -> float:
    """Does a row come out of a ragged batch as it does alone? The share of rows that do not.

    `decode(prompt, valid, *extras)` returns what `greedy` or `beam_search` do; extras, such as sources, are per row.
    """
    batch = decode(prompt, valid, *extras)
    wrong = 0
    for b in range(len(prompt)):
        alone = decode(prompt[b : b + 1, valid[b]], None, *(x[b : b + 1] for x in extras))
        wrong += _texts(batch.tokens[b], batch.lengths[b]) != _texts(alone.tokens[0], alone.lengths[0])
    return wrong / len(prompt)


def end_error(decoded: Any, *, eos_id: int, pad_id: int = 0) -> float:
    """Does each text end at its first EOS, with padding behind? The number of tokens that should not be there."""
    column = torch.arange(decoded.tokens.shape[-1])
    is_end = decoded.tokens == eos_id
    after = is_end.cumsum(dim=-1) - is_end.long() > 0
    counted = column < decoded.lengths[..., None]
    return float((after & (counted | (decoded.tokens != pad_id))).sum())


def top_k_error(keep: Function, logits: Tensor, k: int) -> float:
    """Does `keep(logits, k)` keep exactly the k best tokens of each row (N, V), unaltered? The share of wrong rows."""
    kept = run(keep, logits, k)
    wanted = torch.full_like(logits, float("-inf"))
    best = logits.topk(k, dim=-1).indices
    wanted = wanted.scatter(-1, best, logits.gather(-1, best))
    return (kept != wanted).any(dim=-1).float().mean().item()


def top_p_error(keep: Function, logits: Tensor, p: float) -> float:
    """Does `keep(logits, p)` keep the smallest set of tokens with mass p or more, rows (N, V)? Share of wrong rows."""
    wrong = 0
    for row, kept in zip(logits, run(keep, logits, p), strict=True):
        n_best, mass, probs = 0, 0.0, row.softmax(dim=-1)
        order = probs.argsort(descending=True)
        while mass < p and n_best < len(row):
            mass += probs[order[n_best]].item()
            n_best += 1
        wrong += set(kept.isfinite().nonzero()[:, 0].tolist()) != set(order[:n_best].tolist())
    return wrong / len(logits)


def min_p_error(keep: Function, logits: Tensor, p: float) -> float:
    """Does `keep(logits, p)` keep the tokens at least p times as probable as the best of their row (N, V), unaltered?

    The share of wrong rows.
    """
    wrong = 0
    for row, kept in zip(logits, run(keep, logits, p), strict=True):
        probs = row.softmax(dim=-1).tolist()
        wanted = [x if q >= p * max(probs) else -math.inf for x, q in zip(row.tolist(), probs, strict=True)]
        wrong += kept.tolist() != wanted
    return wrong / len(logits)


def penalty_error(penalise: Function, logits: Tensor, seen: Tensor, penalty: float) -> float:
    """Does `penalise(logits (N, V), seen (N, M), penalty)` make tokens in `seen` less likely, each once, no others?

    Positive logits are divided by the penalty and others multiplied. The share of wrong rows.
    """
    wrong = 0
    new = run(penalise, logits, seen, penalty)
    for before, after, tokens in zip(logits.tolist(), new.tolist(), seen.tolist(), strict=True):
        wanted = [x if token not in tokens else x / penalty if x > 0 else x * penalty for token, x in enumerate(before)]
        wrong += not all(map(math.isclose, wanted, after))
    return wrong / len(logits)


def temperature_error(draw: Function, logits: Tensor, temperature: float, *, n_draws: int = 20_000) -> float:
    """Do tokens come from softmax(logits / temperature)? Total variation distance, in [0, 1]; about 0.01 by chance.

    `draw(logits (N, V), temperature)` returns one token per row, (N,); `logits` here are (V,).
    """
    tokens = run(draw, logits.expand(n_draws, -1), temperature)
    shares = tokens.bincount(minlength=len(logits)) / n_draws
    return 0.5 * (shares - (logits / temperature).softmax(dim=-1)).abs().sum().item()


def _mean(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Sums and counts, pooled."""
    return sum(total for total, _ in parts) / sum(count for _, count in parts)


def _texts(tokens: Tensor, lengths: Tensor) -> list[list[int]]:
    """(N,) or (K, N) -> what counts of each text."""
    rows = tokens.reshape(-1, tokens.shape[-1])
    return [row[:n].tolist() for row, n in zip(rows, lengths.reshape(-1).tolist(), strict=True)]
