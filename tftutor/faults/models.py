"""Faults of layers, models and their state."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.faults.catalogue import Function, fault


@fault("norm-over-time", "layers.LayerNorm.forward", "token 0 changes when a later token does",
       "mean and variance are those of one token, over its features")  # fmt: skip
def _(forward: Function) -> Function:
    return lambda self, x: F.layer_norm(x, x.shape[-2:], eps=self.eps) * self.weight + self.bias


@fault("norm-over-batch", "layers.LayerNorm.forward", "a row changes with its neighbours in the batch",
       "batch normalisation averages over the batch: which axis does layer normalisation use?")  # fmt: skip
def _(forward: Function) -> Function:
    def broken(self: nn.Module, x: Tensor) -> Tensor:
        mean, var = x.mean(dim=(0, 1)), x.var(dim=(0, 1), correction=0)
        return (x - mean) * (var + self.eps).rsqrt() * self.weight + self.bias

    return broken


@fault("dropout-in-evaluation", "layers.Dropout.forward", "the same input gives another result each time",
       "dropout is for training only")  # fmt: skip
def _(forward: Function) -> Function:
    return lambda self, x: F.dropout(x, self.n_zero / 256, training=True)


@fault("residual-forgotten", "blocks.Block.add", "deep models do not train: nothing passes a block unchanged",
       "a sub-layer adds to the stream, it does not replace it")  # fmt: skip
def _(add: Function) -> Function:
    def broken(self: nn.Module, x: Tensor, norm: Function, sublayer: Function) -> Tensor:
        return self.dropout(sublayer(norm(x))) if self.pre_norm else norm(self.dropout(sublayer(x)))

    return broken


@fault("causal-in-training-only", "blocks.Block.attend_to_self", "validation loss far below training loss",
       "causality is part of the model, not of the mode")  # fmt: skip
def _(attend_to_self: Function) -> Function:
    return lambda self, x, mask, *rest: attend_to_self(self, x, mask if self.training else None, *rest)


@fault("cross-attention-unmasked", "blocks.DecoderBlock.forward", "the output depends on the padding of the source",
       "the memory holds padding too: the decoder needs the source's mask")  # fmt: skip
def _(forward: Function) -> Function:
    return lambda self, x, *, memory_mask=None, **named: forward(self, x, memory_mask=None, **named)


@fault("masks-swapped", "models.encoder_decoder.EncoderDecoder._run_decoder",
       "runs when source and target have equal lengths, raises when not; the future leaks",
       "self-attention takes the target's mask, cross-attention the source's; test with different lengths")  # fmt: skip
def _(run_decoder: Function) -> Function:
    return lambda self, tgt, memory, src_mask, mask, *rest, **named: run_decoder(
        self, tgt, memory, mask, src_mask, *rest, **named
    )


@fault("double-softmax", "models.encoder_decoder.Generator.forward", "the loss stalls near log V",
       "the loss wants logits and normalises by itself")  # fmt: skip
def _(forward: Function) -> Function:
    return lambda self, hidden: forward(self, hidden).softmax(dim=-1)


@fault("one-length-for-all", "state.DecoderState.place", "a row that joins later continues wrongly",
       "rows have different pasts: each has its own length")  # fmt: skip
def _(place: Function) -> Function:
    def broken(self: Any, tokens: Tensor, valid: Tensor | None) -> Any:
        self.lengths = self.lengths.max().repeat(len(self.lengths))
        return place(self, tokens, valid)

    return broken


@fault("cache-not-reordered", "state.KVCache.reorder", "beam search reports probabilities its texts do not have",
       "a surviving beam continues from its parent's keys and values")  # fmt: skip
def _(reorder: Function) -> Function:
    return lambda self, rows: None if len(rows) == len(self._buffers.keys) else reorder(self, rows)


@fault("memory-not-reordered", "state.DecoderState.reorder", "rows that change places read each other's source",
       "the source belongs to the row as much as the cache does")  # fmt: skip
def _(reorder: Function) -> Function:
    def broken(self: Any, rows: Tensor) -> None:
        memory, src_valid = self.memory, self.src_valid
        stays = len(rows) == len(self)
        reorder(self, rows)
        if stays:
            self.memory, self.src_valid = memory, src_valid

    return broken
