"""Faults of losses and of decoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.faults.catalogue import Function, fault


@fault("no-shift", "data.batching.collate", "the loss falls to zero and generation repeats its input",
       "the input at t is the answer at t - 1, beginning with BOS")  # fmt: skip
def _(collate: Function) -> Function:
    return lambda pairs: dataclasses.replace(batch := collate(pairs), tgt_in=batch.tgt_out)


@fault("padding-in-loss", "training.losses.sequence_loss", "the loss falls when padding is added",
       "divide by the number of real tokens, and count no others")  # fmt: skip
def _(sequence_loss: Function) -> Function:
    return lambda logits, targets, valid, **named: sequence_loss(logits, targets, torch.ones_like(valid), **named)


@fault("mean-of-means", "training.losses.sequence_loss", "the loss depends on which rows share a batch",
       "a token of a short row must not count for more: add up first, divide once")  # fmt: skip
def _(sequence_loss: Function) -> Function:
    def broken(logits: Tensor, targets: Tensor, valid: Tensor, **named: Any) -> tuple[Tensor, Tensor]:
        rows = [sequence_loss(*(x[b : b + 1] for x in (logits, targets, valid)), **named) for b in range(len(valid))]
        return sum(total / count for total, count in rows), torch.tensor(len(rows))

    return broken


@fault("temperature-on-probabilities", "decoding.sample", "high temperatures hardly differ, low ones are not greedy",
       "divide logits, not probabilities")  # fmt: skip
def _(sample: Function) -> Function:
    class Softmaxed(nn.Module):
        """A model whose logits are taken for probabilities."""

        def __init__(self, model: nn.Module, temperature: float) -> None:
            super().__init__()
            self.model, self.temperature = model, temperature

        def step(self, *inputs: Any, **named: Any) -> Tensor:
            return self.model.step(*inputs, **named).softmax(dim=-1) / self.temperature

    return lambda model, *inputs, temperature=1.0, **named: sample(Softmaxed(model, temperature), *inputs, **named)


@fault("top-k-one-threshold", "decoding.keep_top_k", "right for one row; in a batch, rows keep too many tokens",
       "every row has its own k-th largest logit")  # fmt: skip
def _(keep_top_k: Function) -> Function:
    return lambda logits, k: logits.masked_fill(logits < logits.topk(k, dim=-1).values.min(), float("-inf"))


@fault("top-p-without-crossing-token", "decoding.keep_top_p", "less than p is kept, nothing if the best token has p",
       "the token with which the mass reaches p belongs to the set")  # fmt: skip
def _(keep_top_p: Function) -> Function:
    def broken(logits: Tensor, p: float) -> Tensor:
        ordered, index = logits.sort(dim=-1, descending=True)
        drop = ordered.softmax(dim=-1).cumsum(dim=-1) > p
        return logits.masked_fill(torch.zeros_like(drop).scatter(-1, index, drop), float("-inf"))

    return broken


@fault("min-p-bar-for-all", "decoding.keep_min_p", "where the model is unsure nothing is left to draw",
       "the bar is p times the best probability of the row, not p itself")  # fmt: skip
def _(_keep_min_p: Function) -> Function:
    return lambda logits, p: logits.masked_fill(logits.softmax(dim=-1) < p, float("-inf"))


@fault("penalty-divides-all", "decoding.penalise_repeats", "characters with negative logits come back more often",
       "a negative logit grows when it is divided: multiply it")  # fmt: skip
def _(_penalise_repeats: Function) -> Function:
    return lambda logits, seen, penalty: logits.scatter(-1, seen, logits.gather(-1, seen) / penalty)


@fault("filter-in-place", "decoding.keep_top_k", "logits used after sampling are full of -inf",
       "the caller still needs its logits")  # fmt: skip
def _(keep_top_k: Function) -> Function:
    return lambda logits, k: logits.copy_(keep_top_k(logits, k))


@fault("text-after-end", "decoding.greedy", "rows that have ended go on while others finish",
       "after EOS a row writes nothing but padding")  # fmt: skip
def _(greedy: Function) -> Function:
    return lambda *inputs, eos_id=None, **named: greedy(*inputs, eos_id=None, **named)


@fault("logits-at-padding", "decoding.loop.last_logits", "short prompts, padded on the right, continue from padding",
       "the last column of the batch is not the last token of every row")  # fmt: skip
def _(last_logits: Function) -> Function:
    return lambda model, prompt, state, valid: model.step(prompt, state, valid=valid)[:, -1]


@fault("mode-forgotten", "decoding.inference", "after the first evaluation training goes on without dropout",
       "put back the mode that was there before")  # fmt: skip
def _(inference: Function) -> Function:
    @contextmanager
    def broken(model: nn.Module) -> Iterator[None]:
        model.eval()
        with torch.no_grad():
            yield

    return broken
