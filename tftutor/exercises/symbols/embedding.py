"""Exercise: the forward pass of an embedding layer that fails loudly, spares the padding row, and follows its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, has_shape, named_case
from tftutor.exercises.symbols.accelerator import Accelerator, mixes_devices
from tftutor.exercises.values import Trouble

PAD = 0


class EmbeddingLayer(nn.Module):
    """What the exercise hands over: two tables and the number of the padding token."""

    def __init__(self, vocab_size: int, d_model: int, max_len: int, generator: torch.Generator) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(max_len, d_model)
        self.pad_id = PAD
        for table in (self.tokens, self.positions):
            table.weight.data.copy_(torch.randn(table.weight.shape, generator=generator))
        self.tokens.weight.data[PAD] = 0.0


def embed(layer: EmbeddingLayer, tokens: Tensor) -> Tensor:
    """The forward pass of an embedding layer: token vectors plus position vectors.

    layer: has the tables layer.tokens (V, D) and layer.positions (max_len, D),
    both nn.Embedding, and the number layer.pad_id.
    tokens: ids (B, T) on the device of the tables, whatever that is; padding
    is layer.pad_id, and what you return there does not matter.
    Returns (B, T, D). The row of padding gets no gradient. For T > max_len it
    raises a ValueError that names both numbers.
    """
    length, max_len = tokens.shape[1], layer.positions.num_embeddings
    if length > max_len:
        raise ValueError(f"tokens: expected at most max_len={max_len} positions, got {length}")
    places = torch.arange(length, device=tokens.device)
    vectors = F.embedding(tokens, layer.tokens.weight, padding_idx=layer.pad_id)
    return vectors + layer.positions(places)


def _embed_cases(generator: torch.Generator) -> list[Case]:
    def draw(b: int, t: int, d: int, v: int, max_len: int) -> Case:
        tokens = torch.randint(1, v, (b, t), generator=generator)
        tokens[-1, t // 2 + 1 :] = PAD
        return named_case(layer=EmbeddingLayer(v, d, max_len, generator), tokens=tokens)

    return [draw(1, 2, 3, 5, 4), draw(2, 4, 3, 7, 6), draw(4, 7, 5, 11, 8), draw(5, 3, 4, 9, 6), draw(3, 3, 2, 6, 4)]


def _right_at_words(trial: Trial) -> Mismatch | None:
    layer, tokens = trial.args
    words = tokens != PAD
    with torch.no_grad():
        right = layer.tokens(tokens) + layer.positions(torch.arange(tokens.shape[1]))
    if trial.output.shape != right.shape:
        return Mismatch(f"shape {tuple(right.shape)}", f"shape {tuple(trial.output.shape)}")
    return compare(right[words], trial.output[words])


def _too_long(trial: Trial) -> tuple[Tensor, int, int]:
    layer, _ = trial.args
    max_len = layer.positions.num_embeddings
    return torch.ones(2, max_len + 9, dtype=torch.int64), max_len + 9, max_len


def _refuses_in_words(trial: Trial) -> Mismatch | None:
    tokens, length, max_len = _too_long(trial)
    wanted = f"a ValueError that names {length} and {max_len}"
    try:
        result = trial.call(trial.args[0], tokens)
    except Trouble as trouble:
        text = trouble.got
        if text.startswith("ValueError") and str(length) in text and str(max_len) in text:
            return None
        return Mismatch(wanted, text)
    return Mismatch(wanted, f"a result of shape {tuple(result.shape)}")


def _spares_padding(trial: Trial) -> Mismatch | None:
    layer, tokens = trial.args
    result = trial.raw
    if not isinstance(result, Tensor) or not result.requires_grad:
        return Mismatch("a result that the tables get gradients from", "a result cut off from them")
    grads = torch.autograd.grad(result.sum(), [layer.tokens.weight], retain_graph=True, allow_unused=True)
    if grads[0] is None or not grads[0][tokens[tokens != PAD]].any():
        return Mismatch("gradients for the rows of words", "none")
    return compare(torch.zeros_like(grads[0][PAD]), grads[0][PAD])


def _stays_on_its_device(trial: Trial) -> Mismatch | None:
    with Accelerator() as pretended:
        trial.call(*trial.args)
    return Mismatch("all tensors on the device of the tokens", "one made on the CPU") if pretended.mixed else None


def _sample() -> tuple[EmbeddingLayer, Tensor]:
    case = EMBED.build_cases()[1]
    return case.args


def _right(answer: Callable[..., Any]) -> bool:
    """Whether an answer gives the right vectors, so that only its other faults are left to name."""
    layer, tokens = _sample()
    words = tokens != PAD
    return compare(embed(layer, tokens)[words].detach(), answer(layer, tokens)[words].detach()) is None


def _on_long_input(answer: Callable[..., Any]) -> Any:
    """What an answer does with an input that is too long: a result, or the exception."""
    layer, _ = _sample()
    try:
        return answer(layer, torch.ones(2, layer.positions.num_embeddings + 9, dtype=torch.int64))
    except Exception as error:  # whatever it is
        return error


def _trains_padding(answer: Callable[..., Any]) -> bool:
    layer, tokens = _sample()
    (grad,) = torch.autograd.grad(answer(layer, tokens).sum(), [layer.tokens.weight])
    return bool(grad[PAD].any())


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


EMBED = Exercise(
    id="symbols/embed",
    title="An embedding layer that fails loudly",
    answer="embed",
    solution=embed,
    cases=_embed_cases,
    properties=(
        has_shape("there is one vector per token", lambda layer, tokens: (*tokens.shape, layer.tokens.embedding_dim)),
        Property(
            sentence="at every word it is the word's vector plus the vector of its position",
            test=_right_at_words,
            hint="work out one entry by hand: which row of which table?",
        ),
        Property(
            sentence="an input longer than max_len is refused with a ValueError that names both numbers",
            test=_refuses_in_words,
            hint="compare the length with the number of rows of the positions before anything is looked up",
        ),
        Property(
            sentence="the row of padding gets no gradient, and the rows of words do",
            test=_spares_padding,
            hint="torch's embedding function can be told which row is padding",
        ),
        Property(
            sentence="everything happens on the device of the tokens",
            test=_stays_on_its_device,
            hint="tensors that you make yourself land on the CPU unless you say where they belong",
        ),
    ),
    wrong=(
        Wrong(
            name="no positions",
            answer=lambda layer, tokens: F.embedding(tokens, layer.tokens.weight, padding_idx=layer.pad_id),
            hint="these are the token vectors; the vectors of the positions are still to be added",
        ),
        Wrong(
            name="positions along the batch",
            answer=lambda layer, tokens: layer.tokens(tokens)
            + layer.positions(torch.arange(len(tokens), device=tokens.device))[:, None],
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
            name="too long: cut off",
            answer=_cuts,
            hint="the input was cut to max_len without a word: the caller gets fewer vectors than tokens and finds out "
            "much later, or never",
            recognise=lambda answer: (
                _right(answer)
                and isinstance(_on_long_input(answer), Tensor)
                and _on_long_input(answer).shape[1] == _sample()[0].positions.num_embeddings
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
            name="no device",
            answer=_variant(places=lambda layer, tokens: torch.arange(tokens.shape[1])),
            hint="this works here and stops on the first GPU: where does the tensor of positions live, and where do "
            "the tokens?",
            recognise=lambda answer: _right(answer) and mixes_devices(answer, _sample()),
        ),
    ),
    notice="Three failures that no small test on a CPU shows: a long input, a trained padding row, a second device.",
)
