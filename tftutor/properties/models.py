"""Properties of whole models: causality, caching, padding, batching, modes, gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tftutor.checks import expect_choice
from tftutor.properties.running import Function, altered, largest, run


class Source(NamedTuple):
    """What an encoder-decoder reads: ids (B, S), and which are real; None: all."""

    tokens: Tensor
    valid: Tensor | None = None


def full_pass(model: nn.Module, tokens: Tensor, *, valid: Tensor | None = None, source: Source | None = None) -> Tensor:
    """Logits (B, T, V) of all positions at once."""
    if source is None:
        return model(tokens, valid=valid)
    return model(source.tokens, tokens, src_valid=source.valid, tgt_valid=valid)


def fresh_state(model: nn.Module, n_rows: int, source: Source | None = None) -> Any:
    """A state that has read the source, if there is one, and nothing else."""
    return model.new_state(n_rows) if source is None else model.start(source.tokens, source.valid)


def past_change(fn: Function, x: Tensor, split: int) -> float:
    """Does the future change the past? `x`, ids (B, T) or vectors (B, T, D), is altered from `split` on.

    `fn` maps x to (B, T, ...); its outputs before `split` must not move.
    """
    other = torch.cat([x[:, :split], altered(x)[:, split:]], dim=1)
    return largest((run(fn, x) - run(fn, other))[:, :split])


def step_error(
    model: nn.Module,
    tokens: Tensor,
    chunks: Sequence[int],
    *,
    valid: Tensor | None = None,
    source: Source | None = None,
) -> float:
    """Does reading tokens (B, T) in `chunks`, with a state, give the logits of the full pass? The chunks sum to T."""
    state = run(fresh_state, model, len(tokens), source)
    marks = [None] * len(chunks) if valid is None else valid.split(list(chunks), dim=1)
    parts = zip(tokens.split(list(chunks), dim=1), marks, strict=True)
    steps = torch.cat([run(model.step, part, state, valid=mark) for part, mark in parts], dim=1)
    full = run(full_pass, model, tokens, valid=valid, source=source)
    return largest((steps - full)[... if valid is None else valid])


def padding_change(fn: Function, x: Tensor, n_pad: int, *, side: str = "right", aligned: bool = True) -> float:
    """Does padding change the result? `fn` maps (x, valid) with x (B, T) to (B, T, ...).

    `aligned` False: the result is not per token of x (say, a decoder's output when the source is padded).
    """
    expect_choice("side", side, ("left", "right"))
    n_left, n_right = (n_pad, 0) if side == "left" else (0, n_pad)
    padded = x.new_zeros(len(x), n_left + x.shape[1] + n_right, *x.shape[2:])
    valid = torch.zeros(padded.shape[:2], dtype=torch.bool)
    real = slice(n_left, n_left + x.shape[1])
    padded[:, real], valid[:, real] = x, True
    plain, result = run(fn, x, valid[:, real]), run(fn, padded, valid)
    return largest(plain - (result[:, real] if aligned else result))


def batch_change(fn: Function, *inputs: Tensor) -> float:
    """Does a row depend on its neighbours? `fn` maps inputs (B, ...) to (B, ...); every row is also run alone."""
    together = run(fn, *inputs)
    alone = [run(fn, *(x[b : b + 1] for x in inputs)) for b in range(len(together))]
    return largest(together - torch.cat(alone))


def permutation_change(fn: Function, x: Tensor) -> float:
    """Does order matter? Permuting the T inputs (B, T, ...) must permute the outputs (B, T, ...) alike."""
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    return largest(run(fn, x[:, order]) - run(fn, x)[:, order])


def rerun_change(fn: Function, *inputs: Tensor) -> float:
    """Does the same input give the same result twice, with different random numbers at hand?"""
    return largest(run(fn, *inputs, seed=0) - run(fn, *inputs, seed=1))


def input_change(fn: Function, *inputs: Tensor) -> float:
    """Does `fn` edit its inputs in place? The number of altered elements."""
    before = [x.clone() for x in inputs]
    run(fn, *inputs)
    return float(sum(int((x != old).sum()) for x, old in zip(inputs, before, strict=True)))


def mode_change(model: nn.Module, action: Callable[[], Any]) -> float:
    """Does `action()` leave training and evaluation modes as they were? The number of modules that changed."""
    before = [module.training for module in model.modules()]
    action()
    return float(sum(module.training != old for module, old in zip(model.modules(), before, strict=True)))


def reorder_error(model: nn.Module, tokens: Tensor, rows: Tensor, *, source: Source | None = None) -> float:
    """Does a state whose rows are rearranged by `rows` continue as those rows would? tokens (B, T), T >= 2."""
    state = run(fresh_state, model, len(tokens), source)
    run(model.step, tokens[:, :-1], state)
    state.reorder(rows)
    last = run(model.step, tokens[rows, -1:], state)
    return largest(last - run(full_pass, model, tokens, source=source)[rows, -1:])


def turnover_error(
    model: nn.Module, first: Tensor, second: Tensor, *, sources: tuple[Source | None, Source | None] = (None, None)
) -> float:
    """May rows leave and join midway? Row 0 of `first` (B, T) leaves halfway, the rows of `second` (B', T') join.

    Everyone then reads the rest of its tokens and must get the logits of its own full pass.
    """
    half, late = first.shape[1] // 2, second.shape[1] - 1
    states = [run(fresh_state, model, len(x), source) for x, source in zip((first, second), sources, strict=True)]
    run(model.step, first[:, :half], states[0])
    run(model.step, second[:, :late], states[1])
    states[0].drop(torch.tensor([0]))
    states[0].admit(states[1])
    rest, last = first[1:, half:], second[:, late:]
    n_rest = rest.shape[1]
    tokens = torch.cat([rest, nn.functional.pad(last, (0, n_rest - 1))])
    valid = torch.arange(n_rest).expand_as(tokens) < torch.tensor([n_rest] * len(rest) + [1] * len(last))[:, None]
    logits = run(model.step, tokens, states[0], valid=valid)
    full = [run(full_pass, model, x, source=source) for x, source in zip((first, second), sources, strict=True)]
    return max(largest(logits[: len(rest)] - full[0][1:, half:]), largest(logits[len(rest) :, :1] - full[1][:, -1:]))


def dead_parameters(model: nn.Module, loss: Tensor, *, exempt: Sequence[str] = ()) -> list[str]:
    """Names of the parameters that `loss` gives no gradient; names that end like one of `exempt` are left out."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    dead = [n for n, g in zip(names, gradients, strict=True) if g is None or not bool((g.abs() > 1e-12).any())]
    return [name for name in dead if not name.endswith(tuple(exempt))]
