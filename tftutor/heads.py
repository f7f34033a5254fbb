"""Attention heads one by one: where they look, how widely, and what the model is without some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tftutor.attention import MultiHeadAttention
from tftutor.checks import expect_shape


def head_patterns(weights: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
    """How much of its weight each head puts on certain keys, on average over the queries that have such a key.

    Args:
        weights: attention weights of self-attention, (B, H, T, T).
        valid: (B, T) bool, True = a real token; padding stands at the right end, rows have two real tokens or more.

    Returns:
        Name -> share of weight (B, H): "previous" (the token before the query), "next", "self", "first" (for queries
        other than the first token), "last" (the last real token, for queries before it).
    """
    expect_shape("weights", weights, B=None, H=None, T=weights.shape[-1], S=None)
    b, h, t, _ = weights.shape
    valid = torch.ones(b, t, dtype=torch.bool, device=weights.device) if valid is None else valid
    last = (valid.sum(dim=1) - 1).view(b, 1, 1, 1).expand(b, h, t, 1)
    onto_last = weights.gather(-1, last).squeeze(-1)  # (B, H, T)
    has_neighbour = valid[:, 1:]
    return {
        "previous": _mean_where(weights.diagonal(-1, 2, 3), has_neighbour),
        "next": _mean_where(weights.diagonal(1, 2, 3), has_neighbour),
        "self": _mean_where(weights.diagonal(0, 2, 3), valid),
        "first": _mean_where(weights[:, :, 1:, 0], has_neighbour),
        "last": _mean_where(onto_last[:, :, :-1], has_neighbour),
    }


def repeat_patterns(weights: Tensor, tokens: Tensor, asked: Tensor | None = None) -> dict[str, Tensor]:
    """How much of its weight each head puts on what stood there before: the signs of induction.

    Args:
        weights: attention weights of causal self-attention, (B, H, T, T).
        tokens: the ids that were read, (B, T).
        asked: (B, T) bool, queries to average over; None: all. Of these count the ones with an earlier occurrence of
            their own token.

    Returns:
        Name -> share of weight (H,): "same" (earlier occurrences of the query's token), "after" (the tokens right after
        those: induction), "previous" (the token before the query).

    Source: Olsson et al. 2022, "In-context Learning and Induction Heads", where "after" is the prefix matching score.
    """
    b, _, t, _ = weights.shape
    expect_shape("tokens", tokens, B=b, T=t)
    same = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)  # (B, T, T): an earlier occurrence
    after = torch.nn.functional.pad(same[:, :, :-1], (1, 0)) & torch.ones(t, t, dtype=torch.bool).tril()
    count = same.any(dim=2) if asked is None else same.any(dim=2) & asked
    if not bool(count.any()):
        raise ValueError("tokens: expected one that occurred before among the asked ones, got none")
    previous = torch.nn.functional.pad(weights.diagonal(-1, 2, 3), (1, 0))  # (B, H, T)
    shares = {"same": (weights * same[:, None]).sum(dim=-1), "after": (weights * after[:, None]).sum(dim=-1),
              "previous": previous}  # fmt: skip
    return {name: share.transpose(1, 2)[count].mean(dim=0) for name, share in shares.items()}


def head_entropy(weights: Tensor, valid: Tensor | None = None) -> Tensor:
    """Entropy in nats of each head's weights, on average over queries: 0 looks at one key, log n evenly at n keys.

    Args:
        weights: attention weights, (B, H, T, S).
        valid: (B, T) bool, True = a real query.

    Returns:
        (B, H).
    """
    entropy = -torch.special.xlogy(weights, weights).sum(dim=-1)  # (B, H, T)
    return entropy.mean(dim=-1) if valid is None else _mean_where(entropy, valid)


def _mean_where(x: Tensor, keep: Tensor) -> Tensor:
    """Mean of x (B, H, T) over the positions that `keep` (B, T) marks: (B, H)."""
    keep = keep[:, None].to(x)
    return (x * keep).sum(dim=-1) / keep.sum(dim=-1)


@contextmanager
def gate_heads(model: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply what heads contribute by numbers of your choice during the `with` block: 0 takes a head out.

    A layer's output is a sum over its heads, plus a bias; the gate of a head multiplies its term. Gates may carry
    gradients, which then say how much the loss would feel each head.

    Args:
        model: holds the layers.
        gates: module name, as `record_attention` gives it -> a number for each head, (H,).

    Example:
        >>> with gate_heads(model, {"decoder.0.cross_attn": torch.tensor([1.0, 0.0, 1.0, 1.0])}):
        ...     logits = model(src, tgt)  # without the second cross-attention head of the first decoder layer

    Source: Michel et al. 2019, section 2.3, where gates are called mask variables.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)}
    for name, gate in gates.items():
        if name not in layers:
            raise ValueError(f"gates: expected names among {', '.join(layers)}, got {name!r}")
        expect_shape(f"gates[{name!r}]", gate, H=layers[name].n_heads)
    hooks = [layers[name].o_proj.register_forward_pre_hook(_gated(gate)) for name, gate in gates.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _gated(gate: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def before_output(_o_proj: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        heads = args[0].unflatten(-1, (len(gate), -1))  # (B, T, H, Dh)
        return ((heads * gate.to(heads)[:, None]).flatten(-2),)

    return before_output
