"""Exact search for the most probable text, to judge other searches by."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from tftutor.decoding.loop import expect_steps


class Found(NamedTuple):
    """A complete text."""

    tokens: tuple[int, ...]  # the end mark included
    log_prob: float  # in nats
    n_reads: int  # how many prefixes the search had read when it was sure


def exact_search(
    next_log_probs: Callable[[tuple[int, ...]], Tensor],
    *,
    max_new_tokens: int,
    eos_id: int,
    n_best: int = 1,
    max_reads: int = 10_000,
) -> list[Found]:
    """The `n_best` most probable texts that end with `eos_id` or have `max_new_tokens` tokens, best first.

    A text can only lose probability by going on. So read the most probable prefix, put its continuations in a queue,
    and repeat: when the most probable entry of the queue is complete, nothing that is left can beat it. Cheap where
    the model is sure, hopeless where it is not.

    Args:
        next_log_probs: the log-probabilities (V,) of the token after a prefix, which may be empty.
        max_reads: give up after this many prefixes.

    Source: Dijkstra 1959, on the tree of texts; exact search of translations: Stahlberg and Byrne 2019, section 2.
    """
    expect_steps(max_new_tokens)
    queue: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]  # minus log-probability, prefix
    found: list[Found] = []
    n_reads = 0
    while queue and len(found) < n_best:
        cost, prefix = heapq.heappop(queue)
        if prefix and (prefix[-1] == eos_id or len(prefix) == max_new_tokens):
            found.append(Found(prefix, -cost, n_reads))
            continue
        if n_reads == max_reads:
            raise RuntimeError(f"max_reads: expected to be sure after {max_reads} prefixes, got {len(found)} of "
                               f"{n_best} texts; the model is too unsure for an exact search")  # fmt: skip
        n_reads += 1
        for token, log_prob in enumerate(next_log_probs(prefix).tolist()):
            heapq.heappush(queue, (cost - log_prob, (*prefix, token)))
    return found
