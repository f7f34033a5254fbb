"""What goes wrong in an embedding layer, each with its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.exercises.exercise import Wrong, compare
from tftutor.exercises.symbols.accelerator import mixes_devices
from tftutor.exercises.symbols.embedding_layer import EmbeddingLayer, cases, embed, sample


def _right(answer: Callable[..., Any]) -> bool:
    """Whether an answer gives the right vectors, so that only its other faults are left to name."""
    layer, tokens = sample()
    words = tokens != layer.pad_id
    return compare(embed(layer, tokens)[words].detach(), answer(layer, tokens)[words].detach()) is None


def _on_long_input(answer: Callable[..., Any]) -> Any:
    """What an answer does with an input that is too long: a result, or the exception."""
    layer, _ = sample()
    try:
        return answer(layer, torch.ones(2, layer.positions.num_embeddings + 9, dtype=torch.int64))
    except Exception as error:  # whatever it is
        return error


def _trains_padding(answer: Callable[..., Any], case: int = 1) -> bool:
    layer, tokens = cases(torch.Generator().manual_seed(0))[case].args
    (grad,) = torch.autograd.grad(answer(layer, tokens).sum(), [layer.tokens.weight])
    return bool(grad[layer.pad_id].any())


def _variant(
    *, check: bool = True, places: Callable[[EmbeddingLayer, Tensor], Tensor] | None = None, spare: bool = True
) -> Callable[[EmbeddingLayer, Tensor], Tensor]:
    """The solution with one of its parts replaced."""

    def variant(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
        length, max_len = tokens.shape[1], layer.positions.num_embeddings
        if check and length > max_len:
            raise ValueError(f"expected at most {max_len} positions, got {length}")
        at = torch.arange(length, device=tokens.device) if places is None else places(layer, tokens)
        pad = layer.pad_id if spare else None
        return F.embedding(tokens, layer.tokens.weight, padding_idx=pad) + layer.positions(at)

    return variant


def _asserts(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    if tokens.shape[1] > layer.positions.num_embeddings:
        raise AssertionError  # what an assert statement does
    return embed(layer, tokens)


def _vague(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    if tokens.shape[1] > layer.positions.num_embeddings:
        raise ValueError("too long")
    return embed(layer, tokens)


def _cuts(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    return embed(layer, tokens[:, : layer.positions.num_embeddings])


def _raises_another(answer: Callable[..., Any]) -> bool:
    """Whether it is refused in words that name both numbers, with another exception than ValueError."""
    error = _on_long_input(answer)
    named = isinstance(error, Exception) and all(str(n) in str(error) for n in (6, 15))
    return named and not isinstance(error, ValueError)


def _returns_no_tensor(answer: Callable[..., Any]) -> bool:
    result = _on_long_input(answer)
    return not isinstance(result, Tensor | Exception)


def _writes_into_the_table(answer: Callable[..., Any]) -> bool:
    layer, tokens = sample()
    before = layer.tokens.weight._version
    answer(layer, tokens)
    return layer.tokens.weight._version != before


def _cut_off_from_the_tables(answer: Callable[..., Any]) -> bool:
    layer, tokens = sample()
    result = answer(layer, tokens)
    if not result.requires_grad:
        return True
    (grad,) = torch.autograd.grad(result.sum(), [layer.tokens.weight], allow_unused=True)
    return grad is None


def _zeroes_the_row(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        layer.tokens.weight[layer.pad_id] = 0.0
    return _variant(spare=False)(layer, tokens)


def _other_exception(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    if tokens.shape[1] > layer.positions.num_embeddings:
        raise IndexError(f"expected at most {layer.positions.num_embeddings} positions, got {tokens.shape[1]}")
    return embed(layer, tokens)


def _one_too_early(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    length, max_len = tokens.shape[1], layer.positions.num_embeddings
    if length >= max_len:
        raise ValueError(f"expected at most {max_len} positions, got {length}")
    return embed(layer, tokens)


def _compares_the_vocabulary(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    length, limit = tokens.shape[1], layer.tokens.num_embeddings
    if length > limit:
        raise ValueError(f"expected at most {limit}, got {length}")
    return _variant(check=False)(layer, tokens)


def _without_gradient(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return embed(layer, tokens)


def _gives_nothing(layer: EmbeddingLayer, tokens: Tensor) -> Any:
    return None if tokens.shape[1] > layer.positions.num_embeddings else embed(layer, tokens)


MISTAKES = (
    Wrong(
        name="no positions",
        answer=lambda layer, tokens: F.embedding(tokens, layer.tokens.weight, padding_idx=layer.pad_id),
        hint="these are the token vectors; the vectors of the positions are still to be added",
    ),
    Wrong(
        name="positions along the batch",
        answer=lambda layer, tokens: (
            layer.tokens(tokens) + layer.positions(torch.arange(len(tokens), device=tokens.device))[:, None]
        ),
        hint="all tokens of a sentence got the same position: positions count along T, not along B",
    ),
    Wrong(
        name="positions looked up by token",
        answer=_variant(places=lambda layer, tokens: tokens.clamp(max=layer.positions.num_embeddings - 1)),
        hint="the table of positions was asked for the number of the word; what it wants is the place of the word",
    ),
    Wrong(
        name="positions counted from 1",
        answer=_variant(places=lambda layer, tokens: torch.arange(1, tokens.shape[1] + 1, device=tokens.device)),
        hint="the first token stands at position 0",
    ),
    Wrong(
        name="one-hot without a table",
        answer=lambda layer, tokens: F.one_hot(tokens, layer.tokens.num_embeddings).float(),
        hint="a one-hot vector only selects: what is the table that it selects from?",
    ),
    Wrong(
        name="too long: one too early",
        answer=_one_too_early,
        hint="a sentence that fills the table of positions exactly is refused too: it still fits",
    ),
    Wrong(
        name="factor",
        answer=lambda layer, tokens: (
            embed(layer, tokens)
            + F.embedding(tokens, layer.tokens.weight, padding_idx=layer.pad_id) * (layer.tokens.embedding_dim**0.5 - 1)
        ),
        hint="this layer has no factor: it is to be mended, not to become another one",
    ),
    Wrong(
        name="product",
        answer=lambda layer, tokens: (
            layer.tokens(tokens) * layer.positions(torch.arange(tokens.shape[1], device=tokens.device))
        ),
        hint="the vector of the position is added, not multiplied",
    ),
    Wrong(
        name="tables of its own",
        answer=lambda layer, tokens: (
            nn.Embedding(*layer.tokens.weight.shape, padding_idx=layer.pad_id)(tokens)
            + layer.positions(torch.arange(tokens.shape[1], device=tokens.device))
        ),
        hint="a new table is drawn at every call: the trained one is in layer.tokens",
        recognise=lambda answer: not torch.equal(answer(*sample()), answer(*sample())),
    ),
    Wrong(
        name="row zeroed at every call",
        answer=_zeroes_the_row,
        hint="zeroing the row writes into the caller's table at every call, and does not keep the gradient from it",
        recognise=_writes_into_the_table,
    ),
    Wrong(
        name="no gradient at all",
        answer=_without_gradient,
        hint="nothing learns now, words included: only the row of padding is to be spared",
        recognise=lambda answer: _right(answer) and _cut_off_from_the_tables(answer),
    ),
    Wrong(
        name="too long: the vocabulary compared",
        answer=_compares_the_vocabulary,
        hint="the length is compared with the number of words; which table runs out when a sentence is too long?",
        recognise=lambda answer: (
            _right(answer)
            and isinstance(_on_long_input(answer), ValueError)
            and all(str(n) in str(_on_long_input(answer)) for n in (15, 7))
        ),
    ),
    Wrong(
        name="too long: another exception",
        answer=_other_exception,
        hint="both numbers are there; the exception that Python means for an argument with a bad value is another one",
        recognise=lambda answer: _right(answer) and _raises_another(answer),
    ),
    Wrong(
        name="too long: nothing returned",
        answer=_gives_nothing,
        hint="for an input that is too long the caller gets something that is no tensor, and stumbles later: raise",
        recognise=lambda answer: _right(answer) and _returns_no_tensor(answer),
    ),
    Wrong(
        name="too long: cut off",
        answer=_cuts,
        hint="the input was cut to max_len without a word: the caller gets fewer vectors than tokens and finds out "
        "much later, or never",
        recognise=lambda answer: (
            _right(answer)
            and isinstance(_on_long_input(answer), Tensor)
            and _on_long_input(answer).shape[1] == sample()[0].positions.num_embeddings
        ),
    ),
    Wrong(
        name="too long: last position again",
        answer=_variant(
            check=False,
            places=lambda layer, tokens: torch.arange(tokens.shape[1], device=tokens.device).clamp(
                max=layer.positions.num_embeddings - 1
            ),
        ),
        hint="tokens beyond the table got positions they do not stand at: nobody will notice, that is the trouble",
        recognise=lambda answer: _right(answer) and isinstance(_on_long_input(answer), Tensor),
    ),
    Wrong(
        name="too long: an assertion",
        answer=_asserts,
        hint="an assertion disappears under python -O and says nothing to the caller: which exception is meant for "
        "a bad argument?",
        recognise=lambda answer: _right(answer) and isinstance(_on_long_input(answer), AssertionError),
    ),
    Wrong(
        name="too long: no check",
        answer=_variant(check=False),
        hint="torch stops it with an error that speaks of an index or of sizes, and on a GPU with one that comes "
        "later and elsewhere: compare the length with the table first",
        recognise=lambda answer: _right(answer) and isinstance(_on_long_input(answer), IndexError | RuntimeError),
    ),
    Wrong(
        name="too long: no numbers",
        answer=_vague,
        hint="the right exception, but how long may the input be, and how long was it?",
        recognise=lambda answer: (
            _right(answer)
            and isinstance(_on_long_input(answer), ValueError)
            and not all(str(n) in str(_on_long_input(answer)) for n in (6, 15))
        ),
    ),
    Wrong(
        name="padding is trained",
        answer=_variant(spare=False),
        hint="padding is looked up like a word and its row learns from it: which argument of the look-up names the "
        "row that gets no gradient?",
        recognise=lambda answer: _right(answer) and _trains_padding(answer),
    ),
    Wrong(
        name="padding taken to be 0",
        answer=lambda layer, tokens: _variant(spare=False)(layer, tokens) if layer.pad_id else embed(layer, tokens),
        hint="padding need not have the number 0: the layer says which one it is",
        recognise=lambda answer: _right(answer) and not _trains_padding(answer) and _trains_padding(answer, case=2),
    ),
    Wrong(
        name="no device",
        answer=_variant(places=lambda layer, tokens: torch.arange(tokens.shape[1])),
        hint="this works here and stops on the first GPU: where does the tensor of positions live, and where do "
        "the tokens?",
        recognise=lambda answer: _right(answer) and mixes_devices(answer, sample()),
    ),
)
